//! Setting up the backup mail exchanger, asking it, and emptying its queue.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::execute::{Context, interrupted};
use crate::error::{Doing as _, Error, Kind, Result, chain};
use crate::host::{Command, Host, NewFile, Probe, ReadHost};
use crate::plan::backup::{BackupAsking, BackupDrain, BackupSetup, BackupState};
use crate::receipt::Drained;
use crate::report::Event;
use crate::resource::{backup, edit};

/// Between two looks at a queue.
const PAUSE: Duration = Duration::from_secs(1);

/// Postfix has read its configuration again by then.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// Between two times that Postfix is told to try again.
const AGAIN: Duration = Duration::from_secs(10);

fn host<'a>(context: &Context<'a>) -> Result<&'a dyn Host> {
    let gone = || Error::new(Kind::Host, "the backup is out of reach");
    context.run.backup.ok_or_else(gone)
}

/// Gives a backup its tables, or takes them away. Which host it is, is recorded first and forgotten last.
pub(super) fn set_up(context: &Context<'_>, setup: &BackupSetup) -> Result<()> {
    let host = host(context)?;
    if setup.to == BackupState::SetUp {
        let described = setup.host.clone();
        context
            .store
            .update(|receipt| receipt.backup = Some(described))?;
    }
    host.make_dirs(&setup.directory, 0o755)?;
    // Whoever dies between here and the reload leaves it, and the next run reloads.
    let unread = backup::unread(&setup.directory);
    host.replace(&unread, b"", NewFile::root(0o644))?;
    for file in &setup.files {
        edit::perform(host, file)?;
    }
    for command in &setup.parameters {
        succeeds(host, command)?;
    }
    if let Err(refused) = succeeds(host, &Command::CheckPostfix) {
        let mut undo = setup.undo.iter();
        let undone = undo.try_for_each(|command| succeeds(host, command));
        return Err(refused.hint(match undone {
            Ok(()) => "what was changed in its main.cf was taken back".to_owned(),
            Err(error) => format!(
                "what was changed in its main.cf could not be taken back ({}): take what names {} out of it",
                chain(&error),
                setup.directory
            ),
        }));
    }
    succeeds(host, &Command::ReloadPostfix)?;
    for path in &setup.remove {
        host.remove_file(path)?;
    }
    host.remove_file(&unread)?;
    if let Some(asking) = &setup.ask {
        answers(context, asking)?;
    }
    if setup.to == BackupState::Removed {
        succeeds(
            host,
            &Command::RemovePostfixDirectory(setup.directory.clone()),
        )?;
        context.store.update(|receipt| {
            receipt.backup = None;
            receipt.drained = None;
        })?;
    }
    Ok(())
}

