use super::*;
use crate::manifest::{Manifest, load};
use crate::names::Side;
use crate::names::UserName;
use crate::plan::{Change, Draft};
use crate::receipt::Receipt;
use crate::resource::edit::fake::FakeHost;
use crate::resource::mx;

fn manifest(mx: &str) -> Manifest {
    let text = format!(
        "version: 1\nname: office\nsource: {{ host: ssh://root@old }}\n\
         target: {{ host: ssh://root@new }}\nserve_from: source\n\
         cutover: {{ address: [192.0.2.25/24] }}\n{mx}"
    );
    load::parse("m.yaml", &text).unwrap()
}

const BACKUP: &str = "mx: { domain: example.org, backup: { host: ssh://root@mx2 } }\n";

/// As postconf tells it on Debian 12 with the package as it comes.
fn debian() -> Actual {
    let values = [
        ("inet_interfaces", "all"),
        ("maximal_queue_lifetime", "5d"),
        (
            "mydestination",
            "mx2.example.net, localhost.example.net, localhost",
        ),
        ("mynetworks", "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128"),
        ("recipient_delimiter", "+"),
        ("relay_domains", ""),
        ("relay_recipient_maps", ""),
        (
            "smtpd_relay_restrictions",
            "permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
        ),
    ];
    let defaults = ["relay_domains", "transport_maps", "relay_recipient_maps"];
    Actual {
        host: Some(Seen {
            addresses: ["198.51.100.7".parse().unwrap()].into(),
            values: values
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            defaults: defaults.map(|name| (name.to_owned(), String::new())).into(),
            says: Some(Says {
                known: 554,
                unknown: 554,
                foreign: 554,
            }),
            ..Seen::default()
        }),
        ..Actual::default()
    }
}

fn users() -> BTreeSet<UserName> {
    ["anna", "Bela"].map(UserName::from).into()
}

fn drafted(actual: &Actual) -> Draft {
    diff(
        &manifest(BACKUP),
        actual,
        &mx::Actual::default(),
        &users(),
        None,
    )
}

fn seen(actual: &mut Actual) -> &mut Seen {
    actual.host.as_mut().unwrap()
}

fn set(actual: &mut Actual, name: &str, value: &str) {
    let (name, value) = (name.to_owned(), value.to_owned());
    seen(actual).values.insert(name, value);
}

/// What an action of a draft does to it.
fn after(actual: &Actual, draft: &Draft) -> Actual {
    let mut after = actual.clone();
    let [action] = draft.actions.as_slice() else {
        panic!("one action: {draft:?}");
    };
    let Change::SetUpBackup(setup) = &action.change else {
        panic!("{action:?}");
    };
    predict(&mut after, setup, &manifest(BACKUP).name);
    after
}

fn problems(actual: &Actual) -> String {
    let mut cutover = manifest(BACKUP);
    cutover.serve_from = crate::names::Side::Target;
    let draft = diff(&cutover, actual, &mx::Actual::default(), &users(), None);
    let blocked: Vec<String> = draft.blocked.iter().map(|one| one.by.to_string()).collect();
    // Staging goes on with a warning each.
    let warned: Vec<String> = drafted(actual)
        .notes
        .into_iter()
        .map(|note| note.text)
        .collect();
    assert_eq!(blocked, warned);
    blocked.join("\n")
}

#[test]
fn it_takes_mail_for_exactly_those_whom_the_serving_host_knows() {
    let mut before = debian();
    before.known.names = ["office".to_owned(), "weird name".to_owned()].into();
    let after = after(&before, &drafted(&before));
    let files = &after.host.as_ref().unwrap().files;
    let lines = |name: &str| -> Vec<&str> { files[name].lines().skip(1).collect() };
    assert_eq!(lines("domains"), ["example.org OK"]);
    assert_eq!(lines("transport"), ["example.org relay:[192.0.2.25]"]);
    assert_eq!(
        lines("recipients"),
        [
            "anna@example.org OK",
            "bela@example.org OK",
            "office@example.org OK",
            "postmaster@example.org OK",
            "root@example.org OK",
        ]
    );
    assert!(!files.contains_key("patterns"));
    let written = &after.host.as_ref().unwrap().written;
    assert_eq!(
        written["relay_domains"],
        "texthash:/etc/postfix/reconcile-office/domains"
    );
    // Nothing is left to do, also to what others write there.
    let draft = drafted(&after);
    assert!(
        draft.actions.is_empty() && draft.blocked.is_empty(),
        "{draft:?}"
    );
}

