//! The moment at which authority changes hands, and waiting for it to be confirmed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::apply::execute::{Context, interrupted};
use crate::error::{Error, Kind, Result};
use crate::host::switch::{Advance, Arming, Moment, Settlement};
use crate::host::{Host, Switch};
use crate::manifest::{ConfirmedBy, MigrationName};
use crate::names::Side;
use crate::plan::change::HandOverRecord;
use crate::plan::hand_over::{HostChange, LiveHandOver};
use crate::receipt::{Held, Pending, Receipt};
use crate::report::Event;

/// Between two looks for a confirmation.
const PAUSE: Duration = Duration::from_millis(500);

/// What a host lost is given back by then.
const MENDED_WITHIN: Duration = Duration::from_mins(2);

/// Makes both receipts ready, waits for a person if the manifest asks for one, and settles: on the host
/// that takes over first.
pub(crate) fn hand_over(
    context: &Context<'_>,
    to: Side,
    keep: &HandOverRecord,
    live: &LiveHandOver,
) -> Result<()> {
    let run = context.run;
    let (name, from) = (&run.plan.manifest.name, to.other());
    for side in [to, from] {
        let host = run.change(side)?;
        let receipt = receipt_of(host, name, to, keep, live)?;
        Pending { to, receipt }.write(host)?;
    }
    if live.confirm == ConfirmedBy::Person && !wait(context, to, live)? {
        let what = "nobody confirmed, and everything went back";
        return Err(Error::new(Kind::RolledBack, what));
    }
    if let Err(error) = settle(run.change(to)?, name, live.epoch, Moment::Now) {
        decided(run.change(to)?, name, live.epoch, error)?;
    }
    crate::failpoint::hit("hand-over:authority");
    // From here on nothing is taken back: what cannot be told to the other host is told later.
    let told = run.change(from);
    if let Err(error) = told.and_then(|host| settle(host, name, live.epoch, Moment::Past)) {
        let text = format!(
            "the mail of the {to} counts, and the {from} could not be told: {}; it stays frozen while the \
             {to} answers for the address, and the next `reconcile apply` tells it",
            crate::error::chain(&error)
        );
        run.reporter.event(&Event::Warning { text });
    }
    context.store.reload()
}

/// Whether authority changed hands although a host could not say so: its record tells. Where it cannot be
/// asked, nothing may be taken back on the other host either.
fn decided(host: &dyn Host, name: &MigrationName, epoch: u32, error: Error) -> Result<()> {
    match Receipt::read(host, name) {
        // What follows there goes on by itself.
        Ok(Some(receipt)) if receipt.epoch >= epoch => Ok(()),
        Ok(_) => Err(error),
        Err(unread) => {
            let what = format!(
                "{} was lost at the moment at which it took over ({}), and cannot be asked whether it did",
                host.label(),
                crate::error::chain(&error)
            );
            Err(Error::caused(Kind::Undecided, what, unread).hint(
                "the hosts end it by themselves: if it did, it serves once it is back, else the other one \
                 serves after its deadline; `reconcile status` tells, `reconcile apply` goes on from there",
            ))
        }
    }
}

/// Gives the host whose mail counts what it lost: under a switch that has nothing to take back.
pub(crate) fn mend(context: &Context<'_>, change: &HostChange) -> Result<()> {
    let run = context.run;
    let (host, name) = (run.change(change.side)?, &run.plan.manifest.name);
    let epoch = Receipt::read(host, name)?.map_or(0, |receipt| receipt.epoch) + 1;
    host.arm(&Arming {
        name: name.clone(),
        epoch,
        within: MENDED_WITHIN,
        commit: Vec::new(),
    })?;
    let mended = host.advance(&Advance {
        name: name.clone(),
        epoch,
        undo: Vec::new(),
        files: Vec::new(),
        steps: change.steps.clone(),
    });
    host.trip(name)?;
    mended
}

/// The receipt that a host has from then on.
fn receipt_of(
    host: &dyn Host,
    name: &MigrationName,
    to: Side,
    keep: &HandOverRecord,
    live: &LiveHandOver,
) -> Result<Receipt> {
    let now = Timestamp::now();
    let before = Receipt::read(host, name)?;
    let mut receipt = before.unwrap_or_else(|| Receipt::new(name.clone(), now));
    receipt.hand_over(to, keep, now);
    receipt.epoch = live.epoch;
    receipt.machines.clone_from(&live.machines);
    if host.side() == to {
        receipt.sealed = None;
        for service in &live.started {
            receipt.services.remove(service);
        }
    } else {
        receipt.sealed = Some(host.clock()?);
        for (service, hold) in &live.holds {
            let held: &mut Held = receipt.services.entry(service.clone()).or_default();
            held.add(&hold.masks, &hold.running);
        }
    }
    Ok(receipt)
}

/// Settles what is pending on a host; once that has happened, again what it became.
fn settle(host: &dyn Host, name: &MigrationName, epoch: u32, moment: Moment) -> Result<()> {
    let pending = Pending::read(host, name)?.map(|pending| pending.receipt);
    let made = |receipt: &Receipt| receipt.epoch == epoch;
    let current = Receipt::read(host, name)?;
    let Some(receipt) = [current, pending].into_iter().flatten().find(made) else {
        let what = format!("no hand-over waits to be confirmed on {}", host.label());
        return Err(Error::new(Kind::Blocked, what).hint("`reconcile status` tells how things are"));
    };
    host.settle(&Settlement {
        name: name.clone(),
        epoch,
        receipt: receipt.to_bytes(),
        moment,
    })?;
    Pending::remove(host, name)
}

/// Confirms a hand-over that waits for a person, from any machine. Tells whose mail counts from now on.
pub fn confirm(source: &dyn Host, target: &dyn Host, name: &MigrationName) -> Result<Side> {
    let hosts = [source, target];
    let pending = [Pending::read(source, name)?, Pending::read(target, name)?];
    let Some(waits) = pending.iter().flatten().next() else {
        let what = "no hand-over waits to be confirmed";
        return Err(Error::new(Kind::Blocked, what).hint("`reconcile status` tells how things are"));
    };
    let (to, epoch) = (waits.to, waits.receipt.epoch);
    let at = |side: Side| hosts[usize::from(side == Side::Target)];
    if Switch::read(at(to), name)?.is_none() {
        let what = format!("the {to} waits for no confirmation any more: everything went back");
        return Err(Error::new(Kind::Blocked, what).hint("run `reconcile plan`"));
    }
    settle(at(to), name, epoch, Moment::Now)?;
    settle(at(to.other()), name, epoch, Moment::Past)?;
    Ok(to)
}

/// Waits until somebody else has confirmed, or the host gives up.
fn wait(context: &Context<'_>, to: Side, live: &LiveHandOver) -> Result<bool> {
    let run = context.run;
    let (host, name) = (run.change(to)?, &run.plan.manifest.name);
    let within = SignedDuration::from_secs(i64::try_from(live.within).unwrap_or(i64::MAX));
    run.reporter.event(&Event::Waiting {
        until: Timestamp::now() + within,
        how:
            "look at the service from a machine in cutover.try_from, then run `reconcile confirm`; \
              without it everything goes back by itself"
                .to_owned(),
    });
    loop {
        if run.stop.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        let epoch = Receipt::read(host, name)?.map_or(0, |receipt| receipt.epoch);
        if epoch >= live.epoch {
            return Ok(true);
        }
        if Switch::read(host, name)?.is_none() {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}
