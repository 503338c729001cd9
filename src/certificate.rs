//! Certificates (X.509, RFC 5280): what clients look at of one. Bytes in, values out; whose they are and
//! where they come from is the business of [`crate::resource::dovecot::tls`] and [`crate::exposure`].

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// What clients look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Names and addresses that it is for: its subjectAltName, else its common name.
    pub names: BTreeSet<String>,
    /// Whose it is (RFC 4514).
    pub subject: String,
    /// Who issued it (RFC 4514).
    pub issuer: String,
    /// Whether that is somebody else.
    pub issued: Issued,
    /// Kind and size of the key.
    pub key_kind: String,
    /// Its last moment.
    pub not_after: Timestamp,
    /// Whether it is valid when it was looked at.
    #[serde(default)]
    pub validity: Validity,
    /// Certificates that follow it in the file or are shown after it, up to its root.
    #[serde(default)]
    pub chain: usize,
    /// Digest of the whole: equal when and only when the certificates are.
    pub digest: String,
}

/// Who issued a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Issued {
    /// Its owner: clients believe it only if they are told to.
    BySelf,
    /// Somebody else.
    ByAnother,
}

/// Whether a certificate is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// For more than [`SOON`] to come.
    #[default]
    Valid,
    /// Not for long.
    EndsSoon,
    /// No longer.
    Ended,
    /// Not yet.
    NotYet,
}

/// Days before its end from which a certificate needs attention.
pub const SOON: i64 = 30;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The first certificate of a PEM file, and its public key (DER).
///
/// What is no certificate, a private key in the same file among it, is passed over.
pub fn read(pem: &[u8], now: Timestamp) -> Result<(Certificate, Vec<u8>), String> {
    let text = String::from_utf8_lossy(pem);
    let blocks = blocks(&text);
    let Some((first, chain)) = blocks.split_first() else {
        return Err("there is no PEM certificate in it".to_owned());
    };
    let malformed = |error: x509_cert::der::Error| format!("its certificate is malformed: {error}");
    let x509 = X509::from_pem(first).map_err(malformed)?;
    described(&x509, chain.len(), now).map_err(malformed)
}

/// The certificate that a server shows first (DER), with so many others after it.
pub fn read_der(der: &[u8], chain: usize, now: Timestamp) -> Result<Certificate, String> {
    let malformed = |error: x509_cert::der::Error| format!("its certificate is malformed: {error}");
    let x509 = X509::from_der(der).map_err(malformed)?;
    let (certificate, _) = described(&x509, chain, now).map_err(malformed)?;
    Ok(certificate)
}

fn described(
    x509: &X509,
    chain: usize,
    now: Timestamp,
) -> Result<(Certificate, Vec<u8>), x509_cert::der::Error> {
    let whole = x509.to_der()?;
    let body = x509.tbs_certificate();
    let public = body.subject_public_key_info();
    let moment = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    let (not_before, not_after) = (
        moment(body.validity().not_before),
        moment(body.validity().not_after),
    );
    let certificate = Certificate {
        names: names(x509)?,
        subject: body.subject().to_string(),
        issuer: body.issuer().to_string(),
        issued: if body.subject() == body.issuer() {
            Issued::BySelf
        } else {
            Issued::ByAnother
        },
        key_kind: key_kind(public),
        not_after,
        validity: validity(not_before, not_after, now),
        chain,
        digest: blake3::hash(&whole).to_hex()[..16].to_owned(),
    };
    Ok((certificate, public.to_der()?))
}

/// Whether two public keys (DER, as `SubjectPublicKeyInfo`) are the same.
pub fn same_key(one: &[u8], other: &[u8]) -> Result<bool, String> {
    if one == other {
        return Ok(true);
    }
    let read = |der: &[u8]| {
        SubjectPublicKeyInfoOwned::from_der(der).map_err(|e| format!("not a public key: {e}"))
    };
    // The algorithm's parameters can be written in several ways.
    let (one, other) = (read(one)?, read(other)?);
    Ok(one.algorithm.oid == other.algorithm.oid
        && one.subject_public_key == other.subject_public_key)
}

fn blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let Some(length) = rest[start..].find(END) else {
            break;
        };
        let end = start + length + END.len();
        blocks.push(&rest[start..end]);
        rest = &rest[end..];
    }
    blocks
}

fn names(x509: &X509) -> Result<BTreeSet<String>, x509_cert::der::Error> {
    let body = x509.tbs_certificate();
    let alternatives = body.get_extension::<SubjectAltName>()?;
    let mut names = BTreeSet::new();
    for name in alternatives.iter().flat_map(|(_, names)| &names.0) {
        match name {
            GeneralName::DnsName(name) => {
                names.insert(name.as_str().to_ascii_lowercase());
            }
            GeneralName::IpAddress(address) => names.extend(ip(address.as_bytes())),
            _ => {}
        }
    }
    // RFC 9525 ignores the common name; old clients and old certificates do not.
    if names.is_empty()
        && let Some(name) = body.subject().common_name()?
    {
        names.insert(name.value().to_ascii_lowercase());
    }
    Ok(names)
}

fn ip(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(sixteen).to_string())
}

fn validity(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Validity {
    if now < not_before {
        Validity::NotYet
    } else if now > not_after {
        Validity::Ended
    } else if not_after.duration_since(now) < SignedDuration::from_hours(24 * SOON) {
        Validity::EndsSoon
    } else {
        Validity::Valid
    }
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Curves of RFC 5480.
const CURVES: [(&str, &str); 3] = [
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
];

fn key_kind(public: &SubjectPublicKeyInfoOwned) -> String {
    let oid = public.algorithm.oid;
    if oid == RSA {
        return match rsa_bits(public.subject_public_key.raw_bytes()) {
            Some(bits) => format!("RSA {bits}"),
            None => "RSA".to_owned(),
        };
    }
    if oid == EC {
        let curve = public.algorithm.parameters.as_ref();
        let curve = curve.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let curve = curve.map_or_else(|| "unnamed curve".to_owned(), |oid| oid.to_string());
        let known = CURVES.iter().find(|(oid, _)| *oid == curve);
        return format!("EC {}", known.map_or(curve.as_str(), |(_, name)| name));
    }
    if oid == ED25519 {
        return "Ed25519".to_owned();
    }
    format!("key of kind {oid}")
}

/// `RSAPublicKey`, RFC 8017 A.1.1: modulus, exponent.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let parts = Vec::<AnyRef<'_>>::from_der(key).ok()?;
    let modulus = parts.first()?.decode_as::<UintRef<'_>>().ok()?;
    let bytes = modulus.as_bytes();
    let leading = usize::try_from(bytes.first()?.leading_zeros()).ok()?;
    Some(bytes.len() * 8 - leading)
}

/// Whether a name of a certificate (`*.example.org`) covers a host name. RFC 9525, 6.3.
pub fn covers(pattern: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            pattern == name || name.split_once('.').is_some_and(|(_, rest)| rest == parent)
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests;
