//! The journal: one synced JSON line before and after each action, `journal.jsonl` beside the
//! receipt. It tells what a run that died was doing; what to do next is always observed anew.

use std::cell::Cell;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::host::{Host, NewFile, ReadHost};
use crate::manifest::MigrationName;
use crate::plan::ActionId;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// Version of a line.
const JOURNAL_VERSION: u32 = 1;

/// A journal of this size is put aside; the one before it goes. It holds some tens of thousands of
/// actions by then.
const FULL: u64 = 16 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Version of the line's form.
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// Process id of the run.
    pub run: u32,
    /// What happened.
    pub moment: Moment,
    /// To which action; absent for the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// It is about to begin.
    Begin,
    /// It was carried out, its result was looked at, and it is durable.
    Done,
    /// It failed.
    Failed,
}

/// An open journal.
pub struct Journal<'a> {
    target: &'a dyn Host,
    path: HostPath,
    /// A run that died in the middle of a line must not swallow our first one.
    torn: Cell<bool>,
}

impl std::fmt::Debug for Journal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn path(name: &MigrationName) -> HostPath {
    Receipt::directory(name).join("journal.jsonl")
}

impl<'a> Journal<'a> {
    /// Opens the journal of a migration.
    pub fn open(target: &'a dyn Host, name: &MigrationName) -> Result<Self> {
        let path = path(name);
        if target.lstat(&path)?.is_some_and(|stat| stat.size > FULL) {
            let old = Receipt::directory(name).join("journal.old.jsonl");
            target.remove_file(&old)?;
            target.rename_new(&path, &old)?;
        }
        let old = target.read(&path)?;
        let torn = old.is_some_and(|old| !old.is_empty() && !old.ends_with(b"\n"));
        Ok(Self {
            target,
            path,
            torn: Cell::new(torn),
        })
    }

    /// Writes a line about the run itself and waits until it is durable.
    pub fn write(&self, moment: Moment) -> Result<()> {
        self.append(&[Entry::now(moment, None)])
    }

    /// Writes a line for each action and waits once, until all are durable.
    pub fn write_all(&self, moment: Moment, actions: &[&ActionId]) -> Result<()> {
        let entry = |action: &&ActionId| Entry::now(moment, Some((*action).clone()));
        self.append(&actions.iter().map(entry).collect::<Vec<_>>())
    }

    fn append(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut lines = if self.torn.replace(false) {
            "\n".to_owned()
        } else {
            String::new()
        };
        for entry in entries {
            lines.push_str(&serde_json::to_string(entry).expect("an entry is plain data"));
            lines.push('\n');
        }
        self.target
            .append(&self.path, lines.as_bytes(), NewFile::root(0o600))?;
        for Entry { moment, action, .. } in entries {
            let subject = action.as_ref().map_or("run", |action| action.0.as_str());
            crate::failpoint::hit(&format!("journal:{}:{subject}", moment.word()));
        }
        Ok(())
    }
}

impl Entry {
    fn now(moment: Moment, action: Option<ActionId>) -> Self {
        let run = std::process::id();
        Self {
            v: JOURNAL_VERSION,
            at: Timestamp::now(),
            run,
            moment,
            action,
        }
    }
}

impl Moment {
    const fn word(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// The journal's lines, oldest first. A torn line (the machine died while it was written) is left out.
pub fn read_journal(target: &dyn ReadHost, name: &MigrationName) -> Result<Vec<Entry>> {
    let Some(bytes) = target.read(&path(name))? else {
        return Ok(Vec::new());
    };
    let lines = bytes.split(|&b| b == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}
