//! A login that becomes root by sudo.

use std::io::{Read as _, Write as _};
use std::path::Path;

use reconcile::host::ssh::{Login, Start};
use reconcile::manifest::Become;
use reconcile::raw::HostPath;

use crate::agent::program;
use crate::operator::{Operator, root_at, told};
use crate::server::{SUDOERS, Server, Special, USER, or_leave_out};

const PLAIN_CAT: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo 1; exit; fi
exec cat
"#;

fn login(server: &Server) -> Login {
    Login {
        user: Some(USER.to_owned()),
        become_root: Some(Become::Sudo),
        ..root_at(server.port)
    }
}

fn with_sudoers(sudoers: &'static str) -> Server {
    Server::special(&Special {
        sudoers,
        ..Special::default()
    })
}

#[test]
fn everything_is_done_as_root() {
    or_leave_out!();
    let server = with_sudoers(SUDOERS);
    let operator = Operator::of(&server);
    let connection = operator.connect(&login(&server)).unwrap();
    let mut exec = connection.exec(&[b"id", b"-u"], b"").unwrap();
    let mut output = String::new();
    exec.stdout.read_to_string(&mut output).unwrap();
    assert_eq!(
        (output.as_str(), exec.wait().unwrap().status),
        ("0\n", Some(0))
    );

    let shadow = connection
        .read_file(&HostPath::from("/etc/shadow"))
        .unwrap();
    assert!(shadow.unwrap().starts_with(b"root:*:"));

    let agent = connection
        .start_agent(&program(&operator, PLAIN_CAT), &[])
        .unwrap();
    let Start::Running(mut agent) = agent else {
        panic!("{agent:?}");
    };
    let there = server.look("stat -c '%U %a' /var/lib/reconcile/agent.*/reconcile");
    assert_eq!(there, "root 700\n");
    let sent: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let mut back = vec![0; sent.len()];
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| agent.stdin.write_all(&sent));
        agent.stdout.read_exact(&mut back).unwrap();
        sending.join().unwrap().unwrap();
    });
    assert!(back == sent, "no terminal is in between");
    drop(agent.stdin);
    assert_eq!(agent.remote.wait().unwrap().status, Some(0));
}

#[test]
fn a_refusal_says_what_to_write_where() {
    or_leave_out!();
    for sudoers in ["", "op ALL=(root) ALL\n"] {
        let server = with_sudoers(sudoers);
        let operator = Operator::of(&server);
        let connection = operator.connect(&login(&server)).unwrap();
        let agent = connection.start_agent(Path::new("/bin/cat"), &[]);
        let exec = connection.exec(&[b"id"], b"").unwrap().wait();
        for error in [agent.unwrap_err(), exec.unwrap_err()] {
            let (message, hint) = told(&error);
            assert_eq!(
                message,
                "cannot become root on source (old): sudo refused: a password is required"
            );
            assert_eq!(
                hint,
                "allow it without a password there: echo 'op ALL=(root) NOPASSWD: ALL' \
                 >/etc/sudoers.d/reconcile"
            );
        }
    }
}

#[test]
fn a_sudo_that_wants_a_terminal_says_how_to_do_without() {
    or_leave_out!();
    let server = with_sudoers("Defaults requiretty\nop ALL=(root) NOPASSWD: ALL\n");
    let operator = Operator::of(&server);
    let connection = operator.connect(&login(&server)).unwrap();
    let (message, hint) = told(
        &connection
            .start_agent(Path::new("/bin/cat"), &[])
            .unwrap_err(),
    );
    assert!(
        message.contains("you must have a tty to run sudo"),
        "{message}"
    );
    assert!(hint.contains("Defaults:op !requiretty"), "{hint}");
}
