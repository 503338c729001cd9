//! Where a path lies: one place may have several paths, by bind mounts and in other mount namespaces.
//! Pure.

/// A mount namespace, as one process sees it.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<Mount>);

#[derive(Debug)]
struct Mount {
    /// `major:minor` of the file system.
    device: Vec<u8>,
    /// Which directory of the file system is mounted.
    root: Vec<u8>,
    /// Where.
    point: Vec<u8>,
}

/// A place: a file system, and a path from its own root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Spot {
    device: Vec<u8>,
    path: Vec<u8>,
}

impl Mounts {
    /// Reads `/proc/PID/mountinfo`, proc(5).
    pub(super) fn parse(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut words = line.split(|&byte| byte == b' ').skip(2);
            Some(Mount {
                device: words.next()?.to_vec(),
                root: plain(words.next()?),
                point: plain(words.next()?),
            })
        };
        Self(text.split(|&b| b == b'\n').filter_map(mount).collect())
    }

    /// Where an absolute path without symbolic links lies; `None` if nothing is mounted above it.
    pub(super) fn spot(&self, path: &[u8]) -> Option<Spot> {
        let above = |mount: &&Mount| beneath(path, &mount.point).is_some();
        // Of several at one place the last is the one that is seen.
        let mount = self.0.iter().filter(above).max_by_key(|m| m.point.len())?;
        let rest = beneath(path, &mount.point)?;
        let mut inside = mount.root.clone();
        if inside == b"/" && !rest.is_empty() {
            inside.clear();
        }
        inside.extend_from_slice(rest);
        Some(Spot {
            device: mount.device.clone(),
            path: inside,
        })
    }
}

impl Spot {
    /// Itself, and everything above it on its file system.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = Self> {
        let ends = (0..self.path.len()).filter(|&at| at > 0 && self.path[at] == b'/');
        let ends = ends.chain([self.path.len()]);
        let at = |end: usize| Self {
            device: self.device.clone(),
            path: self.path[..end].to_vec(),
        };
        let root = Self {
            device: self.device.clone(),
            path: b"/".to_vec(),
        };
        ends.map(at).chain([root])
    }
}

/// What of a path comes after a directory, with the slash in front; nothing for the directory itself.
fn beneath<'a>(path: &'a [u8], dir: &[u8]) -> Option<&'a [u8]> {
    if dir == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    let rest = path.strip_prefix(dir)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// Undoes the octal escapes that the kernel writes for spaces and the like: `\040`.
pub(super) fn plain(escaped: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code = digits.and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian 13, `/home` bound to another place of the same disk, and a mount point with a space.
    const MOUNTINFO: &[u8] = b"\
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        31 22 0:5 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n\
        40 22 8:1 /srv/export /home rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        41 22 8:2 / /mnt/old\\040disk rw,relatime shared:5 - ext4 /dev/sdb1 rw\n\
        42 22 8:3 / /mnt/old\\040disk rw,relatime shared:6 - ext4 /dev/sdc1 rw\n";

    fn spot(device: &str, path: &str) -> Spot {
        Spot {
            device: device.into(),
            path: path.into(),
        }
    }

    #[test]
    fn one_place_by_two_paths_is_one_place() {
        let mounts = Mounts::parse(MOUNTINFO);
        let bob = spot("8:1", "/srv/export/bob");
        assert_eq!(mounts.spot(b"/home/bob"), Some(bob.clone()));
        assert_eq!(mounts.spot(b"/srv/export/bob"), Some(bob));
        assert_eq!(mounts.spot(b"/homes/bob"), Some(spot("8:1", "/homes/bob")));
        assert_eq!(mounts.spot(b"/home"), Some(spot("8:1", "/srv/export")));
        assert_eq!(mounts.spot(b"/"), Some(spot("8:1", "/")));
        // What is mounted last hides what was there.
        assert_eq!(mounts.spot(b"/mnt/old disk/x"), Some(spot("8:3", "/x")));
    }

    #[test]
    fn everything_above_a_place_is_an_ancestor() {
        let all: Vec<Spot> = spot("8:1", "/home/bob/mail").ancestors().collect();
        let expected = ["/home", "/home/bob", "/home/bob/mail", "/"];
        assert_eq!(all, expected.map(|path| spot("8:1", path)));
    }
}
