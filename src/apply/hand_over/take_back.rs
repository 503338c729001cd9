//! Taking back a hand-over that did not succeed, and ending what a run that died left half-done.

use crate::apply::execute::{Context, Run};
use crate::error::{Error, Kind, Result, chain};
use crate::host::switch::{Moment, Settlement};
use crate::names::Side;
use crate::plan::hand_over::{Ending, Leftover};
use crate::receipt::{Pending, Receipt};
use crate::report::Event;

/// Takes back what was done on both hosts, on the one that takes over first. Tells whether everything
/// is as before; what is not yet, the hosts go on with by themselves.
pub(crate) fn take_back(run: &Run<'_>, to: Side, why: &Error) -> Result<()> {
    let mut left = Vec::new();
    for side in [to, to.other()] {
        let host = run.change(side)?;
        let label = host.label();
        run.reporter.event(&Event::TakingBack {
            host: label.clone(),
            why: chain(why),
        });
        let name = &run.plan.manifest.name;
        let result = host.trip(name).and_then(|()| Pending::remove(host, name));
        let what = result
            .as_ref()
            .err()
            .map_or(String::new(), |error| chain(error));
        run.reporter.event(&Event::TakenBack {
            host: label.clone(),
            left: what.clone(),
        });
        if result.is_err() {
            left.push(format!("{label}: {what}"));
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let what = format!(
        "not everything could be taken back yet: {}",
        left.join("; ")
    );
    Err(Error::new(Kind::Host, what).hint(
        "each host goes on by itself; `reconcile status` tells how far it is, and `reconcile apply` ends \
         what is left",
    ))
}

/// The failure of a hand-over that was taken back: a freeze that is not still, or what could be told
/// before, is a gate that said no; mailboxes that differ are a failed verification.
pub(crate) fn taken_back(error: Error) -> Error {
    let kind = match error.kind() {
        kind @ (Kind::Blocked | Kind::Verification | Kind::Interrupted) => kind,
        _ => Kind::RolledBack,
    };
    let hint = error.remedy().map(str::to_owned);
    let taken = Error::caused(
        kind,
        "everything was taken back, and mail is served as before",
        error,
    );
    match hint {
        Some(hint) => taken.hint(hint),
        None => taken.hint("mend the cause and run `reconcile apply` again"),
    }
}

/// Ends what a run that died left on a host.
pub(crate) fn end(context: &Context<'_>, leftover: &Leftover) -> Result<()> {
    let run = context.run;
    let (host, name) = (run.change(leftover.side)?, &run.plan.manifest.name);
    match leftover.how {
        Ending::TakeBack => host.trip(name),
        Ending::Finish => {
            let other = Receipt::read(run.read(leftover.side.other())?, name)?;
            let own = Pending::read(host, name)?.map(|pending| pending.receipt);
            let epoch = |receipt: &Option<Receipt>| receipt.as_ref().map_or(0, |r| r.epoch);
            let current = Receipt::read(host, name)?;
            let newest = epoch(&other).max(epoch(&current));
            let receipt = [current, own]
                .into_iter()
                .flatten()
                .find(|own| own.epoch == newest);
            let Some(receipt) = receipt else {
                let what = format!(
                    "{} does not know of the hand-over that was made",
                    host.label()
                );
                return Err(Error::new(Kind::Malformed, what).hint(
                    "its records in /var/lib/reconcile were lost: restore them from a backup",
                ));
            };
            host.settle(&Settlement {
                name: name.clone(),
                epoch: newest,
                receipt: receipt.to_bytes(),
                moment: Moment::Past,
            })
        }
    }
}
