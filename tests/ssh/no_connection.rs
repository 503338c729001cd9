//! Every way not to get in, and what a person is told.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reconcile::error::{Kind, chain};
use reconcile::host::ssh::{Connection, Login};

use crate::operator::{Operator, root_at};
use crate::server::{Server, Special, USER, free_port, or_leave_out};

#[test]
fn a_name_that_nobody_knows() {
    or_leave_out!();
    let login = Login {
        host: "old.invalid".to_owned(),
        port: None,
        ..root_at(0)
    };
    let (message, hint) = Operator::stranger().fails(&login);
    assert_eq!(
        message,
        "cannot connect to source (old): the name old.invalid is unknown"
    );
    assert!(hint.ends_with("getent hosts old.invalid"), "{hint}");
}

#[test]
fn a_port_where_nobody_listens() {
    or_leave_out!();
    let port = free_port();
    let (message, hint) = Operator::stranger().fails(&root_at(port));
    assert_eq!(
        message,
        format!("cannot connect to source (old): 127.0.0.1 port {port} refused the connection")
    );
    assert!(
        hint.ends_with(&format!("ssh -p {port} root@127.0.0.1 true")),
        "{hint}"
    );
}

#[test]
fn a_host_that_does_not_answer() {
    or_leave_out!();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let operator = Operator::stranger();
    operator.configure("ConnectTimeout 1");
    let (message, hint) = operator.fails(&root_at(silent.local_addr().unwrap().port()));
    assert_eq!(
        message,
        "cannot connect to source (old): the host does not answer: Connection timed out during banner \
         exchange"
    );
    assert!(hint.contains("firewall"), "{hint}");
}

#[test]
fn waiting_for_a_host_can_be_interrupted() {
    or_leave_out!();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let login = root_at(silent.local_addr().unwrap().port());
    let operator = Operator::stranger();
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| Connection::open(&login, &operator.environment(), &stop).unwrap_err());
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let error = waiting.join().unwrap();
        assert_eq!(error.kind(), Kind::Interrupted);
        assert_eq!(
            chain(&error),
            "interrupted while connecting to source (old)"
        );
    });
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(std::fs::read_dir(operator.run()).unwrap().count(), 0);
}

#[test]
fn a_key_that_is_not_accepted() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::stranger();
    operator.knows(&server.known("host_ed25519"));
    let (message, hint) = operator.fails(&root_at(server.port));
    assert_eq!(
        message,
        "cannot connect to source (old): the host does not let us in: root@127.0.0.1: Permission denied \
         (publickey,keyboard-interactive)"
    );
    assert!(
        hint.ends_with(&format!("ssh-copy-id -p {} root@127.0.0.1", server.port)),
        "{hint}"
    );
}

#[test]
fn a_host_that_is_too_old() {
    or_leave_out!();
    let server = Server::special(&Special {
        sshd: "HostKeyAlgorithms ssh-rsa",
        keys: &["rsa"],
        ..Special::default()
    });
    let operator = Operator::of(&server);
    let (message, hint) = operator.fails(&root_at(server.port));
    assert!(
        message.contains("no matching host key type found. Their offer: ssh-rsa"),
        "{message}"
    );
    assert!(hint.contains("`HostKeyAlgorithms +ssh-rsa`"), "{hint}");

    operator.knows(&server.known("host_rsa"));
    operator.configure("Host 127.0.0.1\n  HostKeyAlgorithms +ssh-rsa");
    operator.connect(&root_at(server.port)).unwrap();
}

#[test]
fn a_host_that_is_no_linux() {
    or_leave_out!();
    let server = Server::special(&Special {
        host: r#"printf '#!/bin/sh\necho FreeBSD\n' >"$D/uname"; chmod 755 "$D/uname"
            mount --bind "$D/uname" "$(readlink -f "$(command -v uname)")""#,
        ..Special::default()
    });
    let (message, hint) = Operator::of(&server).fails(&root_at(server.port));
    assert_eq!(
        message,
        "cannot use source (old): the host runs FreeBSD, not Linux"
    );
    assert_eq!(hint, "only Linux hosts can be moved");
}

#[test]
fn a_login_that_runs_no_commands() {
    or_leave_out!();
    let server = Server::special(&Special {
        sshd: "ForceCommand internal-sftp",
        ..Special::default()
    });
    let (message, _) = Operator::of(&server).fails(&root_at(server.port));
    assert_eq!(
        message,
        "cannot connect to source (old): the login does not run commands: This service allows sftp \
         connections only."
    );
}

#[test]
fn a_login_that_talks_first() {
    or_leave_out!();
    let server = Server::special(&Special {
        host: r#"echo 'echo Welcome to old' >"$D/root/.bashrc""#,
        ..Special::default()
    });
    let (message, hint) = Operator::of(&server).fails(&root_at(server.port));
    assert_eq!(
        message,
        "cannot connect to source (old): the login's shell writes before a command does: Welcome to old"
    );
    assert!(hint.contains("~/.bashrc"), "{hint}");
}

#[test]
fn a_login_that_is_not_root() {
    or_leave_out!();
    let server = Server::start();
    let login = Login {
        user: Some(USER.to_owned()),
        ..root_at(server.port)
    };
    let (message, hint) = Operator::of(&server).fails(&login);
    assert_eq!(
        message,
        "cannot become root on source (old): the login is not root (its uid is 4242)"
    );
    assert!(hint.contains("`become: sudo`"), "{hint}");
}

#[test]
fn the_operators_ssh_configuration_names_hosts() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    // What is there for interactive use must not be in the way.
    operator.configure(&format!(
        "Host old\n  HostName 127.0.0.1\n  Port {}\n  User root\n  RemoteCommand tmux\n  \
         RequestTTY yes\n  LocalForward 1 127.0.0.1:1\n  LogLevel QUIET\n  ControlMaster auto\n  \
         ControlPath {}/%C\n  ControlPersist yes",
        server.port,
        operator.home().display()
    ));
    let login = Login {
        user: None,
        host: "old".to_owned(),
        port: None,
        ..root_at(0)
    };
    operator.connect(&login).unwrap();
}
