//! Events of fanotify(7) as the kernel writes them: fixed heads, each followed by records that say what
//! the event is about. All numbers are in the machine's own order.

use nix::sys::fanotify::{FANOTIFY_METADATA_VERSION, MaskFlags};

/// Records about an object, about a directory with a name in it, and about a directory.
const OBJECT: u8 = 1;
const NAME: u8 = 2;
const DIRECTORY: u8 = 3;

/// Head of an event, and of a record.
const HEAD: usize = 24;
const RECORD: usize = 4;

/// Something that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Event<'a> {
    pub(super) mask: MaskFlags,
    /// The directory that it was reached through, or itself if it is one.
    pub(super) directory: Option<Id<'a>>,
    /// Its name there; `.` for the directory itself.
    name: &'a [u8],
    /// Itself.
    pub(super) object: Option<Id<'a>>,
}

/// Which inode, as its file system says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Id<'a> {
    /// `f_fsid` of statvfs(3).
    pub(super) file_system: u64,
    /// What kind of handle.
    pub(super) kind: i32,
    /// The handle of `name_to_handle_at(2)`.
    pub(super) handle: &'a [u8],
}

impl Event<'_> {
    /// Whether it is about a file that was made by `O_TMPFILE`: whatever name it has by now, the kernel
    /// calls it `#` and its inode number.
    pub(super) fn made_without_name(&self) -> bool {
        matches!(self.name, [b'#', number @ ..] if number.iter().all(u8::is_ascii_digit))
    }
}

/// Calls `take` with each event; `None` if the bytes are no events.
pub(super) fn each(mut bytes: &[u8], mut take: impl FnMut(&Event<'_>)) -> Option<()> {
    while !bytes.is_empty() {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let head = usize::from(u16_at(bytes, 6)?);
        if *bytes.get(4)? != FANOTIFY_METADATA_VERSION || head < HEAD || length < head {
            return None;
        }
        let (event, rest) = bytes.split_at_checked(length)?;
        let mask = u64::from_ne_bytes(event.get(8..16)?.try_into().ok()?);
        take(&records(MaskFlags::from_bits_retain(mask), &event[head..])?);
        bytes = rest;
    }
    Some(())
}

fn records(mask: MaskFlags, mut bytes: &[u8]) -> Option<Event<'_>> {
    let mut event = Event {
        mask,
        directory: None,
        name: b"",
        object: None,
    };
    while !bytes.is_empty() {
        let kind = bytes[0];
        let length = usize::from(u16_at(bytes, 2)?);
        if length < RECORD {
            return None;
        }
        let (record, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        if let OBJECT | NAME | DIRECTORY = kind {
            let (id, after) = id(&record[RECORD..])?;
            if kind == OBJECT {
                event.object = Some(id);
            } else {
                event.directory = Some(id);
            }
            if kind == NAME {
                event.name = after.split(|&byte| byte == 0).next()?;
            }
        }
    }
    Some(event)
}

/// An id, and what follows it.
fn id(bytes: &[u8]) -> Option<(Id<'_>, &[u8])> {
    let length = usize::try_from(u32_at(bytes, 8)?).ok()?;
    let kind = i32::from_ne_bytes(bytes.get(12..16)?.try_into().ok()?);
    let (handle, rest) = bytes.get(16..)?.split_at_checked(length)?;
    // Two words there, of which statvfs(3) makes one.
    let file_system = u64::from(u32_at(bytes, 0)?) | u64::from(u32_at(bytes, 4)?) << 32;
    let id = Id {
        file_system,
        kind,
        handle,
    };
    Some((id, rest))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let number = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(number))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let number = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_are_events_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _whether = each(&bytes, |_| {});
        }
    }

    #[test]
    fn only_a_file_that_was_made_without_a_name_is_called_by_its_number() {
        let named = |name| Event {
            mask: MaskFlags::FAN_MODIFY,
            directory: None,
            name,
            object: None,
        };
        assert!(named(b"#1310722").made_without_name());
        for name in [&b"1310722"[..], b"#1a", b".", b"", b"x#1"] {
            assert!(!named(name).made_without_name(), "{name:?}");
        }
    }
}
