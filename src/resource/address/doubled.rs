//! The host whose mail does not count has a service address: somebody gave it back to it, or a host that
//! was away when authority changed hands came up with it.
//!
//! Which host is right follows from the records, of which that with the higher epoch counts. Taking an
//! address from a host on which mail may have arrived meanwhile is for a person to do.

use super::configure::address;
use super::hand_over::answers;
use super::{Actual, Problem, backend};
use crate::manifest::Cutover;
use crate::names::Side;
use crate::plan::Resource;

/// The service addresses that the other host than the one whose mail counts answers for, and what to do.
pub fn doubled(
    cutover: &Cutover,
    authority: Side,
    epoch: u32,
    actual: &Actual,
) -> Vec<(Resource, Problem)> {
    let side = authority.other();
    let Some(network) = actual.network(side) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for service in cutover.address.iter().map(|net| net.0.addr()) {
        let Some((interface, _, held)) = network.holders(service).find(answers) else {
            continue;
        };
        let right = actual.network(authority);
        let both = right.is_some_and(|network| network.holders(service).any(|held| answers(&held)));
        let file = match backend::read(actual.files(side)) {
            Ok(all) => all.iter().find_map(|found| found.holds(service)).cloned(),
            Err(bad) => {
                problems.push((address(service), Problem::from(bad)));
                None
            }
        };
        let problem = Problem::WrongHost {
            side,
            net: held.net.to_string(),
            interface: interface.to_owned(),
            both,
            file,
            epoch,
        };
        problems.push((address(service), problem));
    }
    problems
}
