//! The Ethernet frames of ARP (RFC 826, RFC 5227) and of neighbour discovery (RFC 4861).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if nth == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// Ethernet's numbers for protocols.
pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;

const EVERYBODY: Mac = Mac([0xff; 6]);
/// ARP over Ethernet for IPv4: hardware type, protocol type, and the lengths of both addresses.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// The O flag of an advertisement: what the neighbours know already is replaced.
const OVERRIDE: u8 = 0x20;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Asks who has the address, without saying anything of ourselves.
pub(super) fn probe(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(REQUEST, mac, Ipv4Addr::UNSPECIFIED, Mac([0; 6]), address),
        IpAddr::V6(address) => {
            let [.., a, b, c] = address.octets();
            let [b1, b2] = [u16::from(a), u16::from_be_bytes([b, c])];
            // RFC 4291, 2.7.1: the solicited-node address.
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | b1, b2);
            let body = [&[0; 4], &address.octets()[..]].concat();
            let from = Ipv6Addr::UNSPECIFIED;
            icmpv6(mac, from, group, NEIGHBOR_SOLICITATION, &body)
        }
    }
}

/// Says that we have the address, in each of the ways that there are.
pub(super) fn announcements(mac: Mac, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => vec![
            arp(REQUEST, mac, address, Mac([0; 6]), address),
            arp(REPLY, mac, address, EVERYBODY, address),
        ],
        IpAddr::V6(address) => {
            // Flags, the address, and the option that holds our hardware address.
            let flags = [OVERRIDE, 0, 0, 0];
            let body = [&flags, &address.octets()[..], &[2, 1], &mac.0].concat();
            vec![icmpv6(
                mac,
                address,
                ALL_NODES,
                NEIGHBOR_ADVERTISEMENT,
                &body,
            )]
        }
    }
}

/// Who says in this frame that it has the address, or is about to take it.
pub(super) fn claimant(frame: &[u8], address: IpAddr) -> Option<Mac> {
    let from = Mac(frame.get(6..12)?.try_into().ok()?);
    let kind = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
    let payload = frame.get(14..)?;
    match address {
        IpAddr::V4(address) if kind == ARP => {
            if payload.get(..6)? != ARP_HEAD {
                return None;
            }
            let hardware = Mac(payload.get(8..14)?.try_into().ok()?);
            let sender = payload.get(14..18)?;
            let asked = payload.get(24..28)?;
            let claims = sender == address.octets()
                || (sender == Ipv4Addr::UNSPECIFIED.octets() && asked == address.octets());
            claims.then_some(hardware)
        }
        IpAddr::V6(address) if kind == IPV6 => {
            let (head, message) = payload.split_at_checked(40)?;
            // RFC 4861, 7.1: what a router passed on is no neighbour's word.
            let (next, hops) = (head[6], head[7]);
            if next != ICMPV6 || hops != 255 || *message.get(8..24)? != address.octets() {
                return None;
            }
            let unspecified = head[8..24] == Ipv6Addr::UNSPECIFIED.octets();
            let claims = match message[0] {
                NEIGHBOR_ADVERTISEMENT => true,
                NEIGHBOR_SOLICITATION => unspecified,
                _ => false,
            };
            claims.then_some(from)
        }
        _ => None,
    }
}

fn arp(kind: u16, mac: Mac, sender: Ipv4Addr, asked: Mac, address: Ipv4Addr) -> Vec<u8> {
    [
        &EVERYBODY.0[..],
        &mac.0,
        &ARP.to_be_bytes(),
        &ARP_HEAD,
        &kind.to_be_bytes(),
        &mac.0,
        &sender.octets(),
        &asked.0,
        &address.octets(),
    ]
    .concat()
}

