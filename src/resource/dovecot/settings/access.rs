//! How clients get in: protocols, ports, TLS, mechanisms, and who knows the users.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Found, Version, Views, words};
use crate::resource::dovecot::config::tree::{Section, Tree};

/// How clients get in. Its default is what both versions do when they serve IMAP and POP3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The protocols that are turned on, among those that mail is read by.
    pub protocols: BTreeSet<String>,
    /// The ports of those protocols, and what they offer.
    pub ports: BTreeMap<u16, Offer>,
    /// The ports on which it takes submissions, as Postfix and sendmail do.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub submission: BTreeSet<u16>,
    /// The addresses that it listens on.
    pub listen: BTreeSet<String>,
    /// TLS on the ports without TLS from the start.
    pub ssl: Ssl,
    /// Passwords that are readable on the wire.
    pub cleartext: Cleartext,
    /// SASL mechanisms.
    pub mechanisms: BTreeSet<String>,
    /// Who checks passwords.
    pub passdb: BTreeSet<String>,
    /// Who knows users' uids and homes.
    pub userdb: BTreeSet<String>,
}

/// What a port offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// IMAP.
    Imap,
    /// IMAP within TLS.
    Imaps,
    /// POP3.
    Pop3,
    /// POP3 within TLS.
    Pop3s,
    /// `ManageSieve`.
    Sieve,
}

impl Offer {
    /// The name of the listener and of the protocol in `/etc/services`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
            Self::Sieve => "sieve",
        }
    }

    /// Whether conversations begin with TLS.
    pub fn is_within_tls(self) -> bool {
        matches!(self, Self::Imaps | Self::Pop3s)
    }

    /// The protocol as Dovecot names it.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Imap | Self::Imaps => "imap",
            Self::Pop3 | Self::Pop3s => "pop3",
            Self::Sieve => "sieve",
        }
    }

    /// The port that clients expect it on.
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Imap => 143,
            Self::Imaps => 993,
            Self::Pop3 => 110,
            Self::Pop3s => 995,
            Self::Sieve => 4190,
        }
    }

    fn of(protocol: &str, tls: bool) -> Option<Self> {
        match (protocol, tls) {
            ("imap", false) => Some(Self::Imap),
            ("imap", true) => Some(Self::Imaps),
            ("pop3", false) => Some(Self::Pop3),
            ("pop3", true) => Some(Self::Pop3s),
            ("sieve", false) => Some(Self::Sieve),
            _ => None,
        }
    }
}

/// TLS on the ports without TLS from the start, `ssl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ssl {
    /// There is none, nor on the others.
    No,
    /// For those who ask.
    #[default]
    Yes,
    /// Nobody logs in without.
    Required,
}

impl Ssl {
    /// The value of the setting.
    pub fn value(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Required => "required",
        }
    }
}

/// Passwords that are readable on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleartext {
    /// Refused, unless the client is on the host itself.
    #[default]
    Refused,
    /// Accepted.
    Allowed,
}

/// What clients read and sort their mail by, and what all serve that serve any.
const READ_BY: [&str; 3] = ["imap", "pop3", "sieve"];
const USUAL: [&str; 2] = ["imap", "pop3"];

/// The service that clients of a protocol are let in by.
pub(in crate::resource::dovecot) fn login_service(protocol: &str) -> String {
    match protocol {
        "sieve" => "managesieve-login".to_owned(),
        _ => format!("{protocol}-login"),
    }
}

impl Default for Access {
    fn default() -> Self {
        let set = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<BTreeSet<_>>();
        let protocols = set(&USUAL);
        Self {
            ports: ports(&protocols, &Tree::default()),
            protocols,
            submission: BTreeSet::new(),
            listen: set(&["*", "::"]),
            ssl: Ssl::default(),
            cleartext: Cleartext::default(),
            mechanisms: set(&["plain"]),
            passdb: set(&["pam"]),
            userdb: set(&["passwd"]),
        }
    }
}

