//! What keeps senders from the domain's mail servers, each with what to write in the zone.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is wrong with a domain's exchangers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// DNS was not asked.
    NotAsked,
    /// It could not be known what DNS says.
    Unknown {
        /// What was asked for: `the mail exchangers of example.org`.
        asked: String,
        /// Why.
        why: String,
    },
    /// There is no such domain.
    NoDomain {
        /// The domain.
        domain: String,
    },
    /// Neither exchangers nor addresses.
    Nowhere {
        /// The domain.
        domain: String,
    },
    /// RFC 7505: the domain takes no mail.
    Null {
        /// The domain.
        domain: String,
    },
    /// An address where a name has to be.
    IsAddress {
        /// The exchanger.
        exchanger: String,
    },
    /// RFC 2181, 10.3: an exchanger's name is not another's.
    IsAlias {
        /// The exchanger.
        exchanger: String,
        /// What it stands for.
        of: String,
    },
    /// An exchanger without an address.
    NoAddress {
        /// The exchanger.
        exchanger: String,
        /// Whether there is such a name at all.
        named: bool,
    },
    /// No exchanger has an address that moves.
    Elsewhere {
        /// The domain.
        domain: String,
        /// The addresses that move.
        moves: BTreeSet<IpAddr>,
        /// Where mail goes first.
        exchanger: String,
        /// Its addresses.
        addresses: BTreeSet<IpAddr>,
    },
    /// An exchanger that has no address that moves is tried before the one that has, or as early.
    Before {
        /// It.
        exchanger: String,
        /// Its preference.
        preference: u16,
        /// The exchanger whose address moves.
        primary: String,
        /// Its preference.
        than: u16,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str(
                "DNS was not asked for the mail exchangers: plan without --observation, or observe again",
            ),
            Self::Unknown { asked, why } => write!(
                f,
                "it could not be known what DNS says of {asked}: {why}. Try again, mend the name server, or \
                 name others in mx.nameservers"
            ),
            Self::NoDomain { domain } => write!(
                f,
                "there is no domain {domain} in DNS: mend mx.domain, or publish the zone"
            ),
            Self::Nowhere { domain } => write!(
                f,
                "{domain} has neither mail exchangers nor an address, so nobody can send it mail: add \
                 `{domain}. MX 10 NAME.` with the name of the mail server to the zone"
            ),
            Self::Null { domain } => write!(
                f,
                "{domain} says that it takes no mail (`MX 0 .`, RFC 7505): take that record out of the \
                 zone, and add `{domain}. MX 10 NAME.` with the name of the mail server"
            ),
            Self::IsAddress { exchanger } => write!(
                f,
                "the exchanger {exchanger} is an address where a name has to be, and senders ignore it: \
                 give the address a name by an A or AAAA record, and write that name in the MX record"
            ),
            Self::IsAlias { exchanger, of } => write!(
                f,
                "the exchanger {exchanger} is an alias (CNAME) of {of}, which RFC 2181 forbids and some \
                 senders refuse: write {of} itself in the MX record"
            ),
            Self::NoAddress {
                exchanger,
                named: true,
            } => write!(
                f,
                "the exchanger {exchanger} has no address: add an A or AAAA record for it to the zone, or \
                 take its MX record out"
            ),
            Self::NoAddress {
                exchanger,
                named: false,
            } => write!(
                f,
                "there is no name {exchanger} in DNS, which is an exchanger: add an A or AAAA record for it \
                 to the zone, or take its MX record out"
            ),
            Self::Elsewhere {
                domain,
                moves,
                exchanger,
                addresses,
            } => write!(
                f,
                "mail for {domain} goes to {exchanger} at {}, and not to the address that moves, {}: write \
                 the address that senders come to in cutover.address, or that of the zone's A record",
                joined(addresses),
                joined(moves)
            ),
            Self::Before {
                exchanger,
                preference,
                primary,
                than,
            } => write!(
                f,
                "{exchanger} (preference {preference}) is tried {} {primary} (preference {than}), whose \
                 address moves: give {exchanger} a preference above {than}, as in `MX {} {exchanger}.`",
                if preference == than {
                    "as early as"
                } else {
                    "before"
                },
                than.saturating_add(10)
            ),
        }
    }
}

fn joined(addresses: &BTreeSet<IpAddr>) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "no address".to_owned()
    } else {
        all.join(" and ")
    }
}
