//! What must be done about each user's trees. Pure.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobSet;

use super::{Actual, Problem, TreeState, UserMail, Volume, diff_back, oddity, reverses, selection};
use crate::manifest::{Homes, Manifest};
use crate::names::{Side, UserName};
use crate::plan::change::{CopiedTree, Extraneous, MailCopy, Rename, TreePaths};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Receipt;
use crate::report::counted;
use crate::resource::accounts::{Clearance, Resolved};

/// Compares what is there with what should be.
pub fn diff(
    manifest: &Manifest,
    actual: &Actual,
    resolved: &Resolved,
    receipt: Option<&Receipt>,
) -> Draft {
    let mut draft = Draft::default();
    if let Some(receipt) = receipt.filter(|receipt| receipt.authority == Side::Target) {
        if let (true, Some(back)) = (reverses(manifest, Some(receipt)), &actual.back) {
            return diff_back(manifest, back, receipt);
        }
        let text = format!(
            "the target's accounts and mail count since {}: none are copied any more",
            receipt.since
        );
        draft.note(Resource::Migration, Level::Info, text);
        return draft;
    }
    let adopt = crate::resource::patterns(&manifest.mail.adopt);
    let mut claims = BTreeMap::new();
    for (name, chosen) in &resolved.users {
        match (chosen.blocked, actual.users.get(name)) {
            (Clearance::Clear, Some(mail)) => {
                let user = User {
                    manifest,
                    receipt,
                    name,
                    mail,
                };
                user.plan(&adopt, &mut claims, &mut draft);
            }
            (Clearance::Clear, None) | (Clearance::InConflict, _) => {
                let on = vec![Fact::AccountExists(name.clone())];
                draft.block(Resource::Mail(name.clone()), Obstacle::Waits { on });
            }
        }
    }
    claim(claims, &mut draft);
    let trees = actual.users.values().flat_map(|user| &user.trees);
    room_on(Side::Target, &actual.volumes, &trees, &mut draft);
    strays(actual, &mut draft);
    left_behind(manifest, &mut draft);
    draft
}

/// The copies of everybody's trees, whether or not they differ now.
pub fn copies(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Vec<MailCopy> {
    let copy = |(name, mail)| {
        let user = User {
            manifest,
            receipt,
            name,
            mail,
        };
        user.copy()
    };
    actual.users.iter().map(copy).collect()
}

struct User<'a> {
    manifest: &'a Manifest,
    receipt: Option<&'a Receipt>,
    name: &'a UserName,
    mail: &'a UserMail,
}

impl User<'_> {
    fn plan(
        &self,
        adopt: &GlobSet,
        claims: &mut BTreeMap<UserName, Vec<TreePaths>>,
        draft: &mut Draft,
    ) {
        let resource = || Resource::Mail(self.name.clone());
        for tree in &self.mail.trees {
            for (level, text) in oddity::sentences(tree.paths.kind, Side::Source, &tree.oddities) {
                draft.note(resource(), level, text);
            }
        }
        if !self.mail.problems.is_empty() {
            for problem in &self.mail.problems {
                draft.block(
                    resource(),
                    Obstacle::Mail {
                        problem: problem.clone(),
                    },
                );
            }
            return;
        }
        if !self.make_clear(adopt, draft) {
            return;
        }
        let claimed = Fact::TreesClaimed(self.name.clone());
        let managed = self.mail.trees.iter().all(|tree| self.manages(tree));
        if managed {
            draft.settled.insert(claimed.clone());
        } else {
            claims.insert(self.name.clone(), self.mail.paths());
            self.abandoned(draft);
        }
        let copied = Fact::MailCopied(self.name.clone());
        let copy = self.copy();
        if copy.delta.is_empty() {
            draft.settled.insert(copied.clone());
        } else {
            let because = if managed {
                Reason::MailDiffers
            } else {
                Reason::FirstCopy
            };
            let needs = BTreeSet::from([
                Fact::AccountExists(self.name.clone()),
                Fact::TreesClear(self.name.clone()),
                Fact::TargetQuiet,
                claimed,
            ]);
            let change = Change::CopyMail(copy.clone());
            draft
                .actions
                .push(self.action("copy", change, because, needs, copied.clone()));
        }
        // Between live hosts mail is proven when it stands still.
        if self.manifest.serve_from == Side::Target && !self.manifest.source.host.is_live() {
            let needs = BTreeSet::from([copied, Fact::TargetQuiet]);
            let proven = Fact::MailProven(self.name.clone());
            let because = Reason::BeforeHandOver;
            draft.actions.push(self.action(
                "prove",
                Change::ProveMail(copy),
                because,
                needs,
                proven,
            ));
        }
    }

    /// Settles or plans that nothing is in the way; false if something stays there.
    fn make_clear(&self, adopt: &GlobSet, draft: &mut Draft) -> bool {
        let foreign = |tree: &TreeState| tree.in_the_way.clone().filter(|_| !self.manages(tree));
        let renames: Vec<Rename> = self.mail.trees.iter().filter_map(foreign).collect();
        let clear = Fact::TreesClear(self.name.clone());
        if renames.is_empty() {
            draft.settled.insert(clear);
            return true;
        }
        if !adopt.is_match(crate::resource::as_path(self.name)) {
            for rename in renames {
                let problem = Problem::InTheWay {
                    path: rename.from,
                    user: self.name.clone(),
                };
                draft.block(
                    Resource::Mail(self.name.clone()),
                    Obstacle::Mail { problem },
                );
            }
            return false;
        }
        let change = Change::SetAside {
            user: self.name.clone(),
            renames,
        };
        let needs = BTreeSet::from([Fact::TargetQuiet]);
        let action = self.action("aside", change, Reason::Adopted, needs, clear);
        let undo = "rename it back".to_owned();
        draft.actions.push(Action {
            undo: Undo::Manual(undo),
            ..action
        });
        true
    }

    /// A home that moves on the source leaves its old copy on the target.
    fn abandoned(&self, draft: &mut Draft) {
        let before = self.receipt.and_then(|r| r.trees.get(self.name));
        let is_left = |old: &&TreePaths| {
            let mut now = self.mail.trees.iter();
            now.all(|tree| tree.paths.target != old.target)
        };
        for old in before.into_iter().flatten().filter(is_left) {
            let text = format!(
                "{} on the target was copied before and is not where this user's files are now; \
                 it stays there, remove it by hand",
                old.target
            );
            draft.note(Resource::Mail(self.name.clone()), Level::Warning, text);
        }
    }

    /// Whether an earlier run claimed this tree.
    fn manages(&self, tree: &TreeState) -> bool {
        self.receipt
            .is_some_and(|receipt| receipt.manages(self.name, &tree.paths))
    }

    fn copy(&self) -> MailCopy {
        let copied = |tree: &TreeState| CopiedTree {
            paths: tree.paths.clone(),
            extraneous: if self.manages(tree) {
                Extraneous::Remove
            } else {
                Extraneous::Refuse
            },
        };
        MailCopy {
            user: self.name.clone(),
            from: Side::Source,
            uid: self.mail.uid,
            trees: self.mail.trees.iter().map(copied).collect(),
            select: selection(self.manifest),
            delta: self.mail.delta(),
        }
    }

    fn action(
        &self,
        verb: &str,
        change: Change,
        because: Reason,
        needs: BTreeSet<Fact>,
        gives: Fact,
    ) -> Action {
        Action {
            id: ActionId(format!("mail/{}/{verb}", self.name)),
            change,
            because,
            needs,
            gives: BTreeSet::from([gives]),
            risk: Risk::Safe,
            undo: Undo::Repeat,
        }
    }
}

