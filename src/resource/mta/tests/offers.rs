//! Ports, TLS and logins of senders, as Debian's packages have them.

use super::super::listener;
use super::*;
use crate::exposure::{Loss, Lost};

/// The services of Debian 13's master.cf that listen, as it is shipped.
const MASTER_CF: &str = "\
smtp      inet  n       -       y       -       -       smtpd
#smtp      inet  n       -       y       -       1       postscreen
#smtpd     pass  -       -       y       -       -       smtpd
# Choose one: enable submission for loopback clients only, or for any client.
#127.0.0.1:submission inet n -   y       -       -       smtpd
#submission inet n       -       y       -       -       smtpd
#  -o syslog_name=postfix/submission
#  -o smtpd_tls_security_level=encrypt
#  -o smtpd_sasl_auth_enable=yes
#submissions     inet  n       -       y       -       -       smtpd
#  -o smtpd_tls_wrappermode=yes
pickup    unix  n       -       y       60      1       pickup
";

/// Parameters of Debian's main.cf that matter here; all others are empty.
fn debian(name: &str) -> &'static str {
    match name {
        "smtpd_tls_cert_file" => "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        "smtpd_tls_security_level" => "may",
        "smtpd_sasl_auth_enable" | "smtpd_tls_auth_only" | "smtpd_tls_wrappermode" => "no",
        _ => "",
    }
}

fn read(master_cf: &str) -> std::collections::BTreeMap<u16, Listener> {
    listener::postfix(master_cf, &set(&["all"]), &debian)
}

#[test]
fn master_cf_is_understood() {
    assert_eq!(read(MASTER_CF), [(25, listener(Tls::Offered))].into());
    // With the lines that its remarks have people enable.
    let open = MASTER_CF
        .replace("#submission", "submission")
        .replace("#  -o", "  -o");
    let submission = Listener {
        auth: Some(Auth::UnderTls),
        ..listener(Tls::Required)
    };
    let expected = [
        (25, listener(Tls::Offered)),
        (465, listener(Tls::Wrapped)),
        (587, submission.clone()),
    ];
    assert_eq!(read(&open), expected.into());
    // For the host itself only; another way to write an option.
    let own = "127.0.0.1:submission inet n - y - - smtpd -o { smtpd_tls_security_level = encrypt }
  -o smtpd_sasl_auth_enable=yes\n";
    let expected = Listener {
        at: set(&["127.0.0.1"]),
        ..submission
    };
    assert_eq!(read(own), [(587, expected)].into());
    // Postfix told to say more, by another option behind the value.
    let verbose = "submission inet n - y - - smtpd -o smtpd_tls_security_level=encrypt -v\n";
    assert_eq!(read(verbose)[&587].tls, Tls::Required);
    // Turned off without the file.
    let value = |name: &str| match name {
        "master_service_disable" => "submission/inet",
        "smtpd_tls_cert_file" => "none",
        name => debian(name),
    };
    let off = listener::postfix(&open, &set(&["all"]), &value);
    let ports: Vec<_> = off.iter().map(|(port, of)| (*port, of.tls)).collect();
    assert_eq!(ports, [(25, Tls::No), (465, Tls::No)]);
}

/// Debian 12's sendmail.cf, once it listens for others.
const SENDMAIL_CF: &str = "\
O DaemonPortOptions=Family=inet,  Name=MTA-v4, Port=smtp
O DaemonPortOptions=Family=inet,  Name=MSP-v4, Port=submission, M=Ea
#O ServerCertFile
#O ServerKeyFile
";

fn sendmail() -> Mta {
    Mta {
        kind: Kind::Sendmail,
        listeners: listener::sendmail(SENDMAIL_CF),
        ..postfix("old")
    }
}

#[test]
fn daemon_options_are_understood() {
    let without = Listener {
        auth: None,
        ..listener(Tls::No)
    };
    let expected = [(25, without.clone()), (587, without)];
    assert_eq!(listener::sendmail(SENDMAIL_CF), expected.into());
    let certified = format!(
        "{SENDMAIL_CF}O DaemonPortOptions=Port=smtps, Name=TLSMTA, M=s, Addr=192.0.2.25\n\
         O ServerCertFile=/etc/mail/tls/sendmail-server.crt\n\
         O ServerKeyFile=/etc/mail/tls/sendmail-common.key\n"
    );
    let seen = listener::sendmail(&certified);
    let seen: Vec<_> = seen.iter().map(|(port, of)| (*port, of.tls)).collect();
    assert_eq!(
        seen,
        [(25, Tls::Offered), (465, Tls::Wrapped), (587, Tls::Offered)]
    );
}

