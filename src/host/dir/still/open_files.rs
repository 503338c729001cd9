//! Who could write to files: descriptors and shared mappings of every process, proc(5).

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::mounts::{Mounts, Spot, plain};
use crate::error::{Error, Kind, Result};
use crate::host::dir::DirHost;
use crate::host::{HostState, ReadHost as _, Writer, real_path};
use crate::raw::{HostPath, escape};

/// Every process but this one that has a file at or beneath one of these paths open for writing, or
/// mapped so that what it writes there goes to the file.
///
/// Files are told by where they lie and not by their names, so bind mounts and mount namespaces of
/// containers hide nothing that this kernel knows; a file that was removed is no file any more.
pub(in crate::host::dir) fn writers(host: &DirHost, paths: &[HostPath]) -> Result<Vec<Writer>> {
    // Nothing runs on a directory tree.
    if host.state() == HostState::Offline {
        return Ok(Vec::new());
    }
    let search = Search::new(host, paths)?;
    let names = names(search.proc.as_fd()).map_err(|e| search.error("/proc", e))?;
    let number = |name: &Vec<u8>| std::str::from_utf8(name).ok()?.parse().ok();
    search.among(names.iter().filter_map(number))
}

/// Trees to be looked for in what processes have open.
pub(super) struct Search<'a> {
    host: &'a DirHost,
    proc: OwnedFd,
    /// The mount namespace that we are in, and what is mounted there.
    namespace: Vec<u8>,
    mounts: Mounts,
    tops: BTreeSet<Spot>,
}

impl<'a> Search<'a> {
    pub(super) fn new(host: &'a DirHost, paths: &[HostPath]) -> Result<Self> {
        let Some(proc) = host.open_tree(&HostPath::from("/proc"))? else {
            let what = format!("/proc is not there on {}", host.label());
            return Err(Error::new(Kind::Host, what).hint("run `mount -t proc proc /proc` there"));
        };
        let failed = |what: &str, errno: Errno| {
            let what = format!("cannot look at {what} on {}", host.label());
            Error::caused(Kind::Host, what, errno)
        };
        let own = "self/mountinfo";
        let mounts = Mounts::parse(&content(proc.as_fd(), own).map_err(|e| failed(own, e))?);
        let namespace = link(proc.as_fd(), "self/ns/mnt").map_err(|e| failed("namespaces", e))?;
        let mut tops = BTreeSet::new();
        for path in paths {
            let real = real_path(host, path)?;
            let spot = mounts.spot(real.as_bytes()).ok_or_else(|| {
                let what = format!("{path} is on no mounted file system of {}", host.label());
                Error::new(Kind::Host, what)
            })?;
            tops.insert(spot);
        }
        Ok(Self {
            host,
            proc,
            namespace,
            mounts,
            tops,
        })
    }

    fn error(&self, what: &str, errno: Errno) -> Error {
        let what = format!("cannot see who writes: {what} on {}", self.host.label());
        Error::caused(Kind::Host, what, errno).hint("run reconcile as root")
    }

    /// Looks at processes; one that has ended meanwhile writes nothing.
    pub(super) fn among(&self, processes: impl Iterator<Item = u32>) -> Result<Vec<Writer>> {
        let own = rustix::process::getpid()
            .as_raw_nonzero()
            .get()
            .cast_unsigned();
        let mut writers = BTreeSet::new();
        for pid in processes.filter(|&pid| pid != own) {
            match self.process(pid, &mut writers) {
                Ok(()) | Err(Errno::NOENT | Errno::SRCH) => {}
                Err(errno) => return Err(self.error(&format!("/proc/{pid}"), errno)),
            }
        }
        Ok(writers.into_iter().collect())
    }

