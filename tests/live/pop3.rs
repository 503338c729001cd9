//! A client of POP3 (RFC 1939). To drop it without [`Pop3::quit`] is to hang up: nothing is deleted.

use crate::host::Host;
use crate::wire::Wire;

/// A session that is logged in.
#[derive(Debug)]
pub(crate) struct Pop3 {
    wire: Wire,
}

impl Pop3 {
    /// Logs in, by whatever means the server has for clear text.
    #[track_caller]
    pub(crate) fn login(host: &Host, user: &str, password: &str) -> Self {
        let mut wire = Wire::connect(host, 110);
        let greeting = wire.line();
        assert!(greeting.starts_with("+OK"), "{greeting}");
        let mut session = Self { wire };
        session.command(&format!("USER {user}"));
        session.command(&format!("PASS {password}"));
        session
    }

    /// Says a line that the server must accept; what it answers after `+OK`.
    #[track_caller]
    pub(crate) fn command(&mut self, line: &str) -> String {
        self.wire.say(line);
        let answer = self.wire.line();
        let rest = answer.strip_prefix("+OK");
        rest.unwrap_or_else(|| panic!("{line}: {answer}"))
            .trim_start()
            .to_owned()
    }

    /// Each message's number and unique id, in the server's order.
    #[track_caller]
    pub(crate) fn uidl(&mut self) -> Vec<(u32, String)> {
        self.command("UIDL");
        let text = String::from_utf8(self.text()).unwrap();
        text.lines()
            .map(|line| {
                let (number, id) = line.split_once(' ').unwrap();
                (number.parse().unwrap(), id.to_owned())
            })
            .collect()
    }

    /// Each message's size in bytes, in the server's order.
    #[track_caller]
    pub(crate) fn sizes(&mut self) -> Vec<u64> {
        self.command("LIST");
        let text = String::from_utf8(self.text()).unwrap();
        text.lines()
            .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
            .collect()
    }

    /// A message as it is on the network.
    #[track_caller]
    pub(crate) fn retrieve(&mut self, number: u32) -> Vec<u8> {
        self.command(&format!("RETR {number}"));
        self.text()
    }

    /// Marks a message for deletion by [`Pop3::quit`].
    #[track_caller]
    pub(crate) fn delete(&mut self, number: u32) -> &mut Self {
        self.command(&format!("DELE {number}"));
        self
    }

    /// Ends the session; what was marked is deleted.
    #[track_caller]
    pub(crate) fn quit(&mut self) {
        self.command("QUIT");
    }

    /// Lines up to the dot that ends them.
    #[track_caller]
    fn text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            let line = self.wire.raw_line();
            if line == b"." {
                return text;
            }
            text.extend(line.strip_prefix(b".").unwrap_or(&line));
            text.extend(b"\r\n");
        }
    }
}