/// A message of neighbour discovery; `body` is what follows the checksum.
fn icmpv6(mac: Mac, from: Ipv6Addr, to: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let [.., a, b, c, d] = to.octets();
    let group = [0x33, 0x33, a, b, c, d];
    let mut message = [&[kind, 0, 0, 0], body].concat();
    let length = u16::try_from(message.len()).expect("such messages are short");
    // RFC 4443, 2.3: the checksum covers the addresses, the length and the protocol too.
    let pseudo = [
        &from.octets()[..],
        &to.octets(),
        &u32::from(length).to_be_bytes(),
        &[0, 0, 0, ICMPV6],
    ]
    .concat();
    let sum = checksum(&[pseudo, message.clone()].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    [
        &group[..],
        &mac.0,
        &IPV6.to_be_bytes(),
        &[0x60, 0, 0, 0],
        &length.to_be_bytes(),
        &[ICMPV6, 255],
        &from.octets(),
        &to.octets(),
        &message,
    ]
    .concat()
}

/// The Internet's checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it was folded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }

    /// What Linux 6.18 sends: a solicitation for duplicate address detection, and the answer to it.
    const SOLICITATION: &str = "3333ff000025 020000000001 86dd 6000000000203aff \
        00000000000000000000000000000000 ff0200000000000000000001ff000025 \
        8700830100000000 20010db8000000000000000000000025 0e017e59efc94d77";
    const ADVERTISEMENT: &str = "333300000001 020000000002 86dd 6000000000203aff \
        20010db8000000000000000000000025 ff020000000000000000000000000001 \
        8800f8e120000000 20010db8000000000000000000000025 0201020000000002";

    #[test]
    fn we_speak_as_the_kernel_does() {
        let [mac, other] = [1, 2].map(|n| Mac([2, 0, 0, 0, 0, n]));
        let address = "2001:db8::25".parse().unwrap();
        assert_eq!(announcements(other, address), [bytes(ADVERTISEMENT)]);
        // Ours has no nonce, RFC 7527, and is the shorter by 8 bytes, but for which it is the same.
        let probe = probe(mac, address);
        let kernel = bytes(SOLICITATION);
        assert_eq!(probe[..18], kernel[..18]);
        assert_eq!(probe[20..56], kernel[20..56]);
        assert_eq!(probe[58..], kernel[58..78]);
    }

    #[test]
    fn arp_is_spoken_as_in_rfc_5227() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let address = "192.0.2.25".parse().unwrap();
        let asks = bytes(
            "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 \
             020000000001 00000000 000000000000 c0000219",
        );
        assert_eq!(probe(mac, address), asks);
        let says = [
            "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 \
             020000000001 c0000219 000000000000 c0000219",
            "ffffffffffff 020000000001 0806 0001 0800 06 04 0002 \
             020000000001 c0000219 ffffffffffff c0000219",
        ];
        assert_eq!(announcements(mac, address), says.map(bytes));
    }

    #[test]
    fn whoever_has_the_address_or_wants_it_claims_it() {
        let [mac, other] = [1, 2].map(|n| Mac([2, 0, 0, 0, 0, n]));
        let [v4, v6] = ["192.0.2.25", "2001:db8::25"].map(|a| a.parse().unwrap());
        assert_eq!(claimant(&bytes(ADVERTISEMENT), v6), Some(other));
        assert_eq!(claimant(&bytes(SOLICITATION), v6), Some(mac));
        assert_eq!(claimant(&probe(mac, v4), v4), Some(mac));
        for said in announcements(other, v4) {
            assert_eq!(claimant(&said, v4), Some(other));
            assert_eq!(claimant(&said, "192.0.2.26".parse().unwrap()), None);
            assert_eq!(claimant(&said, v6), None);
        }
        // Somebody who asks for it in order to reach it.
        let asks = arp(
            REQUEST,
            mac,
            Ipv4Addr::new(192, 0, 2, 7),
            Mac([0; 6]),
            Ipv4Addr::new(192, 0, 2, 25),
        );
        assert_eq!(claimant(&asks, v4), None);
        for frame in [ADVERTISEMENT, SOLICITATION]
            .map(bytes)
            .iter()
            .chain([&asks])
        {
            for end in 0..frame.len() - 9 {
                assert_eq!(claimant(&frame[..end], v4), None);
                claimant(&frame[..end], v6);
            }
        }
    }
}
