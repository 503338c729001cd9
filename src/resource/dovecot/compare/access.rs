//! How clients get in.

use std::collections::BTreeSet;

use super::{Finding, Pair, listed};
use crate::exposure::{Loss, Lost};
use crate::manifest::Sibling;
use crate::names::Side;
use crate::resource::dovecot::settings::{Access, Cleartext, Offer, Ssl, login_service};

/// Databases whose users are those of `/etc/passwd`.
const SYSTEM_PASSDB: [&str; 4] = ["pam", "passwd", "shadow", "bsdauth"];
const SYSTEM_USERDB: [&str; 3] = ["passwd", "nss", "prefetch"];

/// All of it, for a cutover.
pub(super) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let (from, to) = (&pair.from.access, &pair.to.access);
    let new = pair.is_new();
    let mut findings = way_in(Way {
        between: [Side::Source, Side::Target],
        from,
        to,
        new,
    });
    let databases = [
        foreign("passdb", &from.passdb, &SYSTEM_PASSDB, Sibling::Passdb),
        foreign("userdb", &from.userdb, &SYSTEM_USERDB, Sibling::Userdb),
        system("passdb", &to.passdb, &SYSTEM_PASSDB, Sibling::Passdb, new),
        system("userdb", &to.userdb, &SYSTEM_USERDB, Sibling::Userdb, new),
    ];
    findings.extend(databases.into_iter().flatten());
    findings
}

/// How clients get in on the host that hands over, and on the other.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Which they are.
    pub(super) between: [Side; 2],
    pub(super) from: &'a Access,
    pub(super) to: &'a Access,
    /// Whether the host that takes over has Dovecot 2.4.
    pub(super) new: bool,
}

/// What the probe after a hand-over would find missing.
pub(super) fn way_in(way: Way<'_>) -> Vec<Finding> {
    let all = [
        protocols(way),
        ports(way),
        listen(way),
        ssl(way),
        cleartext(way),
        mechanisms(way),
    ];
    all.into_iter().flatten().collect()
}

/// What of that is lost if the manifest accepts it.
pub(super) fn losses(from: &Access, to: &Access, accept: &[Sibling]) -> BTreeSet<Loss> {
    let accepted = |setting| accept.contains(&setting);
    let mut losses = BTreeSet::new();
    for (&port, offer) in &from.ports {
        let mut lose = |of| {
            losses.insert(Loss { port, of });
        };
        let same = to.ports.get(&port) == Some(offer);
        let setting = if !to.protocols.contains(offer.protocol()) {
            Sibling::Protocols
        } else if to.ssl == Ssl::No && offer.is_within_tls() {
            Sibling::Ssl
        } else {
            Sibling::Ports
        };
        if !same && accepted(setting) {
            lose(Lost::Service);
        }
        if accepted(Sibling::Ssl) {
            match (from.ssl, to.ssl) {
                (Ssl::Yes | Ssl::Required, Ssl::No) => lose(Lost::Tls),
                (Ssl::No | Ssl::Yes, Ssl::Required) => lose(Lost::ClearLogin),
                _ => {}
            }
        }
        let refused = (from.cleartext, to.cleartext) == (Cleartext::Allowed, Cleartext::Refused);
        if refused && accepted(Sibling::Cleartext) {
            lose(Lost::ClearLogin);
        }
        if accepted(Sibling::AuthMechanisms) && !from.mechanisms.is_subset(&to.mechanisms) {
            lose(Lost::Mechanisms);
        }
    }
    losses
}

