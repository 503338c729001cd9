//! Addresses with and without the quoting of RFC 5321: sendmail keeps them as they go over the wire,
//! Postfix without quotes and backslashes.

/// An address as it goes over the wire, without quoting.
pub fn unquoted(address: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(address.len());
    let mut bytes = address.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => {}
            b'\\' => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    plain
}

/// An address without quoting as it goes over the wire: its local part is quoted unless it is a
/// dot-string.
pub fn quoted(address: &[u8]) -> Vec<u8> {
    let at = address.iter().rposition(|&byte| byte == b'@');
    let (local, domain) = address.split_at(at.unwrap_or(address.len()));
    if is_dot_string(local) {
        return address.to_vec();
    }
    let mut wire = vec![b'"'];
    for &byte in local {
        if byte == b'"' || byte == b'\\' {
            wire.push(b'\\');
        }
        wire.push(byte);
    }
    wire.push(b'"');
    wire.extend_from_slice(domain);
    wire
}

/// `Dot-string` of RFC 5321, 4.1.2; bytes above 127 are those of RFC 6531.
fn is_dot_string(local: &[u8]) -> bool {
    let atom = |byte: &u8| byte.is_ascii_alphanumeric() || *byte > 127 || SPECIAL.contains(byte);
    local
        .split(|&byte| byte == b'.')
        .all(|part| !part.is_empty() && part.iter().all(atom))
}

/// The characters of `atext` (RFC 5322, 3.2.3) that are neither letters nor digits.
const SPECIAL: &[u8] = b"!#$%&'*+-/=?^_`{|}~";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_taken_off_and_put_on() {
        // RFC 3696, 3, has the odd ones.
        for (wire, plain) in [
            (&b"alice@example.org"[..], &b"alice@example.org"[..]),
            (b"\"odd name\"@example.org", b"odd name@example.org"),
            (b"\"Abc@def\"@example.com", b"Abc@def@example.com"),
            (b"\"a\\\"b\\\\c\"@example.com", b"a\"b\\c@example.com"),
            (
                b"customer/department=shipping",
                b"customer/department=shipping",
            ),
            (b"\"two..dots\"@example.org", b"two..dots@example.org"),
        ] {
            assert_eq!(unquoted(wire), plain);
            assert_eq!(quoted(plain), wire);
        }
    }
}
