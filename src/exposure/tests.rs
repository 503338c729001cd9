//! What real servers said, replayed by a server on the loopback; and servers that no client deserves.
//!
//! The samples in `tests/exposure` were heard from Debian's servers with their own settings (Postfix,
//! sendmail, Dovecot; the lab's `tests/trees/mail-host`), by another program than this one. `# TLS` is
//! where the conversation went on under TLS.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::compare::{Stage, What};
use super::look::look_at;
use super::*;

mod hostile;
mod mail;

const BULLSEYE: &str = include_str!("../../tests/exposure/bullseye-postfix.txt");
const BOOKWORM: &str = include_str!("../../tests/exposure/bookworm-postfix.txt");
const TRIXIE: &str = include_str!("../../tests/exposure/trixie-postfix.txt");
const SENDMAIL: &str = include_str!("../../tests/exposure/bookworm-sendmail.txt");

const CERTIFICATE: &[u8] = include_bytes!("../../tests/exposure/server.der");
const KEY: &[u8] = include_bytes!("../../tests/exposure/server-key.der");
/// As openssl says it.
const FINGERPRINT: &str = include_str!("../../tests/exposure/server.fingerprint");

/// A server for one conversation on the loopback.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    address
}

/// The part of a sample that is about a port.
fn part(sample: &str, port: u16) -> Vec<String> {
    let heading = format!("# port {port}");
    let mut lines = sample.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "the sample has {heading}");
    let part = lines.take_while(|line| !line.starts_with("# port "));
    part.map(str::to_owned).collect()
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Says what the server said, and hears what the client said then.
fn replay(part: &[String], socket: &TcpStream) {
    let mut stream: BufReader<Box<dyn Stream>> =
        BufReader::new(Box::new(socket.try_clone().unwrap()));
    for line in part {
        if line.starts_with("# TLS") {
            let mut config = ServerConfig::builder_with_provider(Arc::new(
                rustls::crypto::ring::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(CERTIFICATE)],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY)),
            )
            .unwrap();
            config.send_tls13_tickets = 0;
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let secured = StreamOwned::new(connection, socket.try_clone().unwrap());
            stream = BufReader::new(Box::new(secured));
        } else if let Some(said) = line.strip_prefix("S: ") {
            let said = format!("{said}\r\n");
            stream.get_mut().write_all(said.as_bytes()).unwrap();
            stream.get_mut().flush().unwrap();
        } else if let Some(expected) = line.strip_prefix("C: ") {
            let mut heard = String::new();
            stream.read_line(&mut heard).unwrap();
            // It names itself by its address.
            let heard = match heard.strip_prefix("EHLO ") {
                Some(name) => {
                    assert_eq!(name, "[127.0.0.1]\r\n");
                    "EHLO probe.invalid"
                }
                None => heard.trim_end(),
            };
            assert_eq!(heard, expected);
        }
    }
}

/// A sample's server as it is seen on a port.
fn seen(sample: &str, port: u16) -> Seen {
    let part = part(sample, port);
    if part == ["# refused"] {
        return Seen::Refused;
    }
    let (protocol, start) = spoken_on(port).unwrap();
    let address = server(move |socket| replay(&part, &socket));
    look_at(address, protocol, start, Duration::from_secs(10))
}

fn exposure(sample: &str) -> Exposure {
    let ports = PORTS.map(|(port, _, _)| (port, seen(sample, port)));
    Exposure {
        address: Ipv4Addr::new(192, 0, 2, 25).into(),
        ports: BTreeMap::from(ports),
    }
}

fn keywords(offer: &Offer) -> Vec<String> {
    let each = offer.0.iter().map(|(keyword, parameters)| {
        let parameters = parameters.iter().map(|parameter| format!(" {parameter}"));
        format!("{keyword}{}", parameters.collect::<String>())
    });
    each.collect()
}

fn secured(service: &Service) -> &Secured {
    match &service.tls {
        Tls::Up(secured) => secured,
        other => panic!("no TLS: {other:?}"),
    }
}

