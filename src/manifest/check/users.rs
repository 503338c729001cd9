//! Which uids can be moved to, and that no user is both moved and left out.

use std::collections::BTreeMap;

use super::look::{Found, Look};
use crate::manifest::UidRange;
use crate::manifest::problem::{Place, Problem, Problems};
use crate::manifest::scalar::quote;

/// The first uid that no distribution gives to a fixed system account.
pub(crate) const FIRST_USER_UID: u32 = 100;
/// The last uid before nobody, and before those that some file systems cannot hold.
pub(crate) const LAST_USER_UID: u32 = 65_533;

pub(super) fn check(look: &Look<'_>, problems: &mut Problems) {
    range(look, problems);
    let mut taken: BTreeMap<u32, (Place, &str)> = BTreeMap::new();
    let excluded: BTreeMap<&str, Place> = look
        .texts(&["users", "exclude"])
        .map(|name| (name.text, name.place))
        .collect();
    for (key, uid) in look.entries(&["users", "remap"]) {
        let name = key.scalar.text.as_str();
        if let Some(exclude) = excluded.get(name) {
            problems.push(
                Problem::new(format!("{} is remapped and excluded", quote(name)))
                    .at(key.place, "gets another uid here")
                    .at(*exclude, "stays behind by this")
                    .help("remove one of them; `exclude` wins"),
            );
        }
        let Some(uid) = uid.parse::<u32>() else {
            continue;
        };
        problems.extend(unusable(name, &uid));
        if let Some((place, other)) = taken.insert(uid.value, (key.place, name)) {
            problems.push(
                Problem::new(format!("two users with uid {}", uid.value))
                    .at(
                        key.place,
                        format!("{} gets {} as well", quote(name), uid.value),
                    )
                    .at(place, format!("{} gets {}", quote(other), uid.value))
                    .help("give each a uid of its own: files belong to uids, not to names"),
            );
        }
    }
}

fn range(look: &Look<'_>, problems: &mut Problems) {
    if let Some(range) = look.value::<UidRange>(&["users", "uid"])
        && range.value.first == 0
    {
        problems.push(
            Problem::new("the range of uids takes in root")
                .at(range.place, "begins at 0")
                .help("begin at the source's UID_MIN: 500 on old Fedora, 1000 on Debian"),
        );
    }
}

fn unusable(name: &str, uid: &Found<'_, u32>) -> Option<Problem> {
    let label = match uid.value {
        0 => "this is root",
        1..FIRST_USER_UID => "belongs to system accounts",
        FIRST_USER_UID..=LAST_USER_UID => return None,
        65_534 => "this is nobody",
        _ => "beyond the uids of people",
    };
    Some(
        Problem::new(format!("{} cannot get uid {}", quote(name), uid.value))
            .at(uid.place, label)
            .help(format!(
                "choose a free uid from {FIRST_USER_UID} to {LAST_USER_UID}"
            )),
    )
}
