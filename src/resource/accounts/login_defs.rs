//! login.defs(5): the ranges of ids that are people's and the system's.

use super::actual::Ranges;
use super::table::{Malformed, number};

/// Reads the ranges; what is not set has the default of shadow-utils. The last setting of a key
/// counts, other keys are not looked at.
pub(super) fn parse(bytes: &[u8]) -> Result<Ranges, Malformed> {
    let mut ranges = Ranges::default();
    let (mut system_users, mut system_groups) = (None, None);
    for (index, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let (Some(key), value) = (words.next(), words.next()) else {
            continue;
        };
        let set = |to: &mut u32| {
            let value = value.unwrap_or_default();
            // shadow-utils takes quotes around a value.
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value);
            *to = number(&crate::raw::escape(key), value).map_err(|problem| Malformed {
                line: index + 1,
                problem,
            })?;
            Ok(*to)
        };
        match key {
            b"UID_MIN" => set(&mut ranges.uid_min)?,
            b"UID_MAX" => set(&mut ranges.uid_max)?,
            b"SYS_UID_MIN" => set(&mut ranges.sys_uid_min)?,
            b"SYS_UID_MAX" => *system_users.insert(set(&mut ranges.sys_uid_max)?),
            b"GID_MIN" => set(&mut ranges.gid_min)?,
            b"GID_MAX" => set(&mut ranges.gid_max)?,
            b"SYS_GID_MIN" => set(&mut ranges.sys_gid_min)?,
            b"SYS_GID_MAX" => *system_groups.insert(set(&mut ranges.sys_gid_max)?),
            _ => continue,
        };
    }
    // login.defs(5): SYS_UID_MAX defaults to UID_MIN - 1, likewise for groups.
    ranges.sys_uid_max = system_users.unwrap_or(ranges.uid_min.saturating_sub(1));
    ranges.sys_gid_max = system_groups.unwrap_or(ranges.gid_min.saturating_sub(1));
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fedora_13_counts_people_from_500() {
        let text = b"# Min/max values\nUID_MIN\t\t\t  500\nUID_MAX\t\t\t60000\n#\nGID_MIN 500\nGID_MAX 60000\n";
        let ranges = parse(text).unwrap();
        assert_eq!((ranges.uid_min, ranges.uid_max), (500, 60000));
        assert_eq!((ranges.gid_min, ranges.sys_gid_max), (500, 499));
        assert_eq!(ranges.sys_uid_max, 499);
    }

    #[test]
    fn debian_13_leaves_the_system_range_commented_out() {
        let text = b"UID_MIN 1000\n#SYS_UID_MIN 101\n#SYS_UID_MAX 999\nENCRYPT_METHOD YESCRYPT\n";
        assert_eq!(parse(text).unwrap(), Ranges::default());
    }

    #[test]
    fn a_setting_without_a_number_is_named_with_its_line() {
        let error = parse(b"UID_MAX 60000\nUID_MIN abc\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert_eq!(error.problem, "UID_MIN \"abc\" is not a number");
        assert_eq!(parse(b"UID_MIN\n").unwrap_err().line, 1);
    }

    #[test]
    fn dos_line_ends_do_no_harm_here() {
        assert_eq!(parse(b"UID_MIN 500\r\n").unwrap().uid_min, 500);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            drop(parse(&bytes));
        }
    }
}
