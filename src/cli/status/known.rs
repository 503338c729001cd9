//! What one host knows of a migration, and what it offers now.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::error::Result;
use crate::host::{HostState, ReadHost, Step, Switch};
use crate::manifest::Manifest;
use crate::names::Side;
use crate::receipt::{Pending, Receipt};
use crate::resource::services::Reach;
use crate::resource::{address, services};

/// What a host knows.
pub(super) struct Known {
    side: Side,
    pub(super) receipt: Option<Receipt>,
    switch: Option<Switch>,
    /// To whom a hand-over that waits to be confirmed goes.
    pending: Option<Side>,
    pub(super) standing: Option<Standing>,
}

/// What a host that runs has and offers.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    pub(super) side: Side,
    /// TCP ports of mail that are open to other hosts.
    pub(super) ports: BTreeSet<u16>,
    /// Service addresses that it has.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Whether only the probes and `cutover.try_from` reach those.
    pub(super) closed: bool,
    /// Services that this migration stopped and masked there.
    pub(super) held: Vec<String>,
}

/// An armed dead man's switch.
#[derive(Debug, Serialize)]
pub(super) struct Armed {
    pub(super) side: Side,
    /// When the host gives up and takes back what was done there, by its own clock.
    pub(super) deadline: jiff::Timestamp,
    /// Steps that it would take back.
    pub(super) steps: usize,
    /// Whether the hand-over was made, and this host was not told.
    pub(super) made: bool,
    /// Why taking back did not get to its end; it goes on trying.
    pub(super) stuck: Option<String>,
}

impl Known {
    pub(super) fn of(host: &dyn ReadHost, manifest: &Manifest) -> Result<Self> {
        let name = &manifest.name;
        let live = host.state() == HostState::Live;
        let receipt = Receipt::read(host, name)?;
        let (mut switch, mut pending, mut standing) = (None, None, None);
        if live {
            switch = Switch::read(host, name)?;
            pending = Pending::read(host, name)?.map(|pending| pending.to);
            standing = Some(stand(host, manifest, receipt.as_ref(), switch.as_ref())?);
        }
        Ok(Self {
            side: host.side(),
            receipt,
            switch,
            pending,
            standing,
        })
    }

    /// Its switch, where the hand-overs of all hosts have come to this epoch.
    pub(super) fn armed(&self, epoch: u32) -> Option<Armed> {
        let switch = self.switch.as_ref()?;
        Some(Armed {
            side: self.side,
            deadline: switch.deadline,
            steps: switch.undo.len(),
            made: switch.epoch <= epoch,
            stuck: switch.stuck.clone(),
        })
    }

    /// Whether it is the one that takes over, and waits to be told so.
    pub(super) fn waits(&self, epoch: u32) -> bool {
        let ahead = |switch: &Switch| switch.epoch > epoch;
        self.pending == Some(self.side) && self.switch.as_ref().is_some_and(ahead)
    }
}

fn stand(
    host: &dyn ReadHost,
    manifest: &Manifest,
    receipt: Option<&Receipt>,
    switch: Option<&Switch>,
) -> Result<Standing> {
    let open = services::open_ports(host)?;
    let to_others = open
        .into_iter()
        .filter(|(_, reach)| *reach == Reach::Network);
    let addresses = match &manifest.cutover {
        Some(cutover) => address::held(host, cutover)?,
        None => BTreeSet::new(),
    };
    let opens = |switch: &Switch| switch.undo.iter().any(|step| matches!(step, Step::Open(_)));
    Ok(Standing {
        side: host.side(),
        ports: to_others.map(|(port, _)| port).collect(),
        closed: !addresses.is_empty() && switch.is_some_and(opens),
        addresses,
        held: receipt.map_or_else(Vec::new, |receipt| {
            receipt.services.keys().cloned().collect()
        }),
    })
}

/// Whose mail counts, as these hosts know it. A host in the middle of handing over does not know how
/// that ended on the other one.
pub(super) fn authority(known: &[Known]) -> Option<Side> {
    let receipts = known.iter().filter_map(|host| host.receipt.as_ref());
    let latest = receipts.max_by_key(|receipt| receipt.epoch);
    let authority = latest.map_or(Side::Source, |receipt| receipt.authority);
    let epoch = latest.map_or(0, |receipt| receipt.epoch);
    let hands_over = |host: &Known| {
        let armed = host
            .switch
            .as_ref()
            .is_some_and(|switch| switch.epoch > epoch);
        host.side == authority && armed
    };
    let alone = known.len() == 1;
    (!(alone && known.iter().any(hands_over))).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(side: Side, receipt: Option<(Side, u32)>, armed: Option<u32>) -> Known {
        let name: crate::manifest::MigrationName = "move".parse().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        Known {
            side,
            receipt: receipt.map(|(authority, epoch)| {
                let mut receipt = Receipt::new(name.clone(), now);
                receipt.authority = authority;
                receipt.epoch = epoch;
                receipt
            }),
            switch: armed.map(|epoch| Switch {
                version: crate::host::switch::SWITCH_VERSION,
                name,
                epoch,
                armed: now,
                deadline: now,
                boottime: 0,
                boot: String::new(),
                undo: Vec::new(),
                commit: Vec::new(),
                stuck: None,
            }),
            pending: None,
            standing: None,
        }
    }

    #[test]
    fn the_receipt_of_the_latest_hand_over_is_right() {
        let source = known(Side::Source, Some((Side::Target, 1)), None);
        let target = known(Side::Target, Some((Side::Source, 2)), None);
        assert_eq!(authority(&[source, target]), Some(Side::Source));
        let nothing = known(Side::Target, None, None);
        assert_eq!(authority(&[nothing]), Some(Side::Source));
    }

    #[test]
    fn who_hands_over_does_not_know_alone_how_that_ended() {
        let source = || known(Side::Source, None, Some(1));
        assert_eq!(authority(&[source()]), None);
        let target = known(Side::Target, Some((Side::Source, 0)), Some(1));
        assert_eq!(authority(&[source(), target]), Some(Side::Source));
        // Who takes over decides it, and was not told yet that it has.
        let target = known(Side::Target, Some((Side::Source, 0)), Some(1));
        assert_eq!(authority(&[target]), Some(Side::Source));
    }
}
