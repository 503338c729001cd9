use super::*;
use crate::manifest::{Manifest, load};
use crate::names::UserName;
use crate::plan::{Change, Draft};
use crate::receipt::Receipt;
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
