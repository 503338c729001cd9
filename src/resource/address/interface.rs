//! What the persistent configuration says of an interface, whichever backend says it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use globset::GlobBuilder;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::HostPath;

/// The programs that configure interfaces at boot.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Debian's ifup, interfaces(5).
    Ifupdown,
    /// systemd.network(5).
    Networkd,
    /// netplan(5).
    Netplan,
    /// nm-settings-keyfile(5).
    NetworkManager,
    /// Red Hat's network-scripts, nm-settings-ifcfg-rh(5).
    Ifcfg,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ifupdown => "ifupdown",
            Self::Networkd => "systemd-networkd",
            Self::Netplan => "netplan",
            Self::NetworkManager => "NetworkManager",
            Self::Ifcfg => "ifcfg",
        })
    }
}

/// IPv4 or IPv6.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::Ipv4
        } else {
            Self::Ipv6
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// Which interfaces a piece of configuration is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selector {
    /// Those with one of these names; shell globs.
    Names(Vec<String>),
    /// Whichever comes up, chosen by something else than the name. The text names the configuration.
    Other(String),
}

impl Selector {
    /// Whether an interface of this name is meant for certain.
    pub fn names(&self, interface: &str) -> bool {
        match self {
            Self::Names(globs) => globs.iter().any(|glob| glob_matches(glob, interface)),
            Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(globs) => f.write_str(&globs.join(" ")),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Shell globbing, where `*` does not go beyond a slash. A broken glob is only itself.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    match GlobBuilder::new(glob).literal_separator(true).build() {
        Ok(built) => built.compile_matcher().is_match(text),
        Err(_) => glob == text,
    }
}

/// Who wrote the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The admin or the installer, in `/etc`.
    Admin,
    /// The distribution, in `/usr/lib`: a fallback that the admin may not know of.
    Vendor,
}

/// A static address and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assigned {
    /// Address and prefix.
    pub net: IpNet,
    /// The file.
    pub file: HostPath,
}

/// One interface, or one set of interfaces that are configured alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Which.
    pub selector: Selector,
    /// Who configures it.
    pub backend: Backend,
    /// The file that defines it.
    pub file: HostPath,
    /// Who wrote that file.
    pub origin: Origin,
    /// Netplan's mapping of devices of this type (`ethernets`); empty for other backends.
    pub device_type: String,
    /// Its persistent addresses.
    pub addresses: Vec<Assigned>,
    /// Families that get addresses from DHCP or router advertisements.
    pub dynamic: BTreeSet<Family>,
    /// Families that are turned off, so that an address would have no effect.
    pub off: BTreeSet<Family>,
}

impl Interface {
    /// An interface of which nothing is known but who configures it.
    pub fn new(selector: Selector, backend: Backend, file: HostPath) -> Self {
        Self {
            selector,
            backend,
            file,
            origin: Origin::Admin,
            device_type: String::new(),
            addresses: Vec::new(),
            dynamic: BTreeSet::new(),
            off: BTreeSet::new(),
        }
    }

    /// Adds a persistent address.
    pub fn assign(&mut self, net: IpNet, file: &HostPath) {
        let file = file.clone();
        self.addresses.push(Assigned { net, file });
    }

    /// The file that gives it this address.
    pub fn holds(&self, address: IpAddr) -> Option<&HostPath> {
        let found = self.addresses.iter().find(|a| a.net.addr() == address);
        found.map(|a| &a.file)
    }
}

/// The interface with these names, made if it is not there.
pub fn named<'a>(
    all: &'a mut Vec<Interface>,
    name: &str,
    backend: Backend,
    file: &HostPath,
) -> &'a mut Interface {
    let selector = Selector::Names(vec![name.to_owned()]);
    let at = all.iter().position(|i| i.selector == selector);
    let at = at.unwrap_or_else(|| {
        all.push(Interface::new(selector, backend, file.clone()));
        all.len() - 1
    });
    &mut all[at]
}

/// The prefix that an IPv4 address has when none is written: that of its class.
pub fn classful_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(v4) => match v4.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        },
        IpAddr::V6(_) => 64,
    }
}

/// `ADDRESS/PREFIX`, or an address whose prefix or netmask stands elsewhere.
pub fn parse_net(address: &str, mask: Option<&str>) -> Option<IpNet> {
    if let Ok(net) = address.parse() {
        return Some(net);
    }
    let address: IpAddr = address.parse().ok()?;
    let prefix = match mask {
        None => classful_prefix(address),
        Some(mask) => match mask.parse::<u8>() {
            Ok(prefix) => prefix,
            Err(_) => ipnet::ip_mask_to_prefix(mask.parse().ok()?).ok()?,
        },
    };
    IpNet::new(address, prefix).ok()
}
