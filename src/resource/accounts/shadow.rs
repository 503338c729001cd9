//! shadow(5): name, password, six numbers of days, a reserved field. Nothing of it may be shown.

use super::table::{Record, Table};
use crate::plan::change::Ageing;
use crate::secret::Secret;

/// The file.
pub(super) type Shadow = Table<Entry>;

/// Number of the password field, from 0.
pub(super) const PASSWORD: usize = 1;
/// Number of the first of the ageing fields, from 0.
pub(super) const AGEING: usize = 2;

/// One account's password and ageing.
pub(super) struct Entry {
    pub(super) password: Secret,
    pub(super) ageing: Ageing,
}

impl Record for Entry {
    const FIELDS: usize = 9;

    fn parse(fields: &[&[u8]]) -> Result<Self, String> {
        let days = |at: usize| days(at, fields[at]);
        Ok(Self {
            password: Secret::new(fields[PASSWORD].to_vec()),
            ageing: Ageing {
                last_change: days(2)?,
                min: days(3)?,
                max: days(4)?,
                warn: days(5)?,
                inactive: days(6)?,
                expire: days(7)?,
                // Reserved by shadow(5) and empty everywhere; kept with escapes if it is not.
                reserved: crate::raw::escape(fields[8]),
            },
        })
    }
}

/// The value is not named: this file is secret.
fn days(at: usize, field: &[u8]) -> Result<Option<i64>, String> {
    const NAMES: [&str; 6] = [
        "last change",
        "minimum age",
        "maximum age",
        "warning period",
        "inactivity period",
        "expiration",
    ];
    if field.is_empty() {
        return Ok(None);
    }
    std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| format!("field {} ({}) is not a number", at + 1, NAMES[at - AGEING]))
}

/// The fields 3 to 9 as they stand in the file.
pub(super) fn ageing_fields(ageing: &Ageing) -> Result<[Vec<u8>; 7], crate::raw::BadEscape> {
    let days = |days: Option<i64>| days.map_or_else(Vec::new, |n| n.to_string().into_bytes());
    let reserved: crate::raw::Raw = ageing.reserved.parse()?;
    Ok([
        days(ageing.last_change),
        days(ageing.min),
        days(ageing.max),
        days(ageing.warn),
        days(ageing.inactive),
        days(ageing.expire),
        reserved.as_bytes().to_vec(),
    ])
}
