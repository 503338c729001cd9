//! What the target's configuration lacks of the service addresses and their name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::choose::{self, Found};
use super::files::{BadFile, Files, redaction_of};
use super::interface::{Backend, Family, Interface};
use super::{Actual, HOSTS, Problem, backend, hosts};
use crate::manifest::{Cutover, HostAddress, Manifest};
use crate::names::Side;
use crate::plan::change::FileEdit;
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::resource::edit;

/// Compares. While the source serves and shall serve, nothing is to be done: the address moves at the
/// cutover. What would be in the way then is said already, as warnings.
pub fn diff(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Draft {
    let mut draft = Draft::default();
    let Some(cutover) = &manifest.cutover else {
        return draft;
    };
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    let target = Target {
        manifest,
        cutover,
        files: &actual.target_files,
    };
    let addresses = target.addresses();
    if manifest.serve_from == Side::Source && authority == Side::Source {
        for (resource, problem) in addresses.problems {
            draft.note(
                resource,
                Level::Warning,
                format!("at the cutover: {problem}"),
            );
        }
        for net in &cutover.address {
            draft.note(address(net.0.addr()), Level::Info, "moves at the cutover");
        }
        return draft;
    }
    for (resource, problem) in addresses.problems {
        draft.block(resource, Obstacle::Address { problem });
    }
    for (resource, text) in addresses.notes {
        draft.note(resource, Level::Warning, text);
    }
    draft
        .settled
        .extend(addresses.settled.into_iter().map(configured));
    draft.actions.extend(addresses.actions);
    target.hostname(actual.hosts.as_deref(), &mut draft);
    still_on_source(manifest, cutover, &actual.source_files, &mut draft);
    draft
}

struct Target<'a> {
    manifest: &'a Manifest,
    cutover: &'a Cutover,
    files: &'a Files,
}

/// What comes of looking at all service addresses.
#[derive(Default)]
struct Addresses {
    settled: Vec<IpAddr>,
    actions: Vec<Action>,
    problems: Vec<(Resource, Problem)>,
    notes: Vec<(Resource, String)>,
}

