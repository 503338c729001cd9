//! Single commands and single files.

use std::io::Read as _;

use reconcile::host::ssh::{Connection, Ended};
use reconcile::raw::HostPath;

use crate::operator::{Operator, root_at, told};
use crate::server::{Server, Special, or_leave_out};

fn run(connection: &Connection, argv: &[&[u8]], stdin: &[u8]) -> (Vec<u8>, Ended) {
    let mut exec = connection.exec(argv, stdin).unwrap();
    let mut output = Vec::new();
    exec.stdout.read_to_end(&mut output).unwrap();
    (output, exec.wait().unwrap())
}

#[test]
fn a_command_gets_its_arguments_and_input_byte_by_byte() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    let odd: [&[u8]; 4] = [b"it's $HOME", b"Latin-1 \xE9", b"line\nbreak", b"*"];
    let argv = [&[b"printf".as_slice(), b"%s|"], &odd[..]].concat();
    let (output, ended) = run(&connection, &argv, b"");
    assert_eq!(output, b"it's $HOME|Latin-1 \xE9|line\nbreak|*|");
    assert_eq!((ended.status, ended.stderr), (Some(0), Vec::new()));

    let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (output, _) = run(&connection, &[b"cat"], &input);
    assert!(output == input, "what goes in comes out");
}

#[test]
fn a_command_tells_how_it_ended() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    let shell = |script: &str| run(&connection, &[b"sh", b"-c", script.as_bytes()], b"").1;
    assert_eq!(shell("exit 3").status, Some(3));
    assert_eq!(shell("kill -9 $$").status, None);
    let said = shell("ls /nowhere");
    assert_eq!(
        said.last_words(),
        "ls: cannot access '/nowhere': No such file or directory"
    );
    let missing = run(&connection, &[b"no-such-program"], b"").1;
    assert_eq!(missing.status, Some(127));
    // Nobody reads this input, and a great deal of noise is cut.
    let noisy = run(
        &connection,
        &[b"sh", b"-c", b"seq 100000 >&2"],
        &vec![b'x'; 1 << 20],
    )
    .1;
    assert_eq!(noisy.status, Some(0));
    assert!(noisy.stderr.len() <= 16 << 10 && noisy.stderr.ends_with(b"99999\n100000\n"));
}

#[test]
fn files_are_read_whole() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    let big: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(server.path("big"), &big).unwrap();
    std::fs::write(server.path("empty"), "").unwrap();
    let read = |name: &str| {
        let path = server.path(name);
        connection.read_file(&HostPath::from(path.to_str().unwrap()))
    };
    assert!(read("big").unwrap() == Some(big));
    assert_eq!(read("empty").unwrap(), Some(Vec::new()));
    assert_eq!(read("absent").unwrap(), None);
    let (message, _) = told(&read("root").unwrap_err());
    assert!(message.starts_with("cannot read "), "{message}");
    // After a failure the next file is read all the same.
    assert_eq!(read("empty").unwrap(), Some(Vec::new()));
}

#[test]
fn a_lost_connection_is_told_from_a_failed_command() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    let mut exec = connection.exec(&[b"sleep", b"600"], b"").unwrap();
    assert!(connection.lost().unwrap().is_none());
    server.drop_connections();
    let mut output = Vec::new();
    exec.stdout.read_to_end(&mut output).unwrap();
    assert_eq!(exec.wait().unwrap().status, None);
    let (message, hint) = told(&connection.exec(&[b"true"], b"").unwrap_err());
    assert!(
        message.starts_with("cannot go on with source (old): the connection is lost: "),
        "{message}"
    );
    assert_eq!(
        hint,
        "run the same command again: it goes on where it stopped"
    );
}

#[test]
fn a_host_that_allows_too_few_sessions_is_named() {
    or_leave_out!();
    let server = Server::special(&Special {
        sshd: "MaxSessions 1",
        ..Special::default()
    });
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    let path = HostPath::from("/etc/passwd");
    for error in [
        connection.exec(&[b"true"], b"").unwrap_err(),
        connection.read_file(&path).unwrap_err(),
    ] {
        let (message, hint) = told(&error);
        assert!(message.starts_with("cannot start "), "{message}");
        assert!(hint.contains("MaxSessions"), "{hint}");
    }
}

#[test]
fn a_command_waits_for_one_of_the_few_sessions_to_end() {
    or_leave_out!();
    let server = Server::special(&Special {
        sshd: "MaxSessions 2",
        ..Special::default()
    });
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    let others = [(), ()].map(|()| connection.exec(&[b"sleep", b"1"], b""));
    let (output, ended) = run(&connection, &[b"echo", b"there"], b"");
    assert_eq!(
        (output.as_slice(), ended.status),
        (&b"there\n"[..], Some(0))
    );
    for other in others {
        assert_eq!(other.unwrap().wait().unwrap().status, Some(0));
    }
}
