use super::*;

/// Made by tests/dovecot/certificates/make; the expected values are openssl's, in NAME.txt there.
macro_rules! certificate {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../tests/dovecot/certificates/", $name, ".pem")),
            include_bytes!(concat!("../../tests/dovecot/certificates/", $name, ".der")),
            include_str!(concat!("../../tests/dovecot/certificates/", $name, ".txt")),
        )
    };
}

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn certificates_say_whose_they_are() {
    for ((pem, key, openssl), kind, names, issued, chain) in [
        (
            (
                &certificate!("rsa").0[..],
                &certificate!("rsa").1[..],
                certificate!("rsa").2,
            ),
            "RSA 2048",
            &[
                "192.0.2.25",
                "2001:db8::25",
                "mail.example.org",
                "old.example.org",
            ][..],
            Issued::BySelf,
            0,
        ),
        (
            (
                &certificate!("ed25519").0[..],
                &certificate!("ed25519").1[..],
                certificate!("ed25519").2,
            ),
            "Ed25519",
            &["imap.example.org"],
            Issued::BySelf,
            0,
        ),
        (
            (
                &certificate!("ec").0[..],
                &certificate!("ec").1[..],
                certificate!("ec").2,
            ),
            "EC P-256",
            &["*.example.org"],
            Issued::ByAnother,
            1,
        ),
    ] {
        let (certificate, public) = read(pem, now()).unwrap();
        assert_eq!(certificate.names.iter().collect::<Vec<_>>(), names);
        assert_eq!(certificate.key_kind, kind);
        assert_eq!((certificate.issued, certificate.chain), (issued, chain));
        assert_eq!(certificate.validity, Validity::Valid);
        let end = certificate.not_after.strftime("%b %e %H:%M:%S %Y GMT");
        let said = format!(
            "subject={}\nissuer={}\nnotAfter={end}\n",
            certificate.subject, certificate.issuer
        );
        assert_eq!(said, openssl);
        assert_eq!(same_key(key, &public), Ok(true), "{kind}");
    }
    let (rsa, ec) = (certificate!("rsa"), certificate!("ec"));
    assert_eq!(same_key(rsa.1, ec.1), Ok(false));
    assert!(same_key(b"-----BEGIN PRIVATE", rsa.1).is_err());
}

#[test]
fn what_is_no_certificate_is_named() {
    let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (pem, why) in [
        (&b""[..], "there is no PEM certificate in it"),
        (key, "there is no PEM certificate in it"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "its certificate is malformed",
        ),
    ] {
        let said = read(pem, now()).unwrap_err();
        assert!(said.starts_with(why), "{said}");
    }
}

#[test]
fn validity_is_told_by_days() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (from, until) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
    for (now, expected) in [
        ("2025-12-31T23:59:59Z", Validity::NotYet),
        ("2026-11-30T00:00:00Z", Validity::Valid),
        ("2026-12-02T00:00:00Z", Validity::EndsSoon),
        ("2026-12-31T00:00:01Z", Validity::Ended),
    ] {
        assert_eq!(validity(from, until, at(now)), expected, "{now}");
    }
}

#[test]
fn a_wildcard_stands_for_one_label() {
    // RFC 9525, 6.3.
    for (pattern, name, covered) in [
        ("mail.example.org", "MAIL.example.org", true),
        ("mail.example.org", "mail.example.org.", true),
        ("*.example.org", "mail.example.org", true),
        ("*.example.org", "*.example.org", true),
        ("*.example.org", "a.mail.example.org", false),
        ("*.example.org", "example.org", false),
        ("mail.example.org", "example.org", false),
    ] {
        assert_eq!(covers(pattern, name), covered, "{pattern} {name}");
    }
}