/// What it says to recipients now, until it is what it should: Postfix is not told in an instant.
fn answers(context: &Context<'_>, asking: &BackupAsking) -> Result<()> {
    let began = Instant::now();
    loop {
        let problems = refusals(context, asking)?;
        if problems.is_empty() {
            return Ok(());
        }
        if began.elapsed() > SETTLES_WITHIN {
            let what = format!("the backup {} does not do what it should", asking.host);
            return Err(Error::caused(Kind::Verification, what, problems.join("; ")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What is wrong with its answers, asked from where it trusts nobody. Where that is nowhere, it is told.
fn refusals(context: &Context<'_>, asking: &BackupAsking) -> Result<Vec<String>> {
    let run = context.run;
    let from = backup::askers(run.third, run.target);
    let seen = backup::ask(host(context)?, asking, &from)?;
    if let Some(why) = seen.untold() {
        let text = format!("the backup {}: {why}", asking.host);
        run.reporter.event(&Event::Warning { text });
    }
    let problems = backup::refuses(&seen, asking);
    Ok(problems.iter().map(ToString::to_string).collect())
}

fn succeeds(host: &dyn Host, command: &Command) -> Result<()> {
    let answer = host.run(command)?;
    if answer.status == Some(0) {
        return Ok(());
    }
    Err(answer.refusal(&format!("`{command}`"), &host.label()))
}

/// Asks the backup for recipients.
///
/// # Errors
///
/// [`Kind::Blocked`] if it does not take mail for exactly those whom it should.
pub(super) fn ask(context: &Context<'_>, asking: &BackupAsking) -> Result<()> {
    let problems = refusals(context, asking)?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Blocked, problems.join("; "))
        .hint("nothing was stopped; run `reconcile apply` again once it is mended"))
}

/// Has the backup deliver what waits for the domain, and counts until nothing does.
pub(super) fn drain(context: &Context<'_>, drain: &BackupDrain) -> Result<()> {
    let host = host(context)?;
    let waiting = waits(host, &drain.domain)?;
    let (began, mut told) = (Instant::now(), None::<Instant>);
    let mut left = waiting;
    while left > 0 && began.elapsed() < Duration::from_secs(drain.within) {
        if context.run.stop.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        if told.is_none_or(|told| told.elapsed() > AGAIN) {
            flush(host, &drain.domain)?;
            told = Some(Instant::now());
        }
        std::thread::sleep(PAUSE);
        left = waits(host, &drain.domain)?;
    }
    context
        .run
        .reporter
        .event(&Event::Drained { waiting, left });
    if left > 0 {
        let text = format!(
            "{left} messages for {} still wait on {}, which goes on trying: look with `postqueue -p` there",
            drain.domain, drain.host
        );
        context.run.reporter.event(&Event::Warning { text });
    }
    context
        .store
        .update(|receipt| receipt.drained = Some(Drained { waiting, left }))
}

/// Has the backup try again what waits for a domain; all that waits, where it keeps no list for that domain
/// (`fast_flush_domains`).
fn flush(host: &dyn Host, domain: &str) -> Result<()> {
    let answer = host.run(&Command::FlushPostfixFor(domain.to_owned()))?;
    if answer.status == Some(0) {
        return Ok(());
    }
    succeeds(host, &Command::FlushPostfix)
}

/// A message of postqueue(1)'s JSON.
#[derive(Deserialize)]
struct Queued {
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
struct Recipient {
    address: String,
}

/// Messages that wait for somebody of a domain.
fn waits(host: &dyn ReadHost, domain: &str) -> Result<u64> {
    let what = || format!("cannot read the mail queue of {}", host.label());
    let answer = host
        .probe(&Probe::PostfixQueue)?
        .ok_or_else(|| Error::new(Kind::Host, what()))?;
    if answer.status != Some(0) {
        return Err(answer.refusal("`postqueue -j`", &host.label()));
    }
    let mut count = 0;
    for line in answer.stdout.split(|&byte| byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let queued: Queued = serde_json::from_slice(line).doing(Kind::Malformed, what)?;
        let of = |recipient: &Recipient| {
            let at = recipient.address.rsplit_once('@');
            at.is_some_and(|(_, of)| of.eq_ignore_ascii_case(domain))
        };
        count += u64::from(queued.recipients.iter().any(of));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Side;
    use crate::resource::edit::fake::FakeHost;

    #[test]
    fn where_no_list_is_kept_for_the_domain_all_that_waits_is_tried() {
        let host = FakeHost::new(Side::Target, &[]);
        host.says("/usr/sbin/postqueue -s", 0, "");
        flush(&host, "example.org").unwrap();
        assert_eq!(host.log.lock().unwrap().len(), 1);
        // EX_UNAVAILABLE: "Flush service is not configured for destination".
        host.says("/usr/sbin/postqueue -s", 69, "");
        host.says("/usr/sbin/postqueue -f", 0, "");
        flush(&host, "example.org").unwrap();
        let log = host.log.lock().unwrap();
        assert!(log.last().unwrap().contains("postqueue -f"), "{log:?}");
    }
}
