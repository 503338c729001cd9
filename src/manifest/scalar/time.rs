//! Instants.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{BadScalar, bad, quote, text_schema};

/// Grammar of an instant, RFC 3339: the type in the manifest is jiff's, which takes more.
pub(crate) struct Instant(pub(crate) Timestamp);

impl FromStr for Instant {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let problem = format!("{} is no instant", quote(text));
        let shape = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            0..=18 => byte.is_ascii_digit(),
            _ => byte.is_ascii_digit() || b".+-:Z".contains(&byte),
        });
        if !shape || text.len() < 19 {
            return bad(
                problem,
                "write date, time and offset (RFC 3339), as in 2026-12-01T22:00:00+01:00",
            );
        }
        match text.parse::<Timestamp>() {
            Ok(instant) => Ok(Self(instant)),
            Err(_) if text.len() == 19 => bad(
                format!("{} has no offset from UTC", quote(text)),
                format!("add the offset, as in {text}+01:00, or Z for UTC"),
            ),
            Err(error) => bad(problem, error.to_string()),
        }
    }
}

text_schema!(
    Instant,
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2})?(:?[0-9]{2})?)$",
    "Instant with its offset from UTC (RFC 3339): 2026-12-01T22:00:00+01:00."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_date_time_and_offset() {
        for (text, seconds) in [
            ("2026-12-01T22:00:00+01:00", 1_796_158_800),
            ("2026-12-01T21:00:00Z", 1_796_158_800),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            let instant = text.parse::<Instant>().map(|i| i.0.as_second());
            assert_eq!(instant, Ok(seconds), "{text}");
        }
        for wrong in [
            "",
            "2026-12-01",
            "2026-12-01T22:00:00",
            "2026-12-01 22:00:00+01:00",
            "2026-02-30T22:00:00Z",
            "2026-12-01T25:00:00Z",
            "2026-12-01T22:00:00+01:00[Europe/Berlin]",
            "tomorrow",
        ] {
            assert!(wrong.parse::<Instant>().is_err(), "{wrong}");
        }
    }
}
