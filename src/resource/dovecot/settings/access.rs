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
}

impl Offer {
    /// The name of the listener and of the protocol in `/etc/services`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
        }
    }

    /// The protocol as Dovecot names it, and so its login service.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Imap | Self::Imaps => "imap",
            Self::Pop3 | Self::Pop3s => "pop3",
        }
    }

    fn of(protocol: &str, tls: bool) -> Option<Self> {
        match (protocol, tls) {
            ("imap", false) => Some(Self::Imap),
            ("imap", true) => Some(Self::Imaps),
            ("pop3", false) => Some(Self::Pop3),
            ("pop3", true) => Some(Self::Pop3s),
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

const READ_BY: [&str; 2] = ["imap", "pop3"];

impl Default for Access {
    fn default() -> Self {
        let set = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<BTreeSet<_>>();
        let protocols = set(&READ_BY);
        Self {
            ports: ports(&protocols, &Tree::default()),
            protocols,
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
    let protocols: BTreeSet<String> = words(&text("protocols"))
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
        ports.retain(|_, offer| !matches!(offer, Offer::Imaps | Offer::Pop3s));
    }
    Access {
        ports,
        protocols,
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

/// The ports of the login services. Their defaults are in no output of 2.4.
fn ports(protocols: &BTreeSet<String>, tree: &Tree) -> BTreeMap<u16, Offer> {
    let mut ports = BTreeMap::new();
    for protocol in protocols {
        let service = format!("{protocol}-login");
        let services: Vec<&Tree> = tree
            .sections("service")
            .filter(|section| section.name == service)
            .map(|section| &section.body)
            .collect();
        let usual: [(String, u16, bool); 2] = match protocol.as_str() {
            "imap" => [
                ("imap".to_owned(), 143, false),
                ("imaps".to_owned(), 993, true),
            ],
            _ => [
                ("pop3".to_owned(), 110, false),
                ("pop3s".to_owned(), 995, true),
            ],
        };
        let given: Vec<&Section> = services
            .iter()
            .flat_map(|body| body.sections("inet_listener"))
            .collect();
        let mut listeners = usual.to_vec();
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
        let open = listeners.into_iter().filter(|(_, port, _)| *port != 0);
        ports.extend(open.filter_map(|(_, port, tls)| Some((port, Offer::of(protocol, tls)?))));
    }
    ports
}