    /// Looks at one process.
    fn process(&self, pid: u32, writers: &mut BTreeSet<Writer>) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let process = openat(&self.proc, pid.to_string(), flags, Mode::empty())?;
        let process = process.as_fd();
        let foreign;
        let mounts = if link(process, "ns/mnt")? == self.namespace {
            &self.mounts
        } else {
            foreign = Mounts::parse(&content(process, "mountinfo")?);
            &foreign
        };
        let mut found = Vec::new();
        let descriptors = openat(process, "fd", flags, Mode::empty())?;
        for name in names(descriptors.as_fd())? {
            match self.descriptor(process, descriptors.as_fd(), &name, mounts) {
                Ok(path) => found.extend(path),
                // Closed meanwhile.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        for path in shared_mappings(&content(process, "maps")?) {
            if self.counts(mounts, &path) && self.is_there(&path) {
                found.push(path);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let program = content(process, "comm")?;
        let program = escape(program.trim_ascii_end());
        writers.extend(found.into_iter().map(|path| Writer {
            pid,
            program: program.clone(),
            path: HostPath::from(&path[..]),
        }));
        Ok(())
    }

    /// The path of an open file that counts.
    fn descriptor(
        &self,
        process: BorrowedFd<'_>,
        descriptors: BorrowedFd<'_>,
        name: &[u8],
        mounts: &Mounts,
    ) -> Result<Option<Vec<u8>>, Errno> {
        let path = link(descriptors, name)?;
        if !self.counts(mounts, &path) {
            return Ok(None);
        }
        let info = [b"fdinfo/", name].concat();
        if !writes(&content(process, info)?) {
            return Ok(None);
        }
        let removed = statat(descriptors, name, AtFlags::empty())?.st_nlink == 0;
        Ok((!removed).then_some(path))
    }

    /// Whether a path, as a process with these mounts has it, leads into one of the trees.
    fn counts(&self, mounts: &Mounts, path: &[u8]) -> bool {
        let spot = path.starts_with(b"/").then(|| mounts.spot(path)).flatten();
        spot.is_some_and(|spot| spot.ancestors().any(|above| self.tops.contains(&above)))
    }

    /// Whether a mapped file still has its name: the kernel adds a word to one that was removed.
    fn is_there(&self, path: &[u8]) -> bool {
        !path.ends_with(b" (deleted)")
            || !matches!(self.host.lstat(&HostPath::from(path)), Ok(None))
    }
}

/// Whether an open file can be written, by `/proc/PID/fdinfo/FD`: the flags of open(2), octal.
fn writes(info: &[u8]) -> bool {
    let lines = info.split(|&byte| byte == b'\n');
    let mut flags = lines.filter_map(|line| line.strip_prefix(b"flags:"));
    let flags = flags.next().map(<[u8]>::trim_ascii);
    let flags = flags.and_then(|text| std::str::from_utf8(text).ok());
    let flags = flags.and_then(|text| u32::from_str_radix(text, 8).ok());
    // What says nothing could do anything. O_RDONLY is 0, and an O_PATH descriptor has that, too.
    flags.is_none_or(|flags| flags & OFlags::RWMODE.bits() != 0)
}

/// The files that a process has mapped writable and shared, of `/proc/PID/maps`.
fn shared_mappings(maps: &[u8]) -> BTreeSet<Vec<u8>> {
    let mapped = |line: &[u8]| {
        let mut words = line.splitn(6, |&byte| byte == b' ');
        let permissions = words.nth(1)?;
        let path = words.nth(3)?.trim_ascii_start();
        let counts = permissions.get(1) == Some(&b'w') && permissions.get(3) == Some(&b's');
        (counts && path.starts_with(b"/")).then(|| plain(path))
    };
    maps.split(|&byte| byte == b'\n')
        .filter_map(mapped)
        .collect()
}

fn link(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Vec<u8>, Errno> {
    Ok(readlinkat(dir, name, Vec::new())?.into_bytes())
}

fn content(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Vec<u8>, Errno> {
    let fd = openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut content = Vec::new();
    let read = std::fs::File::from(fd).read_to_end(&mut content);
    read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(content)
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_whether_a_file_is_written() {
        // Linux 6.12: tail -f, cat >>, mutt's flock, and what io_uring has no flags for.
        for (info, expected) in [
            (
                "pos:\t120\nflags:\t0100000\nmnt_id:\t29\nino:\t1310722\n",
                false,
            ),
            (
                "pos:\t0\nflags:\t0102001\nmnt_id:\t29\nino:\t1310722\n",
                true,
            ),
            ("pos:\t0\nflags:\t02100002\nmnt_id:\t29\n", true),
            ("pos:\t0\nflags:\t012000000\nmnt_id:\t29\n", false),
            ("", true),
        ] {
            assert_eq!(writes(info.as_bytes()), expected, "{info:?}");
        }
    }

    #[test]
    fn only_what_is_written_through_to_the_file_counts() {
        let maps = b"\
            5581a0c00000-5581a0c02000 r--p 00000000 08:01 131 /usr/bin/cat\n\
            7f2c00000000-7f2c00021000 rw-p 00000000 00:00 0 \n\
            7f2c10000000-7f2c10001000 rw-s 00000000 08:01 777                        /home/bob/mail/a b\n\
            7f2c20000000-7f2c20001000 rw-p 00000000 08:01 778                        /home/bob/private\n\
            7f2c30000000-7f2c30001000 r--s 00000000 08:01 779                        /home/bob/read\n\
            7f2c40000000-7f2c40001000 rw-s 00000000 00:01 1                          /dev/zero (deleted)\n\
            7f2c50000000-7f2c50001000 rw-s 00000000 08:01 780                        /home/bob/new\\012line\n";
        let expected: [&[u8]; 3] = [
            b"/dev/zero (deleted)",
            b"/home/bob/mail/a b",
            b"/home/bob/new\nline",
        ];
        assert_eq!(
            shared_mappings(maps),
            expected.map(<[u8]>::to_vec).into_iter().collect()
        );
    }
}
