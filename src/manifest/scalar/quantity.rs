//! Quantities: ranges of uids, lengths of time, numbers of bytes, also in a second.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BadScalar, bad, quote, text_input, text_scalar, text_schema};

/// An inclusive range of uids, written `500..59999`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UidRange {
    /// The lowest uid.
    pub first: u32,
    /// The highest uid.
    pub last: u32,
}

impl FromStr for UidRange {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let uid = |n: &str| digits(n)?.parse::<u32>().ok();
        match text.split_once("..").map(|(a, b)| (uid(a), uid(b))) {
            Some((Some(first), Some(last))) if first <= last => Ok(Self { first, last }),
            Some((Some(first), Some(last))) => bad(
                format!("{} is empty", quote(text)),
                format!("write the lower uid first: {last}..{first}"),
            ),
            _ => bad(
                format!("{} is no range of uids", quote(text)),
                "write LOWEST..HIGHEST, as in 500..59999",
            ),
        }
    }
}

/// The text, if it is nothing but digits; std's parser would also take a sign.
fn digits(text: &str) -> Option<&str> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then_some(text)
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

text_scalar!(
    UidRange,
    "^[0-9]+\\.\\.[0-9]+$",
    "Inclusive range of uids: LOWEST..HIGHEST."
);

/// A length of time, written `60s`, `5m`, `2h`, `365d`; at least a second, at most 36500 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    /// Whole seconds.
    pub seconds: u64,
}

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A hundred years: longer is a slip, and would overflow dates.
const LONGEST: u64 = 36_500 * 86_400;

impl FromStr for Span {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        if digits(text).is_some() {
            return bad(
                format!("{} has no unit", quote(text)),
                format!("write {text}s for seconds; m, h and d are minutes, hours and days"),
            );
        }
        let parsed = UNITS.iter().find_map(|(unit, seconds)| {
            digits(text.strip_suffix(unit)?)?
                .parse::<u64>()
                .ok()?
                .checked_mul(*seconds)
        });
        match parsed {
            Some(seconds @ 1..=LONGEST) => Ok(Self { seconds }),
            Some(0) => bad(
                format!("{} is no time at all", quote(text)),
                "write at least 1s",
            ),
            Some(_) => bad(
                format!("{} is longer than a hundred years", quote(text)),
                "write at most 36500d",
            ),
            None => bad(
                format!("{} is no length of time", quote(text)),
                "write a whole number and one unit: 60s, 5m, 2h or 365d",
            ),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .iter()
            .find(|(_, size)| self.seconds.is_multiple_of(*size))
            .expect("every number of seconds is a multiple of one");
        write!(f, "{}{unit}", self.seconds / size)
    }
}

text_scalar!(Span, "^[0-9]+[smhd]$", "Length of time: 60s, 5m, 2h, 365d.");

/// A number of bytes, written `500MB` (decimal) or `500MiB` (binary); never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
}

impl FromStr for Size {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        match multiplier(unit).zip(decimal(number)) {
            Some((unit, (whole, thousandths))) => {
                let bytes = u128::from(whole) * unit + u128::from(thousandths) * unit / 1000;
                match u64::try_from(bytes) {
                    Ok(0) => bad(format!("{} is no size", quote(text)), "write at least 1B"),
                    Ok(bytes) => Ok(Self { bytes }),
                    Err(_) => bad(
                        format!("{} is more than any file can hold", quote(text)),
                        "write 500MB, 2GB or 512MiB",
                    ),
                }
            }
            None => bad(
                format!("{} is no size", quote(text)),
                "write a number and a unit: 500MB, 2GB or 512MiB",
            ),
        }
    }
}

/// Bytes of a unit as it is written after the number.
fn multiplier(unit: &str) -> Option<u128> {
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let unit = unit.strip_suffix('B').unwrap_or(unit);
    let (letter, base) = match unit.strip_suffix('i') {
        Some("") => return None,
        Some(letter) => (letter, 1024_u128),
        None => (unit, 1000),
    };
    let power = match letter {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    Some(base.pow(power))
}

/// `1.5` as a whole number and thousandths.
fn decimal(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, digits(fraction)?),
        None => (text, ""),
    };
    let thousandths = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((digits(whole)?.parse().ok()?, thousandths))
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize::b(self.bytes).display().si().fmt(f)
    }
}

impl Serialize for Size {
    /// Exact, in bytes: the form for people is rounded.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}B", self.bytes))
    }
}

text_input!(Size);
text_schema!(
    Size,
    "^[0-9]+(\\.[0-9]+)? ?([kKMGT]i?)?B?$",
    "Number of bytes: 500MB, 2GB, 512MiB."
);

/// Bytes a second, written `50MB/s` (decimal) or `50MiB/s` (binary); at least [`SLOWEST`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rate {
    /// Bytes a second.
    pub bytes: u64,
}

/// Slower is a slip: a single large letter would take hours.
const SLOWEST: u64 = 10_000;

