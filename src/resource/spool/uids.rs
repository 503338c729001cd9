//! Sets of UIDs as IMAP writes them: `1:5,9`.

use std::fmt::Write as _;

/// So many ranges fit one argument of a program: Linux allows 128 KiB, and one takes 22 bytes at most.
const RANGES: usize = 5000;

/// Writes ascending UIDs.
pub fn write(uids: &[u32]) -> String {
    let mut out = String::new();
    let mut rest = uids;
    while let Some(&first) = rest.first() {
        let mut length = 1;
        while rest
            .get(length)
            .is_some_and(|next| *next == rest[length - 1] + 1)
        {
            length += 1;
        }
        let comma = if out.is_empty() { "" } else { "," };
        let last = rest[length - 1];
        let written = if last == first {
            write!(out, "{comma}{first}")
        } else {
            write!(out, "{comma}{first}:{last}")
        };
        written.expect("writing to a String cannot fail");
        rest = &rest[length..];
    }
    out
}

/// A set in pieces that each fit an argument of a program.
pub fn pieces(set: &str) -> Vec<String> {
    let ranges: Vec<&str> = set.split(',').filter(|range| !range.is_empty()).collect();
    ranges
        .chunks(RANGES)
        .map(|ranges| ranges.join(","))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(write(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(write(&[u32::MAX]), "4294967295");
        assert_eq!(write(&[]), "");
    }

    #[test]
    fn a_long_set_goes_in_pieces() {
        let odd: Vec<u32> = (0..12_000).map(|n| u32::MAX - 24_001 + 2 * n).collect();
        let pieces = pieces(&write(&odd));
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.len() < 128 * 1024));
        assert_eq!(pieces.join(","), write(&odd));
        assert!(super::pieces("").is_empty());
    }
}
