//! The answers of systemctl(1). Reading them is [`super::observe`].

use std::collections::BTreeSet;

use super::unit::{Active, Load, Unit};
use crate::raw::HostPath;

/// What `systemctl show` says of units.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Units that are there, by name.
    pub units: Vec<Unit>,
    /// Names that were asked for and mean nothing.
    pub missing: BTreeSet<String>,
}

/// Reads `systemctl show`: one block for each unit, an empty line between. Which names were asked
/// for by a pattern cannot be told; a unit that was asked for twice stands there twice.
pub fn shown(text: &str) -> Shown {
    let mut shown = Shown::default();
    for block in text.split("\n\n") {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.strip_prefix('=')).unwrap_or("")
        };
        let name = value("Id").to_owned();
        let load = match value("LoadState") {
            _ if name.is_empty() => continue,
            "not-found" => {
                shown.missing.insert(name);
                continue;
            }
            "masked" => Load::Masked,
            "loaded" => Load::Loaded,
            _ => Load::Broken,
        };
        let words = |key| value(key).split_whitespace().map(str::to_owned);
        let file = value("FragmentPath");
        let unit = Unit {
            also: words("Names").filter(|also| *also != name).collect(),
            load,
            active: match value("ActiveState") {
                "active" => Active::Active,
                "inactive" => Active::Inactive,
                "failed" => Active::Failed,
                _ => Active::Changing,
            },
            sub: value("SubState").to_owned(),
            enabled: value("UnitFileState").to_owned(),
            file: (load != Load::Masked && !file.is_empty()).then(|| HostPath::from(file)),
            triggered_by: words("TriggeredBy").collect(),
            name,
        };
        if !shown.units.iter().any(|other| other.name == unit.name) && !unit.is_phantom() {
            shown.units.push(unit);
        }
    }
    shown.units.sort_by(|one, other| one.name.cmp(&other.name));
    shown
}

/// Reads the names in `systemctl list-unit-files`: the first word of each line.
pub fn unit_files(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
}
