//! Folder names as IMAP has them: modified UTF-7 (RFC 3501, 5.1.3).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// A name in modified UTF-7.
pub(crate) fn encode(name: &str) -> String {
    let mut out = String::new();
    let mut shifted = String::new();
    for character in name.chars() {
        if (' '..='~').contains(&character) {
            flush(&mut out, &mut shifted);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            shifted.push(character);
        }
    }
    flush(&mut out, &mut shifted);
    out
}

/// Writes what cannot stand for itself, as base64 of its UTF-16.
fn flush(out: &mut String, shifted: &mut String) {
    if shifted.is_empty() {
        return;
    }
    out.push('&');
    let bytes: Vec<u8> = shifted.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| group.get(at).copied().map_or(0, u32::from));
        let bits = a << 16 | b << 8 | c;
        for at in 0..=group.len() {
            let sextet = bits >> (18 - 6 * at) & 63;
            out.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    out.push('-');
    shifted.clear();
}

/// A name from modified UTF-7.
#[track_caller]
pub(crate) fn decode(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (shifted, after) = shifted.split_once('-').unwrap();
        rest = after;
        if shifted.is_empty() {
            out.push('&');
            continue;
        }
        let mut bits = 0_u32;
        let mut count = 0;
        let mut units = Vec::new();
        for character in shifted.bytes() {
            let sextet = ALPHABET.iter().position(|&known| known == character);
            bits = bits << 6 | u32::try_from(sextet.unwrap()).unwrap();
            count += 6;
            if count >= 16 {
                count -= 16;
                units.push(u16::try_from(bits >> count & 0xffff).unwrap());
                bits &= (1 << count) - 1;
            }
        }
        out.push_str(&String::from_utf16(&units).unwrap());
    }
    out + rest
}

/// Examples of RFC 3501, 5.1.3, and Dovecot's answer to an umlaut.
#[test]
fn names_are_those_of_the_rfc() {
    for (name, encoded) in [
        ("INBOX", "INBOX"),
        ("Tom & Jerry", "Tom &- Jerry"),
        (
            "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}",
            "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
        ),
        ("Entw\u{fc}rfe", "Entw&APw-rfe"),
    ] {
        assert_eq!(encode(name), encoded);
        assert_eq!(decode(encoded), name);
    }
}
