//! What a POP3 session says: the answers to UIDL and LIST (RFC 1939).
//!
//! The exit status of the server's program is no verdict (an INBOX that cannot be opened ends with
//! 0), so the answers must be whole: each begins with `+OK` and ends with a dot.

use super::mailbox::{Maildrop, Pop3Message, Read, Refusal};

/// So far.
#[derive(Debug, Default)]
pub(super) struct Session {
    at: At,
    messages: Vec<Pop3Message>,
    sized: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    UidlAnswer,
    Uidls,
    ListAnswer,
    Sizes,
    Quit,
    Refused(String),
}

impl Session {
    /// Takes a line without its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        let next = match (&self.at, line) {
            (At::UidlAnswer, line) if line.starts_with(b"+OK") => At::Uidls,
            (At::ListAnswer, line) if line.starts_with(b"+OK") => At::Sizes,
            (At::Uidls, b".") => At::ListAnswer,
            (At::Sizes, b".") if self.sized == self.messages.len() => At::Quit,
            (At::Uidls, line) => return self.uidl(line),
            (At::Sizes, line) => return self.size(line),
            (At::Quit | At::Refused(_), _) => return,
            (At::UidlAnswer | At::ListAnswer, line) => refused(line),
        };
        self.at = next;
    }

    fn uidl(&mut self, line: &[u8]) {
        match split(line) {
            Some((number, uidl)) if number == self.messages.len() + 1 && !uidl.is_empty() => {
                let uidl = uidl.into();
                self.messages.push(Pop3Message { uidl, size: 0 });
            }
            Some(_) | None => self.at = refused(line),
        }
    }

    fn size(&mut self, line: &[u8]) {
        let parsed = split(line).and_then(|(number, size)| {
            let size = std::str::from_utf8(size).ok()?.parse().ok()?;
            (number == self.sized + 1).then_some(size)
        });
        match (parsed, self.messages.get_mut(self.sized)) {
            (Some(size), Some(message)) => {
                message.size = size;
                self.sized += 1;
            }
            _ => self.at = refused(line),
        }
    }

    /// Whether everything was answered, or refused.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.at, At::Quit | At::Refused(_))
    }

    /// The end of the session. `words` is what the program complained of.
    pub(super) fn end(self, words: &str) -> Read<Maildrop> {
        match self.at {
            At::Quit => Ok(Maildrop {
                messages: self.messages,
            }),
            At::Refused(answer) => Err(Refusal(answer).because(words)),
            At::UidlAnswer | At::Uidls | At::ListAnswer | At::Sizes => {
                Err(Refusal::silence().because(words))
            }
        }
    }
}

/// `NUMBER SP REST`.
fn split(line: &[u8]) -> Option<(usize, &[u8])> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let number = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some((number, &line[space + 1..]))
}

fn refused(line: &[u8]) -> At {
    At::Refused(crate::raw::escape(&line[..line.len().min(300)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, words: &str) -> Read<Maildrop> {
        let mut session = Session::default();
        for line in lines.lines() {
            session.line(line.as_bytes());
        }
        session.end(words)
    }

    /// As Dovecot 2.3.19 answered.
    const TWO: &str = "+OK\n1 000000016b04616a\n2 000000026b04616a\n.\n\
                       +OK 2 messages:\n1 162\n2 49\n.\n+OK Logging out.\n";

    #[test]
    fn uidls_and_sizes_come_in_the_order_of_message_numbers() {
        let maildrop = read(TWO, "").unwrap();
        let messages = maildrop.messages.iter();
        let messages: Vec<_> = messages.map(|m| (&m.uidl[..], m.size)).collect();
        assert_eq!(
            messages,
            [(&b"000000016b04616a"[..], 162), (b"000000026b04616a", 49)]
        );
        assert_eq!(
            read("+OK\n.\n+OK 0 messages:\n.\n", ""),
            Ok(Maildrop::default())
        );
    }

    #[test]
    fn an_answer_that_is_not_whole_is_no_answer() {
        let cut = |lines: usize| {
            let text: Vec<_> = TWO.lines().take(lines).collect();
            read(&text.join("\n"), "")
        };
        for lines in 0..8 {
            assert!(cut(lines).is_err(), "{lines}");
        }
        assert!(cut(8).is_ok());
        for spoilt in [
            TWO.replace("2 000000026b04616a", "3 000000026b04616a"),
            TWO.replace("2 49", "2 x"),
            TWO.replace("2 49\n", ""),
            TWO.replace("2 49", "2 49\n3 50"),
        ] {
            assert!(read(&spoilt, "").is_err(), "{spoilt}");
        }
    }

    #[test]
    fn a_refusal_has_the_words_of_the_server_and_of_its_log() {
        let answer =
            "-ERR [SYS/TEMP] Internal error occurred. Refer to server log for more information.";
        assert_eq!(
            read(answer, "Fatal: Unknown user"),
            Err(Refusal(format!("{answer} (Fatal: Unknown user)")))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail(lines: Vec<Vec<u8>>) {
            let mut session = Session::default();
            session.line(b"+OK");
            for line in lines {
                session.line(&line);
            }
            session.end("").ok();
        }
    }
}
