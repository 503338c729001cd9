//! Carrying out one step on the machine that we are on.

use std::time::Duration;

use super::super::{DirHost, run};
use super::keep;
use crate::error::Result;
use crate::host::{Command, Host as _, Step, link};

/// systemd itself gives a unit 90 seconds to start or to stop.
const PATIENCE: Duration = Duration::from_mins(2);

/// Powers off once the answer has gone out, and whoever asked has gone.
const POWER_OFF: &str = r"
trap '' HUP
( sleep 1
  systemctl poweroff || poweroff || shutdown -h now ) </dev/null >/dev/null 2>&1 &
";

pub(super) fn perform(host: &DirHost, step: &Step) -> Result<()> {
    match step {
        Step::Run(command) => succeed(host, command),
        Step::Save(saved) => keep::save(host, saved),
        Step::Restore(saved) => keep::restore(host, saved),
        Step::AwaitFree(place) => link::await_free(place),
        Step::TakeAddress(assignment) => link::take(assignment),
        Step::DropAddress(assignment) => link::drop_address(assignment),
        Step::Announce(place) => link::announce(place),
        Step::Close(closed) => link::close(closed),
        Step::Open(address) => link::open(*address),
        Step::Queue(step) => host.queue(step),
        Step::PowerOff => program(host, &["/bin/sh", "-c", POWER_OFF]),
    }
}

fn succeed(host: &DirHost, command: &Command) -> Result<()> {
    let answer = host.run(command)?;
    if answer.status == Some(0) {
        return Ok(());
    }
    Err(answer.refusal(&format!("`{command}`"), &host.label))
}

/// Runs a program of the host that is part of no plan.
pub(super) fn program(host: &DirHost, argv: &[&str]) -> Result<()> {
    let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
    let order = run::Order {
        argv: &argv,
        input: &[],
        patience: PATIENCE,
    };
    let answer = run::to_its_end(&order, &format!("cannot run {} on {}", argv[0], host.label))?;
    if answer.status == Some(0) {
        return Ok(());
    }
    Err(answer.refusal(&format!("`{}`", argv.join(" ")), &host.label))
}
