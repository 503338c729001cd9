//! The service as clients meet it at its address: looked at from the operator's machine and from a
//! third host, before and after something changes there.
//!
//! What looks is the library, in a process of the lab's operator ([`inside`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use reconcile::apply::{Vantage, probe, survey};
use reconcile::error::{Kind, chain};
use reconcile::exposure::{self, Exposure, PATIENCE, PORTS, Presented, Tls, Weight};
use reconcile::host::ssh::Environment;
use reconcile::host::{Command, Operator, reach_target, reach_vantage};
use reconcile::manifest::Source;
use reconcile::names::{Side, UserName};
use reconcile::plan::hand_over::ServiceProbe;

use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

/// What the process inside is to do: words with spaces between.
const TASK: &str = "RECONCILE_LIVE_TASK";

/// Runs a task as the operator; what it said.
#[track_caller]
fn inside_does(lab: &Lab, task: &str) {
    let program = std::env::current_exe().unwrap();
    let mut command = lab.operator(
        program.to_str().unwrap(),
        ["exposure::inside", "--exact", "--ignored", "--nocapture"],
    );
    let output = command.env(TASK, task).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{task}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&said)
    );
    let said = String::from_utf8_lossy(&said);
    let took = said.lines().filter(|line| line.contains(" probed in "));
    took.for_each(|line| eprintln!("{line}"));
}

/// Not a test of its own: the part of the others that is the operator's.
#[test]
#[ignore = "runs inside a lab that the other tests start"]
fn inside() {
    let task = std::env::var(TASK).expect("one of the other tests runs this");
    let words: Vec<&str> = task.split(' ').collect();
    match words[..] {
        ["look", address] => {
            let ports = PORTS.iter().map(|&(port, ..)| port).collect();
            let seen = exposure::look(address.parse().unwrap(), &ports, PATIENCE);
            let json = serde_json::to_vec_pretty(&seen).unwrap();
            fs::write("seen.json", json).unwrap();
        }
        ["probe", name, address, from] => probes(name, address, from, Service::Stays),
        ["probe", name, address, from, "stop"] => probes(name, address, from, Service::Stops),
        _ => panic!("no such task: {task}"),
    }
}

#[track_caller]
fn seen(lab: &Lab, host: &Host) -> Exposure {
    inside_does(lab, &format!("look {}", host.mail_address()));
    serde_json::from_slice(&fs::read(lab.work("seen.json")).unwrap()).unwrap()
}

fn losses(before: &Exposure, after: &Exposure, weight: Weight) -> Vec<String> {
    let missing = exposure::compare(before, after).into_iter();
    missing
        .filter(|missing| missing.weight() == weight)
        .map(|missing| missing.to_string())
        .collect()
}

/// As the host's own openssl says it.
fn fingerprint(host: &Host) -> String {
    let said = host.run(
        "openssl x509 -in /etc/ssl/certs/ssl-cert-snakeoil.pem -noout -fingerprint -sha256 | sed 's/.*=//'",
    );
    said.trim().to_owned()
}

#[test]
fn what_clients_are_offered_is_seen_and_compared() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie", "send=bookworm-sendmail"]) else {
        return;
    };
    let [old, new, send] = ["old", "new", "send"].map(|name| lab.host(name));
    let before = seen(&lab, old);
    let after = seen(&lab, new);
    for (host, seen) in [(old, &before), (new, &after)] {
        let shown = fingerprint(host);
        for port in [25, 110, 143, 993, 995] {
            let service = seen
                .service(port)
                .unwrap_or_else(|| panic!("{port}: {seen:?}"));
            let Tls::Up(secured) = &service.tls else {
                panic!("{port}: {service:?}");
            };
            assert_eq!(secured.fingerprint, shown, "{port} of {}", host.name());
            assert!(matches!(secured.certificate, Presented::Certificate(_)));
        }
    }
    // Debian 12 to 13, with the lab's logins in the clear on both.
    for weight in [Weight::Breaks, Weight::Lessens] {
        assert_eq!(losses(&before, &after, weight), [""; 0]);
    }
    assert_eq!(
        exposure::notes(&before, &after).len(),
        5,
        "other certificates"
    );

    // Debian 13 as it is installed: no logins in the clear.
    new.run("rm /etc/dovecot/conf.d/20-lab.conf && systemctl restart dovecot");
    let strict = seen(&lab, new);
    let expected = [
        "port 110 (POP3): clients cannot log in without TLS any more",
        "port 110 (POP3): clients cannot log in by PLAIN any more in the clear",
        "port 143 (IMAP): clients cannot log in without TLS any more",
        "port 143 (IMAP): clients cannot log in by PLAIN any more in the clear",
    ];
    assert_eq!(losses(&before, &strict, Weight::Breaks), expected);
    // A way to log in that only the old server has.
    old.dovecot("auth_mechanisms = plain login");
    let found = losses(&seen(&lab, old), &after, Weight::Breaks);
    let expected = [
        "port 110 (POP3): clients cannot log in by LOGIN any more in the clear",
        "port 110 (POP3): clients cannot log in by LOGIN any more under TLS",
        "port 143 (IMAP): clients cannot log in by LOGIN any more in the clear",
        "port 143 (IMAP): clients cannot log in by LOGIN any more under TLS",
        "port 993 (IMAP): clients cannot log in by LOGIN any more under TLS",
        "port 995 (POP3): clients cannot log in by LOGIN any more under TLS",
    ];
    assert_eq!(found, expected);
    // Sendmail takes submissions on 587 and any size; Postfix of Debian does neither.
    let sendmail = seen(&lab, send);
    assert_eq!(
        losses(&sendmail, &after, Weight::Breaks),
        ["port 587 (SMTP): the connection is refused"]
    );
    let expected =
        "port 25 (SMTP): messages larger than 10240000 bytes are refused; any size was allowed";
    assert_eq!(losses(&sendmail, &after, Weight::Lessens), [expected]);
    // What ends, ends.
    new.run("systemctl stop dovecot.socket dovecot.service");
    let stopped = losses(&before, &seen(&lab, new), Weight::Breaks);
    assert_eq!(stopped.len(), 4, "{stopped:?}");
    assert!(
        stopped
            .iter()
            .all(|line| line.ends_with("the connection is refused"))
    );
}

