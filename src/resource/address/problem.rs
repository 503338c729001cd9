//! Why a service address cannot be configured or moved, and what to do about it.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::BadFile;
use super::interface::{Backend, Family};
use crate::host::network::Carrier;
use crate::names::Side;
use crate::raw::HostPath;

/// What is in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The host whose mail does not count has the address.
    WrongHost {
        /// On which host.
        side: Side,
        /// The address with its prefix.
        net: String,
        /// The interface that has it.
        interface: String,
        /// Whether the other host has it, too.
        both: bool,
        /// The file that gives it to that host at boot.
        file: Option<HostPath>,
        /// How often authority has changed hands, by the newer of the two records.
        epoch: u32,
    },
    /// No interface of the host is in the address's subnet.
    NoInterface {
        /// On which host.
        side: Side,
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// The interfaces that there are.
        candidates: Vec<String>,
    },
    /// Several interfaces, or several configurations of one, would do.
    Ambiguous {
        /// On which host.
        side: Side,
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// Each with its file.
        candidates: Vec<String>,
    },
    /// The manifest's interface has no configuration that comes up at boot.
    NotConfigured {
        /// On which host.
        side: Side,
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
    /// What the host's network is now is not known: it does not run, or has no iproute2.
    NotObserved {
        /// On which host.
        side: Side,
    },
    /// The host that shall let go of the address does not have it.
    NotHeld {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
    },
    /// The host that shall take the address has it.
    HeldAlready {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
        /// The interface.
        interface: String,
    },
    /// The manifest's interface is not there.
    NotThere {
        /// On which host.
        side: Side,
        /// The interface.
        interface: String,
    },
    /// The interface carries nothing.
    LinkDown {
        /// On which host.
        side: Side,
        /// The interface.
        interface: String,
        /// What of it is dead.
        carrier: Carrier,
    },
    /// No interface of the running host is in the address's subnet.
    NotInSubnet {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
    },
    /// Several are.
    SeveralInSubnet {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
        /// Which.
        interfaces: Vec<String>,
    },
    /// The address would be taken on one interface, and configured on another.
    Disagree {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
        /// The interface that is in the subnet now.
        live: String,
        /// The one that is configured.
        configured: String,
        /// Where.
        file: HostPath,
    },
    /// Routes would go with the address and not come back with it.
    TakesRoutes {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
        /// The interface.
        interface: String,
        /// Where they lead.
        routes: Vec<String>,
    },
    /// DHCP or a router gave the address, and would do so again.
    Leased {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
        /// The interface.
        interface: String,
    },
    /// Nothing in the configuration gives the address, so it is not known what would at the next boot.
    Unexplained {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// On which host.
        side: Side,
    },
    /// The address cannot be taken out of the configuration without something else.
    NotRemovable {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// The interface.
        interface: String,
        /// Where it is.
        file: HostPath,
    },
    /// An address would be left whose subnet only the service address tells.
    Stranded {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// The interface.
        interface: String,
        /// That one.
        #[schemars(with = "String")]
        other: IpAddr,
        /// Where the service address is.
        file: HostPath,
    },
    /// A hook of ifupdown has the address, and it is not known what it does with it.
    InHook {
        /// The address.
        #[schemars(with = "String")]
        address: IpAddr,
        /// The file.
        file: HostPath,
        /// The line, from 1.
        line: usize,
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
    #[expect(clippy::too_many_lines, reason = "a sentence for each, and no more")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongHost {
                side,
                net,
                interface,
                both,
                file,
                epoch,
            } => {
                let right = side.other();
                let who = if *both {
                    "both hosts have it".to_owned()
                } else {
                    format!("the {side} has it")
                };
                write!(
                    f,
                    "{who}, and by the newer record (epoch {epoch}) the {right}'s mail counts; take it \
                     from the {side} with `ip addr del {net} dev {interface}` there"
                )?;
                if let Some(file) = file {
                    write!(f, ", and out of {file}")?;
                }
                f.write_str(
                    ", then plan again; mail that came there meanwhile is in its mailboxes and its queue",
                )
            }
            Self::NoInterface {
                side,
                address,
                candidates,
            } => write!(
                f,
                "no interface of the {side} has a persistent address in the subnet of {address} \
                 ({}); set cutover.interface, or mend the prefix in cutover.address",
                listed(candidates)
            ),
            Self::Ambiguous {
                side,
                address,
                candidates,
            } => write!(
                f,
                "several configurations on the {side} could take {address}: {}; set \
                 cutover.interface, or remove the configuration that is not in use",
                candidates.join(", ")
            ),
            Self::NotConfigured {
                side,
                interface,
                candidates,
            } => write!(
                f,
                "nothing on the {side} configures {interface} at boot ({}); mend \
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
            Self::NotObserved { side } => write!(
                f,
                "the network of the {side} cannot be looked at; `ip` of iproute2 must run there"
            ),
            Self::NotHeld { address, side } => write!(
                f,
                "no interface of the {side} has {address}, so the {side} cannot hand it over; find \
                 the machine that has it, or mend cutover.address"
            ),
            Self::HeldAlready {
                address,
                side,
                interface,
            } => write!(
                f,
                "{interface} of the {side} has {address} already; take it away there before mail \
                 moves: `ip addr show dev {interface}`"
            ),
            Self::NotThere { side, interface } => write!(
                f,
                "the {side} has no interface {interface}; mend cutover.interface: `ip link show`"
            ),
            Self::LinkDown {
                side,
                interface,
                carrier,
            } => {
                let what = match carrier {
                    Carrier::NoWire => "has no carrier; check its cable and switch",
                    Carrier::Down | Carrier::Up => "is down; bring it up",
                };
                write!(f, "{interface} of the {side} {what}")
            }
            Self::NotInSubnet { address, side } => write!(
                f,
                "no interface of the {side} has an address in the subnet of {address} now; give it \
                 one, set cutover.interface, or mend the prefix in cutover.address"
            ),
            Self::SeveralInSubnet {
                address,
                side,
                interfaces,
            } => write!(
                f,
                "several interfaces of the {side} are in the subnet of {address} now: {}; set \
                 cutover.interface, or take one of them down",
                interfaces.join(", ")
            ),
            Self::Disagree {
                address,
                side,
                live,
                configured,
                file,
            } => write!(
                f,
                "{address} would be on {live} of the {side} now, and after a reboot on {configured} \
                 ({file}); configure {live}, or set cutover.interface"
            ),
            Self::TakesRoutes {
                address,
                side,
                interface,
                routes,
            } => write!(
                f,
                "the {side} would lose its routes to {} together with {address}; give {interface} \
                 another address in that subnet, and routes that are not for {address}",
                routes.join(", ")
            ),
            Self::Leased {
                address,
                side,
                interface,
            } => write!(
                f,
                "{interface} of the {side} has {address} from DHCP or from a router, which would \
                 give it back; configure it there instead"
            ),
            Self::Unexplained { address, side } => write!(
                f,
                "nothing in the network configuration of the {side} gives it {address}, so it may \
                 take it again when it boots; find what does (`grep -rF {address} /etc`) and \
                 configure it with the interface instead"
            ),
            Self::NotRemovable {
                address,
                interface,
                file,
            } => write!(
                f,
                "{address} cannot be taken out of {file} by itself: {interface} would lose more \
                 than that; give {interface} another address there, or put {address} where it \
                 stands alone"
            ),
            Self::Stranded {
                address,
                interface,
                other,
                file,
            } => write!(
                f,
                "without {address} ({file}) nothing says in which subnet {other} of {interface} is; \
                 give {other} its prefix"
            ),
            Self::InHook {
                address,
                file,
                line,
            } => write!(
                f,
                "{file}, line {line}: a program that is run there is told {address}, and would be \
                 after a reboot; take it out, or configure the address with the interface instead"
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
