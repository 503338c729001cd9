//! What only a hand-over between two live hosts asks about: who they are, what is armed, who looks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Hosts;
use crate::error::Result;
use crate::host::{HostState, ReadHost, Switch};
use crate::manifest::{Freeze, Manifest};
use crate::names::Side;
use crate::parallel;
use crate::receipt::{Pending, Receipt};

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Between {
    /// Which machines the two sides are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<Side, String>,
    /// Armed dead man's switches: the epoch that each hand-over would make.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub switches: BTreeMap<Side, u32>,
    /// Whether a hand-over waits for a person.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// The source's own record, from its first hand-over on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_receipt: Option<Receipt>,
    /// Whether the source is a live host that can be changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub changeable: bool,
    /// Whether mail may stand still now.
    pub window: Window,
    /// From where the probes come.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub probers: BTreeSet<IpAddr>,
}

/// Whether mail may stand still now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// It may.
    #[default]
    Open,
    /// `freeze.not_before` lies ahead.
    NotYet,
    /// `freeze.not_after` has passed.
    Over,
}

/// Looks, where both hosts are live.
pub(super) fn observe(manifest: &Manifest, hosts: Hosts<'_>) -> Result<Between> {
    let live = |host: &dyn ReadHost| host.state() == HostState::Live;
    let mut seen = Between {
        changeable: hosts.changeable,
        window: window(manifest.freeze.as_ref(), Timestamp::now()),
        ..Between::default()
    };
    let sides = [
        (Side::Source, hosts.source),
        (Side::Target, Some(hosts.target)),
    ];
    let name = &manifest.name;
    let looked = parallel::ask(&sides, |(side, host)| {
        let Some(host) = host.filter(|host| live(*host)) else {
            return Ok(None);
        };
        let receipt = match side {
            Side::Source => Receipt::read(host, name)?,
            Side::Target => None,
        };
        Ok(Some((
            Receipt::machine(host, name)?,
            Switch::read(host, name)?,
            Pending::read(host, name)?,
            receipt,
        )))
    });
    for ((side, _), looked) in sides.into_iter().zip(looked) {
        let Some((machine, switch, pending, receipt)) = looked? else {
            continue;
        };
        seen.machines.extend(machine.map(|machine| (side, machine)));
        seen.switches
            .extend(switch.map(|switch| (side, switch.epoch)));
        seen.pending |= pending.is_some();
        if side == Side::Source {
            seen.source_receipt = receipt;
        }
    }
    if let Some(cutover) = &manifest.cutover
        && manifest.source.host.is_live()
        && manifest.target.host.is_live()
    {
        for service in cutover.address.iter().map(|net| net.0.addr()) {
            seen.probers.extend(crate::host::address_towards(service)?);
            if let Some(third) = hosts.third {
                seen.probers.extend(third.address_towards(service)?);
            }
        }
    }
    Ok(seen)
}

fn window(freeze: Option<&Freeze>, now: Timestamp) -> Window {
    let Some(freeze) = freeze else {
        return Window::Open;
    };
    if freeze.not_before.is_some_and(|opens| now < opens) {
        Window::NotYet
    } else if freeze.not_after.is_some_and(|closes| now > closes) {
        Window::Over
    } else {
        Window::Open
    }
}
