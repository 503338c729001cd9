//! A host as a directory: its files made, changed and read from outside.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

/// The group of the spool directory on Debian.
pub(crate) const MAIL_GID: u32 = 8;

const LOGIN_DEFS: &str = "\
MAIL_DIR /var/mail
UID_MIN 1000
UID_MAX 60000
GID_MIN 1000
GID_MAX 60000
ENCRYPT_METHOD YESCRYPT
";
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const SHADOW: &str = "\
root:*:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
mail:*:19000:0:99999:7:::
nobody:*:19000:0:99999:7:::
";
const GROUP: [(&str, u32); 8] = [
    ("root", 0),
    ("daemon", 1),
    ("adm", 4),
    ("mail", MAIL_GID),
    ("man", 12),
    ("shadow", 42),
    ("users", 100),
    ("nogroup", 65534),
];

/// A host's directory.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: PathBuf,
}

impl Root {
    /// A tree that is there already.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// A small Debian-like root without programs: accounts, login.defs, a spool, no Dovecot.
    pub(crate) fn debian(path: &Path) -> Self {
        let root = Self::at(path);
        for dir in ["etc", "home", "var/lib", "usr/bin", "tmp", "bin"] {
            root.dir(dir, 0o755);
        }
        root.dir("var/mail", 0o755)
            .own("var/mail", 0, MAIL_GID)
            .mode("var/mail", 0o2775);
        root.file("bin/bash", "").mode("bin/bash", 0o755);
        root.file("etc/shells", "/bin/sh\n/bin/bash\n");
        root.file("etc/login.defs", LOGIN_DEFS);
        root.file("etc/passwd", PASSWD).mode("etc/passwd", 0o644);
        root.file("etc/shadow", SHADOW)
            .own("etc/shadow", 0, 42)
            .mode("etc/shadow", 0o640);
        root.file("etc/group", "").file("etc/gshadow", "");
        root.own("etc/gshadow", 0, 42).mode("etc/gshadow", 0o640);
        for (name, gid) in GROUP {
            root.group(name, gid, &[]);
        }
        root
    }

    /// Dovecot as Debian 12 has it, as far as the UIDL format goes.
    pub(crate) fn with_dovecot_2_3(&self, uidl_format: &str) -> &Self {
        self.dir("etc/dovecot", 0o755).file(
            "etc/dovecot/dovecot.conf",
            format!(
                "protocols = imap pop3\nmail_location = mbox:~/mail:INBOX=/var/mail/%u\n\
                 protocol pop3 {{\n  pop3_uidl_format = {uidl_format}\n}}\n"
            ),
        )
    }

    /// Dovecot as Debian 13 has it, likewise.
    pub(crate) fn with_dovecot_2_4(&self) -> &Self {
        self.dir("etc/dovecot/conf.d", 0o755).file(
            "etc/dovecot/dovecot.conf",
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n\
             protocols {\n  imap = yes\n  pop3 = yes\n}\n\
             mail_driver = mbox\nmail_path = %{home}/mail\n\
             mail_inbox_path = /var/mail/%{user}\nmail_privileged_group = mail\n\
             passdb pam {\n}\nuserdb passwd {\n}\n\
             !include_try conf.d/*.conf\n!include_try local.conf\n",
        )
    }

    /// Where it is on this machine.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path of the host as a path of this machine. Links in it are followed on this machine.
    pub(crate) fn join(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.path.join(OsStr::from_bytes(path.as_ref()))
    }

    #[track_caller]
    pub(crate) fn read(&self, path: impl AsRef<[u8]>) -> Vec<u8> {
        let path = self.join(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[track_caller]
    pub(crate) fn file(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.join(path);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self
    }

    #[track_caller]
    pub(crate) fn append(&self, path: impl AsRef<[u8]>, more: impl AsRef<[u8]>) -> &Self {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(self.join(path))
            .unwrap();
        file.write_all(more.as_ref()).unwrap();
        self
    }

    #[track_caller]
    pub(crate) fn dir(&self, path: impl AsRef<[u8]>, mode: u32) -> &Self {
        let path = path.as_ref();
        fs::create_dir_all(self.join(path)).unwrap();
        self.mode(path, mode)
    }

    #[track_caller]
    pub(crate) fn link(&self, path: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> &Self {
        symlink(OsStr::from_bytes(to.as_ref()), self.join(path)).unwrap();
        self
    }

    #[track_caller]
    pub(crate) fn remove(&self, path: impl AsRef<[u8]>) -> &Self {
        let path = self.join(path);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    /// Owner and group, of a link itself.
    #[track_caller]
    pub(crate) fn own(&self, path: impl AsRef<[u8]>, uid: u32, gid: u32) -> &Self {
        lchown(self.join(path), Some(uid), Some(gid)).unwrap();
        self
    }

    #[track_caller]
    pub(crate) fn mode(&self, path: impl AsRef<[u8]>, mode: u32) -> &Self {
        fs::set_permissions(self.join(path), Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Adds a group with its members.
    #[track_caller]
    pub(crate) fn group(&self, name: &str, gid: u32, members: &[&str]) -> &Self {
        let members = members.join(",");
        self.append("etc/group", format!("{name}:x:{gid}:{members}\n"));
        self.append("etc/gshadow", format!("{name}:!::{members}\n"))
    }

    /// Replaces text that must be in a file; owner and mode stay.
    #[track_caller]
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) -> &Self {
        let old = self.read(path);
        let at = old
            .windows(from.len())
            .position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{path} has no {from:?}"));
        let new = [&old[..at], to.as_bytes(), &old[at + from.len()..]].concat();
        self.file(path, new)
    }
}
