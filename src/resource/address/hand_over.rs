//! A service address goes from one running host to the other: what each of them does, as plain data.
//!
//! The host that lets go of it does so live and in its configuration, so that it does not take it again
//! when it boots. The host that takes it does so live only, closed to everybody but those who try it
//! out; its configuration follows once authority has changed hands, as `diff` has it.

use std::net::IpAddr;

use super::configure::{address, wanted};
use super::deconfigure::deconfigure;
use super::live::{place, service};
use super::{Actual, Problem, backend, choose};
use crate::host::Step;
use crate::host::network::{Held, Lease, Network, Standing};
use crate::host::step::{Assignment, Closed, OnInterface};
use crate::manifest::{Cutover, MigrationName};
use crate::names::Side;
use crate::plan::Resource;
use crate::plan::hand_over::HostChange;

/// What stands in the way, and of which address.
type Problems = Vec<(Resource, Problem)>;

/// The host lets go of the service addresses, on every interface and with every prefix that it has them
/// with, and takes them out of its configuration. To take that back it waits until nobody has any of
/// them, and then takes them again and says so.
pub fn leave(
    cutover: &Cutover,
    side: Side,
    actual: &Actual,
    name: &MigrationName,
) -> Result<HostChange, Problems> {
    let mut problems = Vec::new();
    let Some(network) = actual.network(side) else {
        return Err(not_observed(cutover, side));
    };
    let mut assigned = Vec::new();
    for service in cutover.address.iter().map(|net| net.0.addr()) {
        let holders: Vec<_> = network.holders(service).filter(answers).collect();
        if holders.is_empty() {
            let problem = Problem::NotHeld {
                address: service,
                side,
            };
            problems.push((address(service), problem));
        }
        for (interface, _, held) in holders {
            if held.lease == Lease::Dynamic {
                let problem = Problem::Leased {
                    address: service,
                    side,
                    interface: interface.to_owned(),
                };
                problems.push((address(service), problem));
            }
            if let Some(problem) = takes_routes(cutover, side, network, interface, service) {
                problems.push((address(service), problem));
            }
            assigned.push(Assignment {
                net: held.net,
                interface: interface.to_owned(),
            });
        }
    }
    let edits = match deconfigure(cutover, side, actual.files(side), name) {
        Ok(removal) => {
            // What the target took over a short while ago is in no configuration yet.
            let unexplained = removal.unconfigured.iter().filter(|_| side == Side::Source);
            problems.extend(unexplained.map(|service| {
                let problem = Problem::Unexplained {
                    address: *service,
                    side,
                };
                (address(*service), problem)
            }));
            removal.edits
        }
        Err(more) => {
            problems.extend(more);
            Vec::new()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let announce = assigned.iter().map(|one| Step::Announce(on(one)));
    let take = assigned.iter().cloned().map(Step::TakeAddress);
    let await_free = assigned.iter().map(|one| Step::AwaitFree(on(one)));
    Ok(HostChange {
        side,
        edits,
        steps: assigned.iter().cloned().map(Step::DropAddress).collect(),
        // From the last to the first: a barrier for all, then all.
        undo: announce.chain(take).chain(await_free).collect(),
    })
}

/// What follows a leave once authority has changed hands: whoever reads the edited files reads them again.
/// Before that it must not, for going back would not make it read them once more: files are put back
/// behind every barrier, at the very end.
pub fn settle(leave: &HostChange) -> Vec<Step> {
    let paths = leave.edits.iter().map(|edit| &edit.path);
    let mut commands: Vec<_> = paths.filter_map(backend::reload).collect();
    commands.dedup();
    commands.into_iter().map(Step::Run).collect()
}

/// The host takes the service addresses, if nobody else has one of them, and lets only `friends` reach
/// them. There are no `edits`.
pub fn arrive(
    cutover: &Cutover,
    side: Side,
    actual: &Actual,
    friends: &[IpAddr],
) -> Result<HostChange, Problems> {
    let Some(network) = actual.network(side) else {
        return Err(not_observed(cutover, side));
    };
    let mut problems = Vec::new();
    let mut assigned = Vec::new();
    for net in cutover.address.iter().map(|net| net.0) {
        if let Some((interface, ..)) = network.holders(net.addr()).find(answers) {
            let problem = Problem::HeldAlready {
                address: net.addr(),
                side,
                interface: interface.to_owned(),
            };
            problems.push((address(net.addr()), problem));
            continue;
        }
        let placed = place(cutover, side, network, net)
            .and_then(|placed| agreed(cutover, side, actual, &placed).map(|()| placed));
        match placed {
            Ok(placed) => assigned.push(placed),
            Err(problem) => problems.push((address(net.addr()), problem)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let close = |one: &Assignment| {
        Step::Close(Closed {
            address: one.net.addr(),
            but_for: friends.to_vec(),
        })
    };
    let await_free = assigned.iter().map(|one| Step::AwaitFree(on(one)));
    let take = assigned.iter().cloned().map(Step::TakeAddress);
    let announce = assigned.iter().map(|one| Step::Announce(on(one)));
    let open = assigned.iter().map(|one| Step::Open(one.net.addr()));
    let drop = assigned.iter().cloned().map(Step::DropAddress);
    let steps = await_free.chain(assigned.iter().map(close));
    Ok(HostChange {
        side,
        edits: Vec::new(),
        // At no moment is it there and open.
        steps: steps.chain(take).chain(announce).collect(),
        undo: open.chain(drop).collect(),
    })
}

/// What follows an arrival once authority has changed hands: everybody may reach the addresses, and is
/// told again where they are.
pub fn commit(arrival: &HostChange) -> Vec<Step> {
    let open = arrival.steps.iter().filter_map(|step| match step {
        Step::Close(closed) => Some(Step::Open(closed.address)),
        _ => None,
    });
    let announce = arrival.steps.iter();
    let announce = announce.filter(|step| matches!(step, Step::Announce(_)));
    open.chain(announce.cloned()).collect()
}

pub(super) fn on(assignment: &Assignment) -> OnInterface {
    OnInterface {
        address: assignment.net.addr(),
        interface: assignment.interface.clone(),
    }
}

/// Whether a host that has the address answers for it: it does not while another one has it too.
pub(super) fn answers(holder: &(&str, &crate::host::network::Link, &Held)) -> bool {
    holder.2.standing != Standing::Duplicate
}

fn not_observed(cutover: &Cutover, side: Side) -> Problems {
    let addresses = service(cutover).into_iter();
    addresses
        .map(|one| (address(one), Problem::NotObserved { side }))
        .collect()
}

/// Whether routes go with the address: the kernel deletes those that are for it, and all of an interface
/// whose last IPv4 address goes. Nothing would bring them back when the address comes back.
fn takes_routes(
    cutover: &Cutover,
    side: Side,
    network: &Network,
    interface: &str,
    leaving: IpAddr,
) -> Option<Problem> {
    if leaving.is_ipv6() {
        return None;
    }
    let service = service(cutover);
    let addresses = &network.interfaces[interface].addresses;
    let stays = addresses.iter().any(|held| {
        let address = held.net.addr();
        address.is_ipv4() && held.net.prefix_len() < 32 && !service.contains(&address)
    });
    let goes = |route: &&crate::host::network::Route| {
        route.from == Some(leaving) || (!stays && route.through.iter().any(|one| one == interface))
    };
    let routes: Vec<String> = network
        .routes
        .iter()
        .filter(goes)
        .map(|r| r.to.clone())
        .collect();
    (!routes.is_empty()).then(|| Problem::TakesRoutes {
        address: leaving,
        side,
        interface: interface.to_owned(),
        routes,
    })
}

/// The configuration must be able to give the address to the same interface, or a reboot would move it.
fn agreed(
    cutover: &Cutover,
    side: Side,
    actual: &Actual,
    placed: &Assignment,
) -> Result<(), Problem> {
    let interfaces = backend::read(actual.files(side))?;
    let service = service(cutover);
    let net = cutover.address.iter().map(|net| net.0);
    let net = net.into_iter().find(|net| net.addr() == placed.net.addr());
    let net = net.unwrap_or(placed.net);
    let wanted = wanted(cutover, side);
    let (configured, _) = choose::choose(side, &interfaces, wanted, net, &service)?;
    match &configured.selector {
        super::interface::Selector::Names(_) if !configured.selector.names(&placed.interface) => {
            Err(Problem::Disagree {
                address: net.addr(),
                side,
                live: placed.interface.clone(),
                configured: configured.selector.to_string(),
                file: configured.file.clone(),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
