//! What commands tell of this machine is what the kernel tells.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make and inspect trees of their own"
)]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::CommandHost;
use crate::host::{DirHost, Ended, Probe, ReadHost};
use crate::names::Side;
use crate::raw::HostPath;
use crate::replicate::tests::programs::Local;

fn both() -> (CommandHost, DirHost) {
    let (programs, _) = Local::programs();
    let told = CommandHost::open(Side::Source, programs, "its CPU is another".to_owned()).unwrap();
    let live = DirHost::live(Side::Source, "this machine".to_owned()).unwrap();
    (told, live)
}

#[test]
fn answers_are_those_of_the_kernel() {
    let (told, live) = both();
    let dir = tempfile::tempdir().unwrap();
    let top = HostPath::from(dir.path().as_os_str().as_bytes());
    let names: [&[u8]; 5] = [b"-x", b"new\nline", b"caf\xe9", b"back\\slash", b"(q'\")"];
    for name in names {
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir(dir.path().join("dir")).unwrap();
    symlink("dir", dir.path().join("to dir")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    mkfifoat(CWD, dir.path().join("fifo"), Mode::RUSR).unwrap();
    let mut paths: Vec<HostPath> = names.iter().map(|name| top.join(name)).collect();
    for name in [
        "dir",
        "to dir",
        "dangling",
        "loop",
        "fifo",
        "none",
        "-x/y",
        "to dir/..",
    ] {
        paths.push(top.join(name));
    }
    paths.extend(["/", "/proc/sys/kernel/random/boot_id", "/dev/null"].map(HostPath::from));
    paths.push(top.clone());
    // Whatever the answer is, it is the same, and so is an error.
    let same = |path: &HostPath, answer: &dyn Fn(&dyn ReadHost) -> String| {
        assert_eq!(answer(&told), answer(&live), "{path}");
    };
    for path in &paths {
        same(path, &|host| format!("{:?}", shown(host.lstat(path))));
        same(path, &|host| format!("{:?}", shown(host.stat(path))));
        same(path, &|host| format!("{:?}", shown(host.read_link(path))));
        same(path, &|host| format!("{:?}", shown(host.read(path))));
        if !path.is_root() {
            same(path, &|host| format!("{:?}", shown(host.list(path))));
        }
    }
    let far = top.join("none/at/all");
    for path in [&top, &far] {
        let (one, other) = (told.space(path).unwrap(), live.space(path).unwrap());
        assert_eq!((one.dev, &one.kind), (other.dev, &other.kind));
        assert_eq!(one.inodes.is_some(), other.inodes.is_some());
        assert!(
            one.bytes.abs_diff(other.bytes) < 1 << 30,
            "{one:?} {other:?}"
        );
    }
}

/// As text, an error with its causes.
fn shown<T: std::fmt::Debug>(answer: crate::error::Result<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => crate::error::chain(&error),
    }
}

#[test]
fn a_probe_is_heard_to_its_end() {
    let (told, _) = both();
    let answer = told.probe(&Probe::Echo(300_000)).unwrap().unwrap();
    assert_eq!((answer.status, answer.stdout.len()), (Some(0), 300_000));
    let hearing = told.ask(&Probe::Echo(300_000)).unwrap().unwrap();
    assert!(matches!(
        hearing.end().unwrap(),
        Ended::Ran {
            status: Some(0),
            ..
        }
    ));
}

#[test]
fn what_cannot_be_kept_is_said() {
    let (told, live) = both();
    let limits = told.limits();
    assert_eq!(limits.len(), 1, "{limits:?}");
    let why = "reconcile cannot run on this machine: its CPU is another; its files";
    assert!(limits[0].starts_with(why), "{limits:?}");
    assert_eq!(live.limits(), Vec::<String>::new());
}
