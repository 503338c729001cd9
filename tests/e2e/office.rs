//! Fifty people move from a Debian 12 tree to a Debian 13 tree; other programs are the witnesses.
//!
//! The source is numbered like an old Fedora: people from uid 500 on, group mail is 12. On the
//! target a person and a group are in the way, so that some get new numbers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::accounts::Account;
use crate::hashes;
use crate::home::{Home, mbox};
use crate::program;
use crate::requirement;
use crate::root::Root;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Snapshot};

const PEOPLE: u32 = 50;
/// As on Fedora; on Debian that is `man`.
const SOURCE_MAIL_GID: u32 = 12;
const PROJECT_GID: u32 = 2000;
/// Group users, on both.
const USERS_GID: u32 = 100;
/// A uid of the source that is somebody else's on the target.
const TAKEN_UID: u32 = 1007;

/// Names and numbers, schemes and locks, homes and groups: each variety several times.
fn people() -> Vec<Account> {
    (0..PEOPLE).map(person).collect()
}

fn person(number: u32) -> Account {
    let uid = if number < 15 {
        500 + number
    } else {
        1000 + number - 15
    };
    let name = match number % 5 {
        0 => format!("first.last{number}"),
        1 => format!("under_score{number}"),
        2 => format!("with-dash{number}"),
        _ => format!("u{number}"),
    };
    let hash = hashes::ALL[number as usize % hashes::ALL.len()];
    let password = match number % 11 {
        8 => format!("!{hash}"),
        9 => "!!".to_owned(),
        10 => "*".to_owned(),
        _ => hash.to_owned(),
    };
    let ageing = match number % 6 {
        0 => "0:0:99999:7:::",
        1 => "18500:1:90:14:30:20000:",
        2 => "::::::",
        _ => "19000:0:99999:7:::",
    };
    let account = Account::person(&name, uid)
        .password(&password)
        .ageing(ageing)
        .gecos(b"J\xfcrgen M\xfcller,Room 1,+49 30 1,");
    let account = if number % 8 == 3 {
        account.in_group(USERS_GID)
    } else {
        account
    };
    match number {
        20 => account.home(format!("/srv/people/{name}")),
        _ => account,
    }
}

/// Makes both hosts and the manifest.
fn office() -> Option<Sandbox> {
    if !requirement::root() || !requirement::program("rsync") {
        return None;
    }
    let [bookworm, trixie] = [requirement::tree("bookworm")?, requirement::tree("trixie")?];
    let sandbox = Sandbox::large();
    program::copy_tree(&bookworm, &sandbox.path("source"));
    program::copy_tree(&trixie, &sandbox.path("target"));
    furnish(&sandbox.source());
    let target = sandbox.target();
    Account::person("deskhand", TAKEN_UID).join(&target);
    target.group("archive", PROJECT_GID, &["deskhand"]);
    sandbox.manifest("source", "users:\n  on_uid_conflict: remap\n");
    Some(sandbox)
}

fn furnish(source: &Root) {
    source.edit("etc/login.defs", "\nUID_MIN\t\t\t 1000", "\nUID_MIN 500");
    source.edit("etc/login.defs", "\nGID_MIN\t\t\t 1000", "\nGID_MIN 500");
    source
        .edit("etc/group", "\nmail:x:8:", "\nmail:x:12:")
        .edit("etc/group", "\nman:x:12:", "\nman:x:8:");
    source.edit("etc/passwd", "\nmail:x:8:8:", "\nmail:x:8:12:");
    source.edit("etc/passwd", "\nman:x:6:12:", "\nman:x:6:8:");
    source
        .own("var/mail", 0, SOURCE_MAIL_GID)
        .mode("var/mail", 0o2775);
    source.file(
        "etc/dovecot/local.conf",
        "protocol pop3 {\n  pop3_uidl_format = %v-%u\n}\n",
    );
    let people = people();
    for person in &people {
        person.join(source);
    }
    let members: Vec<_> = people
        .iter()
        .step_by(7)
        .map(|person| person.name.as_str())
        .collect();
    source.group("project", PROJECT_GID, &members);
    source.edit(
        "etc/group",
        "\nstaff:x:50:",
        &format!("\nstaff:x:50:{}", people[4].name),
    );
    for (number, of) in (0..).zip(&people) {
        let home = Home {
            root: source,
            of,
            mail_gid: SOURCE_MAIL_GID,
        };
        fill(
            &home,
            number,
            people[(number as usize + 1) % people.len()].uid,
        );
    }
}