#[test]
fn taken_out_of_the_manifest_nothing_of_it_is_left() {
    let before = debian();
    let mut there = after(&before, &drafted(&before));
    let mut receipt = Receipt::new("office".parse().unwrap(), jiff::Timestamp::UNIX_EPOCH);
    receipt.backup = manifest(BACKUP)
        .mx
        .unwrap()
        .backup
        .map(|backup| backup.source());
    let without = manifest("");
    let draft = |actual: &Actual| {
        let zone = mx::Actual::default();
        diff(&without, actual, &zone, &users(), Some(&receipt))
    };
    assert_eq!(after(&there, &draft(&there)), before);
    // Out of reach it is a warning, and stays recorded.
    there.host = None;
    there.out_of_reach = Some("no route".to_owned());
    assert!(draft(&there).actions.is_empty());
    assert_eq!(draft(&there).notes.len(), 1);
}

#[test]
fn whom_it_relayed_for_before_it_still_takes_everybody_for() {
    let mut before = debian();
    seen(&mut before).others = ["other.example".to_owned()].into();
    let after = after(&before, &drafted(&before));
    let patterns = &after.host.as_ref().unwrap().files["patterns"];
    assert!(
        patterns.ends_with("/[@.]other\\.example$/ OK\n"),
        "{patterns}"
    );
    // Where it had a table of recipients, that one goes on.
    set(&mut before, "relay_recipient_maps", "hash:/etc/postfix/r");
    let draft = drafted(&before);
    assert!(
        !super::tests::after(&before, &draft)
            .host
            .unwrap()
            .files
            .contains_key("patterns")
    );
}

#[test]
fn extensions_are_taken_as_the_serving_host_takes_them() {
    let mut before = debian();
    before.known.delimiter = "+-".to_owned();
    let after = after(&before, &drafted(&before));
    let patterns = &after.host.as_ref().unwrap().files["patterns"];
    let expected = "/^(anna|bela|postmaster|root)-.*@example\\.org$/ OK";
    assert_eq!(patterns.lines().nth(1), Some(expected));
}

#[test]
fn what_keeps_it_from_being_a_backup_is_said() {
    for (name, value, said) in [
        (
            "inet_interfaces",
            "loopback-only",
            "listens on loopback-only only",
        ),
        ("maximal_queue_lifetime", "30m", "gives mail up after 30m"),
        (
            "mydestination",
            "localhost, example.org",
            "by mydestination",
        ),
        (
            "smtpd_recipient_restrictions",
            "reject_unverified_recipient",
            "asks the primary for each recipient",
        ),
    ] {
        let mut actual = debian();
        set(&mut actual, name, value);
        assert!(
            problems(&actual).contains(said),
            "{said}: {}",
            problems(&actual)
        );
    }
    let mut actual = debian();
    actual.known.unlisted = ["ldap:/etc/postfix/a.cf".to_owned()].into();
    assert!(problems(&actual).contains("mx.backup.recipients"));
    actual = Actual::default();
    assert!(problems(&actual).contains("was not looked at"));
}

#[test]
fn an_open_relay_and_one_that_takes_unknown_people_are_found() {
    let mut actual = debian();
    let says = |known, unknown, foreign| {
        Some(Says {
            known,
            unknown,
            foreign,
        })
    };
    seen(&mut actual).says = says(554, 554, 250);
    assert!(problems(&actual).contains("not its"));
    // Before its tables are in place it refuses everybody, as it should.
    seen(&mut actual).says = says(554, 554, 554);
    assert_eq!(problems(&actual), "");
    let mut there = after(&actual, &drafted(&actual));
    seen(&mut there).says = says(250, 250, 554);
    assert!(problems(&there).contains("whom nobody knows"));
    seen(&mut there).says = says(450, 550, 554);
    assert!(problems(&there).contains("refuses mail for a user of the domain (450)"));
    seen(&mut there).says = says(250, 550, 554);
    assert_eq!(problems(&there), "");
}

#[test]
fn what_was_taken_before_a_hand_over_is_taken_after_it() {
    let mut before = debian();
    before.known.names = ["office".to_owned()].into();
    let mut there = after(&before, &drafted(&before));
    // The target has no such alias.
    there.known.names.clear();
    let mut cutover = manifest(BACKUP);
    cutover.serve_from = crate::names::Side::Target;
    let mut receipt = Receipt::new("office".parse().unwrap(), jiff::Timestamp::UNIX_EPOCH);
    receipt.authority = crate::names::Side::Target;
    let zone = mx::Actual::default();
    let draft = diff(&cutover, &there, &zone, &users(), Some(&receipt));
    assert!(draft.actions.is_empty(), "{draft:?}");
    // While staging the source alone decides.
    assert_eq!(drafted(&there).actions.len(), 1);
}

const TOLD: [&str; 2] = ["/usr/sbin/postconf -x", "/usr/sbin/postconf -d"];

