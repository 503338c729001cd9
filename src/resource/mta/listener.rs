//! Where an MTA takes mail from other hosts, and what it offers there: the `inet` services of Postfix's
//! master.cf(5), the `DaemonPortOptions` of sendmail.cf. Text in, listeners out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What an MTA offers on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The addresses that it listens on; `all` is any.
    pub at: BTreeSet<String>,
    /// TLS.
    pub tls: Tls,
    /// SMTP AUTH; `None` where the configuration does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// TLS on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// There is none.
    No,
    /// By STARTTLS, for those who ask.
    Offered,
    /// By STARTTLS, and nothing goes without.
    Required,
    /// A conversation begins with it.
    Wrapped,
}

/// SMTP AUTH on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// There is none.
    No,
    /// Under TLS only.
    UnderTls,
    /// At once.
    Offered,
}

/// A port by its number or its name in services(5); `None` for one that no mail is handed in by.
fn port(name: &str) -> Option<u16> {
    match name {
        "smtp" | "25" => Some(25),
        "submission" | "msa" | "587" => Some(587),
        "submissions" | "smtps" | "ssmtp" | "urd" | "465" => Some(465),
        _ => None,
    }
}

/// Those of Postfix. `value` knows its parameters, `interfaces` is where services listen that name no
/// address.
pub(super) fn postfix<'a>(
    master_cf: &str,
    interfaces: &BTreeSet<String>,
    value: &impl Fn(&str) -> &'a str,
) -> BTreeMap<u16, Listener> {
    let mut listeners: BTreeMap<u16, Listener> = BTreeMap::new();
    let off = value("master_service_disable");
    let off: Vec<&str> = off.split([',', ' ', '\t']).collect();
    for line in logical_lines(master_cf) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            name,
            "inet",
            _,
            _,
            _,
            _,
            _,
            "smtpd" | "postscreen",
            args @ ..,
        ] = &words[..]
        else {
            continue;
        };
        let (host, service) = match name.rsplit_once(':') {
            Some((host, service)) => (Some(host), service),
            None => (None, *name),
        };
        let is_off = off.contains(&"inet") || off.contains(&format!("{name}/inet").as_str());
        let Some(port) = port(service).filter(|_| !is_off) else {
            continue;
        };
        let options = options(args);
        let value = |name: &str| match options.get(name) {
            Some(own) => own.as_str(),
            None => value(name),
        };
        let at = match host {
            Some(host) => [host.trim_matches(['[', ']']).to_ascii_lowercase()].into(),
            None => interfaces.clone(),
        };
        let tls = postfix_tls(&value);
        let auth = Some(postfix_auth(&value, tls));
        match listeners.get_mut(&port) {
            Some(known) => known.at.extend(at),
            None => {
                listeners.insert(port, Listener { at, tls, auth });
            }
        }
    }
    listeners
}

/// Lines without remarks; one that begins with a blank goes on with the one before.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let written = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    for line in text.lines().filter(written) {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// `-o name=value` of a service; `-o { name = value }` is the same.
fn options(args: &[&str]) -> BTreeMap<String, String> {
    let line = args.join(" ");
    let given = line.split("-o ").skip(1).filter_map(|one| {
        let one = one.trim();
        let one = match one.strip_prefix('{') {
            Some(braced) => braced.split('}').next()?,
            // Behind it there may be another kind of option, as -v.
            None => one.split_whitespace().next()?,
        };
        one.split_once('=')
    });
    given
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// smtpd(8) says nothing of TLS without a certificate: "No server certs available".
fn postfix_tls<'a>(value: &impl Fn(&str) -> &'a str) -> Tls {
    const CERTIFICATES: [&str; 4] = [
        "smtpd_tls_cert_file",
        "smtpd_tls_eccert_file",
        "smtpd_tls_dcert_file",
        "smtpd_tls_chain_files",
    ];
    let none = |name: &&str| matches!(value(name), "" | "none");
    if CERTIFICATES.iter().all(none) {
        return Tls::No;
    }
    if value("smtpd_tls_wrappermode") == "yes" {
        return Tls::Wrapped;
    }
    match value("smtpd_tls_security_level") {
        "encrypt" => Tls::Required,
        "may" => Tls::Offered,
        "" if value("smtpd_enforce_tls") == "yes" => Tls::Required,
        "" if value("smtpd_use_tls") == "yes" => Tls::Offered,
        _ => Tls::No,
    }
}

