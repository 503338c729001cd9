//! What counts while mail is copied, and once the copy stands: `transfer`, `services`, `freeze`, `cutover`, `mx`. Moving an address is
//! never drafted as decided: all of it is commented out, with what was found filled in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{full_name, names};
use crate::init::findings::{Findings, HostFindings, StaticAddress};
use crate::init::page::Section;
use crate::init::yaml;
use crate::manifest::{Cidr, HostAddress, InterfaceName};

pub(super) fn services(page: &mut Section, findings: &Findings) {
    for (side, host) in [("source", &findings.source), ("target", &findings.target)] {
        if host.mta.len() > 1 {
            page.warning(format!(
                "several mail transfer agents on the {side}: {}. Name the units of the one that runs.",
                names(&host.mta)
            ));
        }
    }
    let mut section = Section::new("services").why("`auto`, or names of units with spaces between");
    section.off("mta", "auto", "the mail transfer agent");
    section.off("imap", "auto", "the IMAP and POP3 server");
    section.off(
        "on_other_mail",
        "fail",
        "`stop`: stop the target's services also where they serve other mail",
    );
    section.off(
        "accept",
        "[]",
        "what senders may lose with the other MTA, as in submission, starttls",
    );
    page.section(section);
}

pub(super) fn freeze(page: &mut Section, findings: &Findings) {
    let mut section = Section::new("freeze").why(if is_offline(findings) {
        "a directory root stands still already"
    } else {
        "when and how long mail may stand still at the cutover"
    });
    section.off("budget", "60s", "longest acceptable downtime");
    section.off(
        "not_before",
        "\"2026-12-05T22:00:00+01:00\"",
        "an example; none unless given",
    );
    section.off("not_after", "\"2026-12-06T05:00:00+01:00\"", "likewise");
    page.section(section);
}

fn is_offline(findings: &Findings) -> bool {
    let hosts = [&findings.source, &findings.target];
    hosts
        .iter()
        .all(|host| matches!(host.host, HostAddress::Dir(_)))
}

pub(super) fn cutover(page: &mut Section, findings: &Findings) {
    let candidates = candidates(findings);
    describe(page, findings, &candidates);
    let mut section = Section::new("cutover").why("the service address; moves only if this is set");
    let addresses = candidates.iter().map(|candidate| address(candidate.net));
    let list = yaml::list(addresses.take(MOST_ADDRESSES));
    if candidates.is_empty() {
        section.off(
            "address",
            "[192.0.2.25/24]",
            "an example: what clients connect to, with its subnet's prefix",
        );
    } else {
        section.off("address", list, "leave those that clients connect to");
    }
    let interface = interface(&findings.target, &candidates);
    section.off(
        "interface",
        yaml::scalar(interface.unwrap_or("eth0")),
        match interface {
            Some(_) => "on the target, which has an address in that subnet",
            None => "on the target; default: the one in the address's subnet",
        },
    );
    let hostname = hostname(findings, &candidates);
    section.off(
        "hostname",
        yaml::scalar(hostname.unwrap_or("mail.example.org")),
        match hostname {
            Some(_) => "what clients call it; kept right in the target's /etc/hosts",
            None => "an example: what clients call it; for the target's /etc/hosts",
        },
    );
    section.off(
        "source_after",
        "release",
        "`power_off`: after the confirmation",
    );
    section.off(
        "confirm_within",
        "2m",
        "else everything goes back by itself",
    );
    section.off(
        "confirm",
        "probes",
        "`person`: by `reconcile confirm`, after the probes",
    );
    section.off(
        "try_from",
        "[192.0.2.7]",
        "an example: who may look before it is confirmed",
    );
    let mut probe = Section::new("probe").why("what is looked at through the moved address");
    probe.off(
        "user",
        "postmaster",
        "an example: gets a message, which is removed again",
    );
    let mut from = Section::new("from").why("a third host that looks too");
    from.off("host", "ssh://root@mx2.example.org", "an example");
    from.off("host_key", "SHA256:...", "a pin; else known_hosts decides");
    from.off("become", "sudo", "when the login is not root");
    probe.section(from);
    section.section(probe);
    page.section(section);
}

/// A host with more has addresses that no person wrote.
const MOST_ADDRESSES: usize = 8;

/// The source's address with the prefix of its subnet.
struct Candidate<'a> {
    net: IpNet,
    found: &'a StaticAddress,
}

/// Addresses of the source that can move: not those that a host is reached by.
fn candidates(findings: &Findings) -> Vec<Candidate<'_>> {
    let all = &findings.source.network.addresses;
    let kept = reached_by(findings);
    let free = all
        .iter()
        .filter(|found| !kept.contains(&found.net.0.addr()));
    free.map(|found| Candidate {
        net: in_subnet(found, all),
        found,
    })
    .collect()
}

/// The addresses by which the hosts are reached.
fn reached_by(findings: &Findings) -> BTreeSet<IpAddr> {
    let address = |host: &HostFindings| match &host.host {
        HostAddress::Ssh { host, .. } => host.parse().ok(),
        HostAddress::Dir(_) => None,
    };
    [&findings.source, &findings.target]
        .into_iter()
        .filter_map(address)
        .collect()
}

