//! A client of SMTP (RFC 5321): brings letters to a host, from the mail network.

use crate::host::Host;
use crate::letter::on_the_network;
use crate::wire::Wire;

/// A session. Letters are in the server's queue when [`Smtp::send`] returns.
#[derive(Debug)]
pub(crate) struct Smtp {
    wire: Wire,
}

impl Smtp {
    #[track_caller]
    pub(crate) fn connect(host: &Host) -> Self {
        let wire = Wire::connect(host, 25);
        let mut session = Self { wire };
        session.answer("220");
        session.command("EHLO client.example.com", "250");
        session
    }

    /// Sends a letter to a user of example.org.
    #[track_caller]
    pub(crate) fn send(&mut self, from: &str, user: &str, letter: &str) -> &mut Self {
        self.command(&format!("MAIL FROM:<{from}>"), "250");
        self.command(&format!("RCPT TO:<{user}@example.org>"), "250");
        self.command("DATA", "354");
        let text = on_the_network(letter);
        for line in text.lines() {
            // RFC 5321, 4.5.2: a dot before a line that begins with one.
            let dot = if line.starts_with('.') { "." } else { "" };
            self.wire.say(&format!("{dot}{line}"));
        }
        self.command(".", "250");
        self
    }

    #[track_caller]
    pub(crate) fn quit(&mut self) {
        self.command("QUIT", "221");
    }

    /// Says a line, and expects an answer with this code.
    #[track_caller]
    pub(crate) fn command(&mut self, line: &str, code: &str) {
        self.wire.say(line);
        self.answer(code);
    }

    #[track_caller]
    fn answer(&mut self, code: &str) {
        loop {
            let line = self.wire.line();
            assert!(line.starts_with(code), "{code} was expected: {line}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}
