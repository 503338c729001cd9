//! A merge on directory roots: what is read, what is written, and what a crash leaves.

#![expect(
    clippy::disallowed_methods,
    reason = "the test lays out and reads the roots itself"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::error::Kind;
use crate::host::DirHost;
use crate::names::Side;
use crate::resource::accounts::{merge, observe};

const SOURCE: [(&str, &str); 5] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/bash\n\
         mail:x:8:12:mail:/var/spool/mail:/sbin/nologin\n\
         alice:x:500:500:Alice,,,:/home/alice:/bin/bash\n\
         bob:$1$saltsalt$zNPu7ITJR5ZbaTBCzCI0X.:501:501:Bob:/home/bob:/bin/tcsh\n",
    ),
    (
        "shadow",
        "root:*:14600:0:99999:7:::\n\
         mail:*:14600:0:99999:7:::\n\
         alice:$6$salt$hash:14700:0:99999:7:::\n",
    ),
    (
        "group",
        "root:x:0:\nmail:x:12:\nalice:x:500:\nbob:x:501:\naudio:x:63:alice,bob\n",
    ),
    (
        "gshadow",
        "root:::\nmail:::\nalice:!::\nbob:!::\naudio:!:bob:alice,bob\n",
    ),
    (
        "login.defs",
        "UID_MIN 500\nUID_MAX 60000\nGID_MIN 500\nGID_MAX 60000\n",
    ),
];

const TARGET: [(&str, &str); 4] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/bash\n# local\nmail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n\
         zoe:x:1000:1000::/home/zoe:/bin/bash\n+::::::\n",
    ),
    (
        "shadow",
        "root:*:20000:0:99999:7:::\nmail:*:20000:0:99999:7:::\nzoe:!:20000:0:99999:7:::\n",
    ),
    (
        "group",
        "root:x:0:\nmail:x:8:\naudio:x:29:zoe\nzoe:x:1000:\n",
    ),
    ("gshadow", "root:*::\nmail:*::\naudio:*::zoe\nzoe:!::\n"),
];

fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    fs::create_dir(&etc).unwrap();
    for (name, text) in files {
        fs::write(etc.join(name), text).unwrap();
        let mode = if name.ends_with("shadow") {
            0o640
        } else {
            0o644
        };
        fs::set_permissions(etc.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for dir in [
        "root",
        "bin",
        "usr/lib/x86_64-linux-gnu",
        "home/zoe",
        "home/alice",
        "home/bob",
    ] {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    fs::write(root.path().join("bin/bash"), "").unwrap();
    fs::write(
        root.path()
            .join("usr/lib/x86_64-linux-gnu/libcrypt.so.1.1.0"),
        "",
    )
    .unwrap();
    root
}

pub(super) fn etc(root: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(root.path().join("etc").join(name)).unwrap()
}

fn host(side: Side, path: &Path) -> DirHost {
    DirHost::open(side, path).unwrap()
}

pub(super) struct Pair {
    pub(super) source: tempfile::TempDir,
    pub(super) target: tempfile::TempDir,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            source: root(&SOURCE),
            target: root(&TARGET),
        }
    }

    pub(super) fn hosts(&self) -> (DirHost, DirHost) {
        (
            host(Side::Source, self.source.path()),
            host(Side::Target, self.target.path()),
        )
    }

    pub(super) fn observe(&self) -> Actual {
        let (source, target) = self.hosts();
        observe(Some(&source), &target).unwrap()
    }

    pub(super) fn merge(&self, plan: &AccountsMerge) -> crate::error::Result<()> {
        let (source, target) = self.hosts();
        merge(&source, &target, plan)
    }

    /// Replaces text in a file of the target.
    pub(super) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = etc(&self.target, name);
        assert!(text.contains(from), "{name} has {from}: {text}");
        fs::write(
            self.target.path().join("etc").join(name),
            text.replace(from, to),
        )
        .unwrap();
    }
}

const FILES: [&str; 4] = ["passwd", "shadow", "group", "gshadow"];

