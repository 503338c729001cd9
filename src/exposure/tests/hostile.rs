//! Servers that say nothing, never end, speak another language, or hang up.

use super::*;

type Serve = fn(TcpStream);

const PATIENCE: Duration = Duration::from_millis(600);

/// What is seen of such a server, and that it does not take longer than it may.
fn met(protocol: Protocol, start: Start, serve: Serve) -> Seen {
    let began = Instant::now();
    let seen = look_at(server(serve), protocol, start, PATIENCE);
    let took = began.elapsed();
    assert!(took < PATIENCE * 4, "{took:?}");
    seen
}

fn unsound(protocol: Protocol, serve: Serve) -> String {
    match met(protocol, Start::Clear, serve) {
        Seen::Unsound(how) => how,
        other => panic!("{other:?}"),
    }
}

fn failed(start: Start, serve: Serve) -> String {
    match met(Protocol::Imap, start, serve) {
        Seen::Serves(Service {
            tls: Tls::Failed(how),
            ..
        }) => how,
        other => panic!("{other:?}"),
    }
}

/// Keeps the connection, as long as the client does.
fn hold(mut socket: TcpStream) {
    let mut block = [0; 4096];
    while socket.read(&mut block).is_ok_and(|count| count > 0) {}
}

fn say(socket: &mut TcpStream, text: &[u8]) {
    socket.write_all(text).unwrap();
}

#[test]
fn one_that_says_nothing_is_left_after_a_while() {
    for protocol in [
        Protocol::Smtp,
        Protocol::Pop3,
        Protocol::Imap,
        Protocol::Sieve,
    ] {
        assert_eq!(unsound(protocol, hold), "it did not answer in time");
    }
    assert_eq!(
        failed(Start::Tls, hold),
        "the TLS handshake failed: it did not answer in time"
    );
}

#[test]
fn one_that_drips_is_left_after_a_while() {
    let drip = |mut socket: TcpStream| {
        while socket.write_all(b"2").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert_eq!(unsound(Protocol::Smtp, drip), "it did not answer in time");
    // A record of TLS that comes byte by byte.
    let records = |mut socket: TcpStream| {
        say(&mut socket, b"\x16\x03\x03\x40\x00");
        while socket.write_all(b"\x02").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let how = failed(Start::Tls, records);
    assert!(how.starts_with("the TLS handshake failed: "), "{how}");
}

#[test]
fn one_that_never_ends_is_not_heard_to_its_end() {
    let line = |mut socket: TcpStream| while socket.write_all(&[b'x'; 4096]).is_ok() {};
    assert_eq!(unsound(Protocol::Imap, line), "what it says never ends");
    let lines = |mut socket: TcpStream| {
        while socket.write_all(b"220-and so on\r\n").is_ok() {}
    };
    assert_eq!(unsound(Protocol::Smtp, lines), "what it says never ends");
}

#[test]
fn one_that_hangs_up_is_told() {
    assert_eq!(unsound(Protocol::Pop3, drop), "it hung up");
    let after_greeting = |mut socket: TcpStream| {
        say(&mut socket, b"+OK ready\r\n");
    };
    assert_eq!(unsound(Protocol::Pop3, after_greeting), "it hung up");
    assert_eq!(
        failed(Start::Tls, drop),
        "the TLS handshake failed: it hung up"
    );
}

#[test]
fn one_of_another_protocol_is_told_with_what_it_says() {
    let ssh = |mut socket: TcpStream| {
        say(&mut socket, b"SSH-2.0-OpenSSH_9.2p1\x1b[31m\r\n");
        hold(socket);
    };
    assert_eq!(
        unsound(Protocol::Smtp, ssh),
        "it does not speak SMTP: SSH-2.0-OpenSSH_9.2p1\\x1B[31m"
    );
    assert_eq!(
        unsound(Protocol::Imap, ssh),
        "it does not speak IMAP: SSH-2.0-OpenSSH_9.2p1\\x1B[31m"
    );
    // A server of POP3 on a port of IMAP.
    let how = unsound(Protocol::Imap, |mut socket| {
        say(&mut socket, b"+OK ready\r\n");
    });
    assert_eq!(how, "it does not speak IMAP: +OK ready");
    let how = failed(Start::Tls, ssh);
    assert!(how.starts_with("the TLS handshake failed: "), "{how}");
}

#[test]
fn one_that_turns_clients_away_is_told() {
    // postscreen(8), sendmail while it is too busy, Dovecot without its auth process.
    let cases: [(Protocol, Serve, &str); 3] = [
        (
            Protocol::Smtp,
            |mut socket| say(&mut socket, b"521 5.3.2 Service currently unavailable\r\n"),
            "it turns clients away: 521 5.3.2 Service currently unavailable",
        ),
        (
            Protocol::Pop3,
            |mut socket| say(&mut socket, b"-ERR [SYS/TEMP] Disconnected\r\n"),
            "it turns clients away: -ERR [SYS/TEMP] Disconnected",
        ),
        (
            Protocol::Imap,
            |mut socket| say(&mut socket, b"* BYE Disconnected: Auth process broken\r\n"),
            "it turns clients away: * BYE Disconnected: Auth process broken",
        ),
    ];
    for (protocol, serve, expected) in cases {
        assert_eq!(unsound(protocol, serve), expected);
    }
}

#[test]
fn what_is_said_in_the_clear_after_tls_began_is_not_believed() {
    // CVE-2011-0411.
    let how = failed(Start::Clear, |mut socket| {
        say(&mut socket, b"* OK ready\r\n");
        let mut heard = [0; 64];
        assert!(socket.read(&mut heard).unwrap() > 0);
        say(&mut socket, b"* CAPABILITY IMAP4rev1 STARTTLS\r\na OK\r\n");
        assert!(socket.read(&mut heard).unwrap() > 0);
        say(&mut socket, b"b OK\r\n* CAPABILITY IMAP4rev1 AUTH=EVIL\r\n");
        hold(socket);
    });
    let expected = "the TLS handshake failed: the connection broke: it goes on in the clear after it \
                    agreed to begin TLS";
    assert_eq!(how, expected);
}

#[test]
fn a_closed_port_is_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let seen = look_at(address, Protocol::Smtp, Start::Clear, PATIENCE);
    assert_eq!(seen, Seen::Refused);
}
