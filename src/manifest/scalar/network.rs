//! Addresses and names on the network.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BadScalar, bad, quote, text_input, text_scalar, text_schema};

/// An address with the prefix of its subnet: `192.0.2.25/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self(net));
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        match (address.parse::<IpAddr>(), prefix) {
            (Ok(IpAddr::V4(_)), None) => bad(
                format!("{} has no prefix", quote(text)),
                format!("add the prefix of its subnet, as in {text}/24"),
            ),
            (Ok(IpAddr::V6(_)), None) => bad(
                format!("{} has no prefix", quote(text)),
                format!("add the prefix of its subnet, as in {text}/64"),
            ),
            (Ok(address), Some(prefix)) => bad(
                format!("{} is no prefix", quote(&format!("/{prefix}"))),
                if address.is_ipv4() {
                    "the prefix of an IPv4 subnet is a number from 0 to 32"
                } else {
                    "the prefix of an IPv6 subnet is a number from 0 to 128"
                },
            ),
            (Err(_), _) => bad(
                format!("{} is no IP address", quote(address)),
                "write an address with the prefix of its subnet, as in 192.0.2.25/24 or 2001:db8::25/64",
            ),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_scalar!(
    Cidr,
    "^[0-9A-Fa-f.:]+/[0-9]{1,3}$",
    "Address with the prefix of its subnet."
);

/// An address without a prefix: `192.0.2.7`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IpAddress(pub IpAddr);

impl FromStr for IpAddress {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        match text.parse() {
            Ok(address) => Ok(Self(address)),
            Err(_) => bad(
                format!("{} is no IP address", quote(text)),
                "write one address, as in 192.0.2.7 or 2001:db8::7",
            ),
        }
    }
}

impl fmt::Display for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_scalar!(IpAddress, "^[0-9A-Fa-f.:]+$", "IP address.");

/// Grammar of a DNS name (RFC 1123): no final dot, no address.
pub(crate) enum DnsName {}

impl DnsName {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        if text.parse::<IpAddr>().is_ok() {
            return bad(
                format!("{} is an address", quote(text)),
                "write the name that clients use, as in mail.example.org",
            );
        }
        if !text.is_ascii() {
            return bad(
                format!("{} is not ASCII", quote(text)),
                "write the name as DNS has it, with xn-- in front of such labels",
            );
        }
        if text.len() > 1 && text.ends_with('.') {
            return bad(
                format!("{} ends in a dot", quote(text)),
                "leave out the final dot",
            );
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(())
        } else {
            bad(
                format!("{} is no DNS name", quote(text)),
                "write labels of a-z, 0-9 and inner '-', at most 63 characters each, with dots between them",
            )
        }
    }
}

text_schema!(
    DnsName,
    "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    "DNS name without a final dot."
);

/// Grammar of a network interface's name, as Linux has it (`dev_valid_name`).
pub(crate) enum InterfaceName {}

impl InterfaceName {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        let well_formed = (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && !text.contains(['/', ':'])
            && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if well_formed {
            Ok(())
        } else {
            bad(
                format!("{} cannot name an interface", quote(text)),
                "write a name that `ip link` shows: at most 15 bytes, no '/', ':' or white space",
            )
        }
    }
}

text_schema!(
    InterfaceName,
    "^[^/:\\s]{1,15}$",
    "Network interface, as shown by ip link."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_its_prefix() {
        for good in ["192.0.2.25/24", "2001:db8::25/64", "192.0.2.25/32"] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
        for wrong in [
            "192.0.2.25",
            "192.0.2.25/33",
            "192.0.2/24",
            "::1/129",
            "/24",
            "a/8",
            "",
        ] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn dns_names_follow_rfc_1123() {
        for good in [
            "mail.example.org",
            "MAIL",
            "3com.com",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(DnsName::check(good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            ".",
            "a..b",
            "-a.org",
            "a-.org",
            "mail_1.org",
            "mail.example.org.",
            "bücher.example",
            "192.0.2.1",
            "::1",
            &"a".repeat(64),
            &vec!["a".repeat(60); 5].join("."),
        ] {
            assert!(DnsName::check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn interface_names_are_those_that_linux_takes() {
        for good in ["eth0", "enp0s31f6", "eth0.100", "br-lan", "abcdefghijklmno"] {
            assert_eq!(InterfaceName::check(good), Ok(()), "{good}");
        }
        for wrong in ["", ".", "..", "a/b", "eth0:1", "a b", "abcdefghijklmnop"] {
            assert!(InterfaceName::check(wrong).is_err(), "{wrong}");
        }
    }
}
