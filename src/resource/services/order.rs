//! The commands that stop services and keep them stopped, and those that start them, in the order that
//! works. Pure.
//!
//! Stopped first, in one transaction, so that each stops as its unit says; then masked, so that
//! neither a socket, a timer nor a hand starts it again; then stopped once more, for what a socket
//! revived in between. Unmasked first, then started, sockets and timers before what they trigger.

use std::collections::BTreeSet;

use super::HostServices;
use super::group::Service;
use super::unit::Init;
use crate::host::Command;

/// What holding services does: units or scripts to be masked, and to be stopped, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Halt {
    pub(super) masks: BTreeSet<String>,
    pub(super) running: Vec<String>,
}

impl Halt {
    /// Of one service as it is.
    pub(super) fn of(service: &Service<'_>, host: &HostServices) -> Self {
        let at_large = service.units.iter().filter(|u| u.is_at_large(host.init));
        let stopped = service.units.iter().filter(|unit| unit.runs());
        let stopped = stopped.filter(|unit| !service.waits_for(unit));
        Self {
            masks: at_large.map(|unit| unit.mask_name()).collect(),
            running: stopped.map(|unit| unit.name.clone()).collect(),
        }
    }

    /// Of several at once.
    pub(super) fn add(&mut self, other: &Self) {
        self.masks.extend(other.masks.iter().cloned());
        self.running.extend(other.running.iter().cloned());
    }

    /// How it is done.
    pub(super) fn commands(&self, init: Init) -> Vec<Command> {
        let stop = |units: &Vec<String>| Command::StopUnits(units.clone());
        let mut commands = Vec::new();
        match init {
            Init::Systemd => {
                commands.extend((!self.running.is_empty()).then(|| stop(&self.running)));
                if !self.masks.is_empty() {
                    commands.push(Command::MaskUnits(self.masks.iter().cloned().collect()));
                    commands.extend((!self.running.is_empty()).then(|| stop(&self.running)));
                }
            }
            Init::UpdateRcD | Init::Chkconfig => {
                let disable = match init {
                    Init::Chkconfig => Command::ChkconfigOff,
                    _ => Command::UpdateRcDisable,
                };
                commands.extend(self.running.iter().cloned().map(Command::StopScript));
                commands.extend(self.masks.iter().cloned().map(disable));
            }
            Init::Other => {}
        }
        commands
    }
}

/// How units or scripts are unmasked, and others are started.
pub(super) fn start<'a>(
    init: Init,
    masks: &BTreeSet<String>,
    units: impl IntoIterator<Item = &'a String>,
) -> Vec<Command> {
    let mut commands = Vec::new();
    match init {
        Init::Systemd => {
            let unmask = || Command::UnmaskUnits(masks.iter().cloned().collect());
            commands.extend((!masks.is_empty()).then(unmask));
            // A socket refuses to listen for a service that runs already, also when both are started
            // by one command.
            let (triggers, services): (Vec<String>, _) = units
                .into_iter()
                .cloned()
                .partition(|name| is_trigger(name));
            let parts = [triggers, services].into_iter();
            let parts = parts.filter(|part| !part.is_empty());
            commands.extend(parts.map(Command::StartUnits));
        }
        Init::UpdateRcD | Init::Chkconfig => {
            let enable = match init {
                Init::Chkconfig => Command::ChkconfigOn,
                _ => Command::UpdateRcEnable,
            };
            commands.extend(masks.iter().cloned().map(enable));
            commands.extend(units.into_iter().cloned().map(Command::StartScript));
        }
        Init::Other => {}
    }
    commands
}

/// Whether the name is of a socket, a timer or the like; services and init scripts are none.
pub(super) fn is_trigger(unit: &str) -> bool {
    unit.contains('.') && !unit.ends_with(".service")
}