#[test]
fn a_merge_adds_people_and_leaves_every_other_byte() {
    let pair = Pair::new();
    let actual = pair.observe();
    assert_eq!(actual.crypt, Crypt::Libxcrypt);
    let plan = merge_of("", &actual, None);
    pair.merge(&plan).unwrap();

    let added = |text: &str, lines: &str| format!("{text}{lines}");
    assert_eq!(
        etc(&pair.target, "passwd"),
        TARGET[0].1.replace(
            "+::::::\n",
            "alice:x:500:500:Alice,,,:/home/alice:/bin/bash\nbob:x:501:501:Bob:/home/bob:/bin/tcsh\n\
             +::::::\n"
        )
    );
    assert_eq!(
        etc(&pair.target, "shadow"),
        added(
            TARGET[1].1,
            "alice:$6$salt$hash:14700:0:99999:7:::\nbob:$1$saltsalt$zNPu7ITJR5ZbaTBCzCI0X.:::::::\n"
        )
    );
    assert_eq!(
        etc(&pair.target, "group"),
        added(
            &TARGET[2].1.replace("zoe\n", "zoe,alice,bob\n"),
            "alice:x:500:\nbob:x:501:\n"
        )
    );
    assert_eq!(
        etc(&pair.target, "gshadow"),
        "root:*::\nmail:*::\naudio:*:bob:zoe,alice,bob\nzoe:!::\nalice:!::\nbob:!::\n"
    );
    for (name, text) in TARGET {
        let backup = format!("{name}-");
        assert_eq!(etc(&pair.target, &backup), text, "{backup}");
        let mode = |name: &str| {
            let path = pair.target.path().join("etc").join(name);
            fs::metadata(path).unwrap().permissions().mode()
        };
        assert_eq!(mode(&backup), mode(name), "{backup}");
    }
    let mut predicted = actual;
    predict(&mut predicted, &plan);
    assert_eq!(pair.observe(), predicted, "what was predicted");
    assert_eq!(
        super::plan("", &pair.observe(), None).actions,
        [],
        "planned again"
    );
}

#[test]
fn a_second_merge_writes_nothing() {
    let pair = Pair::new();
    let plan = merge_of("", &pair.observe(), None);
    pair.merge(&plan).unwrap();
    let inodes = || {
        use std::os::unix::fs::MetadataExt as _;
        FILES.map(|name| {
            fs::metadata(pair.target.path().join("etc").join(name))
                .unwrap()
                .ino()
        })
    };
    let before = inodes();
    pair.merge(&plan).unwrap();
    assert_eq!(inodes(), before);
    assert_eq!(
        etc(&pair.target, "passwd-"),
        TARGET[0].1,
        "the backup is still of the time before"
    );
}

/// Every state that a crash between two files leaves is completed by the next run.
#[test]
fn a_merge_that_was_cut_short_is_completed() {
    let whole = Pair::new();
    whole.merge(&merge_of("", &whole.observe(), None)).unwrap();
    let order = ["group", "gshadow", "passwd", "shadow"];
    for done in 0..order.len() {
        let pair = Pair::new();
        for name in &order[..done] {
            let text = etc(&whole.target, name);
            fs::write(pair.target.path().join("etc").join(name), text).unwrap();
        }
        let plan = merge_of("", &pair.observe(), None);
        pair.merge(&plan).unwrap();
        for name in FILES {
            assert_eq!(
                etc(&pair.target, name),
                etc(&whole.target, name),
                "{done} {name}"
            );
        }
    }
}

#[test]
fn a_password_that_changed_after_the_plan_stops_the_merge() {
    let pair = Pair::new();
    let plan = merge_of("", &pair.observe(), None);
    let shadow = etc(&pair.source, "shadow").replace("$6$salt$hash", "$6$salt$other");
    fs::write(pair.source.path().join("etc/shadow"), shadow).unwrap();
    let error = pair.merge(&plan).unwrap_err();
    assert_eq!(error.kind(), Kind::Stale);
    assert!(!format!("{error} {error:?}").contains("$6$"));
    assert_eq!(
        etc(&pair.target, "group"),
        TARGET[2].1,
        "nothing was written"
    );
}

#[test]
fn a_uid_that_was_taken_after_the_plan_stops_the_merge() {
    let pair = Pair::new();
    let plan = merge_of("", &pair.observe(), None);
    let passwd = format!("new:x:500:100::/:/bin/sh\n{}", etc(&pair.target, "passwd"));
    fs::write(pair.target.path().join("etc/passwd"), passwd).unwrap();
    assert_eq!(pair.merge(&plan).unwrap_err().kind(), Kind::Stale);
}

#[test]
fn without_gshadow_the_group_file_is_enough() {
    let pair = Pair::new();
    fs::remove_file(pair.target.path().join("etc/gshadow")).unwrap();
    let plan = merge_of("", &pair.observe(), None);
    pair.merge(&plan).unwrap();
    assert!(etc(&pair.target, "group").contains("audio:x:29:zoe,alice,bob\n"));
    assert!(!pair.target.path().join("etc/gshadow").exists());
    assert_eq!(super::plan("", &pair.observe(), None).actions, []);
}

#[test]
fn a_malformed_file_is_named_with_host_and_line() {
    let pair = Pair::new();
    let passwd = format!("{}eve:x:abc:1:::\n", SOURCE[0].1);
    fs::write(pair.source.path().join("etc/passwd"), passwd).unwrap();
    let (source, target) = pair.hosts();
    let error = observe(Some(&source), &target).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert_eq!(
        error.to_string(),
        format!(
            "/etc/passwd line 5 on source (dir:{}): uid \"abc\" is not a number",
            pair.source.path().display()
        )
    );
    assert!(error.remedy().unwrap().contains("pwck -r"));
}