impl FromStr for Rate {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let Some(size) = text.strip_suffix("/s") else {
            return match text.parse::<Size>() {
                Ok(_) => bad(
                    format!("{} is a size, and no rate", quote(text)),
                    format!("write {text}/s"),
                ),
                Err(_) => no_rate(text),
            };
        };
        match size.trim_end().parse::<Size>() {
            Ok(Size { bytes }) if bytes < SLOWEST => bad(
                format!("{} is too slow to ever get done", quote(text)),
                "write at least 10kB/s",
            ),
            Ok(Size { bytes }) => Ok(Self { bytes }),
            Err(_) => no_rate(text),
        }
    }
}

fn no_rate<T>(text: &str) -> Result<T, BadScalar> {
    let in_bits = ["bit", "bps", "b/s"].iter().any(|unit| text.contains(unit));
    let expected = if in_bits {
        "write bytes a second, 8 bits each: 400 Mbit/s are 50MB/s"
    } else {
        "write a number, a unit and /s: 50MB/s or 8MiB/s"
    };
    bad(format!("{} is no rate", quote(text)), expected)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size { bytes: self.bytes })
    }
}

impl Serialize for Rate {
    /// Exact, as that of a [`Size`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}B/s", self.bytes))
    }
}

text_input!(Rate);
text_schema!(
    Rate,
    "^[0-9]+(\\.[0-9]+)? ?([kKMGT]i?)?B? ?/s$",
    "Bytes a second, at least 10kB/s: 50MB/s, 8MiB/s."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uid_ranges_are_inclusive_and_never_empty() {
        let range = UidRange {
            first: 500,
            last: 59_999,
        };
        assert_eq!("500..59999".parse(), Ok(range));
        assert_eq!(range.to_string(), "500..59999");
        for wrong in [
            "600..500",
            "500",
            "500..",
            "..",
            "500-600",
            "-1..5",
            "+1..5",
            "0..4294967296",
        ] {
            assert!(wrong.parse::<UidRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_is_shown_in_its_largest_whole_unit() {
        for (text, seconds, shown) in [
            ("60s", 60, "1m"),
            ("90s", 90, "90s"),
            ("5m", 300, "5m"),
            ("48h", 172_800, "2d"),
            ("365d", 31_536_000, "365d"),
        ] {
            let span = text.parse::<Span>().unwrap();
            assert_eq!((span.seconds, span.to_string().as_str()), (seconds, shown));
        }
        for wrong in [
            "60",
            "0s",
            "1.5h",
            "-1s",
            "+1s",
            "s",
            "",
            "1w",
            "36501d",
            "99999999999999999999d",
        ] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        for (text, bytes) in [
            ("1B", 1),
            ("500MB", 500_000_000),
            ("512MiB", 536_870_912),
            ("2GB", 2_000_000_000),
            ("1.5GB", 1_500_000_000),
            ("10 kB", 10_000),
            ("4096", 4096),
            ("2T", 2_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Size { bytes }), "{text}");
        }
        for wrong in [
            "",
            "MB",
            "0MB",
            "-1MB",
            "1,5GB",
            "1..5GB",
            "5 00MB",
            "1iB",
            "1mb",
            "99999999999TB",
        ] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_sizes_a_second() {
        for (text, bytes) in [
            ("50MB/s", 50_000_000),
            ("8MiB/s", 8_388_608),
            ("1.5 GB /s", 1_500_000_000),
            ("10kB/s", 10_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate { bytes }), "{text}");
        }
        for (wrong, expected) in [
            ("50MB", "write 50MB/s"),
            ("50MB/m", "write a number, a unit and /s: 50MB/s or 8MiB/s"),
            ("/s", "write a number, a unit and /s: 50MB/s or 8MiB/s"),
            ("fast", "write a number, a unit and /s: 50MB/s or 8MiB/s"),
            (
                "400Mbit/s",
                "write bytes a second, 8 bits each: 400 Mbit/s are 50MB/s",
            ),
            (
                "400Mb/s",
                "write bytes a second, 8 bits each: 400 Mbit/s are 50MB/s",
            ),
            ("50B/s", "write at least 10kB/s"),
            ("0MB/s", "write a number, a unit and /s: 50MB/s or 8MiB/s"),
        ] {
            assert_eq!(
                wrong.parse::<Rate>().unwrap_err().expected,
                expected,
                "{wrong}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn rates_round_trip_exactly(bytes in SLOWEST..u64::MAX) {
            let json = serde_json::to_value(Rate { bytes }).unwrap();
            proptest::prop_assert_eq!(serde_json::from_value::<Rate>(json).unwrap().bytes, bytes);
        }

        #[test]
        fn sizes_round_trip_exactly(bytes in 1..u64::MAX) {
            let json = serde_json::to_value(Size { bytes }).unwrap();
            proptest::prop_assert_eq!(serde_json::from_value::<Size>(json).unwrap().bytes, bytes);
        }

        #[test]
        fn no_text_makes_a_quantity_panic(text: String) {
            let _ = (text.parse::<Size>(), text.parse::<Span>(), text.parse::<UidRange>());
            let _ = text.parse::<Rate>();
        }
    }
}
