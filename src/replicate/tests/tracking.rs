//! A source whose changes are told by the kernel, on an ext4 of its own: what is passed over is what has not
//! changed.

mod random;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use super::bench::{Bench, Way, root, run, write};
use super::random::both;
use crate::names::Side;
use crate::replicate::{Depth, Tracker, Tracking};

/// A file system in a file, mounted.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// `None`, and a word about it, where that cannot be.
    fn new() -> Option<Self> {
        if !root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image").display().to_string();
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-N", "32768", &image]);
        let disk = Self { dir };
        fs::create_dir(disk.path()).unwrap();
        let at = disk.path().display().to_string();
        run("mount", &["-o", "loop", &image, &at]);
        Some(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still holds it is a defect that the next look at mounts shows.
        let _left = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Rounds of copies from a tree on a disk, as a hand-over makes them.
struct Rounds {
    bench: Bench,
    /// A directory on the same disk that is no part of the trees.
    outside: PathBuf,
    look: u32,
    settled: Vec<u32>,
}

impl Rounds {
    fn on(disk: &Path, way: Way) -> Self {
        let mut bench = Bench::by(way);
        bench.source = disk.join("source");
        let outside = disk.join("outside");
        for dir in [&bench.home(), &bench.source.join("mail"), &outside] {
            fs::create_dir_all(dir).unwrap();
        }
        write(bench.source.join("mail/alice"), "mbox");
        Self {
            bench,
            outside,
            look: 0,
            settled: Vec::new(),
        }
    }

    fn track(&mut self) {
        let top = File::open(&self.bench.source).unwrap();
        let tracker = Tracker::start(Side::Source, [(top.as_fd(), "ext4")]).unwrap();
        assert_eq!(tracker.untracked(), None);
        self.bench.tracker = Some(tracker);
    }

    fn next(&mut self) -> Tracking {
        self.look += 1;
        let tracking = Tracking {
            look: self.look,
            settled: self.settled.clone(),
        };
        self.bench.tracking = Some(tracking.clone());
        tracking
    }

    /// Copies and looks again; what settles is trusted by the next round.
    fn round(&mut self) {
        self.next();
        self.bench.copy();
        let look = self.next().look;
        if self.bench.differences(Depth::Index).is_empty() {
            self.settled.push(look);
        } else {
            self.settled.clear();
        }
        self.bench.tracking = None;
    }

    /// The last round; then everything is looked at, and what it found is told.
    fn ends_equal(&mut self) -> bool {
        self.round();
        let (source, target) = both(&self.bench.home(), &self.bench.there(), |id| id);
        self.bench.differences(Depth::Content).is_empty() && source == target
    }

    /// How many entries a round looks at, twice.
    fn looked_at(&mut self) -> u64 {
        self.bench.progress.files.store(0, Ordering::Relaxed);
        self.round();
        self.bench.progress.files.load(Ordering::Relaxed)
    }

    fn lost(&self) -> Option<&'static str> {
        self.bench.tracker.as_ref().unwrap().lost()
    }
}

/// Ten folders of ten messages, copied twice.
fn folders(disk: &Disk, way: Way) -> Rounds {
    let mut rounds = Rounds::on(&disk.path(), way);
    rounds.track();
    for n in 0..100 {
        let name = format!("Maildir/.{}/cur/{n}", n / 10);
        write(rounds.bench.home().join(name), format!("message {n}"));
    }
    rounds.round();
    rounds.round();
    rounds
}

fn append(path: impl AsRef<Path>) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"more").unwrap();
}

#[test]
fn only_directories_that_changed_are_looked_at() {
    let Some(disk) = Disk::new() else { return };
    for way in [Way::Here, Way::Wire] {
        let mut rounds = folders(&disk, way);
        // Twice the mailbox, the home, and the one directory in it.
        assert_eq!(rounds.looked_at(), 2 * 2, "{way:?}");
        append(rounds.bench.home().join("Maildir/.3/cur/35"));
        // And now ten folders, one of them with its messages.
        assert_eq!(rounds.looked_at(), 2 * (2 + 10 + 1 + 10), "{way:?}");
        assert!(rounds.ends_equal());
        fs::remove_dir_all(&rounds.bench.source).unwrap();
    }
}

#[test]
fn what_was_passed_over_is_still_vouched_for_by_the_index() {
    let Some(disk) = Disk::new() else { return };
    let mut rounds = folders(&disk, Way::Here);
    std::thread::sleep(std::time::Duration::from_millis(60));
    rounds.settled.clear();
    rounds.round();
    rounds.round();
    rounds.bench.compared();
    rounds.settled.clear();
    rounds.round();
    assert_eq!(rounds.bench.compared(), 0);
}

#[test]
fn a_folder_that_was_away_for_a_round_is_copied_when_it_is_back() {
    let Some(disk) = Disk::new() else { return };
    let mut rounds = folders(&disk, Way::Here);
    let (maildir, away) = (
        rounds.bench.home().join("Maildir"),
        rounds.outside.join("away"),
    );
    fs::rename(&maildir, &away).unwrap();
    rounds.round();
    assert!(!rounds.bench.there().join("Maildir").exists());
    fs::rename(&away, &maildir).unwrap();
    assert!(rounds.ends_equal());
}

type Change = fn(&Path, &Path);

