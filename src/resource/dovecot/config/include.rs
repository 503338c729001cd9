//! Reading `dovecot.conf` with its includes from a host, in the order in which Dovecot reads them.

use std::collections::BTreeMap;

use globset::GlobBuilder;

use super::braces;
use super::files::Files;
use super::syntax::{self, Statement};
use super::{Assignment, Scope};
use crate::error::{Error, Kind, Result};
use crate::host::FileKind;
use crate::raw::{HostPath, Raw};

/// More would be a mistake; Dovecot itself only refuses a file that includes itself.
const DEPTH_LIMIT: usize = 32;
const FILE_LIMIT: usize = 4096;

/// A file that is read as if it were on the host with this content.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// Where it would be.
    pub path: &'a HostPath,
    /// What it would say.
    pub content: &'a str,
}

/// A statement and the sections that it stands in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Headers of the sections, outermost first.
    pub sections: Vec<String>,
    /// The name of the setting; empty where the innermost section begins.
    pub key: String,
    /// Its value, unquoted.
    pub value: String,
}

/// What a configuration says about the settings that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The files, in the order in which they were read.
    pub files: Vec<HostPath>,
    /// Every statement, in the order in which Dovecot meets them.
    pub statements: Vec<Placed>,
    settings: BTreeMap<String, Vec<Assignment>>,
    /// Groups that are taken in, by header, and for whom.
    groups: Vec<(String, Scope)>,
}

impl Reading {
    /// Every assignment of a setting, in the order in which Dovecot meets them.
    pub fn of(&self, key: &str) -> &[Assignment] {
        self.settings.get(key).map_or(&[], Vec::as_slice)
    }

    /// Puts the assignments of groups where they are taken in. A value that is given there itself
    /// wins, wherever it stands (observed with doveconf 2.4.1), so they go to the front.
    fn resolve_groups(&mut self) {
        for assignments in self.settings.values_mut() {
            let mut all = Vec::new();
            for (header, scope) in &self.groups {
                let members = assignments
                    .iter()
                    .filter(|a| matches!(&a.scope, Scope::Group(g) if g == header));
                all.extend(members.map(|a| Assignment {
                    scope: scope.clone(),
                    ..a.clone()
                }));
            }
            all.append(assignments);
            *assignments = all;
        }
    }
}

/// Reads `main` and what it includes, and keeps the assignments of `keys`.
///
/// A file that does not follow the grammar, an include that matches nothing and an include loop are
/// [`Kind::Malformed`], with host, file and line.
pub fn read(
    host: &Files<'_>,
    main: &HostPath,
    overlay: Option<Overlay<'_>>,
    keys: &[&str],
) -> Result<Reading> {
    let mut reader = Reader {
        host,
        overlay,
        keys,
        open: Vec::new(),
        sections: Vec::new(),
        reading: Reading::default(),
    };
    reader.file(main, None)?;
    reader.reading.resolve_groups();
    Ok(reader.reading)
}

struct Reader<'a> {
    host: &'a Files<'a>,
    overlay: Option<Overlay<'a>>,
    keys: &'a [&'a str],
    /// The files that are being read, each included by the one before.
    open: Vec<HostPath>,
    /// Headers of the open sections, outermost first.
    sections: Vec<String>,
    reading: Reading,
}