#[test]
fn real_servers_are_heard_to_their_end() {
    let seen = exposure(BOOKWORM);
    let smtp = seen.service(25).unwrap();
    let expected = [
        "8BITMIME",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "ETRN",
        "PIPELINING",
        "SIZE 10240000",
        "STARTTLS",
        "VRFY",
    ];
    assert_eq!(keywords(smtp.clear.as_ref().unwrap()), expected);
    assert!(!secured(smtp).offer.has("STARTTLS"));
    let pop3 = seen.service(110).unwrap();
    let expected = [
        "AUTH-RESP-CODE",
        "CAPA",
        "PIPELINING",
        "RESP-CODES",
        "SASL PLAIN",
        "STLS",
        "TOP",
        "UIDL",
        "USER",
    ];
    assert_eq!(keywords(pop3.clear.as_ref().unwrap()), expected);
    let imaps = seen.service(993).unwrap();
    assert_eq!(imaps.clear, None);
    let expected = [
        "AUTH PLAIN",
        "ENABLE",
        "ID",
        "IDLE",
        "IMAP4REV1",
        "LITERAL+",
        "LOGIN-REFERRALS",
        "SASL-IR",
    ];
    assert_eq!(keywords(&secured(imaps).offer), expected);
    for port in [465, 587, 4190] {
        assert_eq!(seen.ports[&port], Seen::Refused);
    }
    let sendmail = seen_service(SENDMAIL, 25);
    assert_eq!(sendmail.tls, Tls::NotOffered);
    assert!(sendmail.clear.unwrap().has("DELIVERBY"));
}

fn seen_service(sample: &str, port: u16) -> Service {
    match seen(sample, port) {
        Seen::Serves(service) => service,
        other => panic!("{port}: {other}"),
    }
}

#[test]
fn the_certificate_is_told_as_openssl_tells_it() {
    for port in [25, 110, 143, 993, 995] {
        let service = seen_service(TRIXIE, port);
        let secured = secured(&service);
        assert_eq!(secured.fingerprint, FINGERPRINT.trim(), "{port}");
        assert_eq!(secured.version, "TLS 1.3");
        match &secured.certificate {
            Presented::Certificate(certificate) => {
                assert_eq!(certificate.subject, "CN=mail.example.org");
                assert!(certificate.names.contains("mail.example.org"));
            }
            Presented::Unreadable(why) => panic!("{why}"),
        }
    }
}

fn said(before: &str, after: &str) -> Vec<String> {
    let missing = compare(&exposure(before), &exposure(after));
    missing.iter().map(ToString::to_string).collect()
}

#[test]
fn debians_ages_offer_the_same_before_login() {
    assert_eq!(said(BULLSEYE, BOOKWORM), [""; 0]);
    assert_eq!(said(BOOKWORM, TRIXIE), [""; 0]);
    assert_eq!(said(TRIXIE, BOOKWORM), [""; 0]);
}

#[test]
fn what_sendmail_offers_and_postfix_does_not_is_found() {
    let missing = compare(&exposure(SENDMAIL), &exposure(BOOKWORM));
    let found: Vec<_> = missing
        .iter()
        .map(|missing| (missing.to_string(), missing.weight()))
        .collect();
    let size =
        "port 25 (SMTP): messages larger than 10240000 bytes are refused; any size was allowed";
    let submission = "port 587 (SMTP): the connection is refused";
    let expected = [
        (size.to_owned(), Weight::Lessens),
        (submission.to_owned(), Weight::Breaks),
    ];
    assert_eq!(found, expected);
    // The other way TLS goes, as Debian's sendmail has none by itself.
    let expected = [
        "port 25 (SMTP): CHUNKING is not offered any more in the clear",
        "port 25 (SMTP): TLS is not offered any more",
    ];
    assert_eq!(said(BOOKWORM, SENDMAIL), expected);
}

