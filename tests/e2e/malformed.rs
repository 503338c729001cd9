//! Files on a host that are not what their format says: named with their line, and nothing is
//! written.

use std::fmt::Write as _;

use crate::hashes;
use crate::requirement;
use crate::root::Root;
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

/// A file of a host, one more line for it, and why that line is wrong.
type Case = (&'static str, &'static [u8], &'static str);

const PASSWD: [Case; 7] = [
    (
        "etc/passwd",
        b"erin:x:1010:1010:Erin:/home/erin\n",
        "six fields",
    ),
    (
        "etc/passwd",
        b"erin:x:1010:1010:Erin:/home/erin:/bin/sh:\n",
        "eight fields",
    ),
    (
        "etc/passwd",
        b"erin:x:ten:1010:Erin:/home/erin:/bin/sh\n",
        "no number",
    ),
    (
        "etc/passwd",
        b"erin:x:-1:1010:Erin:/home/erin:/bin/sh\n",
        "a negative uid",
    ),
    (
        "etc/passwd",
        b"erin:x:99999999999:1010:Erin:/home/erin:/bin/sh\n",
        "too large a uid",
    ),
    (
        "etc/passwd",
        b"erin:x:1010::Erin:/home/erin:/bin/sh\n",
        "no gid",
    ),
    (
        "etc/passwd",
        b":x:1010:1010:Erin:/home/erin:/bin/sh\n",
        "no name",
    ),
];

const GROUP: [Case; 3] = [
    ("etc/group", b"erin:x:1010\n", "three fields"),
    ("etc/group", b"erin:x:1010:alice:bob\n", "five fields"),
    ("etc/group", b"erin:x:0x3f2:\n", "no decimal number"),
];

const LOGIN_DEFS: [Case; 2] = [
    ("etc/login.defs", b"UID_MIN many\n", "no number"),
    (
        "etc/login.defs",
        b"GID_MAX 99999999999999\n",
        "too large a number",
    ),
];

/// The number of the line that comes next in a file.
fn next_line(root: &Root, file: &str) -> usize {
    root.read(file).split(|&byte| byte == b'\n').count()
}

/// Adds the line on one host and runs what reads it.
fn refused(host: &str, (file, line, why): Case) {
    let sandbox = village();
    let root = Root::at(&sandbox.path(host));
    let number = next_line(&root, file);
    root.append(file, line);
    let before = Snapshot::of(sandbox.target().path());
    for arguments in [
        &["plan"][..],
        &["apply", "--yes"],
        &["verify"],
        &["observe", "-o", "o.yaml"],
    ] {
        let run = sandbox.start(arguments).wait();
        let mut expected = String::new();
        write!(expected, "/{file} line {number}").unwrap();
        assert_eq!(
            run.code(),
            Some(1),
            "{why} in {host} {file}: {}",
            run.describe()
        );
        run.says(&expected).says(host).done();
    }
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(&before, Closeness::Untouched, why);
}

#[test]
fn a_malformed_passwd_is_named_with_its_line_and_nothing_is_written() {
    if requirement::root() {
        for case in PASSWD {
            refused("source", case);
        }
        refused("target", PASSWD[0]);
    }
}

#[test]
fn a_malformed_group_is_named_with_its_line_and_nothing_is_written() {
    if requirement::root() {
        for case in GROUP {
            refused("source", case);
        }
        refused("target", GROUP[0]);
    }
}

#[test]
fn a_malformed_login_defs_is_named_with_its_line_and_nothing_is_written() {
    if requirement::root() {
        for case in LOGIN_DEFS {
            refused("source", case);
        }
        refused("target", LOGIN_DEFS[0]);
    }
}

/// The line holds a hash: the message must do without it. The sandbox looks for it in all output.
#[test]
fn a_malformed_shadow_is_named_with_its_line_and_without_its_hash() {
    if !requirement::root() {
        return;
    }
    let short = format!("erin:{}:19000\n", hashes::SHA512).leak();
    let long = format!("erin:{}:19000:0:99999:7::::::\n", hashes::YESCRYPT).leak();
    let no_number = format!("erin:{}:soon:0:99999:7:::\n", hashes::MD5).leak();
    let swapped = format!("{}:erin:19000:0:99999:7\n", hashes::BCRYPT).leak();
    for line in [short, long, no_number, swapped] {
        refused(
            "source",
            ("etc/shadow", line.as_bytes(), "a malformed shadow"),
        );
    }
    let short = format!("erin:{}:19000\n", hashes::SHA512).leak();
    refused(
        "target",
        ("etc/shadow", short.as_bytes(), "a malformed shadow"),
    );
}

#[test]
fn a_malformed_gshadow_is_named_with_its_line_and_without_its_hash() {
    if !requirement::root() {
        return;
    }
    let line = format!("erin:{}:alice\n", hashes::SHA256).leak();
    refused("source", ("etc/gshadow", line.as_bytes(), "three fields"));
    refused("target", ("etc/gshadow", line.as_bytes(), "three fields"));
}

#[test]
fn a_malformed_dovecot_configuration_is_named_with_its_line_and_nothing_is_written() {
    if !requirement::root() {
        return;
    }
    for (text, line) in [
        (
            "protocols = pop3\nprotocol pop3 {\n  pop3_uidl_format = %u\n",
            2,
        ),
        ("protocols = pop3\n}\n", 2),
        ("protocols = pop3\n!include conf.d/absent.conf\n", 2),
        ("protocols = pop3\n\nthis is no setting\n", 3),
    ] {
        let sandbox = village();
        sandbox.source().file("etc/dovecot/dovecot.conf", text);
        let before = Snapshot::of(sandbox.target().path());
        for arguments in [&["plan"][..], &["apply", "--yes"]] {
            let run = sandbox.start(arguments).wait();
            assert_eq!(run.code(), Some(1), "{text:?}: {}", run.describe());
            run.says(&format!("/etc/dovecot/dovecot.conf:{line} on source"))
                .done();
        }
        let after = Snapshot::of(sandbox.target().path());
        after.assert_same(&before, Closeness::Untouched, text);
    }
}

#[test]
fn account_files_that_are_not_there_are_named() {
    if !requirement::root() {
        return;
    }
    for host in ["source", "target"] {
        for file in ["etc/passwd", "etc/group"] {
            let sandbox = village();
            Root::at(&sandbox.path(host)).remove(file);
            sandbox
                .reconcile(["apply", "--yes"])
                .exits(1)
                .says(&format!("/{file}"))
                .says(host)
                .done();
        }
    }
}

#[test]
fn a_fifo_in_the_place_of_an_account_file_hangs_nobody() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let source = sandbox.source();
    source.remove("etc/passwd");
    crate::program::run("mkfifo", [source.join("etc/passwd")]);
    sandbox
        .reconcile(["plan"])
        .exits(1)
        .says("/etc/passwd")
        .done();
}
