//! How clients get in.

use std::collections::BTreeSet;

use super::{Finding, Pair, listed};
use crate::manifest::Sibling;
use crate::resource::dovecot::settings::{Access, Cleartext, Offer, Ssl};

/// Databases whose users are those of `/etc/passwd`.
const SYSTEM_PASSDB: [&str; 4] = ["pam", "passwd", "shadow", "bsdauth"];
const SYSTEM_USERDB: [&str; 3] = ["passwd", "nss", "prefetch"];

pub(super) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let (from, to) = (&pair.from.access, &pair.to.access);
    let new = pair.is_new();
    [
        protocols(from, to, new),
        ports(from, to),
        listen(from, to),
        ssl(from, to),
        cleartext(from, to, new),
        mechanisms(from, to),
        foreign("passdb", &from.passdb, &SYSTEM_PASSDB, Sibling::Passdb),
        foreign("userdb", &from.userdb, &SYSTEM_USERDB, Sibling::Userdb),
        system("passdb", &to.passdb, &SYSTEM_PASSDB, Sibling::Passdb, new),
        system("userdb", &to.userdb, &SYSTEM_USERDB, Sibling::Userdb, new),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn protocols(from: &Access, to: &Access, new: bool) -> Option<Finding> {
    let missing: BTreeSet<String> = from.protocols.difference(&to.protocols).cloned().collect();
    if missing.is_empty() {
        return None;
    }
    let what = format!(
        "the source serves {}, the target does not: install dovecot-{}d there, or turn it on",
        listed(&missing),
        missing
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .join("d and dovecot-")
    );
    let lines = if new {
        let on = missing.iter().map(|name| format!("  {name} = yes"));
        let mut lines = vec!["protocols {".to_owned()];
        lines.extend(on);
        lines.push("}".to_owned());
        lines
    } else {
        let names: Vec<&str> = missing.iter().map(String::as_str).collect();
        vec![format!("protocols = $protocols {}", names.join(" "))]
    };
    Some(Finding::breaks(Sibling::Protocols, what, lines))
}

/// Ports of protocols that the target serves at all, on which it offers something else.
fn ports(from: &Access, to: &Access) -> Option<Finding> {
    let missing: Vec<(u16, Offer)> = from
        .ports
        .iter()
        .filter(|(_, offer)| to.protocols.contains(offer.protocol()))
        // Without TLS there are none of its ports: that is one obstacle, not three.
        .filter(|(_, offer)| to.ssl != Ssl::No || !matches!(offer, Offer::Imaps | Offer::Pop3s))
        .filter(|(port, offer)| to.ports.get(port) != Some(offer))
        .map(|(port, offer)| (*port, *offer))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let shown: Vec<String> = missing
        .iter()
        .map(|(port, offer)| format!("{} on port {port}", offer.name()))
        .collect();
    let what = format!(
        "the source offers {}, the target does not",
        shown.join(", ")
    );
    let mut lines = Vec::new();
    for (port, offer) in missing {
        let tls = match offer {
            Offer::Imaps | Offer::Pop3s => "yes",
            Offer::Imap | Offer::Pop3 => "no",
        };
        // A second port of the same kind needs a listener of its own.
        let usual = match offer {
            Offer::Imap => 143,
            Offer::Imaps => 993,
            Offer::Pop3 => 110,
            Offer::Pop3s => 995,
        };
        let listener = if port == usual {
            offer.name().to_owned()
        } else {
            format!("{}-{port}", offer.name())
        };
        lines.extend([
            format!("service {}-login {{", offer.protocol()),
            format!("  inet_listener {listener} {{"),
            format!("    port = {port}"),
            format!("    ssl = {tls}"),
            "  }".to_owned(),
            "}".to_owned(),
        ]);
    }
    Some(Finding::breaks(Sibling::Ports, what, lines))
}

fn listen(from: &Access, to: &Access) -> Option<Finding> {
    (from.listen != to.listen).then(|| {
        let what = format!(
            "the source listens on {}, the target on {}: the service's address must be among them",
            listed(&from.listen),
            listed(&to.listen)
        );
        Finding::warning("listen", what)
    })
}

fn ssl(from: &Access, to: &Access) -> Option<Finding> {
    let line = |ssl: Ssl| vec![format!("ssl = {}", ssl.value())];
    match (from.ssl, to.ssl) {
        (Ssl::Yes | Ssl::Required, Ssl::No) => Some(Finding::breaks(
            Sibling::Ssl,
            "the source offers TLS, the target does not: clients that are set to it fail",
            line(from.ssl),
        )),
        (Ssl::No | Ssl::Yes, Ssl::Required) => Some(Finding::breaks(
            Sibling::Ssl,
            "the target lets nobody in without TLS, the source does: clients that do not use it fail",
            line(from.ssl),
        )),
        (Ssl::Required, Ssl::Yes) => Some(Finding::warning(
            "ssl",
            "the source lets nobody in without TLS; on the target it is up to the client",
        )),
        (Ssl::No, Ssl::Yes) => Some(Finding::info(
            "ssl",
            "the target offers TLS, the source does not",
        )),
        _ => None,
    }
}

fn cleartext(from: &Access, to: &Access, new: bool) -> Option<Finding> {
    let setting = if new {
        "auth_allow_cleartext"
    } else {
        "disable_plaintext_auth"
    };
    match (from.cleartext, to.cleartext, new) {
        (Cleartext::Allowed, Cleartext::Refused, _) => {
            let value = if new { "yes" } else { "no" };
            Some(Finding::breaks(
                Sibling::Cleartext,
                "the source accepts passwords that are readable on the wire, the target refuses \
                 them: clients without TLS fail",
                vec![format!("{setting} = {value}")],
            ))
        }
        (Cleartext::Refused, Cleartext::Allowed, _) => Some(Finding::warning(
            setting,
            "the target accepts passwords that are readable on the wire, the source refuses them",
        )),
        _ => None,
    }
}

fn mechanisms(from: &Access, to: &Access) -> Option<Finding> {
    let missing: BTreeSet<String> = from
        .mechanisms
        .difference(&to.mechanisms)
        .cloned()
        .collect();
    if missing.is_empty() {
        return None;
    }
    let all: Vec<String> = to.mechanisms.union(&from.mechanisms).cloned().collect();
    let what = format!(
        "clients can log in by {} on the source and not on the target",
        listed(&missing)
    );
    let lines = vec![format!("auth_mechanisms = {}", all.join(" "))];
    Some(Finding::breaks(Sibling::AuthMechanisms, what, lines))
}

/// Users of the source whom `/etc/passwd` does not know.
fn foreign(
    kind: &str,
    from: &BTreeSet<String>,
    system: &[&str],
    setting: Sibling,
) -> Option<Finding> {
    let foreign: BTreeSet<String> = from
        .iter()
        .filter(|driver| !system.contains(&driver.as_str()))
        .cloned()
        .collect();
    (!foreign.is_empty()).then(|| {
        let what = format!(
            "the source's {kind} is {} too: reconcile moves the users of /etc/passwd and their \
             passwords, not those that only that one knows",
            listed(&foreign)
        );
        Finding::breaks(setting, what, Vec::new())
    })
}

/// The target must know the users of `/etc/passwd`.
fn system(
    kind: &str,
    to: &BTreeSet<String>,
    system: &[&str],
    setting: Sibling,
    new: bool,
) -> Option<Finding> {
    if to
        .iter()
        .any(|driver| system.contains(&driver.as_str()) && driver != "prefetch")
    {
        return None;
    }
    let driver = system[0];
    let what = if to.is_empty() {
        format!("the target has no {kind}: it does not know the users of /etc/passwd")
    } else {
        format!(
            "the target's {kind} is {}: it does not know the users of /etc/passwd",
            listed(to)
        )
    };
    let lines = if new {
        vec![format!("{kind} {driver} {{"), "}".to_owned()]
    } else {
        vec![
            format!("{kind} {{"),
            format!("  driver = {driver}"),
            "}".to_owned(),
        ]
    };
    Some(Finding::breaks(setting, what, lines))
}
