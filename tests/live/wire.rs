//! A connection of a mail client: lines of text to and from a port on the mail network.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::host::Host;
use crate::lab::PROGRAMS;

/// Bytes to and from a server, by way of a socat in the lab's network.
#[derive(Debug)]
pub(crate) struct Wire {
    socat: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Wire {
    /// Connects to a port of a host.
    #[track_caller]
    pub(crate) fn connect(host: &Host, port: u16) -> Self {
        let mut socat = Command::new(format!("{PROGRAMS}/operator"))
            // A server that says nothing for a minute has hung.
            .args(["socat", "-T", "60", "-"])
            .arg(format!("TCP:{}:{port}", host.mail_address()))
            .env("LAB", host.lab())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = socat.stdin.take().unwrap();
        let from = BufReader::new(socat.stdout.take().unwrap());
        Self { socat, to, from }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.to.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a line.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n"));
    }

    /// A line from the server, without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        String::from_utf8(self.raw_line()).unwrap()
    }

    /// A line from the server that may hold any bytes, without its end.
    #[track_caller]
    pub(crate) fn raw_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.from.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\r\n"), "the server hung up: {line:?}");
        line.truncate(line.len() - 2);
        line
    }

    /// This many bytes from the server.
    #[track_caller]
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.from.read_exact(&mut bytes).unwrap();
        bytes
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Both fail if it has ended.
        self.socat.kill().ok();
        self.socat.wait().ok();
    }
}
