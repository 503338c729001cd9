//! What people keep in their homes and in the spool.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lsetxattr, utimensat};

use crate::accounts::Account;
use crate::program;
use crate::root::Root;

/// A message of an mbox that Dovecot has opened: it knows its UID, its flags and its keywords.
pub(crate) fn message(uid: u32, text: &str) -> String {
    let base = if uid == 1 {
        "X-IMAPbase: 1290000000 0000000099 Work\n".to_owned()
    } else {
        String::new()
    };
    format!(
        "From bob@example.org Thu Nov 18 10:{:02}:00 2010\nFrom: Bob <bob@example.org>\n\
         Subject: number {uid}\n{base}X-UID: {uid}\nStatus: RO\nX-Status: F\nX-Keywords: Work\n\n\
         {text}\n\n",
        uid % 60
    )
}

/// An mbox of so many messages.
pub(crate) fn mbox(messages: u32, text: &str) -> String {
    (1..=messages).map(|uid| message(uid, text)).collect()
}

/// One person's files on a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home<'a> {
    pub(crate) root: &'a Root,
    pub(crate) of: &'a Account,
    /// The group of the spool file.
    pub(crate) mail_gid: u32,
}

impl Home<'_> {
    /// A path below the home, relative to the root.
    pub(crate) fn path(&self, below: impl AsRef<[u8]>) -> Vec<u8> {
        let home = self.of.home.trim_start_matches('/').as_bytes();
        [home, b"/", below.as_ref()].concat()
    }

    pub(crate) fn file(&self, below: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(below);
        self.root
            .file(&path, content)
            .own(&path, self.of.uid, self.of.gid)
            .mode(&path, 0o600);
        self
    }

    pub(crate) fn dir(&self, below: impl AsRef<[u8]>) -> &Self {
        let path = self.path(below);
        self.root
            .dir(&path, 0o700)
            .own(&path, self.of.uid, self.of.gid);
        self
    }

    pub(crate) fn link(&self, below: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> &Self {
        let path = self.path(below);
        self.root
            .link(&path, to)
            .own(&path, self.of.uid, self.of.gid);
        self
    }

    /// The mbox in the spool.
    pub(crate) fn spool(&self, content: impl AsRef<[u8]>) -> &Self {
        let path = format!("var/mail/{}", self.of.name);
        self.root.file(&path, content);
        self.root
            .own(&path, self.of.uid, self.mail_gid)
            .mode(&path, 0o660);
        self
    }

    /// Folders in mbox format, with Dovecot's indexes and the list of subscriptions.
    pub(crate) fn mbox_folders(&self) -> &Self {
        for dir in [
            "mail",
            "mail/.imap",
            "mail/.imap/Sent",
            "mail/nest",
            "mail/.imap/nest",
        ] {
            self.dir(dir);
        }
        self.file("mail/Sent", mbox(3, "sent"))
            .file("mail/Trash", "");
        self.file("mail/Entw&APw-rfe", mbox(1, "a name in modified UTF-7"));
        self.file("mail/nest/sub", mbox(2, "nested"));
        self.file("mail/.subscriptions", "Sent\nEntw&APw-rfe\nnest/sub\n");
        self.file("mail/.imap/Sent/dovecot.index", [0_u8, 1, 2, 255]);
        self.file("mail/.imap/Sent/dovecot.index.log", [7_u8; 1200])
    }

    /// A Maildir with flags, a folder, and Dovecot's lists.
    pub(crate) fn maildir(&self) -> &Self {
        for folder in ["Maildir", "Maildir/.Archive.2009"] {
            self.dir(folder);
            for part in ["cur", "new", "tmp"] {
                self.dir(format!("{folder}/{part}"));
            }
        }
        for (name, text) in [
            ("cur/1290000001.M1P1.old,S=12,W=13:2,S", "seen\n"),
            ("cur/1290000002.M2P1.old:2,FRS", "flagged\n"),
            ("new/1290000003.M3P1.old", "new\n"),
            (
                "dovecot-uidlist",
                "3 V1290000000 N4\n1 :1290000001.M1P1.old\n",
            ),
            ("dovecot-keywords", "0 Work\n"),
            ("subscriptions", "Archive.2009\n"),
            (".Archive.2009/cur/1230000000.M9P9.old:2,S", "long ago\n"),
            (".Archive.2009/maildirfolder", ""),
        ] {
            self.file(format!("Maildir/{name}"), text);
        }
        self
    }

    /// What steers delivery.
    pub(crate) fn dot_files(&self) -> &Self {
        self.file(
            ".forward",
            "\\alice, \"|IFS=' ' && exec /usr/bin/procmail\"\n",
        );
        self.file(
            ".procmailrc",
            "MAILDIR=$HOME/mail\n:0:\n* ^Subject:.*list\nlists\n",
        );
        self.file(".bash_logout", "")
    }

    /// Names that are hard to carry: Latin-1, a newline, spaces and stars, the longest possible.
    pub(crate) fn odd_names(&self) -> &Self {
        self.dir(b"Entw\xfcrfe".as_slice());
        self.file(b"Entw\xfcrfe/Gr\xfc\xdfe".as_slice(), "Latin-1\n");
        self.file("a\nb", "newline\n")
            .file(" * ; $(x) 'q' \"r\" \\", "shell\n");
        self.file([b'n'; 255], "long\n").file("-rf", "option\n")
    }

    /// One file under two names, and a third in the spool's neighbourhood of folders.
    pub(crate) fn hard_links(&self) -> &Self {
        self.dir("links")
            .file("links/first", "one file, three names\n");
        for name in ["links/second", "third"] {
            let [old, new] = ["links/first", name].map(|name| self.root.join(self.path(name)));
            fs::hard_link(old, new).unwrap();
        }
        self
    }

    /// Links that lead inside, outside, nowhere, and to themselves.
    pub(crate) fn symlinks(&self) -> &Self {
        self.link("inside", "links/first")
            .link("outside", "/etc/hostname");
        self.link("nowhere", b"\xff\xfe gone".as_slice())
            .link("loop", "loop")
    }

    /// 8 MiB of hole between two words.
    pub(crate) fn sparse(&self) -> &Self {
        use std::os::unix::fs::FileExt as _;
        self.file("sparse", "");
        let path = self.root.join(self.path("sparse"));
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len((8 << 20) + 4096).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"end", 8 << 20).unwrap();
        self
    }

    /// Attributes that users set.
    pub(crate) fn attributes(&self) -> &Self {
        self.file("tagged", "see my attributes\n");
        for (name, value) in [
            ("user.mime_type", b"text/plain".as_slice()),
            ("user.raw", b"\0\xff"),
        ] {
            let path = self.root.join(self.path("tagged"));
            lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
        }
        self
    }

    /// A shared directory: another user and a group may in, and new files inherit that.
    pub(crate) fn acl(&self, other_uid: u32, group_gid: u32) -> &Self {
        self.dir("shared")
            .file("shared/minutes", "read by others\n");
        let shared = self.root.join(self.path("shared"));
        let entries = format!("u:{other_uid}:rwx,g:{group_gid}:r-x,d:u:{other_uid}:rwx");
        let minutes = shared.join("minutes");
        program::run(
            "setfacl",
            ["-n", "-m", &entries, "--"]
                .map(OsStr::new)
                .into_iter()
                .chain([shared.as_os_str()]),
        );
        let entries = format!("u:{other_uid}:rw-,m::rw-");
        program::run(
            "setfacl",
            ["-n", "-m", &entries, "--"]
                .map(OsStr::new)
                .into_iter()
                .chain([minutes.as_os_str()]),
        );
        self
    }

    /// Modes beyond the usual ones, on the user's own files.
    pub(crate) fn modes(&self) -> &Self {
        self.dir("public_html")
            .file("public_html/index.html", "<p>\n")
            .file("setuid", "own\n");
        for (name, mode) in [
            ("public_html", 0o3755),
            ("public_html/index.html", 0o444),
            ("setuid", 0o4711),
        ] {
            self.root.mode(self.path(name), mode);
        }
        self.file("no-access", "nobody\n")
            .root
            .mode(self.path("no-access"), 0);
        self
    }

    /// Gives everything of this person a time of its own, to the nanosecond, oldest first.
    pub(crate) fn age(&self, seed: i64) {
        let home = self.root.join(self.path(""));
        let spool = self.root.join(format!("var/mail/{}", self.of.name));
        let mut seconds = 1_290_000_000 + seed * 1_000;
        age_tree(&home, &mut seconds);
        if spool.exists() {
            // Dovecot leaves mboxes with whole seconds.
            set_time(&spool, seconds, 0);
        }
    }
}

fn age_tree(path: &Path, seconds: &mut i64) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        for path in &names {
            age_tree(path, seconds);
        }
    }
    *seconds += 7;
    set_time(path, *seconds, *seconds * 7919 % 1_000_000_000);
}

fn set_time(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
