//! Account files from a disk that nobody trusts: no name, number or field leads anywhere but to an
//! ordinary person's account, home and mailbox.

use crate::accounts::Account;
use crate::requirement;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

/// The village with one more line in passwd, shadow and group, as they are.
fn with_account(name: &str, passwd: &[u8]) -> Sandbox {
    let sandbox = village();
    let source = sandbox.source();
    source.append("etc/passwd", [passwd, b"\n"].concat());
    source.append("etc/shadow", format!("{name}:*:19000:0:99999:7:::\n"));
    source.append("etc/group", format!("{name}:x:1010:\n"));
    source.append("etc/gshadow", format!("{name}:!::\n"));
    sandbox
}

/// Whatever the run says of it, the account does not come to the target and nothing is written.
#[track_caller]
fn stays_out(sandbox: &Sandbox, why: &str) {
    let before = Snapshot::of(sandbox.target().path());
    let run = sandbox.reconcile(["apply", "--yes"]);
    assert!(
        matches!(run.code(), Some(1 | 3)),
        "{why}: {}",
        run.describe()
    );
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(&before, Closeness::Untouched, why);
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    if !requirement::root() {
        return;
    }
    for name in ["../../etc/cron.d/x", "a/b", ".", "..", "/etc/passwd"] {
        let line = format!("{name}:x:1010:1010::/home/erin:/bin/sh");
        let sandbox = with_account(name, line.as_bytes());
        let source = sandbox.source();
        source
            .dir("etc/cron.d", 0o755)
            .file("etc/cron.d/x", "* * * * * root id\n");
        sandbox.target().dir("etc/cron.d", 0o755);
        stays_out(&sandbox, name);
    }
}

#[test]
fn a_name_that_no_system_takes_is_refused() {
    if !requirement::root() {
        return;
    }
    for name in ["a b", "a\tb", "\x1b[2J", "a,b", "~erin"] {
        let line = format!("{name}:x:1010:1010::/home/erin:/bin/sh");
        stays_out(
            &with_account(name, line.as_bytes()),
            &format!("name {name:?}"),
        );
    }
}

/// passwd(5) of a host that once used NIS.
#[test]
fn lines_that_are_no_accounts_stay_where_they_are() {
    if !requirement::root() {
        return;
    }
    for line in ["+", "+erin::::::", "-erin:x:1010:1010::/home/erin:/bin/sh"] {
        let sandbox = village();
        sandbox.source().append("etc/passwd", format!("{line}\n"));
        sandbox.reconcile(["apply", "--yes"]).exits(0).done();
        let passwd = String::from_utf8_lossy(&sandbox.target().read("etc/passwd")).into_owned();
        assert!(
            !passwd.contains("erin") && !passwd.contains('+'),
            "{passwd}"
        );
    }
}

#[test]
fn homes_that_lead_to_the_system_by_detours_are_blocked() {
    if !requirement::root() {
        return;
    }
    for home in [
        "/home/erin/../../etc",
        "/home/../etc",
        "//etc",
        "/etc/",
        "/./etc/.",
        "/home/",
        "/home/erin/../alice",
        "",
        "relative/home",
        "~erin",
    ] {
        let line = format!("erin:x:1010:1010::{home}:/bin/sh");
        let sandbox = with_account("erin", line.as_bytes());
        sandbox.source().dir("home/erin", 0o755);
        stays_out(&sandbox, &format!("home {home:?}"));
    }
}

#[test]
fn no_second_root_is_made_and_nobody_does_not_move() {
    if !requirement::root() {
        return;
    }
    for line in [
        "toor:x:0:0::/home/toor:/bin/sh",
        "toor:x:65534:65534::/home/toor:/bin/sh",
    ] {
        let sandbox = with_account("toor", line.as_bytes());
        sandbox.manifest("source", "users:\n  include: [toor]\n");
        sandbox
            .reconcile(["plan"])
            .exits(0)
            .shows("is no person's account")
            .done();
        sandbox.reconcile(["apply", "--yes"]).exits(0).done();
        let passwd = String::from_utf8_lossy(&sandbox.target().read("etc/passwd")).into_owned();
        assert!(!passwd.contains("toor"), "{passwd}");
    }
}

#[test]
fn a_system_account_of_the_target_is_never_changed_by_a_person_of_the_source() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    Account::person("daemon2", 1010).join(&sandbox.source());
    sandbox.target().append(
        "etc/passwd",
        "daemon2:x:120:120::/run/daemon2:/usr/sbin/nologin\n",
    );
    sandbox.target().append("etc/group", "daemon2:x:120:\n");
    sandbox.manifest("source", "users:\n  on_uid_conflict: remap\n");
    stays_out(&sandbox, "a person with the name of a daemon");
}

#[test]
fn what_is_in_a_field_is_escaped_where_it_is_shown() {
    if !requirement::root() {
        return;
    }
    let line = b"erin:x:1010:1010:\x1b[2J\x07\rErin\xff:/home/erin:/bin/sh";
    let sandbox = with_account("erin", line);
    sandbox
        .source()
        .dir("home/erin", 0o755)
        .own("home/erin", 1010, 1010);
    for format in ["text", "markdown", "dot", "json"] {
        let run = sandbox.reconcile(["plan", "--format", format]);
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(
            !shown.contains(['\x1b', '\x07', '\r']),
            "{format}: {}",
            run.describe()
        );
    }
    let run = sandbox.reconcile(["apply", "--yes"]);
    if run.code() == Some(0) {
        let passwd = sandbox.target().read("etc/passwd");
        assert!(
            passwd.windows(line.len()).any(|window| window == line),
            "the line was changed"
        );
    }
}
