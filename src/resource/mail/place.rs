//! From paths on hosts to open directories, which is what the replication engine works with.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::error::{Error, Kind, Result};
use crate::host::{Host, ReadHost};
use crate::names::UserName;
use crate::plan::change::{TreeKind, TreePaths};
use crate::raw::{HostPath, escape};
use crate::replicate::{Place, Tree};

/// One tree, opened on both sides.
#[derive(Debug)]
pub struct Places {
    kind: TreeKind,
    source: Option<(OwnedFd, Vec<u8>)>,
    target: (OwnedFd, Vec<u8>),
}

impl Places {
    /// Opens the directories that hold the tree. Where the target has none yet, its nearest existing
    /// parent and the first missing name stand for the tree: absent, as it should be.
    pub fn open(paths: &TreePaths, source: &dyn ReadHost, target: &dyn ReadHost) -> Result<Self> {
        let held = |host: &dyn ReadHost, path: &HostPath| -> Result<Option<(OwnedFd, Vec<u8>)>> {
            let name = path.file_name().to_vec();
            Ok(host.open_tree(&path.parent())?.map(|dir| (dir, name)))
        };
        let mut standing = paths.target.clone();
        let target = loop {
            match held(target, &standing)? {
                Some(held) => break held,
                None if standing.is_root() => {
                    let what = format!("{} is no path on {}", paths.target, target.label());
                    return Err(Error::new(Kind::Internal, what));
                }
                None => standing = standing.parent(),
            }
        };
        Ok(Self {
            kind: paths.kind,
            source: held(source, &paths.source)?,
            target,
        })
    }

    /// The tree for the engine.
    pub fn tree(&self) -> Tree<'_> {
        Tree {
            kind: self.kind,
            source: self.source.as_ref().map(place),
            target: place(&self.target),
        }
    }

    /// The target's directory, for making it durable.
    pub fn target_dir(&self) -> &OwnedFd {
        &self.target.0
    }
}

fn place((dir, name): &(OwnedFd, Vec<u8>)) -> Place<'_> {
    Place {
        dir: dir.as_fd(),
        name,
    }
}

/// The file of a tree's index within the migration's index directory. Slashes cannot occur: a user
/// name has none.
pub fn index_name(user: &UserName, kind: TreeKind) -> String {
    let suffix = match kind {
        TreeKind::Home => "home",
        TreeKind::Spool => "spool",
    };
    format!("{}.{suffix}", escape(user.as_bytes()))
}

/// Makes the directory that will hold a tree, if the target has none.
pub fn room_for(paths: &TreePaths, target: &dyn Host) -> Result<()> {
    target.make_dirs(&paths.target.parent(), 0o755)
}
