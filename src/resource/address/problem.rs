//! Why a service address cannot be configured, and what to do about it.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::BadFile;
use super::interface::{Backend, Family};
use crate::raw::HostPath;

/// What is in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// No interface of the target is in the address's subnet.
    NoInterface {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// The interfaces that there are.
        candidates: Vec<String>,
    },
    /// Several interfaces, or several configurations of one, would do.
    Ambiguous {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// Each with its file.
        candidates: Vec<String>,
    },
    /// The manifest's interface has no configuration that comes up at boot.
    NotConfigured {
        /// The interface.
        interface: String,
        /// The interfaces that have one.
        candidates: Vec<String>,
    },
    /// Two programs would configure the interface.
    TwoBackends {
        /// The interface.
        interface: String,
        /// One and its file.
        one: (Backend, HostPath),
        /// The other and its file.
        other: (Backend, HostPath),
    },
    /// The address is configured, but on another interface than the manifest says.
    Elsewhere {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// Where it is.
        interface: String,
        /// In which file.
        file: HostPath,
        /// Where it should be.
        wanted: String,
    },
    /// The interface has this family turned off, so that the address would have no effect.
    FamilyOff {
        /// The interface.
        interface: String,
        /// The family.
        family: Family,
        /// Where it is turned off.
        file: HostPath,
    },
    /// A file is not what its format says.
    Unreadable {
        /// The file.
        file: HostPath,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl From<BadFile> for Problem {
    fn from(bad: BadFile) -> Self {
        Self::Unreadable {
            file: bad.path,
            line: bad.malformed.line,
            what: bad.malformed.what,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface {
                address,
                candidates,
            } => write!(
                f,
                "no interface of the target has a persistent address in the subnet of {address} \
                 ({}); set cutover.interface, or mend the prefix in cutover.address",
                listed(candidates)
            ),
            Self::Ambiguous {
                address,
                candidates,
            } => write!(
                f,
                "several configurations on the target could take {address}: {}; set \
                 cutover.interface, or remove the configuration that is not in use",
                candidates.join(", ")
            ),
            Self::NotConfigured {
                interface,
                candidates,
            } => write!(
                f,
                "nothing on the target configures {interface} at boot ({}); mend \
                 cutover.interface, or configure {interface} first",
                listed(candidates)
            ),
            Self::TwoBackends {
                interface,
                one,
                other,
            } => write!(
                f,
                "both {} ({}) and {} ({}) configure {interface}; remove the configuration of the \
                 one that is not in use",
                one.0, one.1, other.0, other.1
            ),
            Self::Elsewhere {
                address,
                interface,
                file,
                wanted,
            } => write!(
                f,
                "{address} is configured on {interface} ({file}), not on {wanted}; remove it \
                 there, or set cutover.interface to {interface}"
            ),
            Self::FamilyOff {
                interface,
                family,
                file,
            } => write!(
                f,
                "{family} is turned off on {interface} ({file}); turn it on there, or take the \
                 address out of cutover.address"
            ),
            Self::Unreadable { file, line, what } => {
                write!(
                    f,
                    "{file}, line {line}: {what}; mend the file and plan again"
                )
            }
        }
    }
}

fn listed(candidates: &[String]) -> String {
    if candidates.is_empty() {
        "no interface is configured at all".to_owned()
    } else {
        format!("configured: {}", candidates.join(", "))
    }
}
