//! What find and tar say on standard error, in the C locale.

use rustix::io::Errno;

use super::Finished;

/// What strerror(3) says, of glibc, for what a file system may answer.
const WORDS: &[(&str, Errno)] = &[
    ("Permission denied", Errno::ACCESS),
    ("Operation not permitted", Errno::PERM),
    ("No such file or directory", Errno::NOENT),
    ("Not a directory", Errno::NOTDIR),
    ("Is a directory", Errno::ISDIR),
    ("Too many levels of symbolic links", Errno::LOOP),
    ("File name too long", Errno::NAMETOOLONG),
    ("Input/output error", Errno::IO),
    ("Structure needs cleaning", Errno::UCLEAN),
    ("Stale file handle", Errno::STALE),
    ("Stale NFS file handle", Errno::STALE),
    ("Transport endpoint is not connected", Errno::NOTCONN),
    ("Connection timed out", Errno::TIMEDOUT),
    ("Host is down", Errno::HOSTDOWN),
    ("Remote I/O error", Errno::REMOTEIO),
    ("Cannot allocate memory", Errno::NOMEM),
    ("No such device or address", Errno::NXIO),
    ("Bad message", Errno::BADMSG),
    ("Required key not available", Errno::NOKEY),
];

/// The error that a line ends with.
pub(crate) fn errno(line: &[u8]) -> Option<Errno> {
    let said = |words: &str| {
        let before = line.strip_suffix(words.as_bytes())?;
        before.ends_with(b": ").then_some(())
    };
    let known = WORDS.iter().find(|(words, _)| said(words).is_some());
    known.map(|&(_, errno)| errno)
}

/// Lines of a program, without its name: what sudo or a shell say besides is not its.
pub(crate) fn lines<'a>(program: &'a str, stderr: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let lines = stderr.split(|&byte| byte == b'\n');
    lines.filter_map(move |line| {
        let rest = line.strip_prefix(program.as_bytes())?;
        rest.strip_prefix(b": ")
    })
}

/// Path and error of a complaint of find: `'/home/a\n\351': Permission denied`. Before findutils 4.5
/// the first quote is another.
pub(super) fn of_find(line: &[u8]) -> Option<(Vec<u8>, Errno)> {
    let errno = errno(line)?;
    let quoted = line.strip_prefix(b"'").or(line.strip_prefix(b"`"))?;
    let end = quoted.windows(3).rposition(|three| three == b"': ")?;
    Some((unescape(&quoted[..end])?, errno))
}

/// A name as tar has it in its complaints.
pub(in crate::replicate) fn escape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name {
        let short = ESCAPES.iter().find(|&&(_, value)| value == byte);
        match (byte, short) {
            (b':', _) => out.extend_from_slice(b"\\:"),
            (_, Some(&(letter, _))) => out.extend([b'\\', letter]),
            (b' '..=b'~', None) => out.push(byte),
            (_, None) => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out
}

/// As in C.
const ESCAPES: &[(u8, u8)] = &[
    (b'a', 7),
    (b'b', 8),
    (b'f', 12),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
    (b'v', 11),
    (b'\\', b'\\'),
];

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&letter, after) = rest.split_first()?;
        if let Some(&(_, value)) = ESCAPES.iter().find(|&&(known, _)| known == letter) {
            out.push(value);
            rest = after;
        } else if letter.is_ascii_digit() {
            let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
            out.push(u8::from_str_radix(digits, 8).ok()?);
            rest = &rest[3..];
        } else {
            out.push(letter);
            rest = after;
        }
    }
    Some(out)
}

/// The last line of standard error, or how it ended.
pub(crate) fn last_words(ended: &Finished) -> String {
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    match (last, ended.status) {
        (Some(line), _) => line.to_owned(),
        (None, Some(status)) => format!("exit status {status}"),
        (None, None) => "ended by a signal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As findutils 4.9 and 4.4 said it.
    #[test]
    fn complaints_of_find_are_understood() {
        let line = br#"'/tmp/fb/u/bad\351\n\'q"\\z': Permission denied"#;
        let name = b"/tmp/fb/u/bad\xe9\n'q\"\\z".to_vec();
        assert_eq!(of_find(line), Some((name, Errno::ACCESS)));
        let old = b"`/root': Permission denied";
        assert_eq!(of_find(old), Some((b"/root".to_vec(), Errno::ACCESS)));
        assert_eq!(of_find(b"'/x': something new"), None);
        assert_eq!(of_find(b"unrecognized: -printf"), None);
    }

    #[test]
    fn what_others_say_is_not_the_programs() {
        let said = b"sudo: unable to resolve host old: No such file or directory\nfind: 'x': y\n";
        let lines: Vec<_> = lines("find", said).collect();
        assert_eq!(lines, [b"'x': y"]);
    }

    /// As tar 1.34 said it of a file of this name that is not there.
    #[test]
    fn tar_is_understood_about_hostile_names() {
        assert_eq!(
            escape(b"./bad\xe9\n'q\"\\z a:b?\x01"),
            br#"./bad\351\n'q"\\z a\:b?\001"#
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_is_understood(name: Vec<u8>) {
            proptest::prop_assert_eq!(unescape(&escape(&name)), Some(name));
        }

        #[test]
        fn any_line_is_understood_or_not(line: Vec<u8>) {
            of_find(&line);
        }
    }
}
