//! The journal: one synced JSON line before and after each action, `journal.jsonl` beside the
//! receipt. It tells what a run that died was doing; what to do next is always observed anew.

use std::sync::Mutex;

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
    torn: Mutex<bool>,
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
            torn: Mutex::new(torn),
        })
    }

    /// Writes a line and waits until it is durable.
    pub fn write(&self, moment: Moment, action: Option<&ActionId>) -> Result<()> {
        let entry = Entry {
            v: JOURNAL_VERSION,
            at: Timestamp::now(),
            run: std::process::id(),
            moment,
            action: action.cloned(),
        };
        let mut line = serde_json::to_string(&entry).expect("an entry is plain data");
        line.push('\n');
        let mut torn = self
            .torn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if std::mem::take(&mut *torn) {
            line.insert(0, '\n');
        }
        self.target
            .append(&self.path, line.as_bytes(), NewFile::root(0o600))?;
        let subject = action.map_or("run".to_owned(), ToString::to_string);
        let moment = match moment {
            Moment::Begin => "begin",
            Moment::Done => "done",
            Moment::Failed => "failed",
        };
        crate::failpoint::hit(&format!("journal:{moment}:{subject}"));
        Ok(())
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