#[test]
fn a_message_goes_through_the_address_and_is_read_back_and_removed() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie", "send=bookworm-sendmail"]) else {
        return;
    };
    for (name, from, how) in [
        ("old", "new", ""),
        ("new", "old", " stop"),
        ("send", "old", ""),
    ] {
        let host = lab.host(name);
        host.users(["anna", "ben"]);
        let text = letter("anna", "kept", "A line.\n");
        host.deliver("anna", &text);
        let uidl = host.pop3("anna").uidl();
        inside_does(
            &lab,
            &format!("probe {name} {} {from}{how}", host.mail_address()),
        );
        host.run("systemctl start dovecot.service");
        // What was there is there, known by the same names, and nothing else.
        assert_eq!(host.pop3("anna").uidl(), uidl, "{name}");
        host.await_deliveries();
        assert!(!host.run("cat /var/mail/anna").contains("reconcile.invalid"));
    }
}

fn source(name: &str) -> Source {
    serde_json::from_value(serde_json::json!({ "host": format!("ssh://root@{name}") })).unwrap()
}

/// Whether a part of the service is stopped, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Stays,
    Stops,
}

/// Surveys a host's service and probes it; stops a part of it, and probes again.
fn probes(name: &str, address: &str, from: &str, service: Service) {
    let operator = Operator {
        environment: Environment {
            home: std::env::var_os("HOME").map(PathBuf::from),
            runtime_dir: None,
            temp_dir: std::env::var_os("TMPDIR").map(PathBuf::from),
        },
        program: PathBuf::from(env!("CARGO_BIN_EXE_reconcile")),
        base: PathBuf::new(),
        migration: None,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let server = reach_target(&source(name), &operator).unwrap();
    let elsewhere = reach_vantage(&source(from), &operator).unwrap();
    assert_eq!(elsewhere.label(), format!("ssh://root@{from}"));
    let vantages = [Vantage::Here, Vantage::Host(elsewhere.as_ref())];
    let users = ["anna", "ben", "nosuch"].map(UserName::from);
    let plan = ServiceProbe {
        to: Side::Target,
        addresses: BTreeSet::from([address.parse().unwrap()]),
        ports: BTreeSet::from([25, 110, 143, 993, 995]),
        accepted: BTreeSet::new(),
        domain: "example.org".to_owned(),
        users: users.into(),
        recipient: Some("anna".into()),
    };
    let before = survey(&plan, &vantages).unwrap();
    let refused: Vec<String> = before.refused.keys().map(ToString::to_string).collect();
    assert_eq!(refused, ["nosuch"]);

    let go = || probe(&plan, &before, &vantages, server.as_ref(), &operator.stop);
    let began = Instant::now();
    let probed = go().unwrap();
    // All of it is downtime.
    eprintln!("{name} probed in {:?}", began.elapsed());
    assert_eq!((probed.recipients, probed.messages), (3, 2), "{probed:?}");
    let [note] = &probed.notes[..] else {
        panic!("{probed:?}");
    };
    assert!(
        note.starts_with("no mail is taken for nosuch, as before: 550 "),
        "{note}"
    );

    if service == Service::Stays {
        return;
    }
    // A service that is up a moment later is in time.
    let units = ["dovecot.socket", "dovecot.service"]
        .map(str::to_owned)
        .to_vec();
    server.run(&Command::StopUnits(units.clone())).unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(2));
            let start = Command::StartUnits(units[1..].to_vec());
            assert_eq!(server.run(&start).unwrap().status, Some(0));
        });
        go().unwrap();
    });
    assert!(began.elapsed() > Duration::from_secs(2));

    // One that stays away is said, line by line.
    server.run(&Command::StopUnits(units)).unwrap();
    let error = go().unwrap_err();
    assert_eq!(error.kind(), Kind::Verification);
    let said = chain(&error);
    for place in ["this machine".to_owned(), format!("ssh://root@{from}")] {
        for port in ["110 (POP3)", "995 (POP3)", "143 (IMAP)", "993 (IMAP)"] {
            let line = format!("{address} from {place}: port {port}: the connection is refused");
            assert!(said.contains(&line), "{line}: {said}");
        }
    }
}
