//! Trees for people.

use std::collections::BTreeSet;

use crate::names::Side;
use crate::plan::change::{
    CopiedTree, Count, Delta, Difference, Extraneous, MailCopy, Rename, TreeKind, TreePaths,
};
use crate::plan::render::{Row, Sign};
use crate::plan::{Change, Resource};
use crate::replicate::ASIDE;
use crate::report::{counted, size};

/// So few differences are listed one by one; more are counted.
const LISTED: usize = 5;

/// The rows of a change of mail trees; none for other changes.
pub fn rows(change: &Change) -> Vec<Row> {
    match change {
        Change::CopyMail(copy) => vec![copy_row(copy)],
        Change::SetAside { user, renames } => vec![Row {
            sign: Sign::Update,
            resource: Resource::Mail(user.clone()),
            title: "set aside what is in the way".to_owned(),
            details: renames
                .iter()
                .map(|Rename { from, to }| format!("{from} -> {to}"))
                .collect(),
        }],
        Change::ClaimTrees { users } => vec![Row {
            sign: Sign::Run,
            resource: Resource::Migration,
            title: format!(
                "record the trees of {} as managed by this migration",
                counted(users.len() as u64, "user", "users")
            ),
            details: directories(users.values().flatten()),
        }],
        Change::ProveMail(copy) => vec![Row {
            sign: Sign::Run,
            resource: Resource::Mail(copy.user.clone()),
            title: "compare every file by content".to_owned(),
            details: Vec::new(),
        }],
        _ => Vec::new(),
    }
}

/// Where the trees come from and go to: `home: /home -> /srv/home`, each pair of directories once.
fn directories<'a>(trees: impl Iterator<Item = &'a TreePaths>) -> Vec<String> {
    let pairs: BTreeSet<_> = trees
        .map(|tree| (tree.kind, tree.source.parent(), tree.target.parent()))
        .collect();
    let more = pairs.len().saturating_sub(LISTED);
    let more = (more > 0).then(|| format!("and {more} more directories"));
    let listed = pairs.iter().take(LISTED);
    listed
        .map(|(kind, from, to)| format!("{}: {from} -> {to}", tree_name(*kind)))
        .chain(more)
        .collect()
}

fn copy_row(copy: &MailCopy) -> Row {
    let delta = &copy.delta;
    let only_new = [delta.update, delta.touch, delta.remove]
        .iter()
        .all(|c| c.files == 0);
    let details = if !only_new && delta.sample.len() <= LISTED {
        delta
            .sample
            .iter()
            .map(|sample| {
                let tree = tree_name(sample.tree);
                let differs = difference_from(copy.from, sample.differs);
                match sample.path.as_bytes() {
                    b"" | b"." => format!("{tree} ({differs})"),
                    _ => format!("{tree}: {} ({differs})", sample.path),
                }
            })
            .collect()
    } else {
        Vec::new()
    };
    let kept = copy.trees.iter().filter_map(|tree| kept(copy.from, tree));
    let details = details.into_iter().chain(kept).collect();
    Row {
        sign: if only_new { Sign::Create } else { Sign::Update },
        resource: Resource::Mail(copy.user.clone()),
        title: summary(delta),
        details,
    }
}

/// Where what is replaced or removed is kept.
fn kept(from: Side, tree: &CopiedTree) -> Option<String> {
    let Extraneous::SetAside(label) = &tree.extraneous else {
        return None;
    };
    let top = tree.paths.on(from.other());
    let aside = top.parent().join(ASIDE).join(label.as_bytes());
    let kept = aside.join(top.file_name());
    Some(format!("what goes is kept in {kept}"))
}

/// `12 new (3.1 MB), 2 changed (40 kB), 1 with other metadata, 1 removed`.
fn summary(delta: &Delta) -> String {
    let part = |count: Count, what: &str| {
        (count.files > 0).then(|| match count.bytes {
            0 => format!("{} {what}", count.files),
            bytes => format!("{} {what} ({})", count.files, size(bytes)),
        })
    };
    let touched = Count {
        bytes: 0,
        ..delta.touch
    };
    let parts: Vec<String> = [
        part(delta.create, "new"),
        part(delta.update, "changed"),
        part(touched, "with other metadata"),
        part(delta.remove, "removed"),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.join(", ")
}

/// A tree's kind as a word.
pub(crate) fn tree_name(kind: TreeKind) -> &'static str {
    match kind {
        TreeKind::Home => "home",
        TreeKind::Spool => "spool",
    }
}

/// What differs on the side that is written, in words.
fn difference_from(from: Side, differs: Difference) -> &'static str {
    match (from, differs) {
        (Side::Target, Difference::Missing) => "missing on the source",
        (Side::Target, Difference::Extraneous) => "not on the target",
        _ => difference(differs),
    }
}

/// What differs, in words.
pub(crate) fn difference(difference: Difference) -> &'static str {
    match difference {
        Difference::Missing => "missing on the target",
        Difference::Extraneous => "not on the source",
        Difference::Kind => "of another kind",
        Difference::Content => "other content",
        Difference::Owner => "other owner",
        Difference::Mode => "other mode",
        Difference::Mtime => "other modification time",
        Difference::Xattrs => "other attributes or ACL",
        Difference::HardLinks => "other hard links",
    }
}