pub(super) fn read(found: &Found<'_>) -> Access {
    let version = found.version;
    let views = found.imap;
    let text = |key: &str| views.text(key, version);
    let all = words(&text("protocols"));
    let mut submission = BTreeSet::new();
    if all.contains("submission") {
        let open = listeners("submission", views.tree()).into_iter();
        submission.extend(open.map(|(_, port, _)| port));
    }
    let protocols: BTreeSet<String> = all
        .into_iter()
        // Dovecot 1 turned `imaps` on by itself.
        .map(|name| match name.as_str() {
            "imaps" => "imap".to_owned(),
            "pop3s" => "pop3".to_owned(),
            _ => name,
        })
        .filter(|name| READ_BY.contains(&name.as_str()))
        .collect();
    let ssl = match (text("ssl").as_str(), text("ssl_disable").as_str()) {
        (_, "yes") | ("no", _) => Ssl::No,
        ("required", _) => Ssl::Required,
        _ => Ssl::Yes,
    };
    let allowed = match version {
        Version::V2_4 => text("auth_allow_cleartext") == "yes",
        Version::V2_3 | Version::Absent => text("disable_plaintext_auth") == "no",
    };
    let mut ports = ports(&protocols, views.tree());
    if ssl == Ssl::No {
        ports.retain(|_, offer| !offer.is_within_tls());
    }
    Access {
        ports,
        protocols,
        submission,
        listen: words(&text("listen")),
        cleartext: match (allowed, ssl) {
            (true, Ssl::No | Ssl::Yes) => Cleartext::Allowed,
            _ => Cleartext::Refused,
        },
        ssl,
        mechanisms: mechanisms(views, version),
        passdb: drivers(views.tree(), "passdb"),
        userdb: drivers(views.tree(), "userdb"),
    }
}

fn mechanisms(views: Views<'_>, version: Version) -> BTreeSet<String> {
    // Dovecot 1: `auth default { mechanisms = ... }`.
    let old = views
        .own
        .get("mechanisms")
        .filter(|_| version != Version::V2_4);
    let value = match (views.doveconf, old) {
        (None, Some(old)) => old.to_owned(),
        _ => views.text("auth_mechanisms", version),
    };
    words(&value.to_lowercase())
}

/// The drivers of the databases that let somebody in.
fn drivers(tree: &Tree, kind: &str) -> BTreeSet<String> {
    let driver = |section: &Section| {
        let body = &section.body;
        let given = body
            .get("driver")
            .or_else(|| body.get(&format!("{kind}_driver")));
        let driver = match given {
            Some(driver) if !driver.is_empty() => driver,
            // 2.4 and 1.x: the name is the driver.
            _ => section.name.as_str(),
        };
        let is = |key: &str| {
            let value = body.get(key).or_else(|| body.get(&format!("{kind}_{key}")));
            value == Some("yes")
        };
        let role = match (is("deny"), is("master")) {
            (true, _) => " (deny)",
            (_, true) => " (master)",
            _ => "",
        };
        format!("{driver}{role}")
    };
    tree.sections(kind).map(driver).collect()
}

/// The ports of the login services.
fn ports(protocols: &BTreeSet<String>, tree: &Tree) -> BTreeMap<u16, Offer> {
    let mut ports = BTreeMap::new();
    for protocol in protocols {
        let open = listeners(protocol, tree).into_iter();
        ports.extend(open.filter_map(|(_, port, tls)| Some((port, Offer::of(protocol, tls)?))));
    }
    ports
}

/// The listeners of a protocol's login service that are open: name, port, and whether conversations
/// begin with TLS. Their defaults are in no output of 2.4.
fn listeners(protocol: &str, tree: &Tree) -> Vec<(String, u16, bool)> {
    let service = login_service(protocol);
    let usual: &[(&str, u16, bool)] = match protocol {
        "imap" => &[("imap", 143, false), ("imaps", 993, true)],
        "pop3" => &[("pop3", 110, false), ("pop3s", 995, true)],
        "sieve" => &[("sieve", 4190, false)],
        // Not all versions that take submissions do so within TLS as well, unless they are told.
        _ => &[("submission", 587, false)],
    };
    let usual = usual.iter();
    let mut listeners: Vec<(String, u16, bool)> = usual
        .map(|&(name, port, tls)| (name.to_owned(), port, tls))
        .collect();
    let services = tree.sections("service");
    let given = services
        .filter(|section| section.name == service)
        .flat_map(|section| section.body.sections("inet_listener"));
    for section in given {
        let value = |key: &str| {
            let body = &section.body;
            body.get(key)
                .or_else(|| body.get(&format!("inet_listener_{key}")))
        };
        let known = listeners
            .iter_mut()
            .find(|(name, ..)| *name == section.name);
        let (port, tls) = (value("port").and_then(|p| p.parse().ok()), value("ssl"));
        match known {
            Some((_, number, wrapped)) => {
                *number = port.unwrap_or(*number);
                *wrapped = tls.map_or(*wrapped, |tls| tls == "yes");
            }
            None => {
                listeners.push((section.name.clone(), port.unwrap_or(0), tls == Some("yes")));
            }
        }
    }
    listeners.retain(|(_, port, _)| *port != 0);
    listeners
}
