//! Changes of single lines in configuration files: made from two texts, applied exactly or not at all.
//!
//! An edit rests on the digest of the text that the plan saw, so that a file changed in between is
//! refused, and knows the digest of its result, so that applying twice changes nothing. Where a file
//! can hold secrets, both digests and the lines are those of the [`redact`]ed text. What the lines
//! mean is known to the resources alone.

#[cfg(test)]
pub(crate) mod fake;
pub mod redact;

use similar::{Algorithm, DiffOp, TextDiff};

use crate::error::{Error, Kind, Result};
use crate::host::{Host, NewFile, ReadHost};
use crate::names::Side;
use crate::plan::change::{FileEdit, LineEdit, Redaction};
use crate::raw::HostPath;
pub use redact::{HIDDEN, Redacted};

/// Lines shown around a change, as `diff -u` does.
const CONTEXT: usize = 3;

/// The edit that turns `before` (`None`: no such file) into `after`, in a file of the target without
/// secrets.
/// `mode`: permission bits if the file is made new.
pub fn between(path: &HostPath, before: Option<&str>, after: &str, mode: u32) -> FileEdit {
    let old = lines(before.unwrap_or_default());
    let new = lines(after);
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .newline_terminated(true)
        .diff_slices(&old, &new);
    let edits = diff.ops().iter().filter_map(|op| line_edit(op, &new));
    let from = before.map_or_else(|| "/dev/null".to_owned(), |_| path.to_string());
    FileEdit {
        side: Side::Target,
        path: path.clone(),
        before: before.map(digest),
        after: digest(after),
        redaction: Redaction::None,
        edits: edits.collect(),
        mode,
        diff: diff
            .unified_diff()
            .context_radius(CONTEXT)
            .header(&from, &path.to_string())
            .to_string(),
        then: None,
    }
}

/// The edit of a file that can hold secrets. `after` is made from the redacted text, so that a
/// secret is nowhere in the edit.
pub fn between_redacted(
    path: &HostPath,
    redaction: Redaction,
    before: Option<&Redacted>,
    after: &str,
    mode: u32,
) -> FileEdit {
    FileEdit {
        redaction,
        ..between(path, before.map(Redacted::as_str), after, mode)
    }
}

fn line_edit(op: &DiffOp, new: &[&str]) -> Option<LineEdit> {
    if matches!(op, DiffOp::Equal { .. }) {
        return None;
    }
    Some(LineEdit {
        after: op.old_range().start,
        delete: op.old_range().len(),
        insert: new[op.new_range()].iter().map(|&l| l.to_owned()).collect(),
    })
}

/// The text after the edit. Refused as stale when `before` is not the text that the plan saw.
pub fn apply(edit: &FileEdit, before: Option<&str>) -> Result<String> {
    if before.map(digest) != edit.before {
        return Err(stale(edit, "changed since the plan was made"));
    }
    let after = splice(edit, before.unwrap_or_default())?;
    if digest(&after) == edit.after {
        Ok(after)
    } else {
        Err(stale(edit, "cannot be edited by this plan"))
    }
}

/// Makes the edit on a host. A file that already is the edit's result is left alone; one that is
/// neither that nor what the plan saw is refused as stale, and nothing is written.
pub fn perform(host: &dyn Host, edit: &FileEdit) -> Result<()> {
    let real = text(host, &edit.path)?;
    let seen = match &real {
        Some(real) => Some(hide(host, edit, real)?),
        None => None,
    };
    let seen = seen.as_ref().map(Redacted::as_str);
    if seen.map(digest).as_ref() == Some(&edit.after) {
        // Whoever made it may have died before this.
        return reread(host, edit);
    }
    apply(edit, seen)?;
    // Such a line would put the mark in the place of the secret.
    let mut inserted = edit.edits.iter().flat_map(|edit| &edit.insert);
    if edit.redaction != Redaction::None && inserted.any(|line| line.contains(HIDDEN)) {
        return Err(stale(
            edit,
            "cannot be edited by this plan, which replaces a secret",
        ));
    }
    let after = splice(edit, real.as_deref().unwrap_or_default())?;
    // The lines were chosen on the redacted text; here is the proof that they fit the real one.
    if digest(hide(host, edit, &after)?.as_str()) != edit.after {
        return Err(stale(edit, "cannot be edited by this plan"));
    }
    let parent = edit.path.parent();
    if host.stat(&parent)?.is_none() {
        host.make_dirs(&parent, 0o755)?;
    }
    host.replace(&edit.path, after.as_bytes(), NewFile::root(edit.mode))?;
    reread(host, edit)
}

fn reread(host: &dyn Host, edit: &FileEdit) -> Result<()> {
    let Some(command) = &edit.then else {
        return Ok(());
    };
    let answer = host.run(command)?;
    if answer.status == Some(0) {
        return Ok(());
    }
    let what = format!(
        "`{command}` failed on {} after the edit of {}",
        host.label(),
        edit.path
    );
    let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    Err(Error::caused(Kind::Host, what, said).hint("mend that and run `reconcile apply` again"))
}

/// A configuration file as text; `None` if it is absent. Bytes that are not UTF-8 are an error.
pub fn text(host: &dyn ReadHost, path: &HostPath) -> Result<Option<String>> {
    let Some(bytes) = host.read(path)? else {
        return Ok(None);
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = lines_before(valid) + 1;
        Error::new(
            Kind::Malformed,
            format!("{path} on {}, line {line}: not UTF-8", host.label()),
        )
        .hint("convert the file to UTF-8 and run again")
    })
}

/// BLAKE3 of a text, in hex.
pub fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// A line is what ends in a line feed, and what is left after the last one.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn lines_before(bytes: &[u8]) -> usize {
    bytes.split(|&b| b == b'\n').count() - 1
}

fn splice(edit: &FileEdit, before: &str) -> Result<String> {
    let old = lines(before);
    let mut after = String::with_capacity(before.len());
    let mut at = 0;
    for LineEdit {
        after: start,
        delete,
        insert,
    } in &edit.edits
    {
        let end = start.saturating_add(*delete);
        if *start < at || end > old.len() {
            return Err(stale(edit, "has fewer lines than this plan edits"));
        }
        after.extend(old[at..*start].iter().copied());
        after.extend(insert.iter().map(String::as_str));
        at = end;
    }
    after.extend(old[at..].iter().copied());
    Ok(after)
}

fn hide(host: &dyn Host, edit: &FileEdit, text: &str) -> Result<Redacted> {
    redact::redact(edit.redaction, text)
        .map_err(|malformed| malformed.on(&host.label(), &edit.path))
}

fn stale(edit: &FileEdit, what: &str) -> Error {
    Error::new(Kind::Stale, format!("{} {what}", edit.path))
        .hint("nothing was written to it; run `reconcile plan` again and look at the difference")
}

#[cfg(test)]
mod tests;
