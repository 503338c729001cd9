//! Which files hold certificates, by the configuration of each program.

use super::Program;
use crate::raw::HostPath;
use crate::resource::dovecot::Version;
use crate::resource::dovecot::config::include::Placed;
use crate::resource::dovecot::settings::Views;

/// A certificate file and its key's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    pub(super) by: Program,
    pub(super) certificate: HostPath,
    pub(super) key: Option<HostPath>,
}

/// Settings of a certificate and its key: 2.3, 2.4, 1.x, then the second pair of each.
const SETTINGS: [(&str, &str); 5] = [
    ("ssl_cert", "ssl_key"),
    ("ssl_server_cert_file", "ssl_server_key_file"),
    ("ssl_cert_file", "ssl_key_file"),
    ("ssl_alt_cert", "ssl_alt_key"),
    ("ssl_server_alt_cert_file", "ssl_server_alt_key_file"),
];

/// Dovecot's. `doveconf` hides the name of the key file of 2.3, our own reader does not.
pub(super) fn dovecot(views: Views<'_>, version: Version, all: &[Placed]) -> Vec<Pair> {
    let text = |key: &str| {
        let said = views.text(key, version);
        let said = if said.is_empty() {
            in_section(views, key)
        } else {
            said
        };
        if said.is_empty() {
            views.own.get(key).unwrap_or_default().to_owned()
        } else {
            said
        }
    };
    let pair = |certificate: &str, key: &str| {
        Some(Pair {
            by: Program::Dovecot,
            certificate: file(certificate)?,
            key: file(key),
        })
    };
    let mut pairs: Vec<Pair> = SETTINGS
        .iter()
        .filter_map(|(certificate, key)| pair(&text(certificate), &text(key)))
        .collect();
    // Those for clients that ask for a name.
    let named = |placed: &&Placed| {
        placed
            .sections
            .iter()
            .any(|section| section.starts_with("local"))
    };
    for placed in all.iter().filter(named) {
        let settings = SETTINGS
            .iter()
            .find(|(certificate, _)| *certificate == placed.key);
        let Some((_, key)) = settings else { continue };
        let beside = all
            .iter()
            .find(|other| other.sections == placed.sections && other.key == *key);
        let key = beside.map_or("", |other| other.value.as_str());
        pairs.extend(pair(&placed.value, key));
    }
    pairs.dedup();
    pairs
}

/// 2.4 writes `ssl_server { cert_file = ... }`, too.
fn in_section(views: Views<'_>, key: &str) -> String {
    let Some(short) = key.strip_prefix("ssl_server_") else {
        return String::new();
    };
    let value = |section: &crate::resource::dovecot::config::tree::Section| {
        let body = &section.body;
        body.get(short).or_else(|| body.get(key)).map(str::to_owned)
    };
    let tree = views.tree();
    tree.sections("ssl_server")
        .filter_map(value)
        .last()
        .unwrap_or_default()
}

/// The path in a value; `None` where there is none, or the value is the certificate itself.
fn file(value: &str) -> Option<HostPath> {
    let path = value.strip_prefix('<').unwrap_or(value).trim();
    match path.chars().next()? {
        '/' => Some(HostPath::from(path)),
        '-' => None,
        _ => Some(HostPath::from("/etc/dovecot").join(path)),
    }
}

/// Postfix's, from `main.cf`: postconf(5).
pub(super) fn postfix(main_cf: &str) -> Option<Pair> {
    let mut certificate = None;
    let mut key = None;
    for line in main_cf.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim();
        let path = (value.starts_with('/')).then(|| HostPath::from(value));
        match name.trim_end() {
            "smtpd_tls_cert_file" => certificate = path,
            "smtpd_tls_key_file" => key = path,
            _ => {}
        }
    }
    Some(Pair {
        by: Program::Postfix,
        key: key.or_else(|| certificate.clone()),
        certificate: certificate?,
    })
}

/// Sendmail's, from `sendmail.cf`: `O ServerCertFile=/path`.
pub(super) fn sendmail(cf: &str) -> Option<Pair> {
    let option = |name: &str| {
        let value = |line: &str| {
            let (key, value) = line.strip_prefix('O')?.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        };
        let path = cf.lines().rev().find_map(value)?;
        path.starts_with('/').then(|| HostPath::from(path.as_str()))
    };
    Some(Pair {
        by: Program::Sendmail,
        certificate: option("ServerCertFile")?,
        key: option("ServerKeyFile"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_transfer_agents_name_their_certificates() {
        // Debian 12's main.cf and sendmail.cf, shortened.
        let main_cf = "# TLS parameters\nsmtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem\n\
            smtpd_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key\nsmtpd_tls_security_level=may\n";
        let pair = postfix(main_cf).unwrap();
        assert_eq!(
            pair.certificate,
            "/etc/ssl/certs/ssl-cert-snakeoil.pem".into()
        );
        assert_eq!(
            pair.key,
            Some("/etc/ssl/private/ssl-cert-snakeoil.key".into())
        );
        assert_eq!(postfix("smtpd_tls_cert_file =\n"), None);
        let cf = "O CACertPath=/etc/ssl/certs\nO ServerCertFile=/etc/mail/tls/sendmail-server.crt\n\
            # server private key\nO ServerKeyFile=/etc/mail/tls/sendmail-common.key\n";
        let pair = sendmail(cf).unwrap();
        assert_eq!(pair.certificate, "/etc/mail/tls/sendmail-server.crt".into());
        assert_eq!(pair.key, Some("/etc/mail/tls/sendmail-common.key".into()));
        assert_eq!(sendmail("#O ServerCertFile\n"), None);
    }
}
