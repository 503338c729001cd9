//! A target without room: said before anything is copied, and survived when it happens all the same.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::accounts::Account;
use crate::home::Home;
use crate::program;
use crate::requirement;
use crate::root::MAIL_GID;
use crate::sandbox::Sandbox;
use crate::village::village;

/// A tmpfs on a directory of the target; gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn on(dir: PathBuf, megabytes: u32) -> Self {
        let size = format!("size={megabytes}m,mode=755");
        program::run(
            "mount",
            ["-t", "tmpfs", "-o", &size, "none", dir.to_str().unwrap()],
        );
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        program::run("umount", ["--lazy".as_ref(), self.0.as_os_str()]);
    }
}

/// The village, and somebody with 64 MB of mail.
fn with_large_mail() -> Sandbox {
    let sandbox = village();
    let source = sandbox.source();
    let erin = Account::person("erin", 1010);
    erin.join(&source);
    let home = Home {
        root: &source,
        of: &erin,
        mail_gid: MAIL_GID,
    };
    home.maildir();
    for number in 0..100 {
        home.file(
            format!("Maildir/cur/12{number:08}.M1P1.old:2,S"),
            vec![b'x'; 640_000],
        );
    }
    home.age(5);
    sandbox
}

#[test]
fn a_target_without_room_blocks_the_plan() {
    if !requirement::root() || !requirement::mounts() {
        return;
    }
    let sandbox = with_large_mail();
    let _disk = SmallDisk::on(sandbox.target().join("home"), 32);
    sandbox
        .reconcile(["plan"])
        .exits(3)
        .shows("/home")
        .shows("free")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(3).done();
    assert_eq!(
        fs::read_dir(sandbox.target().join("home")).unwrap().count(),
        0
    );
}

/// At once, without writing: the copy is fast.
fn take_all_the_room(file: &Path) {
    let file = fs::File::create(file).unwrap();
    let mut taken = 0;
    for step in [16 << 20, 1 << 20, 4096] {
        let reserve = |at| rustix::fs::fallocate(&file, FallocateFlags::empty(), at, step);
        while reserve(taken).is_ok() {
            taken += step;
        }
    }
    assert!(taken > 16 << 20, "the copy was done already");
}

#[test]
fn a_disk_that_fills_during_the_copy_is_an_error_and_the_next_run_completes() {
    if !requirement::root() || !requirement::mounts() {
        return;
    }
    let sandbox = with_large_mail();
    let target = sandbox.target();
    let disk = SmallDisk::on(target.join("home"), 100);
    let mut running = sandbox.start(&["apply", "--yes", "--json"]);
    assert!(running.wait_for("\"run_started\""));
    // Somebody else takes all the room while the copy runs.
    let hog = target.join("home/hog");
    take_all_the_room(&hog);
    let run = running.wait().exits(1);
    run.says("No space left on device").says("make room").done();
    fs::remove_file(&hog).unwrap();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["verify"]).exits(0).done();
    drop(disk);
}
