//! What one MTA would do otherwise than the other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::problem::{Limit, accept};
use super::{Actual, Delivery, Kind, Mta, Open, Presence, Problem, Warning, offers};
use crate::exposure::Loss;
use crate::manifest::Manifest;
use crate::names::Side;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// What is in the way of a hand-over.
    pub problems: Vec<Problem>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What the manifest accepts that is lost.
    pub losses: BTreeSet<Loss>,
}

/// Whether the MTA of `to` would do for users what that of `from` does; `open` says what the hosts serve
/// besides what their MTAs say of themselves.
pub fn compare(
    manifest: &Manifest,
    from: Side,
    to: Side,
    actual: &Actual,
    open: &Open,
) -> Findings {
    let mut findings = Findings::default();
    let Some(here) = actual.of(to) else {
        findings.problems.push(Problem::NoMta { side: to });
        return findings;
    };
    addresses(manifest, to, here, &mut findings);
    let pair = (actual.of(from), here);
    offers::compare(manifest, to, pair, open, &mut findings);
    if let Some(maps) = &here.foreign_recipients {
        findings.problems.push(Problem::Recipients {
            side: to,
            maps: maps.clone(),
        });
    }
    // A source with another MTA: what it does is not known.
    let Some(there) = actual.of(from) else {
        findings.problems.extend(misplaced(to, here));
        return findings;
    };
    domains(manifest, to, here, there, &mut findings);
    delivery(to, here, there, &mut findings);
    for (setting, here, there) in [
        (Limit::Message, here.message_limit, there.message_limit),
        (Limit::Mailbox, here.mailbox_limit, there.mailbox_limit),
    ] {
        if let Some(here) = here
            && there.is_none_or(|there| here < there)
        {
            findings.warnings.push(Warning::Limit {
                side: to,
                setting,
                here,
                there,
            });
        }
    }
    findings
}

/// Names by which a host means itself.
fn is_local(domain: &str) -> bool {
    domain == "localhost" || domain.starts_with("localhost.") || domain.starts_with("[127.")
}

fn domains(manifest: &Manifest, to: Side, here: &Mta, there: &Mta, findings: &mut Findings) {
    let service = manifest
        .cutover
        .as_ref()
        .and_then(|cutover| cutover.hostname.as_deref());
    let service = service.map(str::to_ascii_lowercase);
    for domain in there.domains.difference(&here.domains) {
        if is_local(domain) {
            continue;
        }
        // sendmail takes mail for its own name without being told.
        if here.kind == Kind::Sendmail && *domain == here.hostname {
            continue;
        }
        let (domain, mend) = (domain.clone(), accept(here.kind, domain));
        if domain == there.hostname && service.as_ref() != Some(&domain) {
            let side = to;
            findings
                .warnings
                .push(Warning::OwnName { side, domain, mend });
        } else {
            let side = to;
            findings
                .problems
                .push(Problem::Domain { side, domain, mend });
        }
    }
    let tables = there.unlisted.iter().cloned();
    findings
        .warnings
        .extend(tables.map(|table| Warning::Unlisted { table }));
}

/// What is closed to the world is closed to the address that moves.
fn addresses(manifest: &Manifest, to: Side, here: &Mta, findings: &mut Findings) {
    let cutover = manifest.cutover.as_ref();
    let moving = cutover.map_or(&[][..], |cutover| &cutover.address);
    let protocol = |address: &IpAddr| match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    };
    for address in moving.iter().map(|cidr| cidr.0.addr()) {
        let text = address.to_string();
        let named = [text.as_str(), &format!("[{text}]"), "all"];
        let listens = named.iter().any(|name| here.interfaces.contains(*name));
        let speaks = ["all", protocol(&address)]
            .iter()
            .any(|name| here.protocols.contains(*name));
        let (setting, value) = match (listens, speaks) {
            (true, true) => continue,
            (false, _) => ("inet_interfaces", &here.interfaces),
            (true, false) => ("inet_protocols", &here.protocols),
        };
        let mend = match here.kind {
            Kind::Postfix => format!("`postconf -e '{setting} = all'`, and restart it"),
            Kind::Sendmail => {
                "take `Addr=` out of DAEMON_OPTIONS in /etc/mail/sendmail.mc, and run \
                 `sendmailconfig`"
                    .to_owned()
            }
        };
        findings.problems.push(Problem::NotListening {
            side: to,
            address: text,
            listens: value.iter().cloned().collect::<Vec<_>>().join(", "),
            mend,
        });
    }
}

fn delivery(to: Side, here: &Mta, there: &Mta, findings: &mut Findings) {
    if let Some(problem) = misplaced(to, here) {
        findings.problems.push(problem);
        return;
    }
    // Each host's spool directory is its own; that they mean the same was looked at above.
    let same = match (&there.delivery, &here.delivery) {
        (Delivery::Spool(_), Delivery::Spool(_))
        | (Delivery::Procmail(_), Delivery::Procmail(Presence::There)) => true,
        (there, here) => there == here,
    };
    // procmail without a recipe is a spool file, but a user may have one.
    if !same {
        findings.problems.push(Problem::Delivery {
            side: to,
            puts: described(&here.delivery),
            should: described(&there.delivery),
            mend: mend(here, &there.delivery),
        });
    }
}

/// A spool directory that is not the one that is migrated, or a program that is not there.
fn misplaced(to: Side, here: &Mta) -> Option<Problem> {
    let should = match &here.delivery {
        Delivery::Spool(dir) if *dir != here.spool => Delivery::Spool(here.spool.clone()),
        Delivery::Procmail(Presence::Missing) => {
            return Some(Problem::Delivery {
                side: to,
                puts: "nowhere: procmail is not there".to_owned(),
                should: described(&Delivery::Procmail(Presence::There)),
                mend: "`apt-get install procmail`".to_owned(),
            });
        }
        _ => return None,
    };
    Some(Problem::Delivery {
        side: to,
        puts: described(&here.delivery),
        should: described(&should),
        mend: mend(here, &should),
    })
}

fn described(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Spool(dir) => format!("into {dir}"),
        Delivery::Home(path) => format!("into ~/{path}"),
        Delivery::Procmail(_) => "where procmail says".to_owned(),
        Delivery::Command(command) => format!("where `{command}` says"),
        Delivery::Transport(transport) => format!("where {transport} says"),
    }
}

/// What makes an MTA deliver like that.
fn mend(here: &Mta, should: &Delivery) -> String {
    if here.kind == Kind::Sendmail {
        return "define the local mailer of /etc/mail/sendmail.mc like that, and run \
                `sendmailconfig`"
            .to_owned();
    }
    let [mut transport, mut command, mut home] = [""; 3].map(str::to_owned);
    let mut spool = None;
    match should {
        Delivery::Spool(dir) => spool = Some(dir),
        Delivery::Home(path) => home.clone_from(path),
        Delivery::Procmail(_) => "procmail -a \"$EXTENSION\"".clone_into(&mut command),
        Delivery::Command(line) => command.clone_from(line),
        Delivery::Transport(name) => transport.clone_from(name),
    }
    let mut settings = format!(
        "`postconf -e 'mailbox_transport = {transport}' 'mailbox_command = {command}' \
         'home_mailbox = {home}'"
    );
    if let Some(dir) = spool {
        settings.push_str(&format!(" 'mail_spool_directory = {dir}'"));
    }
    settings + " && postfix reload`"
}
