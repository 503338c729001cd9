//! Whom we believe: what `known_hosts` or a pin announced, and nobody else.

use reconcile::host::ssh::Login;

use crate::operator::{Operator, root_at};
use crate::server::{Server, Special, keygen, known, or_leave_out};

fn pinned(server: &Server, pin: &str) -> Login {
    Login {
        host_key: Some(pin.to_owned()),
        ..root_at(server.port)
    }
}

#[test]
fn an_unknown_key_is_not_believed_whatever_the_operator_configured() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::welcome(&server);
    for lenient in [
        "",
        "StrictHostKeyChecking accept-new",
        "StrictHostKeyChecking no",
    ] {
        operator.configure(lenient);
        let (message, hint) = operator.fails(&root_at(server.port));
        let (port, key) = (server.port, server.fingerprint("host_ed25519"));
        assert_eq!(
            message,
            format!(
                "cannot connect to source (old): the ED25519 host key of [127.0.0.1]:{port} is \
                 unknown ({key})"
            )
        );
        assert_eq!(
            hint,
            format!(
                "compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the \
                 host itself; if it is the same, pin it in the manifest: `host_key: {key}`, or let ssh \
                 record it: ssh -p {port} root@127.0.0.1 true"
            )
        );
    }
    assert!(
        !operator.ssh().join("known_hosts").exists(),
        "nothing is learnt"
    );
}

#[test]
fn a_changed_key_is_not_believed() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::welcome(&server);
    let old = operator.home().join("old");
    keygen(&old, "ed25519");
    operator.knows(&format!("# the old one\n{}", known(server.port, &old)));
    let (message, hint) = operator.fails(&root_at(server.port));
    let (port, offered) = (server.port, server.fingerprint("host_ed25519"));
    let recorded = crate::server::fingerprint(&old);
    assert_eq!(
        message,
        format!(
            "cannot connect to source (old): the host key of [127.0.0.1]:{port} has changed: expected \
             {recorded}, got {offered}"
        )
    );
    let forget = format!(
        "ssh-keygen -R '[127.0.0.1]:{port}' -f '{}'",
        operator.ssh().join("known_hosts").display()
    );
    assert!(hint.ends_with(&forget), "{hint}");
}

#[test]
fn a_pin_is_enough() {
    or_leave_out!();
    let server = Server::special(&Special {
        keys: &["rsa"],
        ..Special::default()
    });
    let operator = Operator::welcome(&server);
    let pin = server.fingerprint("host_ed25519");
    operator.connect(&pinned(&server, &pin)).unwrap();

    // The host would rather show its other key.
    let pin = server.fingerprint("host_rsa");
    operator.connect(&pinned(&server, &pin)).unwrap();

    // What known_hosts says does not count.
    let old = operator.home().join("old");
    keygen(&old, "ed25519");
    operator.knows(&known(server.port, &old));
    operator.connect(&pinned(&server, &pin)).unwrap();
}

#[test]
fn another_key_than_the_pinned_one_is_not_believed_even_if_it_is_known() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let other = crate::server::fingerprint(&operator.ssh().join("id_ed25519"));
    let (message, hint) = operator.fails(&pinned(&server, &other));
    let offered = server.fingerprint("host_ed25519");
    assert_eq!(
        message,
        format!(
            "cannot connect to source (old): the host key is not the pinned one: expected {other}, got \
             {offered}"
        )
    );
    assert_eq!(
        hint,
        "compare with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host, and \
         correct `host_key` in the manifest if the host has a new key"
    );
}

#[test]
fn a_pin_holds_through_a_jump_host() {
    or_leave_out!();
    let (jump, server) = (Server::start(), Server::start());
    let operator = Operator::of(&jump);
    operator.may_log_in_to(&server);
    operator.configure(&format!(
        "Host gate\n  HostName 127.0.0.1\n  Port {}\n  User root\n\
         Host old\n  HostName 127.0.0.1\n  Port {}\n  User root\n  ProxyJump gate",
        jump.port, server.port
    ));
    let login = Login {
        user: None,
        host: "old".to_owned(),
        port: None,
        host_key: Some(server.fingerprint("host_ed25519")),
        ..root_at(0)
    };
    operator.connect(&login).unwrap();
    let wrong = Login {
        host_key: Some(jump.fingerprint("host_ed25519")),
        ..login.clone()
    };
    let (message, _) = operator.fails(&wrong);
    let offered = server.fingerprint("host_ed25519");
    assert!(message.ends_with(&format!("got {offered}")), "{message}");

    // The jump host has to be known as well; and nobody is asked.
    operator.knows("");
    let (message, hint) = operator.fails(&login);
    assert!(
        message.contains(&format!("host key of [127.0.0.1]:{} is unknown", jump.port)),
        "{message}"
    );
    assert!(hint.contains("let ssh show it"), "{hint}");
}
