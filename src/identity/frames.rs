//! The answer to [`crate::host::probe::mailboxes`] as a stream of frames and the server's lines.
//!
//! A line that begins with the boundary is a frame, every other is the server's. Lines are bounded:
//! what is longer than any server's line is no answer.

use std::io::{self, BufRead, BufReader, Read};

/// Longer than any line of a server: a FETCH with a hundred keywords of a hundred letters is 10 kB.
const LONGEST_LINE: u64 = 1 << 20;

/// A line of the answer.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Line<'a> {
    /// How the host is asked: `serving` or `aside`.
    Start(&'a [u8]),
    /// The answers about a user begin.
    User {
        /// The number that the user was given.
        number: usize,
        /// The host's clock.
        asked: u64,
    },
    /// A session begins; its name.
    Begin(&'a [u8]),
    /// A word of the server in a session.
    Said(&'a [u8]),
    /// What a program said on its standard error.
    Words(&'a [u8]),
    /// A session ended.
    End(&'a [u8]),
    /// The answers about a user end.
    Done(usize),
    /// Nobody can be read here; why.
    Failed(&'a [u8]),
    /// All users were read.
    Finished,
}

/// A stream as lines.
#[derive(Debug)]
pub(super) struct Frames<R> {
    stream: BufReader<R>,
    boundary: Vec<u8>,
    line: Vec<u8>,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(stream: R, boundary: &str) -> Self {
        Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            boundary: format!("{boundary} ").into_bytes(),
            line: Vec::new(),
        }
    }

    /// The stream itself, at its end.
    pub(super) fn into_inner(self) -> R {
        self.stream.into_inner()
    }

    /// The next line; `None` at the end. Empty lines are passed over: no server says anything by
    /// one, and each frame is preceded by one so that it begins a line whatever came before.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            let limited = &mut self.stream.by_ref().take(LONGEST_LINE);
            let length = limited.read_until(b'\n', &mut self.line)?;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 == LONGEST_LINE {
                return Err(malformed("a line is longer than any server's"));
            }
            while let [.., b'\n' | b'\r'] = self.line[..] {
                self.line.pop();
            }
            if !self.line.is_empty() {
                break;
            }
        }
        match self.line.strip_prefix(&self.boundary[..]) {
            Some(frame) => parse(frame).map(Some),
            None => Ok(Some(Line::Said(&self.line))),
        }
    }
}

fn parse(frame: &[u8]) -> io::Result<Line<'_>> {
    let mut words = frame.splitn(2, |&byte| byte == b' ');
    let kind = words.next().unwrap_or_default();
    let rest = words.next().unwrap_or_default();
    let line = match kind {
        b"start" => Line::Start(rest),
        b"user" => {
            let mut numbers = rest.splitn(2, |&byte| byte == b' ');
            Line::User {
                number: number(numbers.next())?,
                asked: number(numbers.next())?,
            }
        }
        b"begin" => Line::Begin(rest),
        b"words" => Line::Words(rest),
        b"end" => Line::End(rest),
        b"done" => Line::Done(number(Some(rest))?),
        b"failed" => Line::Failed(rest),
        b"finished" => Line::Finished,
        _ => return Err(malformed("an unknown frame")),
    };
    Ok(line)
}

fn number<N: std::str::FromStr>(word: Option<&[u8]>) -> io::Result<N> {
    word.and_then(|word| std::str::from_utf8(word).ok())
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| malformed("a frame without its number"))
}

pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut frames = Frames::new(text, "=B=");
        let mut lines = Vec::new();
        loop {
            match frames.next() {
                Ok(Some(line)) => lines.push(format!("{line:?}")),
                Ok(None) => return lines,
                Err(error) => {
                    lines.push(error.to_string());
                    return lines;
                }
            }
        }
    }

    #[test]
    fn a_frame_begins_a_line_even_after_a_server_that_died_within_one() {
        assert_eq!(
            lines(b"\n=B= user 3 17\n* 1 FETCH (UI\n=B= end folders\n\n\n=B= done 3\n"),
            [
                "User { number: 3, asked: 17 }",
                &format!("{:?}", Line::Said(b"* 1 FETCH (UI")),
                &format!("{:?}", Line::End(b"folders")),
                "Done(3)",
            ]
        );
    }

    #[test]
    fn what_is_no_frame_and_what_never_ends_is_refused() {
        assert_eq!(lines(b"=B= user x\n"), ["a frame without its number"]);
        assert_eq!(lines(b"=B= hello\n"), ["an unknown frame"]);
        let endless = vec![b'a'; 2 << 20];
        assert_eq!(lines(&endless), ["a line is longer than any server's"]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise(text: Vec<u8>) {
            lines(&text);
            lines(&[b"=B= ", &text[..]].concat());
        }
    }
}
