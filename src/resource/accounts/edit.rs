//! The four files with a merge applied, in memory. Minimal: lines, fields and list entries that are
//! right already keep their bytes, and applying a merge twice changes nothing the second time.

use std::collections::BTreeSet;

use super::files::Files;
use super::passwd::{SHADOWED, field};
use super::scheme;
use super::shadow::{self, ageing_fields};
use super::table::extend_list;
use super::{group, gshadow};
use crate::error::{Error, Kind, Result};
use crate::names::{Gid, Side, Uid, UserName};
use crate::plan::change::{AccountsMerge, GroupChange, Password, UserChange};
use crate::secret::{DigestKey, Secret};

/// What stands in a password field that nobody has set.
const LOCKED: &[u8] = b"!";

/// Both hosts' files while a merge is applied to those of one of them, here called the target's.
pub(super) struct Merge<'a> {
    source: &'a Files,
    target: &'a mut Files,
    /// Which host that is.
    onto: Side,
    key: DigestKey,
    /// Numbers that have a line on the target, ours included as they are added.
    uids: BTreeSet<Uid>,
    gids: BTreeSet<Gid>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(source: &'a Files, target: &'a mut Files, onto: Side) -> Self {
        // Whatever the direction, digests are keyed by the secrets of the migration's source.
        let key = match onto {
            Side::Source => target.digest_key(),
            Side::Target => source.digest_key(),
        };
        Self {
            key,
            onto,
            uids: target
                .passwd()
                .records()
                .map(|(_, line)| line.uid)
                .collect(),
            gids: target.group().records().map(|(_, line)| line.gid).collect(),
            source,
            target,
        }
    }

    /// Applies it, or says what is no longer as the plan saw it; the files are written by others.
    pub(super) fn apply(&mut self, merge: &AccountsMerge) -> Result<()> {
        for change in &merge.groups {
            self.group(change)?;
        }
        for change in &merge.users {
            self.user(change)?;
        }
        Ok(())
    }

    fn group(&mut self, change: &GroupChange) -> Result<()> {
        let name = change.name.as_bytes();
        let subject = || format!("the group {}", change.name);
        let onto = self.onto;
        let target = &mut *self.target;
        let is_new = target.group.table.get(name).is_none();
        let (list, known, holds_hash) = match target.group.table.get(name) {
            Some(line) if line.gid == change.gid => {
                let holds_hash = scheme::holds_hash(&line.password);
                (line.list.clone(), line.members.clone(), holds_hash)
            }
            Some(_) => return Err(stale(&subject(), &format!("its gid on the {onto}"))),
            None => (Vec::new(), BTreeSet::new(), false),
        };
        let password = match &change.password {
            Some(planned) if is_new || target.gshadow.is_some() => {
                let field = self.source.group_password(name);
                Some(checked(&self.key, planned, field, onto, &subject())?)
            }
            Some(_) | None => None,
        };
        let hash = password.map_or(LOCKED, Secret::expose);
        let members = extend(&list, &known, &change.add_members);
        if is_new {
            if !self.gids.insert(change.gid) {
                let what = format!("its gid, now another group's on the {onto},");
                return Err(stale(&subject(), &what));
            }
            let gid = change.gid.to_string();
            // Without gshadow the hash can only be here.
            let visible = match (password, &target.gshadow) {
                (Some(hash), None) => hash.expose(),
                _ => SHADOWED,
            };
            target
                .group
                .table
                .add(&[name, visible, gid.as_bytes(), &members]);
        } else {
            target.group.table.set(name, group::MEMBERS, &members);
        }
        let Some(gshadow) = &mut target.gshadow else {
            return Ok(());
        };
        match gshadow.table.get(name) {
            Some(line) => {
                let admins = extend(&line.admins.text, &line.admins.names, &change.add_admins);
                let members = extend(&line.members.text, &line.members.names, &change.add_members);
                gshadow.table.set(name, gshadow::ADMINS, &admins);
                gshadow.table.set(name, gshadow::MEMBERS, &members);
            }
            // A hash in group counts as long as gshadow has no line for it.
            None if holds_hash => {}
            None => {
                let admins = extend(b"", &BTreeSet::new(), &change.add_admins);
                gshadow.table.add(&[name, hash, &admins, &members]);
            }
        }
        Ok(())
    }

    fn user(&mut self, change: &UserChange) -> Result<()> {
        let name = change.name.as_bytes();
        let subject = format!("the account {}", change.name);
        let onto = self.onto;
        let password = match &change.password {
            Some(planned) => {
                let field = self.source.password(&change.name);
                Some(checked(&self.key, planned, field, onto, &subject)?.expose())
            }
            None => None,
        };
        self.passwd_line(change, &subject, password.is_some())?;
        let Some(shadow) = &mut self.target.shadow else {
            let what = format!("/etc/shadow, which is gone from the {onto}");
            return Err(stale(&subject, &what));
        };
        let fields = ageing_fields(&change.ageing)
            .map_err(|error| Error::caused(Kind::Internal, "the plan's reserved field", error))?;
        let Some(line) = shadow.table.get(name) else {
            let mut line = vec![name, password.unwrap_or(LOCKED)];
            line.extend(fields.iter().map(Vec::as_slice));
            shadow.table.add(&line);
            return Ok(());
        };
        let same_ageing = line.ageing == change.ageing;
        if let Some(password) = password {
            shadow.table.set(name, shadow::PASSWORD, password);
        }
        if !same_ageing {
            for (at, value) in fields.iter().enumerate() {
                shadow.table.set(name, shadow::AGEING + at, value);
            }
        }
        Ok(())
    }

    fn passwd_line(
        &mut self,
        change: &UserChange,
        subject: &str,
        carries_password: bool,
    ) -> Result<()> {
        let name = change.name.as_bytes();
        let onto = self.onto;
        let passwd = &mut self.target.passwd.table;
        let gid = change.gid.to_string();
        let Some(line) = passwd.get(name) else {
            if !self.uids.insert(change.uid) {
                let what = format!("its uid, now another account's on the {onto},");
                return Err(stale(subject, &what));
            }
            let uid = change.uid.to_string();
            passwd.add(&[
                name,
                SHADOWED,
                uid.as_bytes(),
                gid.as_bytes(),
                change.gecos.as_bytes(),
                change.home.as_bytes(),
                change.shell.as_bytes(),
            ]);
            return Ok(());
        };
        if line.uid != change.uid {
            return Err(stale(subject, &format!("its uid on the {onto}")));
        }
        let gid_differs = line.gid != change.gid;
        if carries_password {
            passwd.set(name, field::PASSWORD, SHADOWED);
        }
        if gid_differs {
            passwd.set(name, field::GID, gid.as_bytes());
        }
        passwd.set(name, field::GECOS, change.gecos.as_bytes());
        passwd.set(name, field::HOME, change.home.as_bytes());
        passwd.set(name, field::SHELL, change.shell.as_bytes());
        Ok(())
    }
}

/// The list with the names that it lacks.
fn extend(list: &[u8], known: &BTreeSet<UserName>, add: &BTreeSet<UserName>) -> Vec<u8> {
    extend_list(list, add.difference(known).map(UserName::as_bytes))
}

/// The field that is carried, if it is still the one that was planned.
fn checked<'s>(
    key: &DigestKey,
    planned: &Password,
    field: Option<&'s Secret>,
    onto: Side,
    subject: &str,
) -> Result<&'s Secret> {
    field
        .filter(|field| key.digest(field) == planned.digest)
        .ok_or_else(|| stale(subject, &format!("its password on the {}", onto.other())))
}

fn stale(subject: &str, what: &str) -> Error {
    Error::new(
        Kind::Stale,
        format!("{subject} changed since the plan was made: {what} is not what the plan saw"),
    )
    .hint("run `reconcile plan` again")
}