#[test]
fn what_is_given_up_is_that_and_nothing_else() {
    let missing = compare(&exposure(SENDMAIL), &exposure(BOOKWORM));
    let [_, submission] = &missing[..] else {
        panic!("{missing:?}");
    };
    let given_up = |port, of| submission.is_part_of(Loss { port, of });
    assert!(given_up(587, Lost::Service));
    assert!(!given_up(25, Lost::Service));
    for of in [Lost::Tls, Lost::ClearLogin, Lost::Mechanisms] {
        assert!(!given_up(587, of), "{of:?}");
    }
    let missing = compare(&exposure(BOOKWORM), &exposure(SENDMAIL));
    let tls = |missing: &&Missing| missing.weight() == Weight::Breaks;
    let tls = missing.iter().find(tls).unwrap();
    let given_up = |of| tls.is_part_of(Loss { port: 25, of });
    assert!(given_up(Lost::Tls) && given_up(Lost::Service));
    assert!(!given_up(Lost::Mechanisms));
    // Dovecot that takes no password in the clear any more.
    let refused = BOOKWORM.replace(
        "LITERAL+ STARTTLS AUTH=PLAIN",
        "LITERAL+ STARTTLS LOGINDISABLED",
    );
    let missing = compare(&exposure(BOOKWORM), &exposure(&refused));
    let mut breaks = missing
        .iter()
        .filter(|missing| missing.weight() == Weight::Breaks);
    let loss = Loss {
        port: 143,
        of: Lost::ClearLogin,
    };
    assert!(
        breaks.all(|missing| missing.is_part_of(loss)),
        "{missing:?}"
    );
    assert!(!missing.is_empty());
}

/// A sample with one thing changed.
fn changed(from: &str, to: &str) -> String {
    assert!(BOOKWORM.contains(from), "{from}");
    BOOKWORM.replace(from, to)
}

#[test]
fn losses_that_clients_notice_weigh_more_than_others() {
    let cases: [(&str, &str, &[&str], Weight); 7] = [
        // Dovecot 2.3 with `auth_mechanisms = plain login` moves to one without LOGIN: the other way
        // round nothing is lost.
        ("SASL PLAIN", "SASL PLAIN LOGIN", &[], Weight::Lessens),
        (
            "SASL PLAIN",
            "SASL ANONYMOUS",
            &[
                "port 110 (POP3): clients cannot log in by PLAIN any more in the clear",
                "port 110 (POP3): clients cannot log in by PLAIN any more under TLS",
                "port 995 (POP3): clients cannot log in by PLAIN any more under TLS",
            ],
            Weight::Breaks,
        ),
        (
            "LITERAL+ STARTTLS AUTH=PLAIN",
            "LITERAL+ STARTTLS LOGINDISABLED AUTH=PLAIN",
            &["port 143 (IMAP): clients cannot log in without TLS any more"],
            Weight::Breaks,
        ),
        (
            " STARTTLS AUTH=PLAIN",
            " AUTH=PLAIN",
            &["port 143 (IMAP): TLS is not offered any more"],
            Weight::Breaks,
        ),
        (
            "S: UIDL\n",
            "",
            &[
                "port 110 (POP3): UIDL is not offered any more in the clear",
                "port 110 (POP3): UIDL is not offered any more under TLS",
                "port 995 (POP3): UIDL is not offered any more under TLS",
            ],
            Weight::Breaks,
        ),
        (
            "SIZE 10240000",
            "SIZE 5000000",
            &[
                "port 25 (SMTP): messages larger than 5000000 bytes are refused; 10240000 bytes were allowed",
            ],
            Weight::Lessens,
        ),
        (
            "S: 250-8BITMIME\n",
            "",
            &[
                "port 25 (SMTP): 8BITMIME is not offered any more in the clear",
                "port 25 (SMTP): 8BITMIME is not offered any more under TLS",
            ],
            Weight::Lessens,
        ),
    ];
    let before = exposure(BOOKWORM);
    for (from, to, expected, weight) in cases {
        let mut after = changed(from, to);
        if to == " AUTH=PLAIN" {
            // It is not asked for then.
            after = after.replace("C: b STARTTLS\nS: b OK Begin TLS negotiation now.\n# TLS 1.3\nC: c CAPABILITY\nS: * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN\nS: c OK Pre-login capabilities listed, post-login capabilities have more.\n", "");
        }
        let missing = compare(&before, &exposure(&after));
        let found: Vec<String> = missing.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
        assert!(
            missing.iter().all(|missing| missing.weight() == weight),
            "{found:?}"
        );
    }
}

