//! What an observation will be once a plan is applied, as far as the planner knows: for proving, on
//! every case, that planning again finds nothing to do.

use super::Observation;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::names::Side;
use crate::plan::backup::BackupState;
use crate::plan::{Change, Fact, Plan};
use crate::receipt::Receipt;
use crate::resource::{accounts, address, backup, beside, dovecot, mail, services, spool};

/// The observation after the plan.
pub fn predict(manifest: &Manifest, observation: &Observation, plan: &Plan) -> Result<Observation> {
    let mut after = observation.clone();
    let fresh = Receipt::new(manifest.name.clone(), jiff::Timestamp::UNIX_EPOCH);
    for action in &plan.actions {
        let receipt = after.receipt.get_or_insert_with(|| fresh.clone());
        match &action.change {
            Change::MergeAccounts(merge) => {
                receipt
                    .accounts
                    .extend(merge.users.iter().map(|user| user.name.clone()));
                accounts::predict(&mut after.accounts, merge);
            }
            Change::ClaimTrees { users } => receipt.trees.extend(users.clone()),
            Change::SetAside { user, .. } => mail::predict_set_aside(&mut after.mail, user),
            Change::CopyMail(copy) => mail::predict(&mut after.mail, copy),
            Change::EnforceUidl(drop_in) => dovecot::predict(&mut after.dovecot, &drop_in.edit),
            Change::EditFile(edit) => match action.gives.first() {
                Some(Fact::UidlEnforced) => dovecot::predict(&mut after.dovecot, edit),
                _ => address::predict(&mut after.address, edit)?,
            },
            Change::HoldService(hold) => {
                let held = receipt.services.entry(hold.service.clone()).or_default();
                held.add(&hold.masks, &hold.running);
                if let Some(target) = &mut after.services.target {
                    services::predict_hold(target, hold);
                }
            }
            Change::ReleaseService(release) => {
                receipt.services.remove(&release.service);
                if let Some(target) = &mut after.services.target {
                    services::predict_release(target, release);
                }
            }
            Change::EndLeftover(leftover) => {
                after.between.switches.remove(&leftover.side);
                after.between.pending = false;
            }
            Change::Rounds(rounds) => {
                for copy in &rounds.copies {
                    mail::predict(&mut after.mail, copy);
                }
            }
            Change::Freeze(freeze) => {
                if let Some(host) = services_of(&mut after.services, freeze.change.side) {
                    services::predict_freeze(host, freeze);
                }
            }
            Change::StartServices(start) => {
                if let Some(host) = services_of(&mut after.services, start.change.side) {
                    services::predict_start(host, start);
                }
            }
            Change::LeaveAddresses(change)
            | Change::TakeAddresses(change)
            | Change::MendAddresses(change) => {
                address::predict_move(&mut after.address, change)?;
            }
            Change::SetUpBackup(setup) => {
                receipt.backup = match setup.to {
                    BackupState::SetUp => Some(setup.host.clone()),
                    BackupState::Removed => None,
                };
                backup::predict(&mut after.backup, setup, &manifest.name);
            }
            Change::MoveMessages(planned) => {
                if let Some(old) = &mut after.spool.old {
                    spool::housekeeping::predict(old, planned);
                }
            }
            Change::SetUpTimer(setup) => spool::timer::predict(&mut after.spool.timer, setup)?,
            Change::ProveMail(_)
            | Change::ProveIdentity(_)
            | Change::Survey(_)
            | Change::ProbeService(_)
            | Change::Arm(_)
            | Change::CarryQueue(_)
            | Change::LastDelta(_)
            | Change::AskBackup(_)
            | Change::DrainBackup(_) => {}
            Change::HandOver { to, keep } => {
                receipt.hand_over(*to, keep, jiff::Timestamp::UNIX_EPOCH);
                if let Some(live) = &keep.live {
                    receipt.epoch = live.epoch;
                    receipt.machines.clone_from(&live.machines);
                    for service in &live.started {
                        receipt.services.remove(service);
                    }
                }
                match to {
                    Side::Target => {
                        after.mail = mail::Actual::default();
                        after.beside = beside::Actual::default();
                    }
                    Side::Source => mail::predict_handed_back(&mut after.mail),
                }
            }
        }
    }
    Ok(after)
}

/// The services of a side.
fn services_of(actual: &mut services::Actual, side: Side) -> Option<&mut services::HostServices> {
    match side {
        Side::Source => actual.source.as_mut(),
        Side::Target => actual.target.as_mut(),
    }
}
