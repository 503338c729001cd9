//! On files that Postfix 3.7.11 and sendmail 8.17.1 of Debian 12 wrote; what they hold is what
//! postcat(1) and mailq(1) said of them.

use std::io::{BufReader, Cursor};

use super::record::{Records, kind, put};
use super::*;

const DEFERRED: &[u8] = include_bytes!("samples/postfix-deferred");
const LONG_LINE: &[u8] = include_bytes!("samples/postfix-long-line");
const MAILDROP: &[u8] = include_bytes!("samples/postfix-maildrop");
const CLIENT_QF: &[u8] = include_bytes!("samples/sendmail-client-qf");
const CLIENT_DF: &[u8] = include_bytes!("samples/sendmail-client-df");
const BOUNCE_QF: &[u8] = include_bytes!("samples/sendmail-bounce-qf");

const ASKED: Option<Notify> = Some(Notify {
    success: false,
    failure: true,
    delay: true,
});

fn recipient(address: &[u8], original: Option<&[u8]>, notify: Option<Notify>) -> Recipient {
    Recipient {
        address: address.to_vec(),
        original: original.map(<[u8]>::to_vec),
        notify,
    }
}

#[test]
fn postfix_tells_who_has_not_got_it_yet() {
    let envelope = postfix::envelope(Cursor::new(DEFERRED)).unwrap();
    let expected = Envelope {
        arrived: 1_795_514_421,
        sender: b"alice@example.org".to_vec(),
        id: Some(b"env+3D1".to_vec()),
        returned: Some(Returned::Headers),
        eight_bit: Bits::Eight,
        recipients: vec![
            recipient(
                b"x@nowhere.example",
                Some(b"rfc822;x@nowhere.example"),
                ASKED,
            ),
            recipient(
                b"odd name@nowhere.example",
                Some(b"rfc822;odd name@nowhere.example"),
                ASKED,
            ),
        ],
    };
    assert_eq!(envelope, expected);
    // `sendmail -t`: the recipients come after the message.
    let envelope = postfix::envelope(Cursor::new(MAILDROP)).unwrap();
    assert_eq!(envelope.sender, b"root");
    assert_eq!(
        envelope.recipients,
        [recipient(b"bob@example.org", None, None)]
    );
}

#[test]
fn a_message_is_taken_out_of_a_file_of_postfix() {
    let mut body = Vec::new();
    let headers = postfix::message(Cursor::new(DEFERRED), &mut body).unwrap();
    let headers = String::from_utf8(headers).unwrap();
    assert!(
        headers.starts_with("Received: by old.example.org (Postfix, from userid 0)\n\tid 600C")
    );
    assert!(headers.ends_with("\nDate: Tue, 24 Nov 2026 10:00:21 +0000 (UTC)\n"));
    assert_eq!(body, b"Body line\n.\nFrom here\n\xe9\xe8 8bit\nlast\n");
    body.clear();
    postfix::message(Cursor::new(LONG_LINE), &mut body).unwrap();
    let expected = format!("{}\nend\n", "x".repeat(5000));
    assert_eq!(body, expected.as_bytes());
}

#[test]
fn a_file_that_was_never_finished_is_refused() {
    for end in [0, 1, 40, 300, DEFERRED.len() - 2] {
        let cut = Cursor::new(&DEFERRED[..end]);
        assert!(postfix::envelope(cut).is_err(), "{end}");
    }
    let unfinished = CLIENT_QF.strip_suffix(b".\n").unwrap();
    assert_eq!(
        sendmail::read(unfinished).unwrap_err(),
        "it was never finished"
    );
}

#[test]
fn a_pointer_leads_on() {
    // As milters change a file: cleanup(8) patches a pointer in and writes the record at the end.
    let mut file = Vec::new();
    put(&mut file, kind::TIME, b"1 0").unwrap();
    let there = file.len() + 17 + 5 + 4;
    put(&mut file, kind::POINTER, format!("{there:15}").as_bytes()).unwrap();
    put(&mut file, kind::SENDER, b"old").unwrap();
    put(&mut file, kind::END, b"no").unwrap();
    put(&mut file, kind::SENDER, b"new").unwrap();
    put(&mut file, kind::END, b"").unwrap();
    assert_eq!(postfix::envelope(Cursor::new(file)).unwrap().sender, b"new");
    let mut circle = Vec::new();
    put(&mut circle, kind::TIME, b"").unwrap();
    put(&mut circle, kind::POINTER, b"              2").unwrap();
    assert!(postfix::envelope(Cursor::new(circle)).is_err());
}

