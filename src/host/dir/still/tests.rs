//! Real files, times and processes of this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;

use super::open_files::Search;
use crate::error::{Kind, chain};
use crate::host::{DirHost, ReadHost as _};
use crate::names::{Side, Uid};
use crate::plan::change::{Selection, TreeKind};
use crate::raw::HostPath;
use crate::replicate::OriginTree;

struct Bench {
    dir: tempfile::TempDir,
    host: DirHost,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["alice/mail", "alice/.cache", "bob"] {
            fs::create_dir_all(dir.path().join("home").join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("spool")).unwrap();
        let bench = Self {
            host: DirHost::live(Side::Source, "source (here)".to_owned()).unwrap(),
            dir,
        };
        for name in ["home/alice/mail/a", "home/alice/.cache/c", "spool/alice"] {
            bench.append(name);
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn on_host(&self, name: &str) -> HostPath {
        HostPath::from(self.path(name).to_str().unwrap())
    }

    fn append(&self, name: &str) {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(b"From bob\n").unwrap();
    }

    fn tree(&self, kind: TreeKind, name: &str) -> OriginTree {
        OriginTree {
            kind,
            path: self.on_host(name),
            select: Selection {
                only: None,
                exclude: vec![".cache/**".to_owned()],
            },
            owner: Uid(0),
            tracking: None,
        }
    }

    fn trees(&self) -> Vec<OriginTree> {
        vec![
            self.tree(TreeKind::Home, "home/alice"),
            self.tree(TreeKind::Home, "home/nobody"),
            self.tree(TreeKind::Spool, "spool/alice"),
            self.tree(TreeKind::Spool, "nowhere/alice"),
        ]
    }

    /// What was there before is older by the clock of file systems, and what comes is not: longer than a
    /// tick of the coarsest kernel on either side.
    fn now(&self) -> Timestamp {
        let tick = Duration::from_millis(20);
        std::thread::sleep(tick);
        let now = self.host.clock().unwrap();
        std::thread::sleep(tick);
        now
    }

    /// What changes while `change` is at work.
    fn changed(&self, change: impl FnOnce()) -> Vec<HostPath> {
        let since = self.now();
        change();
        let mut changed = self.host.changed_since(&self.trees(), since, 10).unwrap();
        changed.sort();
        changed
    }
}

#[test]
fn what_changed_is_told_whatever_its_modification_time_says() {
    let bench = Bench::new();
    assert_eq!(bench.changed(|| {}), []);
    let hidden = || {
        bench.append("spool/alice");
        let file = File::options().write(true).open(bench.path("spool/alice"));
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.unwrap().set_modified(old).unwrap();
    };
    assert_eq!(bench.changed(hidden), [bench.on_host("spool/alice")]);
    // A removed file is a change of its directory; what does not move with the mail does not count.
    let removed = || {
        fs::remove_file(bench.path("home/alice/mail/a")).unwrap();
        bench.append("home/alice/.cache/c");
        bench.append("home/bob/b");
    };
    assert_eq!(bench.changed(removed), [bench.on_host("home/alice/mail")]);
    let top = || bench.append("home/alice/new");
    let expected = ["home/alice", "home/alice/new"].map(|name| bench.on_host(name));
    assert_eq!(bench.changed(top), expected);
}

#[test]
fn no_more_is_told_than_was_asked_for() {
    let bench = Bench::new();
    let since = bench.now();
    for number in 0..50 {
        bench.append(&format!("home/alice/mail/{number}"));
    }
    let changed = |most| bench.host.changed_since(&bench.trees(), since, most);
    assert_eq!(changed(3).unwrap().len(), 3);
    assert_eq!(changed(100).unwrap().len(), 51);
}

#[test]
fn what_cannot_be_read_is_no_proof_that_nothing_changed() {
    let bench = Bench::new();
    // Deeper than any directory that a copy enters.
    let mut deep = bench.path("home/alice/mail");
    for _ in 0..=200 {
        deep.push("d");
        fs::create_dir(&deep).unwrap();
    }
    let since = bench.now();
    let error = bench
        .host
        .changed_since(&bench.trees(), since, 10)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Host);
    let said = chain(&error);
    assert!(
        said.contains("cannot tell what changed in") && said.contains("/home/alice on"),
        "{said}"
    );
}

/// A process that has a file open.
struct Opener(Child);

impl Opener {
    fn new(shell: &str, file: &Path) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{shell}; echo; read line"), "sh"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        Self(child)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Who of these writes; of all processes is for a host that is ours alone.
fn writers(bench: &Bench, tops: &[&str], among: &[&Opener]) -> Vec<(u32, HostPath)> {
    let tops: Vec<HostPath> = tops.iter().map(|name| bench.on_host(name)).collect();
    let search = Search::new(&bench.host, &tops).unwrap();
    let pids = among.iter().map(|opener| opener.0.id());
    let found = search.among(pids.chain([std::process::id()])).unwrap();
    found.into_iter().map(|w| (w.pid, w.path)).collect()
}

#[test]
fn whoever_has_a_file_open_for_writing_is_named() {
    let bench = Bench::new();
    symlink(bench.path("home"), bench.path("linked")).unwrap();
    let file = bench.path("home/alice/mail/a");
    let tops = ["linked/alice", "spool/alice", "nowhere/x"];
    // This very process does not count, nor do readers, files beside, and files that are gone.
    let _own = OpenOptions::new().append(true).open(&file).unwrap();
    let reader = Opener::new("exec 3<\"$1\"", &file);
    let beside = Opener::new("exec 3>\"$1\"", &bench.path("spool/alice.lock"));
    let gone = Opener::new("exec 3>\"$1\"; rm \"$1\"", &bench.path("home/alice/gone"));
    assert_eq!(writers(&bench, &tops, &[&reader, &beside, &gone]), []);
    let appends = Opener::new("exec 3>>\"$1\"", &file);
    let both = Opener::new("exec 3<>\"$1\"", &bench.path("spool/alice"));
    let mut expected = [
        (appends.0.id(), bench.on_host("home/alice/mail/a")),
        (both.0.id(), bench.on_host("spool/alice")),
    ];
    expected.sort();
    assert_eq!(
        writers(&bench, &tops, &[&appends, &both, &reader]),
        expected
    );
}

#[test]
fn a_process_that_has_ended_writes_nothing() {
    let bench = Bench::new();
    let mut opener = Opener::new("exec 3>>\"$1\"", &bench.path("spool/alice"));
    opener.0.kill().unwrap();
    opener.0.wait().unwrap();
    assert_eq!(writers(&bench, &["spool/alice"], &[&opener]), []);
}

#[test]
fn a_bind_mount_in_another_namespace_hides_nobody() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let bench = Bench::new();
    fs::create_dir(bench.path("elsewhere")).unwrap();
    let script = format!(
        "exec unshare --mount sh -c 'mount --bind \"{home}\" \"{there}\" && \
         exec 3>>\"{there}/mail/a\" && echo && read line'",
        home = bench.path("home/alice").display(),
        there = bench.path("elsewhere").display(),
    );
    let writer = Opener::new(&script, Path::new("/"));
    let found = writers(&bench, &["home/alice"], &[&writer]);
    let expected = (writer.0.id(), bench.on_host("elsewhere/mail/a"));
    assert_eq!(found, [expected]);
    assert_eq!(writers(&bench, &["home/bob", "elsewhere"], &[&writer]), []);
}
