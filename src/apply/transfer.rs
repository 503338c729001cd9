//! The way that mail takes between the hosts in a run: found before anything is done, told once.

use super::execute::Run;
use crate::error::{Error, Kind, Result, chain};
use crate::host::OnLoss;
use crate::manifest::TransferPath;
use crate::plan::{Action, Change};
use crate::report::Event;

/// Finds the way, if the plan copies mail.
///
/// # Errors
///
/// [`Kind::Host`] if the manifest wants none but the direct one, and there is none.
pub(super) fn open(run: &Run<'_>) -> Result<()> {
    let path = run.plan.manifest.transfer.path;
    let on_loss = match path {
        TransferPath::Relay => return Ok(()),
        TransferPath::Auto => OnLoss::Relay,
        TransferPath::Direct => OnLoss::Fail,
    };
    if !run.plan.actions.iter().any(copies) {
        return Ok(());
    }
    let target = run.target.remote();
    let source = run.source.and_then(|source| source.remote());
    let (Some(source), Some(target)) = (source, target) else {
        return match path {
            TransferPath::Direct => Err(Error::new(
                Kind::Host,
                "mail cannot go straight from one host to the other: reconcile does not run on both",
            )
            .hint("write `transfer: { path: auto }`")),
            _ => Ok(()),
        };
    };
    match target.meet(source, on_loss) {
        Ok(address) => {
            let address = address.to_string();
            run.reporter.event(&Event::Direct { address });
            Ok(())
        }
        Err(error) if error.kind() == Kind::Host && path == TransferPath::Auto => {
            let why = chain(&error);
            run.reporter.event(&Event::Relayed { why });
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn copies(action: &Action) -> bool {
    matches!(
        action.change,
        Change::CopyMail(_) | Change::Rounds(_) | Change::LastDelta(_)
    )
}

/// Tells if the direct way was lost since it was told of last.
pub(super) fn tell_loss(run: &Run<'_>) {
    let hosts = [run.source, Some(run.target as _)].into_iter().flatten();
    for why in hosts.filter_map(|host| host.remote()?.direct_loss()) {
        run.reporter.event(&Event::Relayed { why });
    }
}
