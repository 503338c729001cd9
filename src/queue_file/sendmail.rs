//! Queue files of sendmail: the control file `qfID` with envelope and headers, of sendmail's Operations
//! Guide, appendix B; `dfID` beside it is the body as it is.

use super::{Bits, Envelope, Notify, Recipient, Returned, address};

/// The version of the control file's form that is written: that of 8.13 and later (`QF_VERSION`).
const VERSION: u32 = 8;

/// In a header, what follows is the name of a macro, not yet expanded.
const MACRO: u8 = 0x81;

/// A control file: the envelope, and the headers, each line with its newline. The error says, for
/// people, what cannot be given to another MTA.
pub fn read(control: &[u8]) -> Result<(Envelope, Vec<u8>), String> {
    let mut envelope = Envelope::default();
    let mut headers = Vec::new();
    let mut original = None;
    let mut finished = false;
    for line in unfolded(control) {
        let Some((&code, rest)) = line.split_first() else {
            continue;
        };
        match code {
            b'V' if text(rest)
                .parse()
                .is_ok_and(|version: u32| version <= VERSION) => {}
            b'V' => return Err(format!("it has version {}", text(rest))),
            b'T' => {
                envelope.arrived =
                    (text(rest).parse()).map_err(|_| format!("it arrived at {}", text(rest)))?;
            }
            b'S' => envelope.sender = plain(rest),
            b'Z' => envelope.id = Some(rest.to_vec()),
            b'B' if rest.starts_with(b"8") => envelope.eight_bit = Bits::Eight,
            b'F' => flags(rest, &mut envelope),
            b'Q' => original = Some(rest.to_vec()),
            b'R' => {
                let mut recipient = recipient(rest)?;
                recipient.original = original.take();
                envelope.recipients.push(recipient);
            }
            b'H' => headers.extend(header(rest)?),
            b'.' => finished = true,
            // Priority, tries, times, inode, messages, macros, controlling users, the recipient of a
            // report: what another MTA finds out or decides anew.
            _ => {}
        }
    }
    if finished {
        Ok((envelope, headers))
    } else {
        Err("it was never finished".to_owned())
    }
}

/// Lines that begin with a blank go on with the one before.
fn unfolded(control: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in control.split(|&byte| byte == b'\n') {
        match (line.first(), lines.last_mut()) {
            (Some(b' ' | b'\t'), Some(last)) => {
                last.push(b'\n');
                last.extend_from_slice(line);
            }
            _ => lines.push(line.to_vec()),
        }
    }
    lines
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address with or without its brackets.
fn plain(wire: &[u8]) -> Vec<u8> {
    let inner = wire
        .strip_prefix(b"<")
        .and_then(|inner| inner.strip_suffix(b">"));
    address::unquoted(inner.unwrap_or(wire))
}

/// The flags of an `F` line, `queueup()` of sendmail's `queue.c`.
fn flags(flags: &[u8], envelope: &mut Envelope) {
    if flags.contains(&b'8') {
        envelope.eight_bit = Bits::Eight;
    }
    // `d`: the sender said what is returned; `n`: not the body.
    envelope.returned = match (flags.contains(&b'd'), flags.contains(&b'n')) {
        (true, true) => Some(Returned::Headers),
        (true, false) => Some(Returned::Full),
        (false, _) => None,
    };
}

/// `FLAGS:ADDRESS`. `N`: the sender said when to be told; `S`, `F`, `D`: on success, failure, delay.
fn recipient(rest: &[u8]) -> Result<Recipient, String> {
    let colon = rest.iter().position(|&byte| byte == b':');
    let (flags, wire) = match colon {
        Some(colon) if rest[..colon].iter().all(u8::is_ascii_uppercase) => {
            (&rest[..colon], &rest[colon + 1..])
        }
        _ => (&b""[..], rest),
    };
    let local = [&b"|"[..], b"\"|", b"/", b"\"/", b":include:"];
    if local.iter().any(|start| wire.starts_with(start)) {
        let what = text(wire);
        return Err(format!(
            "it waits for {what}, which is no address of another host"
        ));
    }
    let notify = flags.contains(&b'N').then(|| Notify {
        success: flags.contains(&b'S'),
        failure: flags.contains(&b'F'),
        delay: flags.contains(&b'D'),
    });
    Ok(Recipient {
        address: plain(wire),
        original: None,
        notify,
    })
}

/// `?FLAGS?Name: value`: the flags say which mailers want it. The return path is for a mailer to say.
fn header(rest: &[u8]) -> Result<Vec<u8>, String> {
    let line = match rest.strip_prefix(b"?") {
        Some(flagged) => {
            let end = flagged.iter().position(|&byte| byte == b'?');
            &flagged[end.map_or(0, |end| end + 1)..]
        }
        None => rest,
    };
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    if name.eq_ignore_ascii_case(b"return-path") {
        return Ok(Vec::new());
    }
    // A macro's character is followed by its name; in UTF-8 it stands behind a lead byte.
    let mut before = 0_u8;
    for &byte in line {
        if byte == MACRO && before < 0x80 {
            return Err(format!("its header {} is not finished", text(name)));
        }
        before = byte;
    }
    Ok([line, b"\n"].concat())
}

/// A control file for a message that waited elsewhere.
pub fn write(envelope: &Envelope, headers: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = vec![
        format!("V{VERSION}").into_bytes(),
        format!("T{}", envelope.arrived).into_bytes(),
        // Never tried here; the priority is what a small message begins with.
        b"K0".to_vec(),
        b"N0".to_vec(),
        b"P30000".to_vec(),
    ];
    let mut flags = Vec::from(&b"F"[..]);
    if envelope.eight_bit == Bits::Eight {
        flags.push(b'8');
    }
    match envelope.returned {
        Some(Returned::Headers) => flags.extend(b"dn"),
        Some(Returned::Full) => flags.push(b'd'),
        None => {}
    }
    lines.push(flags);
    let sender = address::quoted(&envelope.sender);
    lines.push([b"S<", &sender[..], b">"].concat());
    if envelope.sender.is_empty() {
        lines.pop();
        lines.push(b"S<>".to_vec());
    }
    if let Some(id) = &envelope.id {
        lines.push([b"Z", &id[..]].concat());
    }
    for recipient in &envelope.recipients {
        if let Some(original) = &recipient.original {
            lines.push([b"Q", &original[..]].concat());
        }
        let mut flags = Vec::from(&b"RP"[..]);
        let notify = recipient.notify.unwrap_or(Notify {
            success: false,
            failure: true,
            delay: true,
        });
        let letters = [
            (recipient.notify.is_some(), b'N'),
            (notify.success, b'S'),
            (notify.failure, b'F'),
            (notify.delay, b'D'),
        ];
        flags.extend(
            letters
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, letter)| letter),
        );
        let wire = address::quoted(&recipient.address);
        lines.push([&flags[..], b":<", &wire, b">"].concat());
    }
    let mut control = lines.join(&b'\n');
    control.push(b'\n');
    for line in headers.split_inclusive(|&byte| byte == b'\n') {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            control.extend(b"H??");
        }
        control.extend_from_slice(line);
    }
    control.extend(b".\n");
    control
}

/// The control file of a message that sendmail holds until `sendmail -qQ -Q` releases it.
pub fn quarantined(control: &[u8]) -> Vec<u8> {
    let first = control.iter().position(|&byte| byte == b'\n');
    let (version, rest) = control.split_at(first.map_or(0, |end| end + 1));
    [version, b"qheld before the hand-over\n", rest].concat()
}