#[test]
fn sendmail_tells_who_has_not_got_it_yet() {
    let (envelope, headers) = sendmail::read(CLIENT_QF).unwrap();
    let expected = Envelope {
        arrived: 1_795_514_427,
        sender: b"alice@example.org".to_vec(),
        id: Some(b"env1".to_vec()),
        returned: Some(Returned::Headers),
        eight_bit: Bits::Eight,
        recipients: vec![
            recipient(b"x@nowhere.example", None, ASKED),
            recipient(b"odd name@nowhere.example", None, ASKED),
            recipient(b"bob@example.org", None, ASKED),
        ],
    };
    assert_eq!(envelope, expected);
    let headers = String::from_utf8(headers).unwrap();
    let expected = "Received: (from root@localhost)\n\
        \tby sm.example.org (8.17.1.9/8.17.1.9/Submit) id 6AOA0RK6000272;\n\
        \tTue, 24 Nov 2026 10:00:27 GMT\n\
        Date: Tue, 24 Nov 2026 10:00:27 GMT\n\
        Message-Id: <202611241000.6AOA0RK6000272@sm.example.org>\n\
        Subject: two\nFrom: alice@example.org\nTo: bob@example.org, x@nowhere.example\n";
    assert_eq!(headers, expected);
    let (envelope, _) = sendmail::read(BOUNCE_QF).unwrap();
    assert_eq!(envelope.sender, b"");
    assert_eq!(
        envelope.recipients,
        [recipient(b"y@nowhere.example", None, None)]
    );
}

#[test]
fn what_waits_for_a_program_or_a_file_is_no_mail_for_another_host() {
    for wire in [
        "\"|/usr/bin/vacation alice\"",
        "|/bin/cat",
        "/var/log/mail-copy",
        ":include:/x",
    ] {
        let control = format!("V8\nT1\nS<a@b>\nRPFD:{wire}\n.\n");
        let why = sendmail::read(control.as_bytes()).unwrap_err();
        assert!(why.contains(wire), "{why}");
    }
    assert_eq!(sendmail::read(b"V9\n.\n").unwrap_err(), "it has version 9");
}

#[test]
fn a_message_of_sendmail_becomes_a_submission() {
    let (envelope, headers) = sendmail::read(CLIENT_QF).unwrap();
    let mut file = Vec::new();
    let mut body = BufReader::new(CLIENT_DF);
    postfix::submission(&envelope, &headers, &mut body, &mut file).unwrap();
    assert_eq!(postfix::envelope(Cursor::new(&file)).unwrap(), envelope);
    let mut written = Vec::new();
    let same = postfix::message(Cursor::new(&file), &mut written).unwrap();
    assert_eq!(same, headers);
    // The last line has an end now.
    assert_eq!(written, [CLIENT_DF, b"\n"].concat());
    // As postdrop(1) wrote its own: envelope, message, what was extracted, end.
    let order = |file: &[u8]| {
        let mut records = Records::new(Cursor::new(file));
        let mut kinds = Vec::new();
        while kinds.last() != Some(&kind::END) {
            kinds.push(records.take().unwrap().kind);
        }
        kinds.dedup();
        kinds
    };
    assert_eq!(order(MAILDROP), b"TAFSMNXRE");
    assert_eq!(order(&file), b"TASARARARMNLNXE");
}

#[test]
fn a_message_of_postfix_becomes_a_control_file() {
    let envelope = postfix::envelope(Cursor::new(DEFERRED)).unwrap();
    let headers = postfix::message(Cursor::new(DEFERRED), &mut std::io::sink()).unwrap();
    let control = sendmail::write(&envelope, &headers);
    assert_eq!(sendmail::read(&control).unwrap(), (envelope, headers));
    let text = String::from_utf8(control).unwrap();
    let expected = "V8\nT1795514421\nK0\nN0\nP30000\nF8dn\nS<alice@example.org>\nZenv+3D1\n\
        Qrfc822;x@nowhere.example\nRPNFD:<x@nowhere.example>\n\
        Qrfc822;odd name@nowhere.example\nRPNFD:<\"odd name\"@nowhere.example>\n\
        H??Received: by old.example.org (Postfix, from userid 0)\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("\n.\n"));
    let bounce = Envelope::default();
    assert!(
        sendmail::write(&bounce, b"")
            .windows(5)
            .any(|part| part == b"\nS<>\n")
    );
}
