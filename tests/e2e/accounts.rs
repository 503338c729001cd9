//! Accounts and groups as lines of the four files.

use crate::hashes;
use crate::root::Root;

/// An account, and the group of its own that goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// As in the file: perhaps Latin-1.
    pub(crate) gecos: Vec<u8>,
    pub(crate) home: String,
    pub(crate) shell: &'static str,
    /// The password field of shadow.
    pub(crate) password: String,
    /// Days and limits of shadow, from the third field on.
    pub(crate) ageing: &'static str,
}

impl Account {
    /// A person with a home below `/home` and a group of the same name and number.
    pub(crate) fn person(name: &str, uid: u32) -> Self {
        Self {
            name: name.to_owned(),
            uid,
            gid: uid,
            gecos: name.as_bytes().to_vec(),
            home: format!("/home/{name}"),
            shell: "/bin/bash",
            password: hashes::SHA512.to_owned(),
            ageing: "19000:0:99999:7:::",
        }
    }

    pub(crate) fn password(mut self, field: &str) -> Self {
        field.clone_into(&mut self.password);
        self
    }

    pub(crate) fn ageing(mut self, fields: &'static str) -> Self {
        self.ageing = fields;
        self
    }

    pub(crate) fn gecos(mut self, gecos: &[u8]) -> Self {
        self.gecos = gecos.to_vec();
        self
    }

    /// A primary group that is there already.
    pub(crate) fn in_group(mut self, gid: u32) -> Self {
        self.gid = gid;
        self
    }

    pub(crate) fn home(mut self, home: String) -> Self {
        self.home = home;
        self
    }

    /// Adds the account to a root, and its group if that is its own, and makes the home.
    pub(crate) fn join(&self, root: &Root) {
        let Self {
            name,
            uid,
            gid,
            home,
            shell,
            ..
        } = self;
        let passwd = [
            format!("{name}:x:{uid}:{gid}:").as_bytes(),
            &self.gecos,
            format!(":{home}:{shell}\n").as_bytes(),
        ]
        .concat();
        root.append("etc/passwd", passwd);
        root.append(
            "etc/shadow",
            format!("{name}:{}:{}\n", self.password, self.ageing),
        );
        if uid == gid {
            root.group(name, *gid, &[]);
        }
        let home = home.trim_start_matches('/');
        root.dir(home, 0o755);
        root.own(home, *uid, *gid).mode(home, 0o700);
    }
}