fn postfix_auth<'a>(value: &impl Fn(&str) -> &'a str, tls: Tls) -> Auth {
    if value("smtpd_sasl_auth_enable") != "yes" {
        return Auth::No;
    }
    match (tls, value("smtpd_tls_auth_only")) {
        (Tls::No, "yes") => Auth::No,
        (Tls::Required, _) | (Tls::Offered, "yes") => Auth::UnderTls,
        _ => Auth::Offered,
    }
}

/// Those of sendmail. Whether it offers AUTH is up to its SASL library, unless a port says no.
pub(super) fn sendmail(cf: &str) -> BTreeMap<u16, Listener> {
    let given = |option: &str| {
        let value = |line: &str| {
            let rest = line.strip_prefix("O ")?.strip_prefix(option)?;
            let value = rest.trim_start().strip_prefix('=')?.trim();
            (!value.is_empty()).then_some(())
        };
        cf.lines().any(|line| value(line).is_some())
    };
    let certified = given("ServerCertFile") && given("ServerKeyFile");
    let mut listeners: BTreeMap<u16, Listener> = BTreeMap::new();
    for option in daemon_options(cf) {
        let Some(port) = port(option.port) else {
            continue;
        };
        let modified = |by: char| option.modifiers.contains(by);
        let tls = match (certified && !modified('S'), modified('s')) {
            (false, _) => Tls::No,
            (true, true) => Tls::Wrapped,
            (true, false) => Tls::Offered,
        };
        let at = match option.address {
            None | Some("0.0.0.0" | "::" | "::0") => "all".to_owned(),
            Some(address) => address.to_ascii_lowercase(),
        };
        let auth = modified('A').then_some(Auth::No);
        let new = || Listener {
            at: BTreeSet::new(),
            tls,
            auth,
        };
        listeners.entry(port).or_insert_with(new).at.insert(at);
    }
    listeners
}

/// One `O DaemonPortOptions=` of sendmail.cf.
struct DaemonOption<'a> {
    port: &'a str,
    address: Option<&'a str>,
    /// `M=`.
    modifiers: &'a str,
}

/// Without any it listens everywhere. Only the first letter of a key counts.
fn daemon_options(cf: &str) -> Vec<DaemonOption<'_>> {
    let options = cf
        .lines()
        .filter_map(|line| line.strip_prefix("O DaemonPortOptions="));
    let read = |option| {
        let value = |letter: &str| value_of(option, letter);
        DaemonOption {
            port: value("p").unwrap_or("smtp"),
            address: value("a"),
            modifiers: value("m").unwrap_or_default(),
        }
    };
    let found: Vec<DaemonOption<'_>> = options.map(read).collect();
    if found.is_empty() {
        return vec![read("")];
    }
    found
}

fn value_of<'a>(option: &'a str, letter: &str) -> Option<&'a str> {
    option.split(',').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        let key = key.trim().to_ascii_lowercase();
        key.starts_with(letter).then(|| value.trim())
    })
}

/// The addresses that sendmail listens on for mail from elsewhere.
pub(super) fn sendmail_interfaces(listeners: &BTreeMap<u16, Listener>) -> BTreeSet<String> {
    let smtp = listeners.get(&25).map(|smtp| smtp.at.clone());
    smtp.unwrap_or_else(|| BTreeSet::from(["all".to_owned()]))
}
