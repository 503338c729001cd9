//! On what the MTAs of Debian 12 and 13 say.

mod offers;

use std::collections::BTreeSet;

use super::sendmail as cf;
use super::*;
use crate::manifest::{Manifest, load};

fn manifest(cutover: &str) -> Manifest {
    let text = format!(
        "version: 1\nname: move\nsource: {{ host: 'ssh://root@old' }}\n\
         target: {{ host: 'ssh://root@new' }}\nserve_from: source\n{cutover}"
    );
    load::parse("migration.yaml", &text).unwrap()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// As Debian sets Postfix up for `example.org`.
fn postfix(name: &str) -> Mta {
    Mta {
        kind: Kind::Postfix,
        hostname: format!("{name}.example.org"),
        domains: set(&["example.org", &format!("{name}.example.org"), "localhost"]),
        unlisted: BTreeSet::new(),
        foreign_recipients: None,
        interfaces: set(&["all"]),
        listeners: [(25, listener(Tls::Offered))].into(),
        protocols: set(&["all"]),
        delivery: Delivery::Procmail(Presence::There),
        message_limit: Some(10_240_000),
        mailbox_limit: None,
        spool: "/var/mail".into(),
    }
}

/// Everywhere, without AUTH.
fn listener(tls: Tls) -> Listener {
    Listener {
        at: set(&["all"]),
        tls,
        auth: Some(Auth::No),
    }
}

/// What the host that hands over has open.
fn reached(ports: &[u16]) -> Open {
    Open {
        now: ports.iter().copied().collect(),
        otherwise: BTreeSet::new(),
    }
}

fn compared(cutover: &str, from: &Mta, to: &Mta) -> Findings {
    compared_with(cutover, from, to, &reached(&[25]))
}

fn compared_with(cutover: &str, from: &Mta, to: &Mta, open: &Open) -> Findings {
    let actual = Actual {
        source: Some(from.clone()),
        target: Some(to.clone()),
    };
    compare(
        &manifest(cutover),
        Side::Source,
        Side::Target,
        &actual,
        open,
    )
}

fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn equal_hosts_differ_by_their_own_names_at_most() {
    let findings = compared("", &postfix("old"), &postfix("new"));
    assert_eq!(findings.problems, []);
    let [warning] = &findings.warnings[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(
        warning.to_string(),
        "the target's MTA would refuse mail for old.example.org, the other host's own name; if \
         anybody writes to it, `postconf -e \"mydestination = $(postconf -h mydestination), \
         old.example.org\" && postfix reload`"
    );
    // The name that moves is everybody's.
    let cutover = "cutover: { address: [192.0.2.25/24], hostname: old.example.org }\n";
    let findings = compared(cutover, &postfix("old"), &postfix("new"));
    assert_eq!(findings.problems.len(), 1, "{findings:?}");
}

#[test]
fn a_domain_that_would_be_refused_is_in_the_way() {
    let mut from = postfix("old");
    from.domains.extend(set(&["shop.example", "[192.0.2.1]"]));
    from.unlisted = set(&["ldap:/etc/postfix/domains.cf"]);
    let findings = compared("", &from, &postfix("new"));
    let problems = said(&findings.problems);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[1].contains("refuse mail for shop.example"),
        "{problems:?}"
    );
    assert!(problems[1].ends_with(
        "`postconf -e \"mydestination = $(postconf -h mydestination), shop.example\" && postfix reload`"
    ));
    assert_eq!(findings.warnings.len(), 2);
}

#[test]
fn mail_goes_where_it_went() {
    let mut to = postfix("new");
    to.delivery = Delivery::Spool("/var/mail".into());
    let mut from = postfix("old");
    let problems = said(&compared("", &from, &to).problems);
    assert_eq!(
        problems,
        [
            "the target's MTA would put users' mail into /var/mail, and it belongs where procmail says; \
          `postconf -e 'mailbox_transport = ' 'mailbox_command = procmail -a \"$EXTENSION\"' \
          'home_mailbox = ' && postfix reload`"
        ]
    );
    from.delivery = Delivery::Home("Maildir/".to_owned());
    let problems = said(&compared("", &from, &to).problems);
    assert!(
        problems[0].contains("'home_mailbox = Maildir/'"),
        "{problems:?}"
    );
    // Both use the spool; where it is may differ from host to host, not from the manifest.
    from.delivery = Delivery::Spool("/var/spool/mail".into());
    assert_eq!(compared("", &from, &to).problems, []);
    to.delivery = Delivery::Spool("/srv/mail".into());
    let problems = said(&compared("", &from, &to).problems);
    assert!(
        problems[0].contains("'mail_spool_directory = /var/mail'"),
        "{problems:?}"
    );
    to.delivery = Delivery::Procmail(Presence::Missing);
    let problems = said(&compared("", &from, &to).problems);
    assert!(
        problems[0].ends_with("`apt-get install procmail`"),
        "{problems:?}"
    );
}

#[test]
fn the_address_that_moves_is_listened_on() {
    let cutover = "cutover: { address: [192.0.2.25/24, '2001:db8::25/64'] }\n";
    let mut to = postfix("new");
    to.interfaces = set(&["loopback-only"]);
    let problems = said(&compared(cutover, &postfix("new"), &to).problems);
    assert_eq!(problems.len(), 2);
    assert_eq!(
        problems[0],
        "the target's MTA would not listen on 192.0.2.25 but on loopback-only; \
         `postconf -e 'inet_interfaces = all'`, and restart it"
    );
    to.interfaces = set(&["192.0.2.25", "2001:db8::25"]);
    assert_eq!(compared(cutover, &postfix("new"), &to).problems, []);
    to.protocols = set(&["ipv4"]);
    let problems = said(&compared(cutover, &postfix("new"), &to).problems);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("inet_protocols = all"), "{problems:?}");
}