#[test]
fn what_did_not_serve_before_is_not_missed_and_what_is_new_is_no_loss() {
    let (postfix, nothing) = (exposure(BOOKWORM), {
        let ports = PORTS.map(|(port, _, _)| (port, Seen::Silent));
        Exposure {
            ports: BTreeMap::from(ports),
            ..exposure(BOOKWORM)
        }
    });
    assert_eq!(compare(&nothing, &postfix), []);
    let gone = compare(&postfix, &nothing);
    let ports: Vec<u16> = gone.iter().map(|missing| missing.port).collect();
    assert_eq!(ports, [25, 110, 143, 993, 995]);
    let silent = What::Service("nobody answers".to_owned());
    assert!(gone.iter().all(|missing| missing.what == silent));
    assert_eq!(notes(&postfix, &postfix), [""; 0]);
}

#[test]
fn another_certificate_is_no_loss_and_is_told() {
    let before = exposure(BOOKWORM);
    let mut after = before.clone();
    let Some(Seen::Serves(Service {
        tls: Tls::Up(secured),
        ..
    })) = after.ports.get_mut(&993)
    else {
        panic!("the sample has IMAPS");
    };
    secured.fingerprint = "AB:CD".to_owned();
    assert_eq!(compare(&before, &after), []);
    let notes = notes(&before, &after);
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("port 993 shows another certificate: for mail.example.org"),
        "{notes:?}"
    );
}

#[test]
fn what_is_seen_survives_the_wire_and_a_file() {
    let seen = exposure(BOOKWORM);
    let json = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Exposure>(&json).unwrap(), seen);
    let bytes = postcard::to_stdvec(&seen).unwrap();
    assert_eq!(postcard::from_bytes::<Exposure>(&bytes).unwrap(), seen);
}

#[test]
fn parameters_of_capabilities_are_compared() {
    let old =
        Offer::of_capability(b"IMAP4rev1 THREAD=REFERENCES THREAD=REFS AUTH=PLAIN AUTH=CRAM-MD5");
    let new = Offer::of_capability(b"IMAP4rev1 THREAD=REFS AUTH=PLAIN");
    let service = |offer: Offer| {
        let service = Service {
            clear: Some(offer),
            tls: Tls::NotOffered,
        };
        Exposure {
            address: Ipv4Addr::LOCALHOST.into(),
            ports: BTreeMap::from([(143, Seen::Serves(service))]),
        }
    };
    let missing = compare(&service(old), &service(new));
    let what: Vec<What> = missing.into_iter().map(|missing| missing.what).collect();
    let expected = [
        What::Mechanism(Stage::Clear, "CRAM-MD5".to_owned()),
        What::Parameter(Stage::Clear, "THREAD".to_owned(), "REFERENCES".to_owned()),
    ];
    assert_eq!(what, expected);
}

#[test]
fn offers_of_other_servers_are_read() {
    // RFC 5804, 1.7: a server's greeting.
    let sieve: &[&[u8]] = &[
        b"\"IMPLEMENTATION\" \"Example1 ManageSieved v001\"",
        b"\"SASL\" \"PLAIN SCRAM-SHA-1 GSSAPI\"",
        b"\"SIEVE\" \"fileinto vacation\"",
        b"\"STARTTLS\"",
    ];
    let expected = [
        "IMPLEMENTATION EXAMPLE1 MANAGESIEVED V001",
        "SASL GSSAPI PLAIN SCRAM-SHA-1",
        "SIEVE FILEINTO VACATION",
        "STARTTLS",
    ];
    assert_eq!(keywords(&Offer::of_sieve(sieve)), expected);
    // Postfix with `broken_sasl_auth_clients = yes`, postconf(5), says both.
    let ehlo: &[&[u8]] = &[
        b"mail.example.org",
        b"AUTH PLAIN LOGIN",
        b"AUTH=PLAIN LOGIN",
    ];
    assert_eq!(keywords(&Offer::of_ehlo(ehlo)), ["AUTH LOGIN PLAIN"]);
}