#[test]
fn a_change_of_any_kind_is_seen() {
    let Some(disk) = Disk::new() else { return };
    let changes: [(&str, Change); 14] = [
        ("append", |dir, _| append(dir.join("35"))),
        ("write within the same size", |dir, _| {
            let file = OpenOptions::new().write(true).open(dir.join("35")).unwrap();
            file.write_at(b"M", 0).unwrap();
        }),
        ("truncate", |dir, _| {
            run("truncate", &["-s", "3", dir.join("35").to_str().unwrap()]);
        }),
        ("chmod", |dir, _| {
            fs::set_permissions(dir.join("35"), fs::Permissions::from_mode(0o640)).unwrap();
        }),
        ("xattr", |dir, _| {
            let path = dir.join("35").display().to_string();
            run("setfattr", &["-n", "user.flag", "-v", "1", &path]);
        }),
        ("new", |dir, _| write(dir.join("new"), "new")),
        ("removed", |dir, _| fs::remove_file(dir.join("35")).unwrap()),
        ("renamed", |dir, _| {
            fs::rename(dir.join("35"), dir.join("35:2,S")).unwrap();
        }),
        ("symlink", |dir, _| symlink("35", dir.join("link")).unwrap()),
        ("mode of a directory", |dir, _| {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
        }),
        ("moved folder", |dir, _| {
            let folder = dir.parent().unwrap();
            fs::rename(folder, folder.with_file_name(".moved")).unwrap();
        }),
        ("swapped folders", |dir, outside| {
            let folder = dir.parent().unwrap();
            let (other, aside) = (folder.with_file_name(".4"), outside.join("aside"));
            fs::rename(folder, &aside).unwrap();
            fs::rename(&other, folder).unwrap();
            fs::rename(&aside, &other).unwrap();
        }),
        ("another name outside", |dir, outside| {
            fs::hard_link(dir.join("35"), outside.join("35")).unwrap();
            append(outside.join("35"));
        }),
        ("a folder from outside", |dir, outside| {
            write(outside.join("folder/cur/1"), "1");
            fs::rename(outside.join("folder"), dir.join("folder")).unwrap();
        }),
    ];
    for (what, change) in changes {
        let mut rounds = folders(&disk, Way::Here);
        change(&rounds.bench.home().join("Maildir/.3/cur"), &rounds.outside);
        assert!(rounds.ends_equal(), "{what}");
        assert_eq!(rounds.lost(), None);
        fs::remove_dir_all(&rounds.bench.source).unwrap();
        fs::remove_dir_all(&rounds.outside).unwrap();
    }
}

/// Writes through mappings of a file: when a line comes, and then lets go of it.
const MAPPED: &str = "\
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    pages = mmap.mmap(file.fileno(), 9)
print('mapped', flush=True)
sys.stdin.readline()
pages[0:1] = b'M'
";

#[test]
fn a_write_through_a_mapping_older_than_the_tracker_is_seen_once_it_is_gone() {
    let Some(disk) = Disk::new() else { return };
    let mut rounds = Rounds::on(&disk.path(), Way::Here);
    let file = rounds.bench.home().join("Maildir/cur/1");
    write(&file, "message 1");
    let mut python = Command::new("python3")
        .args(["-c", MAPPED, file.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(python.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "mapped\n");
    rounds.track();
    rounds.round();
    python.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(python.wait().unwrap().success());
    assert_eq!(fs::read(&file).unwrap(), b"Message 1");
    assert!(rounds.ends_equal());
}

#[test]
fn a_file_that_was_made_without_a_name_is_followed_to_its_directory() {
    let Some(disk) = Disk::new() else { return };
    let mut rounds = folders(&disk, Way::Here);
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let dir = rounds.bench.home().join("Maildir/.3/cur");
    let made = rustix::fs::open(&rounds.outside, flags, mode).unwrap();
    let file = File::from(made);
    file.write_at(b"first", 0).unwrap();
    let (from, to) = (
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)),
        dir.join("new"),
    );
    let follow = rustix::fs::AtFlags::SYMLINK_FOLLOW;
    rustix::fs::linkat(rustix::fs::CWD, from, rustix::fs::CWD, to, follow).unwrap();
    rounds.round();
    rounds.round();
    file.write_at(b"F", 0).unwrap();
    drop(file);
    assert!(rounds.ends_equal());
}

#[test]
fn after_an_overflow_everything_is_looked_at() {
    let Some(disk) = Disk::new() else { return };
    let mut rounds = folders(&disk, Way::Here);
    let tracking = rounds.next();
    let path = crate::raw::HostPath::from("/elsewhere");
    let tracker = rounds.bench.tracker.as_ref().unwrap();
    let look = tracker.look(&path, &tracking);
    let most = fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap();
    let most: u32 = most.trim().parse().unwrap();
    // While files are registered, no event is taken in.
    look.files(
        || {
            for n in 0..most + 1000 {
                File::create(rounds.outside.join(n.to_string())).unwrap();
            }
            append(rounds.bench.home().join("Maildir/.4/cur/45"));
        },
        |()| Vec::new(),
    );
    assert_eq!(
        rounds.lost(),
        Some("more changed at once than the kernel's queue of events holds")
    );
    fs::remove_dir_all(&rounds.outside).unwrap();
    assert!(rounds.ends_equal());
}

#[test]
fn other_file_systems_are_not_tracked_and_it_is_said() {
    if !root() {
        return;
    }
    let top = File::open("/dev/shm").unwrap();
    let why = Tracker::start(Side::Source, [(top.as_fd(), "tmpfs")]).unwrap_err();
    assert_eq!(
        why,
        "tracking is for ext4 and XFS, and mail is on tmpfs on the source"
    );
}
