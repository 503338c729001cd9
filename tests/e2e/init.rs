//! `reconcile init`: the draft is true to the hosts, valid as it stands, and changes nothing.

use std::fs;
use std::path::Path;

use crate::accounts::Account;
use crate::program;
use crate::requirement;
use crate::root::Root;
use crate::sandbox::{Run, Sandbox};
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

const HOSTS: [&str; 2] = ["dir:../source", "dir:../target"];

/// The two hosts of the quickstart, where a sandbox has its own.
fn quickstart() -> Sandbox {
    let sandbox = Sandbox::small();
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/make-hosts");
    program::run(make.to_str().unwrap(), [sandbox.path("hosts")]);
    for (made, named) in [("hosts/old", "source"), ("hosts/new", "target")] {
        fs::rename(sandbox.path(made), sandbox.path(named)).unwrap();
    }
    sandbox
}

#[track_caller]
fn init(sandbox: &Sandbox) -> Run {
    sandbox.reconcile(["init", HOSTS[0], HOSTS[1]])
}

fn draft(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("work/migration.yaml")).unwrap()
}

#[track_caller]
fn has(draft: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            draft.lines().any(|found| found.starts_with(line)),
            "no `{line}` in:\n{draft}"
        );
    }
}

#[test]
fn the_quickstarts_hosts_are_described_and_nothing_is_changed() {
    if !requirement::root() {
        return;
    }
    let sandbox = quickstart();
    let hosts = || ["source", "target"].map(|host| Snapshot::of(&sandbox.path(host)));
    let before = hosts();
    init(&sandbox)
        .exits(0)
        .says("Wrote migration.yaml. Its comments say: 1 blocked, 4 warnings.")
        .done();
    for (after, before) in hosts().iter().zip(&before) {
        after.assert_same(before, Closeness::Untouched, "init");
    }
    has(
        &draft(&sandbox),
        &[
            "name: source-to-target ",
            "# The source: Fedora release 13 (Goddard),",
            "  host: dir:../source ",
            "  # 6 accounts move: anna, bernd, carla, dora, emil, test1",
            "  # No password fits, here and on the target: emil, test1",
            "  #   changed. descrypt: dora; md5crypt: bernd.",
            "  uid: 500..60000 ",
            "#    emil: 1001 ",
            "  # Mail on the source: an mbox in the spool for 4 (anna, bernd, dora, test1), folders in ~/mail",
            "    source: /var/spool/mail ",
            "    target: /var/mail ",
            "  # The source's UIDLs are %v-%u.",
            "#  address: [192.0.2.25/24] ",
            "#  interface: eth0 ",
            "#  hostname: mail.example.org ",
        ],
    );
    sandbox.reconcile(["validate"]).exits(0).done();
    // Emil's uid is the admin's there, and nothing else is in the way.
    sandbox
        .reconcile(["plan"])
        .exits(3)
        .shows("emil has uid 1000 on the source, which is admin's")
        .shows(", 2 blocked.")
        .done();
    let accepted = draft(&sandbox)
        .replace("#  remap:", "  remap:")
        .replace("#    emil: 1001", "    emil: 1001");
    sandbox.manifest_text(&accepted);
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn a_draft_without_conflicts_can_be_applied_as_it_is() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox
        .reconcile(["init", "--force", HOSTS[0], HOSTS[1]])
        .exits(0)
        .done();
    sandbox.reconcile(["plan"]).exits(0).done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    // Asked again, it knows that there is a migration, and that what it copied is in nobody's way.
    sandbox
        .reconcile(["init", "--force", HOSTS[0], HOSTS[1]])
        .exits(0)
        .done();
    has(
        &draft(&sandbox),
        &[
            "# warning: the target has records of a migration of this name",
            "#  adopt: []",
        ],
    );
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

#[test]
fn a_real_debian_without_people_is_told_so() {
    if !requirement::root() {
        return;
    }
    let (Some(old), Some(new)) = (requirement::tree("bookworm"), requirement::tree("trixie"))
    else {
        return;
    };
    let sandbox = Sandbox::small();
    let [old, new] = [old, new].map(|tree| format!("dir:{}", tree.display()));
    sandbox.reconcile(["init", &old, &new]).exits(0).done();
    has(
        &draft(&sandbox),
        &[
            "# The source: Debian GNU/Linux ",
            "# The target: Debian GNU/Linux ",
            "  # 0 accounts move",
        ],
    );
    sandbox
        .reconcile(["plan"])
        .exits(3)
        .shows("no account is chosen")
        .done();
}

#[test]
fn a_file_that_is_there_is_kept_unless_told() {
    let sandbox = Sandbox::small();
    for host in [sandbox.source(), sandbox.target()] {
        Root::debian(host.path());
    }
    sandbox.manifest_text("mine\n");
    init(&sandbox)
        .exits(64)
        .says("migration.yaml is there already")
        .says("--force")
        .done();
    assert_eq!(draft(&sandbox), "mine\n");
    sandbox
        .reconcile(["-f", "-", "init", HOSTS[0], HOSTS[1]])
        .exits(0)
        .shows("version: 1")
        .done();
    assert_eq!(draft(&sandbox), "mine\n");
    sandbox
        .reconcile(["init", "--force", HOSTS[0], HOSTS[1]])
        .exits(0)
        .done();
    has(&draft(&sandbox), &["version: 1"]);
    let left: Vec<_> = fs::read_dir(sandbox.path("work")).unwrap().collect();
    assert_eq!(left.len(), 1, "a temporary file is left: {left:?}");
    // A link that leads nowhere is a file of somebody, too.
    fs::remove_file(sandbox.path("work/migration.yaml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", sandbox.path("work/migration.yaml")).unwrap();
    init(&sandbox).exits(64).says("is there already").done();
}

#[test]
fn a_manifest_elsewhere_finds_the_same_hosts() {
    let sandbox = Sandbox::small();
    for host in [sandbox.source(), sandbox.target()] {
        Root::debian(host.path());
    }
    fs::create_dir(sandbox.path("work/git")).unwrap();
    sandbox
        .reconcile([
            "-f",
            "git/m.yaml",
            "init",
            "--name",
            "move",
            HOSTS[0],
            HOSTS[1],
        ])
        .exits(0)
        .done();
    sandbox
        .reconcile(["-f", "git/m.yaml", "validate"])
        .exits(0)
        .shows(": move moves from dir:/")
        .done();
    sandbox
        .reconcile(["-f", "git/m.yaml", "plan"])
        .exits(3)
        .shows("no account is chosen")
        .done();
}

#[test]
fn what_is_no_pair_of_hosts_is_refused() {
    let sandbox = Sandbox::small();
    Root::debian(sandbox.source().path());
    fs::create_dir(sandbox.path("empty")).unwrap();
    std::os::unix::fs::symlink("source", sandbox.path("link")).unwrap();
    for (source, target, code, why) in [
        (
            HOSTS[0],
            "dir:../source/.",
            64,
            "source and target are the same machine",
        ),
        (
            HOSTS[0],
            "dir:../source/etc",
            64,
            "the target is inside the source",
        ),
        (HOSTS[0], "dir:../link", 64, "are one directory"),
        (
            HOSTS[0],
            "dir:../nowhere",
            1,
            "cannot open the target root ../nowhere",
        ),
        (
            "dir:../empty",
            HOSTS[0],
            1,
            "there is no /etc/passwd on source (dir:../empty)",
        ),
        (HOSTS[0], "../target", 64, "write dir:../target"),
        (
            HOSTS[0],
            "new.example.org",
            64,
            "write ssh://new.example.org",
        ),
    ] {
        sandbox
            .reconcile(["init", source, target])
            .exits(code)
            .says(why)
            .done();
        assert!(
            !sandbox.path("work/migration.yaml").exists(),
            "{source} {target}"
        );
    }
    sandbox
        .reconcile(["init", "--name", "Not A Name", HOSTS[0], HOSTS[1]])
        .exits(64)
        .done();
}

/// Names and files of a disk that nobody trusts.
#[test]
fn a_hostile_source_gives_a_manifest_that_loads() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let source = sandbox.source();
    for (n, name) in [
        "a b",
        "x\u{2028}y",
        "#x",
        "[",
        "*",
        "no",
        "\x1b[2J",
        "../../etc",
    ]
    .into_iter()
    .enumerate()
    {
        let uid = 1100 + n;
        let line = format!("{name}:x:{uid}:{uid}:# x\u{85}y z:/home/# {name}:/bin/# x\n");
        source.append("etc/passwd", line);
        source.append("etc/shadow", format!("{name}::19000:0:99999:7:::\n"));
        source.append("etc/group", format!("{name}:x:{uid}:\n"));
    }
    Account::person("loop", 1200)
        .home("/home/loop".to_owned())
        .join(&source);
    source.remove("home/loop").link("home/loop", "loop");
    source.file("etc/hostname", "a\u{1b}[2J\u{2029}serve_from: target\nx\n");
    source.file(
        "etc/os-release",
        "PRETTY_NAME=\"x\u{2028}serve_from: target\"\n",
    );
    source
        .dir("etc/network", 0o755)
        .file("etc/network/interfaces", "iface \u{feff} inet static\n");
    sandbox
        .target()
        .dir("home/# no", 0o755)
        .file("home/# no/x", "x");
    sandbox
        .reconcile(["init", "--force", HOSTS[0], HOSTS[1]])
        .exits(0)
        .done();
    let text = draft(&sandbox);
    has(&text, &["serve_from: source", "#  adopt: [\"no\"]"]);
    assert_eq!(text.matches("\nserve_from: ").count(), 1, "{text}");
    assert!(
        !text.contains(['\u{1b}', '\u{2028}', '\u{2029}', '\u{85}', '\u{feff}']),
        "{text}"
    );
    sandbox.reconcile(["validate"]).exits(0).done();
}
