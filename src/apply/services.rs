//! Holding and starting services of the target: the planned commands, then a proof.

use std::time::{Duration, Instant};

use super::execute::Context;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::host::{Command, ReadHost};
use crate::manifest::Services;
use crate::plan::change::{ServiceHold, ServiceRelease};
use crate::resource::services::{self, HostServices};

/// How long a service may take to be as it should once its commands have ended: processes that were
/// told to stop end, and listeners that were started listen.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Stops, masks, and proves that nothing is left.
pub(super) fn hold(context: &Context<'_>, hold: &ServiceHold) -> Result<()> {
    // Before the first command: a mask that is not on record would look like an admin's.
    context.store.update(|receipt| {
        let held = receipt.services.entry(hold.service.clone()).or_default();
        held.add(&hold.masks, &hold.running);
    })?;
    run_all(context, &hold.service, &hold.commands)?;
    let named = &context.run.plan.manifest.services;
    let left = |seen: &HostServices| services::unheld(named, seen, hold);
    settle(context.run.target, named, SETTLES_WITHIN, &left).map_err(|left| {
        left.error(&format!("{} on the target is not quiet", hold.service))
            .hint("find what runs with `ps -ef` and `ss -ltnp` there, end it, and run again")
    })
}

/// Starts, and proves that it serves. Only then is the record of the hold dropped.
pub(super) fn release(context: &Context<'_>, release: &ServiceRelease) -> Result<()> {
    run_all(context, &release.service, &release.commands)?;
    let named = &context.run.plan.manifest.services;
    let left = |seen: &HostServices| services::unfinished(named, seen, release);
    settle(context.run.target, named, SETTLES_WITHIN, &left).map_err(|left| {
        left.error(&format!("{} on the target does not serve", release.service))
            .hint("`systemctl status` and the mail log there say why; mend it and run again")
    })?;
    context.store.update(|receipt| {
        receipt.services.remove(&release.service);
    })
}

fn run_all(context: &Context<'_>, service: &str, commands: &[Command]) -> Result<()> {
    for (number, command) in commands.iter().enumerate() {
        let answer = context.run.target.run(command)?;
        if answer.status != Some(0) {
            let host = context.run.target.label();
            return Err(answer.refusal(&format!("`{command}`"), &host));
        }
        failpoint::hit(&format!("service:{service}:{}", number + 1));
    }
    Ok(())
}

/// What is still not as it should be.
pub(super) enum Left {
    /// For people.
    Reasons(Vec<String>),
    /// The host could not be looked at.
    Unseen(Error),
}

impl Left {
    pub(super) fn error(self, what: &str) -> Error {
        match self {
            Self::Reasons(why) => {
                Error::new(Kind::Verification, format!("{what}: {}", why.join(", ")))
            }
            Self::Unseen(error) => error,
        }
    }
}

/// Looks until nothing is left, or patience ends.
pub(super) fn settle(
    host: &dyn ReadHost,
    named: &Services,
    within: Duration,
    left: &dyn Fn(&HostServices) -> Vec<String>,
) -> std::result::Result<(), Left> {
    let until = Instant::now() + within;
    loop {
        let seen = services::look(named, host).map_err(Left::Unseen)?;
        let why = left(&seen);
        if why.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(Left::Reasons(why));
        }
        std::thread::sleep(PAUSE);
    }
}
