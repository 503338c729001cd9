//! What was met in a tree that is not carried, or not as it is, in words.

use crate::names::Side;
use crate::plan::Level;
use crate::plan::change::TreeKind;
use crate::raw::Raw;
use crate::replicate::{Oddities, Oddity};

/// One sentence for each kind of oddity in a tree that is copied from a side.
pub(super) fn sentences(kind: TreeKind, from: Side, oddities: &Oddities) -> Vec<(Level, String)> {
    let mut sentences = Vec::new();
    for (&oddity, seen) in &oddities.seen {
        let place = match kind {
            TreeKind::Home => "the home",
            TreeKind::Spool => "the spool",
        };
        let (level, what) = meaning(oddity);
        if oddity == Oddity::SourceAbsent {
            let onto = from.other();
            let what = format!("nothing on the {from}, and so left alone on the {onto}: {place}");
            sentences.push((level, what));
            continue;
        }
        let first = seen
            .first
            .first()
            .filter(|path| !matches!(path.as_bytes(), b"" | b"."))
            .map_or(String::new(), |path: &Raw| format!(", first: {path}"));
        let ids = match oddity {
            Oddity::UnknownOwner => unknown(oddities),
            _ => String::new(),
        };
        sentences.push((
            level,
            format!("in {place}, {what}{ids} ({}{first})", seen.count),
        ));
    }
    sentences
}

fn meaning(oddity: Oddity) -> (Level, &'static str) {
    use Level::{Info, Warning};
    match oddity {
        Oddity::Fifo => (Info, "fifos stay behind"),
        Oddity::Socket => (Info, "sockets stay behind"),
        Oddity::Device => (Warning, "device nodes stay behind"),
        Oddity::OtherFileSystem => (Warning, "mount points stay behind, with what is below them"),
        Oddity::ForeignHardLink => (
            Warning,
            "hard links to files of other users stay behind, unread",
        ),
        Oddity::LinkedOutside => (
            Info,
            "files that are also linked from outside are copied as files of their own",
        ),
        Oddity::SetIdDropped => (
            Warning,
            "setuid or setgid bits are dropped from files that are not the user's",
        ),
        Oddity::CapabilityDropped => (Warning, "file capabilities are dropped"),
        Oddity::UnknownOwner => (
            Warning,
            "files of ids without a name on both hosts keep the number, or go to root where it is \
             somebody else's",
        ),
        Oddity::ChangedWhileRead => (Warning, "files changed while they were read"),
        Oddity::ReservedName => (Warning, "names that reconcile uses for itself stay behind"),
        Oddity::ChangedByHand => (Warning, "files were changed by hand"),
        Oddity::SourceAbsent => (Info, "nothing to copy"),
    }
}

fn unknown(oddities: &Oddities) -> String {
    let uids = oddities.unknown_uids.iter().map(|uid| format!("uid {uid}"));
    let gids = oddities.unknown_gids.iter().map(|gid| format!("gid {gid}"));
    format!(": {}", uids.chain(gids).collect::<Vec<_>>().join(", "))
}