fn fill(home: &Home<'_>, number: u32, neighbour: u32) {
    if !number.is_multiple_of(9) {
        home.spool(mbox(number, "in the spool"));
    }
    match number % 3 {
        0 => home.mbox_folders(),
        1 => home.maildir(),
        _ => home.dot_files(),
    };
    match number % 5 {
        0 => home.hard_links().symlinks(),
        1 => home.odd_names(),
        2 => home.attributes().sparse(),
        3 => home.acl(neighbour, PROJECT_GID),
        _ => home.modes(),
    };
    home.age(i64::from(number));
}

/// What a program of the host itself says about it, with the host's own names for numbers.
#[track_caller]
fn ask_inside(root: &Root, command: &[&str]) -> String {
    let output = Command::new("chroot")
        .arg(root.path())
        .args(command)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let said = output
        .stdout
        .escape_ascii()
        .to_string()
        .replace("\\n", "\n");
    assert!(
        output.status.success(),
        "{command:?}: {said}{}",
        output.stderr.escape_ascii()
    );
    said
}

/// Both hosts' own programs say the same.
#[track_caller]
fn assert_both_say_the_same(sandbox: &Sandbox, command: &[&str]) {
    let [source, target] =
        [sandbox.source(), sandbox.target()].map(|root| ask_inside(&root, command));
    let [source, target] = [&source, &target].map(|said| {
        let mut lines: Vec<_> = said.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    });
    let diff = similar::TextDiff::from_lines(&source, &target);
    assert!(
        source == target,
        "{command:?}\n{}",
        diff.unified_diff().header("source", "target")
    );
}

/// Names to numbers.
fn numbers(root: &Root, file: &str) -> BTreeMap<String, u32> {
    let text = String::from_utf8_lossy(&root.read(file)).into_owned();
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().unwrap().to_owned();
        (name, fields.nth(1).unwrap().parse().unwrap())
    };
    text.lines().map(line).collect()
}

/// `OLD:NEW` for every name with another number on the target, as rsync wants it.
fn renumbered(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let [old, new] = [sandbox.source(), sandbox.target()].map(|root| numbers(&root, file));
    let pair = |(name, old): (&String, &u32)| {
        let new = new.get(name)?;
        (old != new).then(|| format!("{old}:{new}"))
    };
    old.iter().filter_map(pair).collect()
}

#[track_caller]
fn assert_rsync_finds_nothing(sandbox: &Sandbox, tree: &str) {
    let map = |option: &str, file| format!("--{option}={}", renumbered(sandbox, file).join(","));
    let [from, to] =
        [sandbox.source(), sandbox.target()].map(|root| format!("{}/", root.join(tree).display()));
    let found = program::run(
        "rsync",
        [
            "-aHAXn",
            "--checksum",
            "--itemize-changes",
            "--delete",
            &map("usermap", "etc/passwd"),
            &map("groupmap", "etc/group"),
            &from,
            &to,
        ],
    );
    // The directory that holds the trees is the target's own.
    let found: Vec<_> = found
        .lines()
        .filter(|line| !line.ends_with(" ./") && !line.ends_with(" deskhand/"))
        .collect();
    assert!(
        found.is_empty(),
        "rsync finds differences in {tree}:\n{}",
        found.join("\n")
    );
}

#[track_caller]
fn assert_witnesses_agree(sandbox: &Sandbox) {
    for tree in ["home", "var/mail", "srv/people"] {
        assert_rsync_finds_nothing(sandbox, tree);
    }
    let places = ["/home", "/var/mail", "/srv/people", "-mindepth", "1"];
    let not_deskhand = ["!", "-path", "/home/deskhand"];
    let aspects = ["-printf", "%p %y %m %u %g %n %T@ %l\\n"];
    let find = [&["find"][..], &places, &not_deskhand, &aspects].concat();
    assert_both_say_the_same(sandbox, &find);
    let files = ["-type", "f", "-printf", "%p %s\\n"];
    assert_both_say_the_same(sandbox, &[&["find"][..], &places, &files].concat());
    let digest = "cd / && find home srv/people ! -path home/deskhand ! -type l -print0 | sort -z";
    for program in ["xargs -0 getfacl -P", "xargs -0 getfattr -hd -e base64"] {
        assert_both_say_the_same(sandbox, &["sh", "-c", &format!("{digest} | {program} --")]);
    }
}

