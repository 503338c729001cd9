//! The closed list of things that a host does to itself in a hand-over, and to take them back.
//!
//! A step is idempotent: done twice, or done after half of it was done, it leaves what doing it once
//! leaves. Steps hold no file contents, so they may stand in a plan. They are carried out on the host
//! itself, guarded by its dead man's switch ([`super::switch`]), because what takes them back must work
//! without anybody else.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Command;
use super::queue::QueueStep;
use crate::raw::HostPath;

/// A step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A command that may be run again: exit status 0, or it failed.
    Run(Command),
    /// Keeps a file as it is now, with owner and mode, unless that was done before.
    Save(Saved),
    /// Puts a file back as it was kept: removes it if there was none. Nothing if it was never kept.
    Restore(Saved),
    /// Waits until nobody on the interface's network answers for an address: a barrier. Whatever comes
    /// after it is not done while somebody answers.
    AwaitFree(OnInterface),
    /// Takes an address on an interface, until the next boot.
    TakeAddress(Assignment),
    /// Lets go of an address, if it is there.
    DropAddress(Assignment),
    /// Tells the neighbours who has the address now: gratuitous ARP (RFC 5227) or unsolicited
    /// neighbour advertisements (RFC 4861, 7.2.6), a few times at once and then for a minute.
    Announce(OnInterface),
    /// Lets nobody reach an address but these: what they do not get they try again.
    Close(Closed),
    /// Ends [`Step::Close`].
    Open(#[schemars(with = "String")] IpAddr),
    /// Something with the mail queues of two hosts.
    Queue(QueueStep),
    /// Powers the host off, after this has been answered.
    PowerOff,
}

/// A file, and where its former content is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The file.
    pub path: HostPath,
    /// Where it is kept, in the migration's directory on the same host.
    pub kept: HostPath,
}

/// An address and the interface on whose network it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnInterface {
    /// The address.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// The interface.
    pub interface: String,
}

/// An address with its prefix, as `ip addr` shows it, on an interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Address and prefix.
    #[schemars(with = "String")]
    pub net: IpNet,
    /// The interface.
    pub interface: String,
}

/// An address that only a few may reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// The address.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// Those who may.
    #[schemars(with = "Vec<String>")]
    pub but_for: Vec<IpAddr>,
}

impl fmt::Display for Step {
    /// As a line of a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => command.fmt(f),
            Self::Save(Saved { path, kept }) => write!(f, "keep {path} as {kept}"),
            Self::Restore(Saved { path, .. }) => write!(f, "put {path} back"),
            Self::AwaitFree(OnInterface { address, interface }) => {
                write!(f, "wait until nobody on {interface} answers for {address}")
            }
            Self::TakeAddress(Assignment { net, interface }) => {
                write!(f, "ip addr add {net} dev {interface}")
            }
            Self::DropAddress(Assignment { net, interface }) => {
                write!(f, "ip addr del {net} dev {interface}")
            }
            Self::Announce(OnInterface { address, interface }) => {
                write!(f, "announce {address} on {interface}")
            }
            Self::Close(Closed { address, but_for }) => {
                write!(f, "let nobody reach {address}")?;
                for (number, friend) in but_for.iter().enumerate() {
                    write!(f, "{} {friend}", if number == 0 { " but" } else { "," })?;
                }
                Ok(())
            }
            Self::Open(address) => write!(f, "let everybody reach {address}"),
            Self::Queue(step) => step.fmt(f),
            Self::PowerOff => f.write_str("power off"),
        }
    }
}
