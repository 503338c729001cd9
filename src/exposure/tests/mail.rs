//! Recipients and messages, against a server that minds its limits as Postfix does.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use super::super::smtp::{Letter, Marker, Recipients, Refusal, ask_at, send_at};
use super::*;
use crate::error::{Kind, chain};

/// A server of example.org. What it heard, connection by connection.
#[derive(Default)]
struct Postfix {
    heard: Mutex<Vec<Vec<String>>>,
    /// `smtpd_recipient_limit`; 0 is none.
    recipients: usize,
    /// `smtpd_hard_error_limit`; 0 is none.
    errors: usize,
}

impl Postfix {
    /// Takes mail for everyone whose name begins so.
    const KNOWN: &str = "u";

    fn serve(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::clone(self);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                server.talk(&socket.unwrap());
            }
        });
        address
    }

    fn talk(&self, socket: &TcpStream) {
        let mut say = socket;
        let mut reply = |text: &str| say.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        let mut hear = BufReader::new(socket);
        let mut heard = Vec::new();
        let (mut taken, mut errors, mut text) = (0, 0, false);
        reply("220-mail.example.org ESMTP\r\n220 mail.example.org ESMTP Postfix");
        loop {
            if self.errors > 0 && errors >= self.errors {
                reply("421 4.7.0 mail.example.org Error: too many errors");
                break;
            }
            let mut line = String::new();
            if hear.read_line(&mut line).unwrap() == 0 {
                break;
            }
            let line = line.trim_end();
            heard.push(line.to_owned());
            match (text, line) {
                (true, ".") => {
                    text = false;
                    reply("250 2.0.0 Ok: queued as 4B1C2D");
                }
                (true, _) => {}
                (false, "QUIT") => {
                    reply("221 2.0.0 Bye");
                    break;
                }
                (false, "RSET") => {
                    taken = 0;
                    reply("250 2.0.0 Ok");
                }
                (false, "DATA") => {
                    text = true;
                    reply("354 End data with <CR><LF>.<CR><LF>");
                }
                (false, line) if line.starts_with("RCPT TO:<") => {
                    if self.recipients > 0 && taken >= self.recipients {
                        errors += 1;
                        reply("452 4.5.3 Error: too many recipients");
                    } else if line["RCPT TO:<".len()..].starts_with(Self::KNOWN) {
                        taken += 1;
                        reply("250 2.1.5 Ok");
                    } else {
                        errors += 1;
                        reply("550 5.1.1 Recipient address rejected: User unknown");
                    }
                }
                (false, _) => reply("250 2.1.0 Ok"),
            }
        }
        self.heard.lock().unwrap().push(heard);
    }

    /// All that was heard, once no connection is left.
    fn heard(&self, connections: usize) -> Vec<Vec<String>> {
        let began = Instant::now();
        loop {
            let heard = self.heard.lock().unwrap();
            if heard.len() >= connections {
                return heard.clone();
            }
            drop(heard);
            assert!(began.elapsed() < Duration::from_secs(5), "more is expected");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn query(users: impl IntoIterator<Item = String>) -> Recipients {
    Recipients {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        users: users.into_iter().map(|name| name.as_str().into()).collect(),
        domain: "example.org".to_owned(),
    }
}

fn refused(server: &Arc<Postfix>, query: &Recipients) -> Vec<String> {
    let refused = ask_at(server.serve(), query).unwrap();
    let text = refused.iter().map(|(user, why)| format!("{user}: {why}"));
    text.collect()
}

#[test]
fn recipients_are_asked_for_and_nothing_is_sent() {
    let server = Arc::new(Postfix::default());
    let users = ["ute", "nobody", "uwe"].map(str::to_owned);
    let expected = "nobody: 550 5.1.1 Recipient address rejected: User unknown";
    assert_eq!(refused(&server, &query(users)), [expected]);
    let expected = [
        "EHLO [127.0.0.1]",
        "MAIL FROM:<>",
        "RCPT TO:<ute@example.org>",
        "RCPT TO:<nobody@example.org>",
        "RCPT TO:<uwe@example.org>",
        "RSET",
        "QUIT",
    ];
    assert_eq!(server.heard(1), [expected]);
}

#[test]
fn thousands_of_recipients_stay_within_every_limit() {
    let names = || (0..3000).map(|number| format!("u{number}"));
    // 20 of one message is less than what we ask for at once.
    for (recipients, connections) in [(0, 2), (20, 4)] {
        let server = Arc::new(Postfix {
            recipients,
            ..Postfix::default()
        });
        assert_eq!(refused(&server, &query(names())), [""; 0]);
        let heard = server.heard(connections);
        let lines = || heard.iter().flatten();
        let asked: BTreeSet<&str> = lines()
            .filter_map(|line| line.strip_prefix("RCPT TO:<"))
            .collect();
        assert_eq!(asked.len(), 3000);
        assert_eq!(heard.len(), connections);
        for connection in &heard {
            let resets = connection.iter().filter(|line| *line == "RSET").count();
            assert!(resets <= 50, "{resets} are junk commands for Postfix");
        }
        assert!(lines().all(|line| line != "DATA"));
    }
}

#[test]
fn a_server_that_hangs_up_on_errors_is_asked_again() {
    let server = Arc::new(Postfix {
        errors: 20,
        ..Postfix::default()
    });
    let names =
        (0..70).map(|number| format!("{}{number}", if number % 10 == 0 { 'u' } else { 'n' }));
    let refused = refused(&server, &query(names));
    assert_eq!(refused.len(), 63);
    assert!(
        refused.iter().all(|line| line.starts_with('n')),
        "{refused:?}"
    );
}

#[test]
fn a_server_that_takes_no_mail_at_all_is_an_error() {
    let address = server(|mut socket| {
        socket.write_all(b"220 mail\r\n").unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
        for reply in ["250 mail\r\n", "451 4.3.0 Temporary lookup failure\r\n"] {
            lines.next().unwrap().unwrap();
            socket.write_all(reply.as_bytes()).unwrap();
        }
    });
    let error = ask_at(address, &query(["ute".to_owned()])).unwrap_err();
    assert_eq!(error.kind(), Kind::Verification);
    let expected = format!(
        "port {} at 127.0.0.1 does not serve: it turns clients away: 451 4.3.0 Temporary lookup failure",
        address.port()
    );
    assert_eq!(chain(&error), expected);
}

#[test]
fn names_that_would_be_other_commands_are_never_said() {
    let server = Arc::new(Postfix::default());
    let users = ["u\r\nDATA", "u\u{e4}", "u x", "u\"x", "u.x", ".u"].map(str::to_owned);
    let refused = ask_at(server.serve(), &query(users)).unwrap();
    let unsayable = refused.iter().filter(|(_, why)| *why == Refusal::Unsayable);
    let unsayable: Vec<String> = unsayable.map(|(user, _)| user.to_string()).collect();
    assert_eq!(unsayable, ["u\\x0D\\nDATA", "u\u{e4}"]);
    let heard = server.heard(1).concat();
    let recipients: Vec<&String> = heard
        .iter()
        .filter(|line| line.starts_with("RCPT"))
        .collect();
    // Quoted strings of RFC 5321, 4.1.2.
    let expected = [
        "RCPT TO:<\"u x\"@example.org>",
        "RCPT TO:<\"u\\\"x\"@example.org>",
        "RCPT TO:<u.x@example.org>",
        "RCPT TO:<\".u\"@example.org>",
    ];
    assert_eq!(recipients, expected);
}

fn letter(from: &str, to: &str) -> Letter {
    Letter {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        from: from.to_owned(),
        to: to.into(),
        domain: "example.org".to_owned(),
        marker: Marker::random().unwrap(),
    }
}

#[test]
fn a_message_says_what_it_is_and_carries_its_marker() {
    let server = Arc::new(Postfix::default());
    let letter = letter("", "ute");
    let accepted = send_at(server.serve(), &letter).unwrap();
    assert_eq!(accepted.said, "250 2.0.0 Ok: queued as 4B1C2D");
    let heard = server.heard(1).concat();
    let has = |line: &str| {
        assert!(
            heard.iter().any(|heard| heard == line),
            "{line}: {heard:#?}"
        );
    };
    has("MAIL FROM:<>");
    has("RCPT TO:<ute@example.org>");
    has("Auto-Submitted: auto-generated");
    has(&format!(
        "Message-ID: <{}@reconcile.invalid>",
        letter.marker.as_str()
    ));
    assert!(heard.iter().all(|line| line.len() < 80 && line.is_ascii()));
    // RFC 5322, 3.3.
    let date = heard
        .iter()
        .find_map(|line| line.strip_prefix("Date: "))
        .unwrap();
    jiff::fmt::rfc2822::parse(date).unwrap();
}

#[test]
fn a_message_that_is_refused_is_an_error_with_the_servers_words() {
    let server = Arc::new(Postfix::default());
    let error = send_at(server.serve(), &letter("", "nobody")).unwrap_err();
    assert_eq!(
        chain(&error),
        "the server at 127.0.0.1 does not take mail for nobody@example.org: 550 5.1.1 Recipient \
         address rejected: User unknown"
    );
    let error = send_at(server.serve(), &letter("a>\r\nDATA\r\n", "ute")).unwrap_err();
    assert!(chain(&error).contains("it is no mailbox"));
}
