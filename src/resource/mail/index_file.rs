//! Where a tree's index is kept.

use crate::host::IndexFile;
use crate::names::UserName;
use crate::plan::change::TreeKind;
use crate::raw::{HostPath, escape};

/// The file of a tree's index within the migration's index directory. Slashes cannot occur: a user
/// name has none.
pub fn index_file(dir: &HostPath, user: &UserName, kind: TreeKind) -> IndexFile {
    let suffix = match kind {
        TreeKind::Home => "home",
        TreeKind::Spool => "spool",
    };
    IndexFile {
        dir: dir.clone(),
        name: format!("{}.{suffix}", escape(user.as_bytes())),
    }
}
