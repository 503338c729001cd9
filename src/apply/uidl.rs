//! Our Dovecot drop-in on a live host: tried, written, looked at again, taken back if it fails.

use crate::error::{Error, Kind, Result};
use crate::host::{Command, FileKind, Host, NewFile, Probe};
use crate::plan::change::{FileEdit, UidlDropIn};
use crate::resource::dovecot::{Running, trial};
use crate::resource::edit;

/// What `doveadm reload` says of a Dovecot that ended meanwhile: it will read the file when it starts.
const NOT_RUNNING: &str = "Dovecot is not running";

/// Makes POP3 clients see the format. On failure nothing of ours is left in `/etc/dovecot` that was
/// not there before, and a running Dovecot goes on as it did.
pub(super) fn enforce(target: &dyn Host, drop_in: &UidlDropIn) -> Result<()> {
    let file = &drop_in.edit;
    let before = edit::text(target, &file.path)?;
    let after = match &before {
        Some(text) if edit::digest(text) == file.after => text.clone(),
        before => edit::apply(file, before.as_deref())?,
    };
    for path in &drop_in.files {
        let stat = target.stat(path)?;
        if stat.is_none_or(|stat| stat.kind != FileKind::File) {
            let why = format!("{path}, which Dovecot needs for TLS, is no file there");
            return Err(failed(target, file, &why)
                .hint("nothing was written; put the certificate and its key in place"));
        }
    }
    let (version, mailbox) = (drop_in.version, drop_in.mailbox);
    let answer = target.probe(&trial::probe(&file.path, &after, version, mailbox))?;
    trial::judge(answer.as_ref(), &drop_in.format, version, mailbox).map_err(|why| {
        failed(target, file, &format!("its trial failed: {why}"))
            .hint("nothing was written; put right what it names and run again")
    })?;
    edit::perform(target, file)?;
    if let Err(why) = accepted(target)? {
        restore(target, file, before.as_deref())?;
        return Err(failed(target, file, &format!("doveconf refuses it: {why}"))
            .hint("the file is as it was before; run `doveconf -n` there"));
    }
    match drop_in.running {
        Running::Yes => reload(target),
        Running::No => Ok(()),
    }
}

fn failed(target: &dyn Host, file: &FileEdit, why: &str) -> Error {
    let what = format!("{} on {} cannot be used: {why}", file.path, target.label());
    Error::new(Kind::Verification, what)
}

/// Whether doveconf accepts the configuration as it stands, or its complaint.
fn accepted(target: &dyn Host) -> Result<std::result::Result<(), String>> {
    Ok(match target.probe(&Probe::DoveconfCheck)? {
        Some(answer) if answer.status == Some(0) => Ok(()),
        Some(answer) => {
            let said = String::from_utf8_lossy(&answer.stderr);
            Err(said.lines().last().unwrap_or("it says nothing").to_owned())
        }
        None => Err("it cannot be run".to_owned()),
    })
}

fn restore(target: &dyn Host, file: &FileEdit, before: Option<&str>) -> Result<()> {
    match before {
        Some(text) => target.replace(&file.path, text.as_bytes(), NewFile::root(file.mode)),
        None => target.remove_file(&file.path),
    }
}

fn reload(target: &dyn Host) -> Result<()> {
    let answer = target.run(&Command::ReloadDovecot)?;
    let said = String::from_utf8_lossy(&answer.stderr);
    if answer.status == Some(0) || said.contains(NOT_RUNNING) {
        return Ok(());
    }
    let last = said.lines().last().unwrap_or("it says nothing");
    Err(Error::new(
        Kind::Host,
        format!("Dovecot on {} does not reload: {last}", target.label()),
    )
    .hint("the drop-in is written and valid; reload Dovecot there by hand"))
}