/// What comes of looking at a backup, with a serving host beside it.
fn looked(backup: &FakeHost, serving: &FakeHost) -> Actual {
    let ask = Ask {
        backup: Some(backup),
        out_of_reach: None,
        serving,
        from: &[],
    };
    observe(&manifest(BACKUP), ask, &mx::Actual::default(), &[]).unwrap()
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let serving = FakeHost::new(Side::Source, &[]);
    let backup = FakeHost::new(Side::Target, &[]);
    for program in TOLD {
        backup.says(program, 0, "relay_domains = other.example\n");
    }
    // It hangs, and then it fails.
    let actual = looked(&backup, &serving);
    assert!(drafted(&actual).actions.is_empty());
    let why = actual.out_of_reach.unwrap();
    assert!(why.contains("does not answer"), "{why}");
    backup.says("/usr/sbin/postconf -n", 75, "");
    let actual = looked(&backup, &serving);
    let why = actual.out_of_reach.unwrap();
    assert!(why.contains("exit status 75"), "{why}");
    backup.says(
        "/usr/sbin/postconf -n",
        0,
        "relay_domains = other.example\n",
    );
    let seen = looked(&backup, &serving).host.unwrap();
    assert_eq!(seen.written["relay_domains"], "other.example");
}

#[test]
fn behind_a_translating_router_it_is_found_in_dns_by_the_address_that_it_is_reached_at() {
    let backup = FakeHost::new(Side::Target, &[]);
    let outside: IpAddr = "198.51.100.7".parse().unwrap();
    *backup.reached_at.lock().unwrap() = vec!["127.0.0.1".parse().unwrap(), outside];
    assert_eq!(
        super::observe::addresses(&backup).unwrap(),
        [outside].into()
    );
}

#[test]
fn a_table_by_which_it_would_deliver_the_mail_itself_is_found() {
    let serving = FakeHost::new(Side::Source, &[]);
    let backup = FakeHost::new(Side::Target, &[]);
    for program in TOLD {
        backup.says(program, 0, "mydestination = localhost, /etc/postfix/own\n");
    }
    backup.says("/usr/sbin/postconf -n", 0, "");
    backup.put("/etc/postfix/own", b"other.example\n");
    let said = |backup: &FakeHost| problems(&looked(backup, &serving));
    assert!(!said(&backup).contains("delivers mail for"));
    backup.put("/etc/postfix/own", b"other.example\nExample.org\n");
    let said = said(&backup);
    assert!(
        said.contains("delivers mail for example.org itself, by mydestination"),
        "{said}"
    );
}

#[test]
fn what_postfix_does_not_tell_of_its_recipients_is_not_taken_for_nobody() {
    let backup = FakeHost::new(Side::Target, &[]);
    let serving = FakeHost::new(Side::Source, &[("/usr/sbin/postconf", "")]);
    serving.says("/usr/sbin/postconf -x", 1, "");
    assert_eq!(looked(&backup, &serving).known.unlisted.len(), 1);
    // A table that was made of a text that is gone.
    let maps = "virtual_alias_maps = hash:/etc/postfix/people\nalias_maps = hash:/etc/aliases\n";
    serving.says("/usr/sbin/postconf -x", 0, maps);
    let unlisted = looked(&backup, &serving).known.unlisted;
    assert_eq!(unlisted, ["/etc/postfix/people".to_owned()].into());
    serving.put("/etc/postfix/people", b"anna.b@example.org anna\n");
    let known = looked(&backup, &serving).known;
    assert_eq!(known.unlisted, BTreeSet::new());
    assert_eq!(known.names, ["anna.b".to_owned()].into());
}

#[test]
fn whom_the_serving_host_takes_everybody_for_the_backup_may() {
    let mut before = debian();
    before.known.everybody = true;
    let mut there = after(&before, &drafted(&before));
    seen(&mut there).says = Some(Says {
        known: 250,
        unknown: 250,
        foreign: 554,
    });
    assert_eq!(problems(&there), "");
    // The table that is there does not make it right: the serving host has no such table any more.
    there.known.everybody = false;
    assert_eq!(drafted(&there).actions.len(), 1);
    there = after(&there, &drafted(&there));
    assert!(problems(&there).contains("whom nobody knows"));
}

#[test]
fn it_is_asked_where_senders_come_to_it() {
    let mut actual = debian();
    let inside = "10.0.0.5".parse().unwrap();
    seen(&mut actual).addresses.insert(inside);
    let zone = |address: &str| -> mx::Actual {
        let zone = format!(
            r#"{{"zone": {{"exchangers": "nothing", "own": ["nothing", "nothing"], "texts": "nothing",
                "hosts": {{"mx2.example.org": {{"alias": "nothing", "addresses": [
                    {{"found": {{"records": ["{address}"], "ttl": 60}}}}, "nothing"]}}}}}}}}"#
        );
        serde_json::from_str(&zone).unwrap()
    };
    let at = |zone: &mx::Actual| {
        let asking = asking(&manifest(BACKUP), &actual, zone, &users(), Side::Source);
        asking.unwrap().at
    };
    assert_eq!(
        at(&zone("198.51.100.7")),
        "198.51.100.7".parse::<IpAddr>().unwrap()
    );
    // While nobody knows it, at an address of its own.
    assert_eq!(at(&zone("203.0.113.9")), inside);
}
