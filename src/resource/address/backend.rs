//! The five backends behind one door: what to read, what it says, how an address is added, and how it
//! is taken out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::files::{BadFile, Files};
use super::interface::{Backend, Interface};
use super::{ifcfg, ifupdown, netplan, networkd, networkmanager};
use crate::error::Result;
use crate::host::{Command, ReadHost};
use crate::manifest::MigrationName;
use crate::raw::HostPath;

/// A file as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Where.
    pub path: HostPath,
    /// Its whole text; hidden secrets stay hidden.
    pub text: String,
    /// Permission bits if it is made new.
    pub mode: u32,
}

/// Reads the persistent configuration of every backend; most hosts have one.
pub fn collect(host: &dyn ReadHost) -> Result<Files> {
    let mut files = Files::default();
    ifupdown::collect(host, &mut files)?;
    networkd::collect(host, &mut files)?;
    netplan::collect(host, &mut files)?;
    networkmanager::collect(host, &mut files)?;
    ifcfg::collect(host, &mut files)?;
    Ok(files)
}

/// The interfaces that have a persistent configuration, loopback apart.
pub fn read(files: &Files) -> Result<Vec<Interface>, BadFile> {
    let mut all = ifupdown::read(files)?;
    all.extend(networkd::read(files)?);
    all.extend(netplan::read(files)?);
    all.extend(networkmanager::read(files)?);
    all.extend(ifcfg::read(files)?);
    Ok(all)
}

/// The file that gives the interface these addresses too, in its backend's own way.
pub fn add(
    files: &Files,
    interface: &Interface,
    addresses: &[IpNet],
    owner: &MigrationName,
) -> Result<Placement, BadFile> {
    match interface.backend {
        Backend::Ifupdown => ifupdown::add(files, interface, addresses, owner),
        Backend::Networkd => Ok(networkd::add(files, interface, addresses, owner)),
        Backend::Netplan => netplan::add(files, interface, addresses, owner),
        Backend::NetworkManager => networkmanager::add(files, interface, addresses),
        Backend::Ifcfg => Ok(ifcfg::add(files, interface, addresses)),
    }
}

/// The files without these addresses: those that change, each as it will be. An address that a backend
/// cannot take out without taking something else along stays where it is.
pub fn remove(
    files: &Files,
    addresses: &BTreeSet<IpAddr>,
    owner: &MigrationName,
) -> Result<Vec<Placement>, BadFile> {
    let mut all = ifupdown::remove(files, addresses)?;
    all.extend(networkd::remove(files, addresses)?);
    all.extend(netplan::remove(files, addresses, owner)?);
    all.extend(networkmanager::remove(files, addresses)?);
    all.extend(ifcfg::remove(files, addresses));
    all.retain(|place| files.get(&place.path) != Some(place.text.as_str()));
    Ok(all)
}

/// What makes the program that reads this file, if it goes on running, read it again. ifupdown and Red
/// Hat's scripts read theirs when they are called.
pub(super) fn reload(path: &HostPath) -> Option<Command> {
    let below = |dir: &str| path.as_path().starts_with(dir);
    if below("/etc/systemd/network") {
        Some(Command::ReloadNetworkd)
    } else if below("/etc/netplan") {
        Some(Command::ReloadNetplan)
    } else if below("/etc/NetworkManager") || below("/etc/sysconfig/network-scripts") {
        Some(Command::ReloadNetworkManager)
    } else {
        None
    }
}

/// Whether an address stands in a line, with or without a prefix.
pub(super) fn has_word(line: &str, address: IpAddr) -> bool {
    let words = line.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')));
    words.into_iter().any(|word| word.parse() == Ok(address))
}

/// A text without some of its lines, by number from 1.
pub(super) fn without_lines(text: &str, lines: &BTreeSet<usize>) -> String {
    let kept = (1..).zip(text.split_inclusive('\n'));
    kept.filter(|(number, _)| !lines.contains(number))
        .map(|(_, line)| line)
        .collect()
}
