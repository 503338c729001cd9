//! The changes for people.

use crate::host::Command;
use crate::names::Side;
use crate::plan::Resource;
use crate::plan::change::{ServiceHold, ServiceRelease};
use crate::plan::render::{Row, Sign};

/// What is stopped, and the very commands.
pub fn hold_row(hold: &ServiceHold) -> Row {
    let mut stops = false;
    let mut keeps = None;
    for command in &hold.commands {
        match command {
            Command::MaskUnits(_) => keeps = Some("mask it so that nothing starts it"),
            Command::UpdateRcDisable(_) | Command::ChkconfigOff(_) => {
                keeps = Some("keep it from starting at boot");
            }
            _ => stops = true,
        }
    }
    let parts = [stops.then_some("stop it"), keeps].into_iter().flatten();
    let mut details = commands(&hold.commands);
    if hold.commands.iter().any(is_script) {
        details.push("init scripts know no mask: do not start it by hand".to_owned());
    }
    Row {
        sign: Sign::Update,
        resource: Resource::Service(Side::Target, hold.service.clone()),
        title: parts.collect::<Vec<_>>().join(", and "),
        details,
    }
}

fn is_script(command: &Command) -> bool {
    matches!(
        command,
        Command::StopScript(_) | Command::UpdateRcDisable(_) | Command::ChkconfigOff(_)
    )
}

/// What is started, and the very commands.
pub fn release_row(release: &ServiceRelease) -> Row {
    let title = if release.start.is_empty() {
        "let it go"
    } else {
        "start it"
    };
    Row {
        sign: Sign::Update,
        resource: Resource::Service(Side::Target, release.service.clone()),
        title: title.to_owned(),
        details: commands(&release.commands),
    }
}

fn commands(commands: &[Command]) -> Vec<String> {
    let mut lines: Vec<String> = commands.iter().map(ToString::to_string).collect();
    lines.dedup();
    lines
}
