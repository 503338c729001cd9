//! A planned edit for people, and what the observation will be after it.

use super::{Actual, HOSTS};
use crate::error::{Error, Kind, Result};
use crate::host::Step;
use crate::host::network::Held;
use crate::names::Side;
use crate::plan::change::FileEdit;
use crate::plan::hand_over::HostChange;
use crate::plan::render::{Row, Sign};
use crate::plan::{Action, Fact, Resource};
use crate::raw::escape;
use crate::resource::edit;

/// One row for each address and name that the action settles; the unified diff below the first.
pub fn rows(action: &Action, edit: &FileEdit) -> Vec<Row> {
    let sign = if edit.before.is_none() {
        Sign::Create
    } else {
        Sign::Update
    };
    let resources = action.gives.iter().filter_map(|fact| match fact {
        Fact::AddressConfigured(address) => Some(Resource::Address(address.clone())),
        Fact::HostnameSet(name) => Some(Resource::Hostname(name.clone())),
        _ => None,
    });
    let mut details: Vec<String> = edit.diff.lines().map(shown).collect();
    details.extend(edit.then.iter().map(|command| format!("then {command}")));
    resources
        .map(|resource| Row {
            sign,
            resource,
            title: edit.path.to_string(),
            details: std::mem::take(&mut details),
        })
        .collect()
}

/// A line of a foreign file cannot steer a terminal; tabs and backslashes are shown as they are.
fn shown(line: &str) -> String {
    line.split('\t')
        .map(|part| {
            part.split('\\')
                .map(|part| escape(part.as_bytes()))
                .collect::<Vec<_>>()
                .join("\\")
        })
        .collect::<Vec<_>>()
        .join("\t")
}

/// Makes the edit in the observation.
pub fn predict(actual: &mut Actual, edit: &FileEdit) -> Result<()> {
    if edit.path == HOSTS.into() {
        actual.hosts = Some(edit::apply(edit, actual.hosts.as_deref())?);
        return Ok(());
    }
    let files = match edit.side {
        Side::Source => &mut actual.source_files,
        Side::Target => &mut actual.target_files,
    };
    let after = edit::apply(edit, files.get(&edit.path))?;
    let path = edit.path.clone();
    files.insert(path, &after).map_err(|bad| {
        Error::caused(
            Kind::Internal,
            format!("the edit of {} is malformed", bad.path),
            bad.malformed,
        )
    })
}

/// Moves addresses in the observation, and makes the edits that go with it.
pub fn predict_move(actual: &mut Actual, change: &HostChange) -> Result<()> {
    for edit in &change.edits {
        predict(actual, edit)?;
    }
    let network = match change.side {
        Side::Source => actual.source_network.as_mut(),
        Side::Target => actual.target_network.as_mut(),
    };
    let Some(network) = network else {
        return Ok(());
    };
    for step in &change.steps {
        let (one, taken) = match step {
            Step::TakeAddress(one) => (one, true),
            Step::DropAddress(one) => (one, false),
            _ => continue,
        };
        if let Some(link) = network.interfaces.get_mut(&one.interface) {
            link.addresses.retain(|held| held.net != one.net);
            link.addresses.extend(taken.then(|| Held::taken(one.net)));
        }
    }
    Ok(())
}