#[track_caller]
fn assert_accounts_are_right(sandbox: &Sandbox) {
    let (source, target) = (sandbox.source(), sandbox.target());
    ask_inside(&target, &["pwck", "-rq"]);
    ask_inside(&target, &["grpck", "-r"]);
    let [old, new] = [&source, &target].map(|root| root.read("etc/shadow"));
    for person in people() {
        let prefix = format!("{}:", person.name).into_bytes();
        let of = |file: &[u8]| {
            file.split(|&b| b == b'\n')
                .find(|line| line.starts_with(&prefix))
                .map(<[u8]>::to_vec)
        };
        assert!(
            of(&old).is_some() && of(&old) == of(&new),
            "the shadow line of {}",
            person.name
        );
        let groups = ["id", "-Gn", &person.name];
        assert_both_say_the_same(
            sandbox,
            &["sh", "-c", &format!("{} | tr ' ' '\\n'", groups.join(" "))],
        );
    }
    let uids = numbers(&target, "etc/passwd");
    assert_eq!(uids["deskhand"], TAKEN_UID);
    let moved = people()
        .into_iter()
        .find(|person| person.uid == TAKEN_UID)
        .unwrap();
    assert!(uids[&moved.name] >= 500 && uids[&moved.name] != TAKEN_UID);
    assert_ne!(numbers(&target, "etc/group")["project"], PROJECT_GID);
}

/// A few things by hand, with stat: times to the nanosecond, hard links, holes.
#[track_caller]
fn assert_details(sandbox: &Sandbox) {
    let people = people();
    let meta = |root: &Root, person: &Account, path: &str| {
        root.join(format!("{}/{path}", person.home.trim_start_matches('/')))
            .symlink_metadata()
            .unwrap()
    };
    let (source, target) = (sandbox.source(), sandbox.target());
    let [first, third] = ["links/first", "third"].map(|path| meta(&target, &people[5], path));
    assert_eq!(
        (first.ino(), first.nlink()),
        (third.ino(), 3),
        "three names of one file"
    );
    let [old, new] = [&source, &target].map(|root| meta(root, &people[5], "nowhere"));
    assert_eq!(
        (old.mtime(), old.mtime_nsec()),
        (new.mtime(), new.mtime_nsec()),
        "time of a link"
    );
    assert_ne!(new.mtime_nsec(), 0);
    let sparse = meta(&target, &people[7], "sparse");
    assert_eq!(sparse.len(), (8 << 20) + 4096);
    assert!(
        sparse.blocks() * 512 < 64 << 10,
        "{} blocks",
        sparse.blocks()
    );
    let spool = target
        .join(format!("var/mail/{}", people[1].name))
        .symlink_metadata()
        .unwrap();
    assert_eq!(
        (spool.gid(), spool.mode() & 0o7777),
        (8, 0o660),
        "group mail by name"
    );
    let moved = people
        .iter()
        .find(|person| person.uid == TAKEN_UID)
        .unwrap();
    let own = numbers(&target, "etc/passwd")[&moved.name];
    assert_eq!(
        meta(&target, moved, "").uid(),
        own,
        "files follow a new uid"
    );
}

#[test]
fn fifty_people_move_from_debian_12_to_debian_13() {
    let Some(sandbox) = office() else { return };
    let hosts = || ["source", "target"].map(|host| Snapshot::of(&sandbox.path(host)));
    let before = hosts();
    sandbox
        .reconcile(["plan", "--detailed-exitcode", "-o", "plan.json"])
        .exits(2)
        .done();
    sandbox
        .reconcile(["observe", "-o", "observation.yaml"])
        .exits(0)
        .done();
    for (after, before) in hosts().iter().zip(&before) {
        after.assert_same(before, Closeness::Untouched, "a plan and an observation");
    }

    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox
        .reconcile(["verify"])
        .exits(0)
        .shows("Compared 50 users")
        .done();
    assert_accounts_are_right(&sandbox);
    assert_witnesses_agree(&sandbox);
    assert_details(&sandbox);
    let after = Snapshot::of(sandbox.source().path());
    after.assert_same(&before[0], Closeness::Untouched, "the source");

    sandbox.manifest("target", "users:\n  on_uid_conflict: remap\n");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let format = ["doveconf", "-f", "protocol=pop3", "-h", "pop3_uidl_format"];
    let [old, new] = [sandbox.source(), sandbox.target()].map(|root| ask_inside(&root, &format));
    assert_eq!((old.trim(), new.trim()), ("%v-%u", "%{uidvalidity}-%{uid}"));
    assert_witnesses_agree(&sandbox);
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}
