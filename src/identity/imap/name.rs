//! Folder names: modified UTF-7 (RFC 3501 5.1.3) as text.

use crate::identity::mailbox::FolderName;
use crate::raw::Raw;

/// A name as IMAP sends it. One that is not modified UTF-7 stays as it is: clients show it so.
pub(super) fn decode(name: &[u8]) -> FolderName {
    FolderName(match text(name) {
        Some(text) => Raw::from(text),
        None => Raw::from(name),
    })
}

fn text(name: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'&' => {
                let end = after.iter().position(|&byte| byte == b'-')?;
                if end == 0 {
                    text.push('&');
                } else {
                    text.push_str(&shifted(&after[..end])?);
                }
                rest = &after[end + 1..];
            }
            0x20..=0x7E => {
                text.push(char::from(first));
                rest = after;
            }
            _ => return None,
        }
    }
    Some(text)
}

/// UTF-16 in base 64 with a comma for the slash, without padding.
fn shifted(encoded: &[u8]) -> Option<String> {
    let mut units = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for &byte in encoded {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b',' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0x3F_FFFF;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(u16::try_from(bits >> held & 0xFFFF).expect("it is masked"));
        }
    }
    // What is left over is padding: less than a base 64 digit, and zero.
    (held < 6 && bits & ((1 << held) - 1) == 0).then_some(())?;
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text() {
        for (sent, shown) in [
            ("INBOX", "INBOX"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("Q&AD4-A", "Q>A"),
            ("Tom &- Jerry", "Tom & Jerry"),
            // The example of RFC 3501 5.1.3.
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("&2D3eAA-", "😀"),
        ] {
            assert_eq!(decode(sent.as_bytes()), FolderName(shown.into()), "{sent}");
        }
    }

    #[test]
    fn what_is_no_such_name_stays_as_it_is() {
        for sent in [
            &b"50&"[..],
            b"a&b",
            b"&AP-",
            b"&APx!-",
            b"caf\xe9",
            b"&2D0-",
        ] {
            assert_eq!(decode(sent), FolderName(sent.into()));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail(name: Vec<u8>) {
            decode(&name);
        }
    }
}
