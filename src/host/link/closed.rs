//! An address that only a few may reach, by policy routing, ip-rule(8).
//!
//! What this machine would send from the address to anybody else goes nowhere, so nobody gets as much as
//! the second packet of a connection: neither mail nor a refusal, and a sender tries again. The
//! machine's own table of local addresses comes first, so programs on it reach the address as ever.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{family, ip};
use crate::error::Result;
use crate::host::step::Closed;

/// The rules for those who may. Lower numbers come first, and local addresses are rule 0.
const FRIENDS: &str = "10";
/// The rule for everybody else.
const REST: &str = "11";

/// What a rule of ours says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rule {
    /// Answers go to this address as they always did.
    Friend(IpAddr),
    /// All other answers go nowhere.
    Rest,
}

impl Rule {
    fn change(&self, verb: &str, address: IpAddr) -> Result<()> {
        let from = address.to_string();
        let to;
        let mut words = vec![family(address), "rule", verb, "pref"];
        match self {
            Self::Friend(friend) => {
                to = friend.to_string();
                words.extend([FRIENDS, "from", &from, "to", &to, "lookup", "main"]);
            }
            Self::Rest => words.extend([REST, "from", &from, "blackhole"]),
        }
        ip::change(&words)
    }
}

/// Lets nobody reach the address but those who may. Friends of the other family cannot speak to it
/// anyway.
pub(crate) fn close(closed: &Closed) -> Result<()> {
    let address = closed.address;
    let friends = closed.but_for.iter();
    let friends = friends.filter(|friend| friend.is_ipv4() == address.is_ipv4());
    let mut wanted: BTreeSet<Rule> = friends.copied().map(Rule::Friend).collect();
    wanted.insert(Rule::Rest);
    let there = rules(address)?;
    // Whoever is let in is let in last, so that the address is never open to all.
    for rule in wanted.iter().rev().filter(|rule| !there.contains(rule)) {
        let failure = rule.change("add", address).err();
        match failure {
            Some(failure) if !rules(address)?.contains(rule) => return Err(failure),
            _ => {}
        }
    }
    for rule in there.iter().filter(|rule| !wanted.contains(rule)) {
        rule.change("del", address)?;
    }
    Ok(())
}

/// Lets everybody reach the address.
pub(crate) fn open(address: IpAddr) -> Result<()> {
    // Old kernels take the same rule twice, and then it stands there twice.
    for rule in rules(address)? {
        let failure = rule.change("del", address).err();
        match failure {
            Some(failure) if rules(address)?.contains(&rule) => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

/// Our rules for an address, as often as they are there.
fn rules(address: IpAddr) -> Result<Vec<Rule>> {
    let said = ip::ask(&[family(address), "rule", "show"])?;
    Ok(parse(&String::from_utf8_lossy(&said), address))
}

/// `10: from 192.0.2.25 to 192.0.2.7 lookup main` and `11: from 192.0.2.25 blackhole`.
fn parse(said: &str, address: IpAddr) -> Vec<Rule> {
    let rule = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["10:", "from", from, "to", to, "lookup", "main"] if is(from, address) => {
                Some(Rule::Friend(to.parse().ok()?))
            }
            ["11:", "from", from, "blackhole"] if is(from, address) => Some(Rule::Rest),
            _ => None,
        }
    };
    said.lines().filter_map(rule).collect()
}

fn is(word: &str, address: IpAddr) -> bool {
    word.parse() == Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_rules_are_ours() {
        // `ip rule show` of iproute2 6.1, with rules of an admin's.
        let said = "0:\tfrom all lookup local\n\
                    10:\tfrom 192.0.2.25 to 192.0.2.7 lookup main\n\
                    10:\tfrom 192.0.2.26 to 192.0.2.7 lookup main\n\
                    11:\tfrom 192.0.2.25 blackhole\n\
                    11:\tfrom 192.0.2.25 lookup 100\n\
                    12:\tfrom 192.0.2.25 blackhole\n\
                    32766:\tfrom all lookup main\n";
        let ours = parse(said, "192.0.2.25".parse().unwrap());
        let friend = Rule::Friend("192.0.2.7".parse().unwrap());
        assert_eq!(ours, [friend, Rule::Rest]);
    }
}