/// An address that stands as a single host beside another of its subnet has that one's prefix.
fn in_subnet(found: &StaticAddress, all: &[StaticAddress]) -> IpNet {
    let net = found.net.0;
    if net.prefix_len() < net.max_prefix_len() {
        return net;
    }
    let around = all
        .iter()
        .map(|other| other.net.0)
        .find(|other| other.prefix_len() < other.max_prefix_len() && other.contains(&net.addr()));
    let with = |around: IpNet| IpNet::new(net.addr(), around.prefix_len()).ok();
    around.and_then(with).unwrap_or(net)
}

fn address(net: IpNet) -> String {
    match net {
        IpNet::V4(_) => net.to_string(),
        IpNet::V6(_) => format!("\"{net}\""),
    }
}

fn describe(page: &mut Section, findings: &Findings, candidates: &[Candidate<'_>]) {
    let network = &findings.source.network;
    if let Some(why) = &network.unread {
        page.warning(format!("the source's addresses are not known: {why}"));
        return;
    }
    if let Some(why) = &findings.target.network.unread {
        page.warning(format!("the target's interfaces are not known: {why}"));
    }
    if !candidates.is_empty() {
        let shown = candidates.iter().take(MOST_ADDRESSES).map(|candidate| {
            let found = candidate.found;
            let known_as = std::iter::once(&found.interface).chain(found.names.iter().take(3));
            let known_as: Vec<String> = known_as.map(|name| super::short(name)).collect();
            format!("{} ({})", Cidr(candidate.net), known_as.join(", "))
        });
        let shown: Vec<String> = shown.collect();
        page.info(format!(
            "The source's configured addresses: {}.",
            shown.join("; ")
        ));
    }
    if candidates.is_empty() && !network.dynamic.is_empty() {
        page.info(format!(
            "The source's network configuration names no address; DHCP or router advertisements give \
             those of {}.",
            names(&network.dynamic)
        ));
    }
    let reached = reached_by(findings);
    let all = network.addresses.iter().map(|found| found.net.0.addr());
    let mine: Vec<IpAddr> = all.filter(|address| reached.contains(address)).collect();
    if !mine.is_empty() {
        page.warning(format!(
            "{} is how the source is reached, so it cannot move: give the source another address for \
             that, if clients connect to this one",
            names(&mine)
        ));
    }
    let live = matches!(findings.source.host, HostAddress::Ssh { .. });
    if live && mine.is_empty() && !candidates.is_empty() {
        page.info("If all of them move, the source keeps no address to reach it by.");
    }
    let here = findings
        .target
        .network
        .addresses
        .iter()
        .map(|found| found.net.0.addr());
    let here: BTreeSet<IpAddr> = here.collect();
    let both = candidates.iter().map(|candidate| candidate.net.addr());
    let both: Vec<IpAddr> = both.filter(|address| here.contains(address)).collect();
    if !both.is_empty() {
        page.warning(format!("configured on both hosts: {}", names(both)));
    }
}

/// The target's interface that has an address in a candidate's subnet, if there is one only.
fn interface<'a>(target: &'a HostFindings, candidates: &[Candidate<'_>]) -> Option<&'a str> {
    let inside = |found: &&StaticAddress| {
        let address = found.net.0.addr();
        candidates
            .iter()
            .any(|candidate| candidate.net.contains(&address))
    };
    let near = target.network.addresses.iter().filter(inside);
    let near: BTreeSet<&str> = near.map(|found| found.interface.as_str()).collect();
    let only = near.first().filter(|_| near.len() == 1)?;
    InterfaceName::check(only).is_ok().then_some(*only)
}

/// A name of a candidate, else the source's own: with a domain.
fn hostname<'a>(findings: &'a Findings, candidates: &[Candidate<'a>]) -> Option<&'a str> {
    let of_addresses = candidates
        .iter()
        .flat_map(|candidate| &candidate.found.names);
    let own = findings.source.hostname.iter();
    of_addresses.chain(own).find_map(|name| full_name(name))
}

pub(super) fn mx(page: &mut Section, findings: &Findings) {
    let mut section = Section::new("mx").why("looks after the domain's mail exchangers");
    let domain = hostname(findings, &candidates(findings)).and_then(domain);
    section.off(
        "domain",
        yaml::scalar(domain.unwrap_or("example.org")),
        if domain.is_some() {
            "by the name above"
        } else {
            "an example"
        },
    );
    section.off(
        "nameservers",
        "[192.0.2.53]",
        "an example; else this machine's",
    );
    section.off(
        "dkim",
        "[]",
        "selectors, besides those of opendkim on the hosts",
    );
    section.off(
        "without_backup",
        "60s",
        "mail may stand still so long although nobody queues; else freeze.budget",
    );
    let mut backup =
        Section::new("backup").why("a host that queues meanwhile; leave out to only check DNS");
    let host = format!("ssh://root@mx2.{}", domain.unwrap_or("example.org"));
    backup.off("host", yaml::scalar(&host), "an example");
    backup.off("host_key", "SHA256:...", "a pin; else known_hosts decides");
    backup.off("become", "sudo", "when the login there is not root");
    backup.off(
        "recipients",
        "[]",
        "for whom it takes mail besides users and aliases",
    );
    section.section(backup);
    page.section(section);
}

/// The domain of a host's name: what is after its first label, if that has two itself.
fn domain(name: &str) -> Option<&str> {
    let (_, domain) = name.split_once('.')?;
    domain.contains('.').then_some(domain)
}
