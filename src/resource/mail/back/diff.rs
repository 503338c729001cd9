//! What must be done about each user's trees on the source. Pure.

use std::collections::BTreeSet;

use globset::GlobSet;

use super::super::diff::room_on;
use super::super::{Problem, UserMail, oddity, selection};
use super::{Back, Seal};
use crate::manifest::Manifest;
use crate::names::{Side, UserName};
use crate::plan::change::{CopiedTree, Extraneous, MailCopy};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Receipt;

/// Compares what is on the source with what is on the target, whose mail counts.
pub fn diff_back(manifest: &Manifest, back: &Back, receipt: &Receipt) -> Draft {
    let mut draft = Draft::default();
    let adopt = crate::resource::patterns(&manifest.mail.adopt);
    for (name, mail) in &back.users {
        let resource = Resource::Mail(name.clone());
        for tree in &mail.trees {
            for (level, text) in oddity::sentences(tree.paths.kind, Side::Target, &tree.oddities) {
                draft.note(resource.clone(), level, text);
            }
        }
        let mut clear = true;
        for problem in &mail.problems {
            if !is_adopted(problem, name, &adopt) {
                clear = false;
                let problem = problem.clone();
                draft.block(resource.clone(), Obstacle::Mail { problem });
            }
        }
        if clear {
            plan_copy(copy(manifest, name, mail, receipt), &mut draft);
        }
    }
    if back.seal == Seal::Unknown {
        let text = "when the source handed over is not on record there: what was changed on it by hand \
                    since cannot be told, and is set aside and replaced";
        draft.note(Resource::Migration, Level::Warning, text);
    }
    let trees = back.users.values().flat_map(|user| &user.trees);
    room_on(Side::Source, &back.volumes, &trees, &mut draft);
    draft
}

/// A copy back for every user, also of those of whom nothing differs yet: mail arrives all the time.
pub fn copies_back(manifest: &Manifest, back: &Back, receipt: &Receipt) -> Vec<MailCopy> {
    let users = back.users.iter();
    users
        .map(|(name, mail)| copy(manifest, name, mail, receipt))
        .collect()
}

fn is_adopted(problem: &Problem, name: &UserName, adopt: &GlobSet) -> bool {
    matches!(problem, Problem::ChangedByHand { .. })
        && adopt.is_match(crate::resource::as_path(name))
}

fn copy(manifest: &Manifest, name: &UserName, mail: &UserMail, receipt: &Receipt) -> MailCopy {
    let copied = |paths: &crate::plan::change::TreePaths| CopiedTree {
        paths: paths.clone(),
        extraneous: Extraneous::SetAside(receipt.aside_name()),
    };
    MailCopy {
        user: name.clone(),
        from: Side::Target,
        uid: mail.uid,
        trees: mail.paths().iter().map(copied).collect(),
        select: selection(manifest),
        delta: mail.delta(),
    }
}

fn plan_copy(copy: MailCopy, draft: &mut Draft) {
    let name = copy.user.clone();
    let copied = Fact::MailCopied(name.clone());
    if copy.delta.is_empty() {
        draft.settled.insert(copied);
        return;
    }
    draft.actions.push(Action {
        id: ActionId(format!("mail/{name}/back")),
        change: Change::CopyMail(copy),
        because: Reason::CarriedBack,
        needs: BTreeSet::from([
            Fact::AccountExists(name),
            // Whoever opens an incomplete mailbox there destroys what clients remember of it.
            Fact::MailFrozen(Side::Source),
        ]),
        gives: BTreeSet::from([copied]),
        risk: Risk::Safe,
        undo: Undo::Repeat,
    });
}
