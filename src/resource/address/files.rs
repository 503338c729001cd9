//! Configuration files as they were observed: text by path, secrets hidden.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::host::{FileKind, ReadHost};
use crate::plan::change::Redaction;
use crate::raw::{HostPath, Raw};
use crate::resource::edit::redact::{Malformed, redact};
use crate::resource::edit::{self, Redacted};

/// Files by path. Text gets in only through [`redact`], also when it is deserialised.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Files(BTreeMap<HostPath, Redacted>);

/// A file that is not what its format says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadFile {
    /// The file.
    pub path: HostPath,
    /// Where, and what is wrong.
    pub malformed: Malformed,
}

impl BadFile {
    /// The failure, with the host.
    pub fn on(self, host: &str) -> Error {
        self.malformed.on(host, &self.path)
    }
}

impl Files {
    /// The text of a file.
    pub fn get(&self, path: &HostPath) -> Option<&str> {
        self.0.get(path).map(Redacted::as_str)
    }

    /// The text of a file, as proof that its secrets are hidden.
    pub fn redacted(&self, path: &HostPath) -> Option<&Redacted> {
        self.0.get(path)
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files directly in a directory, by name: path, name, text. Names that are not UTF-8 are no
    /// configuration of any backend.
    pub fn in_dir<'a>(
        &'a self,
        dir: &'a HostPath,
    ) -> impl Iterator<Item = (&'a HostPath, &'a str, &'a str)> {
        self.range(dir.join("")..)
            .take_while(|(path, _)| path.as_path().starts_with(dir.as_path()))
            .filter(|(path, _)| path.parent() == *dir)
            .filter_map(|(path, text)| {
                Some((path, std::str::from_utf8(path.file_name()).ok()?, text))
            })
    }

    /// All paths with their text.
    pub fn range(
        &self,
        range: impl RangeBounds<HostPath>,
    ) -> impl Iterator<Item = (&HostPath, &str)> {
        self.0
            .range(range)
            .map(|(path, text)| (path, text.as_str()))
    }

    /// Puts a text in, its secrets hidden.
    pub fn insert(&mut self, path: HostPath, text: &str) -> Result<(), BadFile> {
        match redact(redaction_of(&path), text) {
            Ok(text) => {
                self.0.insert(path, text);
                Ok(())
            }
            Err(malformed) => Err(BadFile { path, malformed }),
        }
    }

    /// Reads a file of the host, if it is there. A link to `/dev/null`, with which systemd masks
    /// files, reads as empty, with or without the device in an offline root.
    pub fn load(&mut self, host: &dyn ReadHost, path: &HostPath) -> Result<()> {
        let kind = host.stat(path)?.map(|stat| stat.kind);
        let null = host
            .read_link(path)?
            .is_some_and(|to| to.as_bytes().ends_with(b"/dev/null"));
        let text = match kind {
            _ if null => Some(String::new()),
            Some(FileKind::File) => edit::text(host, path)?,
            Some(FileKind::Dir | FileKind::Symlink | FileKind::Special) | None => None,
        };
        match text {
            Some(text) => self
                .insert(path.clone(), &text)
                .map_err(|bad| bad.on(&host.label())),
            None => Ok(()),
        }
    }

    /// Reads the files in a directory of the host whose names are `wanted`.
    pub fn load_dir(
        &mut self,
        host: &dyn ReadHost,
        dir: &HostPath,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        for name in names_in(host, dir)? {
            if name.as_str().is_some_and(&wanted) {
                self.load(host, &dir.join(name.as_bytes()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Files {
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut all = Self::default();
        for (path, text) in files {
            all.insert((*path).into(), text).unwrap();
        }
        all
    }
}

/// The names in a directory of the host; none if it is absent or something else.
pub(super) fn names_in(host: &dyn ReadHost, dir: &HostPath) -> Result<Vec<Raw>> {
    let stat = host.stat(dir)?;
    if stat.is_none_or(|stat| stat.kind != FileKind::Dir) {
        return Ok(Vec::new());
    }
    Ok(host.list(dir)?.into_iter().flatten().collect())
}

/// Whether a file name ends in `.EXTENSION`.
pub(super) fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == extension)
}

/// How secrets stand in a file, by where it is. interfaces(5) can source files from anywhere.
pub fn redaction_of(path: &HostPath) -> Redaction {
    let below = |dir: &str| path.as_path().starts_with(dir);
    if below("/etc/netplan") {
        Redaction::Yaml
    } else if below("/etc/sysconfig") {
        Redaction::Shell
    } else if below("/etc/NetworkManager") || path.as_bytes().windows(9).any(|w| w == b"/systemd/")
    {
        Redaction::Keyfile
    } else {
        Redaction::Words
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut files = Self::default();
        for (path, text) in BTreeMap::<HostPath, String>::deserialize(deserializer)? {
            files.insert(path, &text).map_err(|bad| {
                serde::de::Error::custom(format_args!("{}, {}", bad.path, bad.malformed))
            })?;
        }
        Ok(files)
    }
}
