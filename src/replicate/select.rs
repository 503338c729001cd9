//! Which entries of a home take part, on both sides.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Kind, Result};
use crate::plan::change::{Selection, TreeKind};

/// A compiled [`Selection`]: made once, used for every user.
#[derive(Clone, Debug)]
pub struct Filter {
    only: Option<BTreeSet<Vec<u8>>>,
    exclude: GlobSet,
}

impl Filter {
    /// Compiles a selection. In a glob `*` does not match `/`, `**` does.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for a glob that cannot be understood.
    pub fn new(selection: &Selection) -> Result<Self> {
        let mut exclude = GlobSetBuilder::new();
        for glob in &selection.exclude {
            let built = GlobBuilder::new(glob)
                .literal_separator(true)
                .build()
                .map_err(|e| Error::caused(Kind::Usage, format!("bad glob {glob:?}"), e))?;
            exclude.add(built);
        }
        let exclude = exclude
            .build()
            .map_err(|e| Error::caused(Kind::Usage, "the excluded globs are too large", e))?;
        let only = selection.only.as_ref().map(|names| {
            names
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect::<BTreeSet<_>>()
        });
        Ok(Self { only, exclude })
    }

    /// Whether the entry at `path`, relative to the tree's top, takes part. The top always does, and
    /// so does all of a spool.
    pub(super) fn takes(&self, kind: TreeKind, path: &[u8]) -> bool {
        if kind != TreeKind::Home || path.is_empty() {
            return true;
        }
        if let Some(only) = &self.only
            && !path.contains(&b'/')
            && !only.contains(path)
        {
            return false;
        }
        self.exclude.is_empty() || !self.exclude.is_match(OsStr::from_bytes(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(only: Option<&[&str]>, exclude: &[&str]) -> Filter {
        Filter::new(&Selection {
            only: only.map(|names| names.iter().map(|&name| name.into()).collect()),
            exclude: exclude.iter().map(|&glob| glob.to_owned()).collect(),
        })
        .unwrap()
    }

    #[test]
    fn only_restricts_the_top_of_a_home() {
        let filter = filter(Some(&["mail", ".forward"]), &[]);
        for (path, taken) in [
            (&b""[..], true),
            (b"mail", true),
            (b"mail/a/b", true),
            (b".forward", true),
            (b"Music", false),
            (b"mailx", false),
        ] {
            assert_eq!(filter.takes(TreeKind::Home, path), taken, "{path:?}");
        }
        assert!(filter.takes(TreeKind::Spool, b"anything"));
    }

    #[test]
    fn globs_are_relative_to_the_home_and_know_bytes() {
        let filter = filter(None, &[".cache/**", "*.core", "**/*.tmp"]);
        for (path, taken) in [
            (&b".cache"[..], true),
            (b".cache/x", false),
            (b"sub/.cache/x", true),
            (b"a.core", false),
            (b"sub/a.core", true),
            (b"sub/caf\xe9.tmp", false),
            (b"caf\xe9", true),
        ] {
            assert_eq!(filter.takes(TreeKind::Home, path), taken, "{path:?}");
        }
    }

    #[test]
    fn a_bad_glob_is_refused() {
        let selection = Selection {
            only: None,
            exclude: vec!["a[".to_owned()],
        };
        assert_eq!(Filter::new(&selection).unwrap_err().kind(), Kind::Usage);
    }
}
