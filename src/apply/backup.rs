//! Setting up the backup mail exchanger, asking it, and emptying its queue.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::execute::{Context, interrupted};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::{Command, Host, HostState, NewFile, Probe, ReadHost};
use crate::names::UserName;
use crate::plan::backup::{BackupAsking, BackupDrain, BackupSetup, BackupState};
use crate::receipt::{Drained, Receipt};
use crate::report::Event;
use crate::resource::{backup, edit, mx};

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
        for command in &setup.undo {
            succeeds(host, command)?;
        }
        return Err(refused.hint("what was changed in its main.cf was taken back"));
    }
    succeeds(host, &Command::ReloadPostfix)?;
    for path in &setup.remove {
        host.remove_file(path)?;
    }
    host.remove_file(&unread)?;
    if setup.to == BackupState::SetUp {
        answers(context)?;
    } else {
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
fn answers(context: &Context<'_>) -> Result<()> {
    let resolved = &context.run.plan.manifest;
    let users = accounts_of(context)?;
    let began = Instant::now();
    loop {
        let problems = refusals(context, &users)?;
        if problems.is_empty() {
            return Ok(());
        }
        if began.elapsed() > SETTLES_WITHIN {
            let what = format!("the backup of {} does not do what it should", resolved.name);
            return Err(Error::caused(Kind::Verification, what, problems.join("; ")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Users whom it has to take mail for: those of its table.
fn accounts_of(context: &Context<'_>) -> Result<Vec<UserName>> {
    let run = context.run;
    let receipt = Receipt::read(run.target, &run.plan.manifest.name)?;
    let claimed = receipt.into_iter().flat_map(|receipt| receipt.accounts);
    let root = UserName::from("root");
    Ok(claimed.chain([root]).collect())
}

/// What is wrong with its answers, asked from where it trusts nobody.
fn refusals(context: &Context<'_>, known: &[UserName]) -> Result<Vec<String>> {
    let run = context.run;
    let live = run.target.state() == HostState::Live;
    let target = live.then_some(run.target as &dyn ReadHost);
    let from: Vec<&dyn ReadHost> = run.third.into_iter().chain(target).collect();
    let ask = backup::Ask {
        backup: Some(host(context)?),
        out_of_reach: None,
        serving: run.target,
        from: &from,
    };
    let seen = backup::observe(&run.plan.manifest, ask, &mx::Actual::default(), known)?;
    let problems = seen.host.as_ref().map(backup::refuses).unwrap_or_default();
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
    let problems = refusals(context, std::slice::from_ref(&asking.known))?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Blocked, problems.join("; "))
        .hint("nothing was stopped; run `reconcile apply` again once it is mended"))
}

/// Has the backup deliver what waits for the domain, and counts until nothing does.
pub(super) fn drain(context: &Context<'_>, drain: &BackupDrain) -> Result<()> {
    let host = host(context)?;
    let flush = Command::FlushPostfixFor(drain.domain.clone());
    let waiting = waits(host, &drain.domain)?;
    let (began, mut told) = (Instant::now(), None::<Instant>);
    let mut left = waiting;
    while left > 0 && began.elapsed() < Duration::from_secs(drain.within) {
        if context.run.stop.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        if told.is_none_or(|told| told.elapsed() > AGAIN) {
            succeeds(host, &flush)?;
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
