//! Which TCP ports are open: `/proc/net/tcp` and `tcp6`, proc(5), which every Linux has, whatever
//! programs it lacks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The ports of mail: SMTP, POP3, IMAP, submission, and the same inside TLS.
pub const MAIL: [u16; 7] = [25, 110, 143, 465, 587, 993, 995];

/// From where a port can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// From the host itself only.
    Loopback,
    /// From other hosts.
    Network,
}

/// `TCP_LISTEN` of the kernel, as the file has it.
const LISTEN: &str = "0A";

/// Adds what listens on a port of mail, of one of the two files.
pub fn listening(text: &str, ports: &mut BTreeMap<u16, Reach>) {
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), _, Some(LISTEN)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Some((address, port)) = local.split_once(':') else {
            continue;
        };
        let Ok(port) = u16::from_str_radix(port, 16) else {
            continue;
        };
        if MAIL.contains(&port) {
            let reach = ports.entry(port).or_insert(Reach::Loopback);
            *reach = (*reach).max(reach_of(address));
        }
    }
}

/// Addresses are hexadecimal, each word of four bytes as the CPU has it: on all that we know, the
/// last byte first.
fn reach_of(address: &str) -> Reach {
    const V6_LOOPBACK: &str = "00000000000000000000000001000000";
    const V4_IN_V6: &str = "0000000000000000FFFF0000";
    let v4 = address.strip_prefix(V4_IN_V6).unwrap_or(address);
    if address == V6_LOOPBACK || (v4.len() == 8 && v4.ends_with("7F")) {
        Reach::Loopback
    } else {
        Reach::Network
    }
}