#[test]
fn a_port_that_would_be_closed_is_in_the_way() {
    let open = reached(&[25, 110, 587]);
    let findings = compared_with("", &sendmail(), &postfix("new"), &open);
    assert_eq!(
        said(&findings.problems),
        [
            "the target's MTA would not listen on port 587 (submission), where the other host is \
             reached now; `postconf -M 'submission/inet=submission inet n - n - - smtpd'` there \
             writes the line into /etc/postfix/master.cf, or, if nobody needs it, write \
             `services: { accept: [submission] }`"
        ]
    );
    // Whoever takes submissions there.
    let open = Open {
        otherwise: BTreeSet::from([587]),
        ..open
    };
    let findings = compared_with("", &sendmail(), &postfix("new"), &open);
    assert_eq!(findings.problems, []);
    // A port that only the host itself reaches is missed by nobody.
    let findings = compared_with("", &sendmail(), &postfix("new"), &reached(&[25]));
    assert_eq!(findings.problems, []);
    // The MTA of the other host need not be known.
    let actual = Actual {
        source: None,
        target: Some(postfix("new")),
    };
    let open = reached(&[465]);
    let findings = compare(&manifest(""), Side::Source, Side::Target, &actual, &open);
    let problems = said(&findings.problems);
    assert!(problems[0].contains("port 465"), "{problems:?}");
    assert!(
        problems[0].contains("postconf -P 465/inet/smtpd_tls_wrappermode=yes"),
        "{problems:?}"
    );
}

#[test]
fn what_the_manifest_accepts_is_a_loss_and_a_warning() {
    let accept = "services: { accept: [submission] }\n";
    let open = reached(&[25, 587]);
    let findings = compared_with(accept, &sendmail(), &postfix("new"), &open);
    assert_eq!(findings.problems, []);
    let loss = Loss {
        port: 587,
        of: Lost::Service,
    };
    assert_eq!(findings.losses, BTreeSet::from([loss]));
    let warnings: Vec<_> = findings.warnings.iter().map(ToString::to_string).collect();
    let expected = "accepted by services.accept: the target's MTA would not listen on port 587";
    assert!(
        warnings.iter().any(|said| said.starts_with(expected)),
        "{warnings:?}"
    );
    // Nobody can do without port 25.
    let mut deaf = postfix("new");
    deaf.listeners.clear();
    let findings = compared_with(accept, &postfix("old"), &deaf, &open);
    let [problem] = &said(&findings.problems)[..] else {
        panic!("{findings:?}");
    };
    assert!(problem.contains("port 25 (smtp)"), "{problem}");
    assert!(!problem.contains("accept"), "{problem}");
}

#[test]
fn tls_and_logins_that_would_be_missing_are_in_the_way() {
    let open = reached(&[25, 465, 587]);
    let mut from = postfix("old");
    let submission = Listener {
        auth: Some(Auth::Offered),
        ..listener(Tls::Offered)
    };
    from.listeners.insert(587, submission.clone());
    from.listeners.insert(465, listener(Tls::Wrapped));
    let mut to = from.clone();
    let problems = |to: &Mta| said(&compared_with("", &from, to, &open).problems);
    assert_eq!(problems(&to), [""; 0]);

    to.listeners.insert(25, listener(Tls::No));
    to.listeners.insert(465, listener(Tls::Offered));
    let under_tls = Listener {
        auth: Some(Auth::UnderTls),
        ..submission.clone()
    };
    to.listeners.insert(587, under_tls);
    let found = problems(&to);
    for (problem, parts) in found.iter().zip([
        ["not offer TLS on port 25 (smtp)", "accept: [starttls]"],
        ["not begin with TLS on port 465", "accept: [submissions]"],
        ["(AUTH) without TLS on port 587", "accept: [auth]"],
    ]) {
        assert!(parts.iter().all(|part| problem.contains(part)), "{problem}");
    }
    assert_eq!(found.len(), 3, "{found:?}");

    to.listeners.clone_from(&from.listeners);
    to.listeners.insert(587, listener(Tls::Offered));
    let found = problems(&to);
    assert!(
        found[0].contains("`postconf -P submission/inet/smtpd_sasl_auth_enable=yes`"),
        "{found:?}"
    );
    // sendmail's configuration does not tell whether it lets people log in.
    to.listeners = listener::sendmail(SENDMAIL_CF);
    to.kind = Kind::Sendmail;
    let found = problems(&to);
    assert!(found.iter().all(|said| !said.contains("AUTH")), "{found:?}");
    // Who would talk to strangers under TLS only is closed to most of them.
    to = from.clone();
    to.listeners.insert(25, listener(Tls::Required));
    let found = problems(&to);
    assert!(found[0].contains("take no mail without TLS"), "{found:?}");
    // A port of another address than those that move.
    to = from.clone();
    to.listeners.get_mut(&587).unwrap().at = set(&["192.0.2.7"]);
    let cutover = "cutover: { address: [192.0.2.25/24] }\n";
    let found = said(&compared_with(cutover, &from, &to, &open).problems);
    assert!(
        found[0].contains("port 587 (submission) of 192.0.2.25, but of 192.0.2.7 only"),
        "{found:?}"
    );
}