/// One record for all trees that will be written for the first time.
fn claim(users: BTreeMap<UserName, Vec<TreePaths>>, draft: &mut Draft) {
    if users.is_empty() {
        return;
    }
    draft.actions.push(Action {
        id: ActionId("mail/claim".to_owned()),
        needs: users.keys().cloned().map(Fact::TreesClear).collect(),
        gives: users.keys().cloned().map(Fact::TreesClaimed).collect(),
        change: Change::ClaimTrees { users },
        because: Reason::FirstCopy,
        risk: Risk::Safe,
        undo: Undo::Repeat,
    });
}

/// Space and inodes: what is transferred, one temporary copy of the largest file, and a tenth.
///
/// On the source everything that is replaced stays beside what replaces it, and what is made is
/// recorded there as well.
pub(super) fn room_on<'a>(
    side: Side,
    volumes: &[Volume],
    trees: &(impl Iterator<Item = &'a TreeState> + Clone),
    draft: &mut Draft,
) {
    for (number, volume) in volumes.iter().enumerate() {
        let (mut bytes, mut inodes, mut largest) = (0_u64, 0_u64, 0_u64);
        for tree in trees.clone().filter(|tree| tree.volume == number) {
            let delta = &tree.delta;
            bytes = bytes.saturating_add(delta.bytes());
            inodes = inodes.saturating_add(delta.create.files);
            if side == Side::Source {
                bytes = bytes.saturating_add(delta.touch.bytes);
                let kept = [delta.create, delta.update, delta.touch];
                let kept = kept.iter().map(|count| count.files).sum();
                inodes = inodes.saturating_add(kept);
            }
            largest = largest.max(tree.delta.largest);
        }
        if bytes == 0 && inodes == 0 {
            continue;
        }
        let path = volume.path.clone();
        let needed = bytes.saturating_add(bytes / 10).saturating_add(largest);
        if needed > volume.free_bytes {
            let problem = Problem::NoRoom {
                path: path.clone(),
                needed,
                free: volume.free_bytes,
            };
            draft.block(Resource::Migration, Obstacle::Mail { problem });
        }
        let needed = inodes.saturating_add(inodes / 10);
        if let Some(free) = volume.free_inodes.filter(|&free| needed > free) {
            let problem = Problem::NoInodes { path, needed, free };
            draft.block(Resource::Migration, Obstacle::Mail { problem });
        }
    }
}

/// What the manifest leaves on the source is easily forgotten until the disk is gone.
fn left_behind(manifest: &Manifest, draft: &mut Draft) {
    if manifest.mail.homes == Homes::MailOnly {
        let text = "homes: mail-only: of each home only the mail folders and the dot files that \
                    steer mail are copied, all else stays behind";
        draft.note(Resource::Migration, Level::Info, text);
    }
    if !manifest.mail.exclude.is_empty() {
        let text = format!(
            "mail.exclude: in every home `{}` stays behind",
            manifest.mail.exclude.join("`, `")
        );
        draft.note(Resource::Migration, Level::Info, text);
    }
}

fn strays(actual: &Actual, draft: &mut Draft) {
    let strays = &actual.strays;
    if strays.count > 0 {
        let names: Vec<String> = strays.first.iter().map(ToString::to_string).collect();
        let text = format!(
            "{} in the source's spool for nobody who moves, left there: {}{}",
            counted(strays.count, "entry", "entries"),
            names.join(", "),
            if strays.count > names.len() as u64 {
                ", ..."
            } else {
                ""
            }
        );
        draft.note(Resource::Migration, Level::Info, text);
    }
}
