//! The host that serves has lost a service address: somebody took it away, or a reboot came between
//! taking it and configuring it.

use super::configure::address;
use super::hand_over::{answers, on};
use super::live::place;
use super::{Actual, Problem};
use crate::host::Step;
use crate::manifest::Cutover;
use crate::names::Side;
use crate::plan::Resource;
use crate::plan::hand_over::HostChange;

/// What gives the addresses back to the host that serves, when nobody else has them; `None` where it has
/// them all, or does not run.
pub fn drift(
    cutover: &Cutover,
    side: Side,
    actual: &Actual,
) -> Result<Option<HostChange>, Vec<(Resource, Problem)>> {
    let Some(network) = actual.network(side) else {
        return Ok(None);
    };
    let (mut missing, mut problems) = (Vec::new(), Vec::new());
    for net in cutover.address.iter().map(|net| net.0) {
        if network.holders(net.addr()).any(|holder| answers(&holder)) {
            continue;
        }
        match place(cutover, side, network, net) {
            Ok(placed) => missing.push(placed),
            Err(problem) => problems.push((address(net.addr()), problem)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let await_free = missing.iter().map(|one| Step::AwaitFree(on(one)));
    let take = missing.iter().cloned().map(Step::TakeAddress);
    let announce = missing.iter().map(|one| Step::Announce(on(one)));
    Ok(Some(HostChange {
        side,
        edits: Vec::new(),
        steps: await_free.chain(take).chain(announce).collect(),
        undo: missing.iter().cloned().map(Step::DropAddress).collect(),
    }))
}