#[test]
fn users_and_limits() {
    let mut to = postfix("new");
    to.foreign_recipients = Some("hash:/etc/postfix/users".to_owned());
    to.message_limit = Some(1_000_000);
    to.mailbox_limit = Some(51_200_000);
    let findings = compared("", &postfix("new"), &to);
    assert!(said(&findings.problems)[0].contains("hash:/etc/postfix/users"));
    assert_eq!(findings.warnings.len(), 2, "{findings:?}");
    let none = Actual::default();
    let open = reached(&[25]);
    let findings = compare(&manifest(""), Side::Source, Side::Target, &none, &open);
    assert_eq!(findings.problems, [Problem::NoMta { side: Side::Target }]);
}

#[test]
fn lists_of_domains_are_understood() {
    use super::postfix::{Word, domain_words, keys};
    let words = domain_words(
        "Example.org, /etc/postfix/more proxy:hash:/etc/postfix/v [192.0.2.1] mysql:/x",
    );
    let expected = [
        Word::Domain("example.org".to_owned()),
        Word::File("/etc/postfix/more".to_owned()),
        Word::Table("/etc/postfix/v".to_owned()),
        Word::Domain("[192.0.2.1]".to_owned()),
        Word::Unlisted("mysql:/x".to_owned()),
    ];
    assert_eq!(words, expected);
    // virtual(5).
    let text =
        "# virtual\nVirtual.example  anything\ninfo@virtual.example anna\n  bob\n@all.example x\n";
    assert_eq!(keys(text), set(&["virtual.example"]));
}

/// From Debian 12's sendmail.cf.
const CF: &str = "Cwlocalhost\nFw/etc/mail/local-host-names %[^\\#]\nFR-o /etc/mail/relay-domains %[^\\#]\n\
    O DaemonPortOptions=Family=inet,  Name=MTA-v4, Port=smtp, Addr=127.0.0.1\n\
    O DaemonPortOptions=Family=inet,  Name=MSP-v4, Port=submission, M=Ea\n\
    #O MaxMessageSize=0\n\
    Mlocal,\t\tP=/usr/sbin/sensible-mda, F=lsDFMAw5:/|@qPn9S, S=EnvFromL/HdrFromL\n";

#[test]
fn sendmail_cf_is_understood() {
    let (names, files) = cf::local_names(CF);
    assert_eq!(
        (names, files),
        (set(&["localhost"]), set(&["/etc/mail/local-host-names"]))
    );
    assert_eq!(cf::relay_names(CF).1, set(&["/etc/mail/relay-domains"]));
    let interfaces = |cf: &str| listener::sendmail_interfaces(&listener::sendmail(cf));
    assert_eq!(interfaces(CF), set(&["127.0.0.1"]));
    let everywhere = CF.replace(", Addr=127.0.0.1", "");
    assert_eq!(interfaces(&everywhere), set(&["all"]));
    assert_eq!(cf::message_limit(CF), None);
    assert_eq!(
        cf::message_limit("O MaxMessageSize=5000000\n"),
        Some(5_000_000)
    );
    assert_eq!(cf::local_mailer(CF), Some("/usr/sbin/sensible-mda"));
    assert_eq!(
        cf::names("Example.org # main\n\n# no\n"),
        set(&["example.org"])
    );
}
