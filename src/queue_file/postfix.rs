//! Queue files of Postfix: what waits there is read, and what waited in sendmail's queue is written as
//! `sendmail -i` of Postfix leaves it in `maildrop`.

use std::io::{self, BufRead, Seek, Write};

use super::record::{Records, kind, malformed, put};
use super::{Bits, Envelope, MOST_HEADERS, Notify, Recipient, Returned};

/// Lines of a message are cut into records of at most so many bytes: `line_length_limit`, postconf(5).
const LINE_LIMIT: usize = 2048;

/// The envelope of a message that waits. Recipients that have it are left out.
pub fn envelope(file: impl BufRead + Seek) -> io::Result<Envelope> {
    let mut records = Records::new(file);
    let mut envelope = Envelope::default();
    let mut next = Recipient::default();
    loop {
        let record = records.take()?;
        match record.kind {
            kind::TIME => envelope.arrived = number(&record.data),
            kind::SENDER => envelope.sender = record.data,
            kind::ATTRIBUTE => attribute(&record.data, &mut envelope, &mut next),
            kind::RECIPIENT => {
                next.address = record.data;
                envelope.recipients.push(std::mem::take(&mut next));
            }
            kind::DONE => next = Recipient::default(),
            kind::LINE | kind::PART if record.data.iter().any(|&byte| byte > 127) => {
                envelope.eight_bit = Bits::Eight;
            }
            kind::REDIRECT => return Err(malformed("a header check sends it elsewhere")),
            kind::VERP => return Err(malformed("each recipient has a sender of its own (VERP)")),
            kind::KILLED => return Err(malformed("it was deleted")),
            kind::END => return Ok(envelope),
            _ => {}
        }
    }
}

/// Attributes of the DSN extension, by Postfix's `mail_proto.h` and `dsn_mask.h`.
fn attribute(data: &[u8], envelope: &mut Envelope, next: &mut Recipient) {
    let Some(equals) = data.iter().position(|&byte| byte == b'=') else {
        return;
    };
    let (name, value) = (&data[..equals], &data[equals + 1..]);
    match name {
        b"envelope_id" => envelope.id = Some(value.to_vec()),
        b"ret_flags" => {
            envelope.returned = match number(value) {
                1 => Some(Returned::Full),
                2 => Some(Returned::Headers),
                _ => None,
            };
        }
        b"dsn_orig_rcpt" => next.original = Some(value.to_vec()),
        b"notify_flags" => {
            let flags = number(value);
            next.notify = (flags != 0).then_some(Notify {
                success: flags & 2 != 0,
                failure: flags & 4 != 0,
                delay: flags & 8 != 0,
            });
        }
        _ => {}
    }
}

/// The number that a record begins with.
fn number(data: &[u8]) -> i64 {
    let digits = data.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_i64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    })
}

/// The message of a queue file: its headers are returned, each line with its newline; its body is
/// written out.
pub fn message(file: impl BufRead + Seek, body: &mut impl Write) -> io::Result<Vec<u8>> {
    let mut records = Records::new(file);
    while records.take()?.kind != kind::MESSAGE {}
    let mut headers = Vec::new();
    let mut part = Part::Headers;
    let mut at_line = true;
    loop {
        let record = records.take()?;
        let newline = match record.kind {
            kind::LINE => true,
            kind::PART => false,
            kind::EXTRACTED => return Ok(headers),
            _ => continue,
        };
        let whole_line = at_line && newline;
        if part == Part::Headers && at_line && !is_header(&record.data) {
            part = Part::Body;
            at_line = newline;
            // The empty line between the two belongs to neither.
            if whole_line && record.data.is_empty() {
                continue;
            }
        }
        at_line = newline;
        match part {
            Part::Headers => {
                headers.extend_from_slice(&record.data);
                if newline {
                    headers.push(b'\n');
                }
                if headers.len() > MOST_HEADERS {
                    return Err(malformed("its headers never end"));
                }
            }
            Part::Body => {
                body.write_all(&record.data)?;
                if newline {
                    body.write_all(b"\n")?;
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Headers,
    Body,
}

/// Whether a line is a header or goes on with one: RFC 5322, 2.2.
fn is_header(line: &[u8]) -> bool {
    let named = || {
        let colon = line.iter().position(|&byte| byte == b':');
        colon.is_some_and(|colon| {
            let name = line[..colon].trim_ascii_end();
            !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
        })
    };
    matches!(line.first(), Some(b' ' | b'\t')) || named()
}

/// Writes a message as `sendmail -i` does: envelope, headers, body.
pub fn submission(
    envelope: &Envelope,
    headers: &[u8],
    body: &mut impl BufRead,
    file: &mut impl Write,
) -> io::Result<()> {
    let arrived = format!("{} 0", envelope.arrived);
    put(file, kind::TIME, arrived.as_bytes())?;
    if let Some(id) = &envelope.id {
        named(file, "envelope_id", id)?;
    }
    let returned = match envelope.returned {
        Some(Returned::Full) => Some("1"),
        Some(Returned::Headers) => Some("2"),
        None => None,
    };
    if let Some(returned) = returned {
        named(file, "ret_flags", returned.as_bytes())?;
    }
    named(file, "rewrite_context", b"local")?;
    put(file, kind::SENDER, &envelope.sender)?;
    for recipient in &envelope.recipients {
        if let Some(original) = &recipient.original {
            named(file, "dsn_orig_rcpt", original)?;
        }
        if let Some(notify) = recipient.notify {
            named(file, "notify_flags", flags(notify).to_string().as_bytes())?;
        }
        put(file, kind::RECIPIENT, &recipient.address)?;
    }
    put(file, kind::MESSAGE, b"")?;
    lines(&mut &headers[..], file)?;
    put(file, kind::LINE, b"")?;
    lines(body, file)?;
    put(file, kind::EXTRACTED, b"")?;
    put(file, kind::END, b"")
}

/// The numbers of `dsn_mask.h`.
fn flags(notify: Notify) -> u8 {
    match u8::from(notify.success) * 2 + u8::from(notify.failure) * 4 + u8::from(notify.delay) * 8 {
        0 => 1,
        some => some,
    }
}

fn named(file: &mut impl Write, name: &str, value: &[u8]) -> io::Result<()> {
    put(
        file,
        kind::ATTRIBUTE,
        &[name.as_bytes(), b"=", value].concat(),
    )
}

/// Text as records; a last line without its newline gets one, as mail has it.
fn lines(text: &mut impl BufRead, file: &mut impl Write) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut open = false;
    loop {
        piece.clear();
        let limit = LINE_LIMIT as u64;
        if io::Read::take(&mut *text, limit).read_until(b'\n', &mut piece)? == 0 {
            break;
        }
        open = piece.last() != Some(&b'\n');
        if open {
            put(file, kind::PART, &piece)?;
        } else {
            piece.pop();
            put(file, kind::LINE, &piece)?;
        }
    }
    if open {
        put(file, kind::LINE, b"")
    } else {
        Ok(())
    }
}
