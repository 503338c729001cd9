//! Text from hosts as YAML that reads the same everywhere: by YAML 1.1 and by 1.2.

use std::fmt::Write as _;

/// Words that some reader takes for a boolean, a number or nothing (YAML 1.1, 10.3; 1.2, 10.2).
const WORDS: [&str; 11] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
];

/// A scalar for a block mapping: plain if every reader takes it for this text, else in double quotes.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(':')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._@:-".contains(c))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if plain { text.to_owned() } else { quoted(text) }
}

/// A scalar for a list or a mapping in brackets, where old readers stumble over a colon.
pub(super) fn item(text: &str) -> String {
    if text.contains(':') {
        quoted(text)
    } else {
        scalar(text)
    }
}

/// A list in brackets of items that are written already.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(", "))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let code = u32::from(c);
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if shows(c) => out.push(c),
            _ if code <= 0xff => write!(out, "\\x{code:02X}").expect(STRING),
            _ if code <= 0xffff => write!(out, "\\u{code:04X}").expect(STRING),
            _ => write!(out, "\\U{code:08X}").expect(STRING),
        }
    }
    out.push('"');
    out
}

const STRING: &str = "writing to a String cannot fail";

/// Text for a comment: one line, whatever is in it. Escapes are those of [`crate::raw`].
pub(super) fn comment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if shows(c) {
            out.push(c);
            continue;
        }
        let mut utf8 = [0; 4];
        for byte in c.encode_utf8(&mut utf8).bytes() {
            write!(out, "\\x{byte:02X}").expect(STRING);
        }
    }
    out
}

/// Whether YAML allows the character (1.1, 5.1), no reader takes it for the end of a line (1.1 does
/// U+0085, U+2028 and U+2029), and it neither hides nor makes text show as another one.
fn shows(c: char) -> bool {
    let misread = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    let allowed = matches!(
        c,
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..
    );
    allowed && !misread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_what_every_reader_takes_for_text() {
        for text in [
            "anna",
            "/var/mail",
            "ssh://root@old:22",
            "dir:../old",
            "j.doe",
        ] {
            assert_eq!(scalar(text), text);
        }
        // Booleans of YAML 1.1, numbers, an octal, a sexagesimal, a date, a comment, globs, an alias.
        for text in [
            "no",
            "Y",
            "OFF",
            "1000",
            "012",
            "1e3",
            "190:20:30",
            "2026-12-01",
            "a #b",
            "test*",
            "*x",
            "a: b",
            "a:",
            "",
            "~",
            "-",
            ".inf",
            "[a]",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
        ] {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
        assert_eq!(item("fd00::25/64"), "\"fd00::25/64\"");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_back(text: String) {
            let read: String = serde_yaml::from_str(&scalar(&text)).unwrap();
            proptest::prop_assert_eq!(&read, &text);
            let read: Vec<String> = serde_yaml::from_str(&list([item(&text), item("x")])).unwrap();
            proptest::prop_assert_eq!(&read[0], &text);
        }

        #[test]
        fn a_comment_is_one_line(text: String) {
            let text = comment(&text);
            proptest::prop_assert!(text.chars().all(shows));
            let read: u32 = serde_yaml::from_str(&format!("1 # {text}\n")).unwrap();
            proptest::prop_assert_eq!(read, 1);
        }
    }
}