impl Target<'_> {
    fn addresses(&self) -> Addresses {
        let mut found = Addresses::default();
        let interfaces = match backend::read(self.files) {
            Ok(interfaces) => interfaces,
            Err(bad) => {
                let first = self.cutover.address.first().map(|net| net.0.addr());
                found
                    .problems
                    .push((first.map_or(Resource::Migration, address), unreadable(bad)));
                return found;
            }
        };
        let service: BTreeSet<IpAddr> = self.cutover.address.iter().map(|n| n.0.addr()).collect();
        // Keyed by the file that defines the interface and its name: one edit for each.
        let mut lacking: BTreeMap<(HostPath, String), (&Interface, Vec<IpNet>)> = BTreeMap::new();
        for net in self.cutover.address.iter().map(|net| net.0) {
            match self.place(&interfaces, net, &service, &mut found) {
                Ok(None) => found.settled.push(net.addr()),
                Ok(Some(interface)) => {
                    let key = (interface.file.clone(), interface.selector.to_string());
                    let net = choose::prefixed(interface, net, &service);
                    lacking
                        .entry(key)
                        .or_insert((interface, Vec::new()))
                        .1
                        .push(net);
                }
                Err(problem) => found.problems.push((address(net.addr()), problem)),
            }
        }
        for (interface, nets) in lacking.into_values() {
            match self.configure(interface, &nets) {
                Ok(action) => found.actions.push(action),
                Err(bad) => found
                    .problems
                    .push((address(nets[0].addr()), unreadable(bad))),
            }
        }
        found
    }

    /// The interface that lacks the address; `None` if it has it.
    fn place<'i>(
        &self,
        interfaces: &'i [Interface],
        net: IpNet,
        service: &BTreeSet<IpAddr>,
        found: &mut Addresses,
    ) -> Result<Option<&'i Interface>, Problem> {
        let wanted = self.cutover.interface.as_deref();
        let (interface, how) = choose::choose(interfaces, wanted, net, service)?;
        if interface.holds(net.addr()).is_some() {
            return Ok(None);
        }
        let family = Family::of(net.addr());
        if interface.off.contains(&family) {
            return Err(Problem::FamilyOff {
                interface: interface.selector.to_string(),
                family,
                file: interface.file.clone(),
            });
        }
        let elsewhere = interfaces
            .iter()
            .find_map(|i| Some((i, i.holds(net.addr())?)));
        if let Some((other, file)) = elsewhere {
            return Err(Problem::Elsewhere {
                address: net.addr(),
                interface: other.selector.to_string(),
                file: file.clone(),
                wanted: interface.selector.to_string(),
            });
        }
        if interface.backend == Backend::Ifcfg && interface.dynamic.contains(&family) {
            let text = format!(
                "{} is configured by DHCP: NetworkManager adds static addresses to it, the older \
                 network scripts may not; check which of them runs",
                interface.selector
            );
            found.notes.push((address(net.addr()), text));
        }
        if how == Found::OnlyOne {
            let text = format!(
                "{} is the only interface that is configured, and so it is taken; nothing in its \
                 configuration says that it is in {}",
                interface.selector,
                net.trunc()
            );
            found.notes.push((address(net.addr()), text));
        }
        Ok(Some(interface))
    }

    /// One action for all addresses that one file lacks.
    fn configure(&self, interface: &Interface, nets: &[IpNet]) -> Result<Action, BadFile> {
        let name = &self.manifest.name;
        let place = backend::add(self.files, interface, nets, name)?;
        let edit = edit::between_redacted(
            &place.path,
            redaction_of(&place.path),
            self.files.redacted(&place.path),
            &place.text,
            place.mode,
        );
        let undo = undo(&edit);
        Ok(Action {
            id: ActionId(format!("address/{}/configure", nets[0].addr())),
            change: Change::EditFile(edit),
            because: Reason::AddressMissing {
                interface: interface.selector.to_string(),
                backend: interface.backend.to_string(),
            },
            needs: BTreeSet::from([Fact::Authority(Side::Target)]),
            gives: nets.iter().map(|net| configured(net.addr())).collect(),
            risk: Risk::ServiceVisible,
            undo,
        })
    }

    fn hostname(&self, text: Option<&str>, draft: &mut Draft) {
        let Some(name) = &self.cutover.hostname else {
            return;
        };
        let addresses = self
            .cutover
            .address
            .iter()
            .map(|net| net.0.addr())
            .collect();
        let after = hosts::with_name(text.unwrap_or_default(), name, &addresses);
        let fact = Fact::HostnameSet(name.clone());
        if text == Some(after.as_str()) {
            draft.settled.insert(fact);
            return;
        }
        let edit = edit::between(&HOSTS.into(), text, &after, 0o644);
        let undo = undo(&edit);
        draft.actions.push(Action {
            id: ActionId(format!("hostname/{name}/set")),
            change: Change::EditFile(edit),
            because: Reason::HostnameDiffers,
            needs: BTreeSet::from([Fact::Authority(Side::Target)]),
            gives: BTreeSet::from([fact]),
            risk: Risk::ServiceVisible,
            undo,
        });
    }
}

/// An offline source is never written, so its copy keeps the address: say so.
fn still_on_source(manifest: &Manifest, cutover: &Cutover, files: &Files, draft: &mut Draft) {
    if !matches!(manifest.source.host, HostAddress::Dir(_)) {
        return;
    }
    // `observe` refuses a source that cannot be read; a saved observation is shown as it is.
    let interfaces = match backend::read(files) {
        Ok(interfaces) => interfaces,
        Err(bad) => {
            let text = format!("on the source: {}", unreadable(bad));
            draft.note(Resource::Migration, Level::Warning, text);
            return;
        }
    };
    for net in &cutover.address {
        let service = net.0.addr();
        for file in interfaces.iter().filter_map(|i| i.holds(service)) {
            let text = format!(
                "an offline source is never written: do not boot the old server on this network, \
                 it still configures {service} in {file}"
            );
            draft.note(address(service), Level::Warning, text);
        }
    }
}

fn undo(edit: &FileEdit) -> Undo {
    Undo::Manual(if edit.before.is_none() {
        format!("rm {}", edit.path)
    } else {
        format!(
            "in {}, remove the lines marked + in this plan and put back those marked -",
            edit.path
        )
    })
}

fn unreadable(bad: BadFile) -> Problem {
    Problem::Unreadable {
        file: bad.path,
        line: bad.malformed.line,
        what: bad.malformed.what,
    }
}

fn address(address: IpAddr) -> Resource {
    Resource::Address(address.to_string())
}

fn configured(address: IpAddr) -> Fact {
    Fact::AddressConfigured(address.to_string())
}
