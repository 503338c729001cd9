//! Setting up the timer that measures the spool on the target, and taking it away.

use super::execute::Context;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::host::{Command, Host};
use crate::plan::timer::TimerSetup;
use crate::receipt::Receipt;
use crate::resource::edit;
use crate::resource::spool::timer;

/// Does what the plan says, and looks again.
pub(super) fn set_up(context: &Context<'_>, setup: &TimerSetup) -> Result<()> {
    let target = context.run.target;
    run(target, &setup.before)?;
    if let Some(program) = &setup.program {
        target.put_program(program)?;
        failpoint::hit("timer:program");
    }
    for unit in &setup.units {
        edit::perform(target, unit)?;
        failpoint::hit("timer:unit");
    }
    for path in &setup.remove {
        target.remove_file(path)?;
        failpoint::hit("timer:removed");
    }
    run(target, &setup.then)?;
    let manifest = &context.run.plan.manifest;
    let receipt = Receipt::read(target, &manifest.name)?;
    let authority = receipt.map_or(context.run.plan.authority, |receipt| receipt.authority);
    let seen = timer::observe(manifest, target)?;
    let left = timer::diff(manifest, seen.as_ref(), authority);
    if left.actions.is_empty() && left.blocked.is_empty() {
        return Ok(());
    }
    let what = "the timer that measures the spool is still not as planned";
    Err(Error::new(Kind::Verification, what)
        .hint("another program may have changed it; run `reconcile plan` to see what differs"))
}

fn run(target: &dyn Host, commands: &[Command]) -> Result<()> {
    for command in commands {
        let answer = target.run(command)?;
        if answer.status != Some(0) {
            return Err(answer.refusal(&format!("`{command}`"), &target.label()));
        }
    }
    Ok(())
}