fn protocols(way: Way<'_>) -> Option<Finding> {
    let Way {
        between: [source, target],
        from,
        to,
        new,
    } = way;
    let missing: BTreeSet<String> = from.protocols.difference(&to.protocols).cloned().collect();
    if missing.is_empty() {
        return None;
    }
    let packages: Vec<String> = missing
        .iter()
        .map(|name| match name.as_str() {
            "sieve" => "dovecot-managesieved".to_owned(),
            name => format!("dovecot-{name}d"),
        })
        .collect();
    let what = format!(
        "the {source} serves {}, the {target} does not: install {} there, or turn it on",
        listed(&missing),
        packages.join(" and ")
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

/// Ports of protocols that the other host serves at all, on which it offers something else.
fn ports(way: Way<'_>) -> Option<Finding> {
    let Way {
        between: [source, target],
        from,
        to,
        ..
    } = way;
    let missing: Vec<(u16, Offer)> = from
        .ports
        .iter()
        .filter(|(_, offer)| to.protocols.contains(offer.protocol()))
        // Without TLS there are none of its ports: that is one obstacle, not three.
        .filter(|(_, offer)| to.ssl != Ssl::No || !offer.is_within_tls())
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
        "the {source} offers {}, the {target} does not",
        shown.join(", ")
    );
    let mut lines = Vec::new();
    for (port, offer) in missing {
        let tls = if offer.is_within_tls() { "yes" } else { "no" };
        // A second port of the same kind needs a listener of its own.
        let listener = if port == offer.usual_port() {
            offer.name().to_owned()
        } else {
            format!("{}-{port}", offer.name())
        };
        lines.extend([
            format!("service {} {{", login_service(offer.protocol())),
            format!("  inet_listener {listener} {{"),
            format!("    port = {port}"),
            format!("    ssl = {tls}"),
            "  }".to_owned(),
            "}".to_owned(),
        ]);
    }
    Some(Finding::breaks(Sibling::Ports, what, lines))
}

fn listen(way: Way<'_>) -> Option<Finding> {
    let Way {
        between: [source, target],
        from,
        to,
        ..
    } = way;
    (from.listen != to.listen).then(|| {
        let what = format!(
            "the {source} listens on {}, the {target} on {}: the service's address must be among them",
            listed(&from.listen),
            listed(&to.listen)
        );
        Finding::warning("listen", what)
    })
}

fn ssl(way: Way<'_>) -> Option<Finding> {
    let Way {
        between: [source, target],
        from,
        to,
        ..
    } = way;
    let line = |ssl: Ssl| vec![format!("ssl = {}", ssl.value())];
    match (from.ssl, to.ssl) {
        (Ssl::Yes | Ssl::Required, Ssl::No) => Some(Finding::breaks(
            Sibling::Ssl,
            format!(
                "the {source} offers TLS, the {target} does not: clients that are set to it fail"
            ),
            line(from.ssl),
        )),
        (Ssl::No | Ssl::Yes, Ssl::Required) => Some(Finding::breaks(
            Sibling::Ssl,
            format!(
                "the {target} lets nobody in without TLS, the {source} does: clients that do not use \
                 it fail"
            ),
            line(from.ssl),
        )),
        (Ssl::Required, Ssl::Yes) => Some(Finding::warning(
            "ssl",
            format!(
                "the {source} lets nobody in without TLS; on the {target} it is up to the client"
            ),
        )),
        (Ssl::No, Ssl::Yes) => Some(Finding::info(
            "ssl",
            format!("the {target} offers TLS, the {source} does not"),
        )),
        _ => None,
    }
}

fn cleartext(way: Way<'_>) -> Option<Finding> {
    let Way {
        between: [source, target],
        from,
        to,
        new,
    } = way;
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
                format!(
                    "the {source} accepts passwords that are readable on the wire, the {target} \
                     refuses them: clients without TLS fail"
                ),
                vec![format!("{setting} = {value}")],
            ))
        }
        (Cleartext::Refused, Cleartext::Allowed, _) => Some(Finding::warning(
            setting,
            format!(
                "the {target} accepts passwords that are readable on the wire, the {source} refuses \
                 them"
            ),
        )),
        _ => None,
    }
}

fn mechanisms(way: Way<'_>) -> Option<Finding> {
    let Way {
        between: [source, target],
        from,
        to,
        ..
    } = way;
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
        "clients can log in by {} on the {source} and not on the {target}",
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