/// The line that includes a file.
struct Place<'a> {
    file: &'a HostPath,
    line: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &HostPath, from: Option<&Place<'_>>) -> Result<()> {
        if self.open.contains(path) {
            return Err(self.at(from, path, "it includes itself"));
        }
        if self.open.len() >= DEPTH_LIMIT || self.reading.files.len() >= FILE_LIMIT {
            return Err(self.at(from, path, "too many files are included"));
        }
        let bytes = self
            .content(path, from)?
            .ok_or_else(|| self.at(from, path, "there is no such file"))?;
        // Comments in old files are Latin-1; what matters here is ASCII.
        let text = String::from_utf8_lossy(&bytes);
        let lines = syntax::parse(&text).map_err(|e| {
            self.malformed(
                &Place {
                    file: path,
                    line: e.line,
                },
                e.what,
            )
        })?;
        self.open.push(path.clone());
        self.reading.files.push(path.clone());
        for line in lines {
            let here = Place {
                file: path,
                line: line.number,
            };
            match line.statement {
                Statement::Assign { key, value } => self.assign(&here, key, value),
                Statement::Open(header) => {
                    self.sections.push(header);
                    self.place("", "");
                }
                Statement::Close => {
                    self.sections.pop();
                }
                Statement::Include(pattern) => {
                    let files = self.matching(&here, &pattern)?;
                    if files.is_empty() {
                        return Err(self.malformed(&here, &format!("nothing matches {pattern}")));
                    }
                    for file in files {
                        self.file(&file, Some(&here))?;
                    }
                }
                Statement::IncludeTry(pattern) => {
                    for file in self.matching(&here, &pattern)? {
                        self.file(&file, Some(&here))?;
                    }
                }
            }
        }
        self.open.pop();
        Ok(())
    }

    fn place(&mut self, key: &str, value: &str) {
        self.reading.statements.push(Placed {
            sections: self.sections.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }

    fn assign(&mut self, here: &Place<'_>, key: String, value: String) {
        self.place(&key, &value);
        if key.starts_with('@') {
            let scope = Scope::of(&self.sections);
            self.reading
                .groups
                .push((format!("group {key} {value}"), scope));
        } else if self.keys.contains(&key.as_str()) {
            self.reading
                .settings
                .entry(key)
                .or_default()
                .push(Assignment {
                    file: here.file.clone(),
                    line: here.line,
                    scope: Scope::of(&self.sections),
                    value,
                });
        }
    }

    /// The files that a pattern names, relative to the including file, in glob(3)'s order.
    fn matching(&self, here: &Place<'_>, pattern: &str) -> Result<Vec<HostPath>> {
        let mut present = Vec::new();
        for pattern in braces::alternatives(pattern, FILE_LIMIT) {
            present.extend(self.glob(here, &pattern)?);
        }
        Ok(present)
    }

    /// The same for a pattern without braces.
    fn glob(&self, here: &Place<'_>, pattern: &str) -> Result<Vec<HostPath>> {
        let (start, rest) = match pattern.strip_prefix('/') {
            Some(rest) => (HostPath::from("/"), rest),
            None => (here.file.parent(), pattern),
        };
        let mut found = vec![start];
        for component in rest.split('/').filter(|c| !c.is_empty() && *c != ".") {
            found = if component.contains(['*', '?', '[']) {
                self.expand(here, &found, component)?
            } else if component == ".." {
                found.iter().map(HostPath::parent).collect()
            } else {
                found.iter().map(|dir| dir.join(component)).collect()
            };
        }
        self.host.ahead(&found);
        let mut present = Vec::new();
        for path in found {
            if self.is_overlay(&path) || self.host.stat(&path)?.is_some() {
                present.push(path);
            }
        }
        Ok(present)
    }

    /// The entries of `dirs` that match one component of a pattern.
    fn expand(
        &self,
        here: &Place<'_>,
        dirs: &[HostPath],
        component: &str,
    ) -> Result<Vec<HostPath>> {
        let glob = GlobBuilder::new(component)
            .literal_separator(true)
            .build()
            .map_err(|e| self.malformed(here, &format!("bad pattern {component}: {e}")))?
            .compile_matcher();
        let mut found = Vec::new();
        for dir in dirs {
            let is_dir = self
                .host
                .stat(dir)?
                .is_some_and(|s| s.kind == FileKind::Dir);
            let mut names = if is_dir {
                self.host.list(dir)?.unwrap_or_default()
            } else {
                Vec::new()
            };
            if let Some(overlay) = self.overlay
                && overlay.path.parent() == *dir
            {
                names.push(Raw::from(overlay.path.file_name()));
                names.sort();
                names.dedup();
            }
            found.extend(
                names
                    .iter()
                    // A wildcard does not match a leading dot: glob(3).
                    .filter(|name| component.starts_with('.') || !name.as_bytes().starts_with(b"."))
                    .filter(|name| glob.is_match(name.as_os_str()))
                    .map(|name| dir.join(name.as_bytes())),
            );
        }
        Ok(found)
    }

    fn is_overlay(&self, path: &HostPath) -> bool {
        self.overlay.is_some_and(|overlay| overlay.path == path)
    }

    fn content(&self, path: &HostPath, from: Option<&Place<'_>>) -> Result<Option<Vec<u8>>> {
        match self.overlay {
            Some(overlay) if overlay.path == path => Ok(Some(overlay.content.into())),
            _ => match self.host.stat(path)? {
                None => Ok(None),
                Some(stat) if stat.kind == FileKind::File => self.host.read(path),
                Some(_) => Err(self.at(from, path, "it is not a regular file")),
            },
        }
    }

    /// A file that cannot be read as configuration, blamed on the line that includes it.
    fn at(&self, from: Option<&Place<'_>>, path: &HostPath, what: &str) -> Error {
        let Some(from) = from else {
            let what = format!("cannot read {path} on {}: {what}", self.host.label());
            return Error::new(Kind::Malformed, what);
        };
        self.malformed(from, &format!("cannot include {path}: {what}"))
    }

    fn malformed(&self, here: &Place<'_>, what: &str) -> Error {
        let host = self.host.label();
        Error::new(
            Kind::Malformed,
            format!("{}:{} on {host}: {what}", here.file, here.line),
        )
        .hint("correct that line; `doveconf -n` on that host says when it is right")
    }
}