#[test]
fn a_root_without_passwd_is_no_system() {
    let pair = Pair::new();
    fs::remove_file(pair.source.path().join("etc/passwd")).unwrap();
    let (source, target) = pair.hosts();
    let error = observe(Some(&source), &target).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("there is no /etc/passwd on source")
    );
}

#[test]
fn no_hash_leaves_the_hosts() {
    let pair = Pair::new();
    let actual = pair.observe();
    let plan = merge_of("", &actual, None);
    let text = format!(
        "{}{}{actual:?}{plan:?}",
        serde_yaml::to_string(&actual).unwrap(),
        serde_json::to_string(&plan).unwrap()
    );
    assert!(
        !text.contains("$6$") && !text.contains("$1$") && !text.contains("hash:"),
        "{text}"
    );
}

#[test]
fn shells_that_the_target_lacks_are_found() {
    let actual = Pair::new().observe();
    let missing: Vec<String> = actual
        .missing_shells
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(missing, ["/bin/tcsh", "/sbin/nologin"]);
}

/// The judges are shadow-utils' own: `pwck` and `grpck` find nothing in the merged files.
#[test]
fn pwck_and_grpck_find_nothing_to_say() {
    let pair = Pair::new();
    let passwd = etc(&pair.target, "passwd")
        .replace("+::::::\n", "")
        .replace("# local\n", "");
    fs::write(pair.target.path().join("etc/passwd"), passwd).unwrap();
    let plan = merge_of("", &pair.observe(), None);
    pair.merge(&plan).unwrap();
    for (program, flags) in [("pwck", "-rq"), ("grpck", "-r")] {
        if !rustix::process::geteuid().is_root() || !Path::new("/usr/sbin").join(program).exists() {
            return;
        }
        let output = std::process::Command::new(format!("/usr/sbin/{program}"))
            .args([flags, "-R"])
            .arg(pair.target.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    }
}

/// Nothing may take time by the square of the accounts; then this would take minutes.
#[test]
fn fourteen_thousand_accounts_are_merged() {
    use std::fmt::Write as _;
    let pair = Pair::new();
    let mut files = SOURCE.map(|(name, text)| (name, text.to_owned()));
    for n in 0..14_000 {
        let id = 10_000 + n;
        let lines = [
            format!("u{n}:x:{id}:{id}::/home/u{n}:/bin/bash"),
            format!("u{n}:$6$salt$hash{n}:14700:0:99999:7:::"),
            format!("u{n}:x:{id}:"),
            format!("u{n}:!::"),
        ];
        for ((_, text), line) in files.iter_mut().zip(lines) {
            writeln!(text, "{line}").unwrap();
        }
    }
    for (name, text) in files {
        fs::write(pair.source.path().join("etc").join(name), text).unwrap();
    }
    let plan = merge_of("", &pair.observe(), None);
    assert_eq!(plan.users.len(), 14_002);
    assert_eq!(crate::resource::accounts::rows(&plan).len(), 14_002 * 2 + 1);
    pair.merge(&plan).unwrap();
    assert_eq!(super::plan("", &pair.observe(), None).actions, []);
}

#[test]
fn accounts_from_nis_are_not_passed_over_in_silence() {
    let pair = Pair::new();
    let passwd = format!("{}+::::::\n", SOURCE[0].1);
    fs::write(pair.source.path().join("etc/passwd"), passwd).unwrap();
    let draft = super::plan("", &pair.observe(), None);
    assert!(
        notes(&draft)
            .iter()
            .any(|note| note.contains("from NIS too")),
        "{draft:?}"
    );
}

#[test]
fn an_old_libcrypt_is_found_where_fedora_keeps_it() {
    let pair = Pair::new();
    let root = pair.target.path();
    fs::remove_file(root.join("usr/lib/x86_64-linux-gnu/libcrypt.so.1.1.0")).unwrap();
    assert_eq!(pair.observe().crypt, Crypt::Unknown);
    fs::create_dir(root.join("lib64")).unwrap();
    fs::write(root.join("lib64/libcrypt-2.12.so"), "").unwrap();
    assert_eq!(pair.observe().crypt, Crypt::Glibc);
}

#[test]
fn the_target_alone_can_be_looked_at() {
    let pair = Pair::new();
    let (_, target) = pair.hosts();
    let actual = observe(None, &target).unwrap();
    assert_eq!(actual.source, None);
    assert!(actual.target.users.contains_key(&name("zoe")));
    let resolved = resolve(&manifest(""), &actual, Some(&receipt("target", "zoe")));
    assert_eq!(resolved.users[&name("zoe")].source_uid.0, 1000);
}
