//! The file systems that are marked, and what a file handle means on each of them.
//!
//! A handle is the file system's own affair. ext4 and XFS put the inode number into it, and that it stands
//! where it is expected is proven on a directory of each file system when tracking begins.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use rustix::fs::{CWD, Mode, OFlags, fstatvfs, openat};
use rustix::io::{Errno, read};

use super::events::Id;
use crate::replicate::scan::Look;

/// An inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Spot {
    /// Which of the file systems.
    pub(super) file_system: u32,
    pub(super) ino: u64,
}

/// Where a handle has the inode number: `FILEID_INO32_GEN` and XFS's 64-bit form of it, each with the
/// generation behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Ino32,
    Ino64,
}

impl Form {
    fn inode(self, kind: i32, handle: &[u8]) -> Option<u64> {
        let (ino, generation) = match (self, kind) {
            (Self::Ino32, 0x01) => {
                let (ino, generation) = handle.split_first_chunk()?;
                (u32::from_ne_bytes(*ino).into(), generation)
            }
            (Self::Ino64, 0x81) => {
                let (ino, generation) = handle.split_first_chunk()?;
                (u64::from_ne_bytes(*ino), generation)
            }
            _ => return None,
        };
        (generation.len() == 4).then_some(ino)
    }
}

#[derive(Debug)]
struct FileSystem {
    id: u64,
    device: (u32, u32),
    form: Form,
}

/// Those that are marked.
#[derive(Debug, Default)]
pub(super) struct FileSystems {
    all: Vec<FileSystem>,
    /// Devices of those that cannot be.
    refused: Vec<(u32, u32)>,
}

impl FileSystems {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Marks the file system of a directory, if it is not marked yet; says why not if that cannot be.
    pub(super) fn add(
        &mut self,
        top: BorrowedFd<'_>,
        kind: &str,
        mark: impl FnOnce(BorrowedFd<'_>) -> nix::Result<()>,
    ) -> Result<(), String> {
        let unseen = |errno| format!("a tree cannot be looked at ({errno})");
        let look = Look::of(top).map_err(unseen)?;
        let known = |&device: &(u32, u32)| device == look.device;
        if self.refused.iter().any(known) || self.all.iter().any(|one| known(&one.device)) {
            return Ok(());
        }
        let found = FileSystem::of(top, kind, &look).and_then(|found| match mark(top) {
            // A snapshot, say: which of the two an event is about cannot be told.
            _ if self.all.iter().any(|one| one.id == found.id) => {
                Err("two file systems have the same id".to_owned())
            }
            Ok(()) => Ok(found),
            Err(errno) => Err(format!("a file system cannot be watched ({errno})")),
        });
        match found {
            Ok(found) => {
                self.all.push(found);
                Ok(())
            }
            Err(why) => {
                self.refused.push(look.device);
                Err(why)
            }
        }
    }

    /// The inode that an event is about, or why it cannot be told.
    pub(super) fn spot(&self, id: &Id<'_>) -> Result<Spot, &'static str> {
        let find = |one: &&FileSystem| one.id == id.file_system;
        let at = self.all.iter().position(|one| find(&one));
        let found = at.and_then(|at| {
            let ino = self.all[at].form.inode(id.kind, id.handle)?;
            let file_system = u32::try_from(at).ok()?;
            Some(Spot { file_system, ino })
        });
        found.ok_or("the kernel told of something that is on no known file system")
    }

    /// The inode that was looked at; `None` if its file system is not marked.
    pub(super) fn found(&self, look: &Look) -> Option<Spot> {
        let at = self.all.iter().position(|one| one.device == look.device)?;
        let file_system = u32::try_from(at).ok()?;
        let ino = look.stamp.ino;
        Some(Spot { file_system, ino })
    }
}

impl FileSystem {
    fn of(top: BorrowedFd<'_>, kind: &str, look: &Look) -> Result<Self, String> {
        let unseen = |errno| format!("a file system cannot be looked at ({errno})");
        let id = fstatvfs(top).map_err(unseen)?.f_fsid;
        if !matches!(kind, "ext4" | "xfs") {
            return Err(format!(
                "tracking is for ext4 and XFS, and mail is on {kind}"
            ));
        }
        let handle = handle_of(top).ok().flatten();
        let proven = |form: &Form| {
            let told = handle.as_ref();
            told.and_then(|(kind, handle)| form.inode(*kind, handle)) == Some(look.stamp.ino)
        };
        let form = [Form::Ino32, Form::Ino64].into_iter().find(proven);
        let form = form.ok_or_else(|| format!("the file handles of {kind} are not known"))?;
        Ok(Self {
            id,
            device: look.device,
            form,
        })
    }
}

/// The kind and bytes of a directory's file handle, as `/proc/self/fdinfo` shows them for a mark on it,
/// `proc_pid_fdinfo(5)`.
fn handle_of(directory: BorrowedFd<'_>) -> Result<Option<(i32, Vec<u8>)>, Errno> {
    let errno = |errno: nix::Error| Errno::from_raw_os_error(errno as i32);
    let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC;
    let group = Fanotify::init(flags, EventFFlags::O_CLOEXEC).map_err(errno)?;
    // Nobody opens it to execute it.
    let (add, mask) = (MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_EXEC);
    group
        .mark::<_, [u8]>(add, mask, directory, None)
        .map_err(errno)?;
    let path = format!("/proc/self/fdinfo/{}", group.as_fd().as_raw_fd());
    let info = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = vec![0; 4096];
    let length = read(&info, text.as_mut_slice())?;
    Ok(parse(&String::from_utf8_lossy(&text[..length])))
}

fn parse(info: &str) -> Option<(i32, Vec<u8>)> {
    let mark = info
        .lines()
        .find(|line| line.starts_with("fanotify ino:"))?;
    let field = |name: &str| mark.split(' ').find_map(|word| word.strip_prefix(name));
    let number = |name| u32::from_str_radix(field(name)?, 16).ok();
    let hex = field("f_handle:")?;
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let handle: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    let handle = handle
        .filter(|handle| number("fhandle-bytes:").map(|n| n as usize) == Some(handle.len()))?;
    Some((i32::try_from(number("fhandle-type:")?).ok()?, handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux 6.18, directory 12 of an ext4.
    const INFO: &str = "pos:\t0\nflags:\t02004002\nmnt_id:\t17\nino:\t1039\n\
        fanotify flags:603 event-flags:8000\n\
        fanotify ino:c sdev:700004 mflags:0 mask:4 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 \
        f_handle:0c00000000d9b40b\n\
        fanotify sdev:700004 mflags:0 mask:480007ce ignored_mask:0\n";

    #[test]
    fn a_handle_is_read_from_what_the_kernel_shows_of_a_mark() {
        let (kind, handle) = parse(INFO).unwrap();
        assert_eq!(kind, 1);
        assert_eq!(handle, [0x0c, 0, 0, 0, 0, 0xd9, 0xb4, 0x0b]);
        assert_eq!(Form::Ino32.inode(kind, &handle), Some(12));
        assert_eq!(Form::Ino64.inode(kind, &handle), None);
        assert_eq!(parse("pos:\t0\nfanotify flags:0 event-flags:0\n"), None);
    }

    #[test]
    fn a_handle_of_another_form_is_none() {
        // A file of btrfs, and what a kernel to come may have.
        assert_eq!(Form::Ino32.inode(0x4d, &[0; 20]), None);
        assert_eq!(Form::Ino32.inode(0x01, &[1; 12]), None);
        assert_eq!(Form::Ino64.inode(0x81, &[1; 8]), None);
    }
}
