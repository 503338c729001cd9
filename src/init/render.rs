//! From findings to the text of a manifest: pure. One file for each group of sections; what is said
//! of a section stands in front of its keys, the explanation of a key behind it.

mod later;
mod mail;
mod users;

use super::findings::{Findings, HostFindings};
use super::page::{Level, Section, State};
use super::proposal::propose;
use super::yaml;
use crate::manifest::{DnsName, HostAddress};
use crate::names::Side;
use crate::resource::dovecot::HostDovecot;

/// A manifest as it was drafted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The text.
    pub text: String,
    /// How many remarks say that the plan stops.
    pub blocked: usize,
    /// How many remarks warn of something.
    pub warnings: usize,
}

/// Writes the manifest. Equal findings give equal text, and any findings give a manifest that loads,
/// provided that source and target are two hosts.
pub fn render(findings: &Findings) -> Draft {
    let proposal = propose(findings);
    let mut page = Section::new("");
    head(&mut page, findings);
    page.blank();
    host(
        &mut page,
        Side::Source,
        &findings.source,
        findings.dovecot.source.as_ref(),
    );
    host(
        &mut page,
        Side::Target,
        &findings.target,
        Some(&findings.dovecot.target),
    );
    page.blank();
    page.set(
        "serve_from",
        "source",
        "stage, as often as you like; `target` hands over",
    );
    page.blank();
    users::section(&mut page, findings, &proposal);
    page.blank();
    mail::section(&mut page, findings);
    page.blank();
    later::transfer(&mut page);
    page.blank();
    mail::dovecot(&mut page, findings);
    page.blank();
    later::services(&mut page, findings);
    page.blank();
    later::freeze(&mut page, findings);
    page.blank();
    later::cutover(&mut page, findings);
    page.blank();
    later::mx(&mut page, findings);
    page.blank();
    mail::spool(&mut page, findings);
    mail::beside(&mut page, findings);
    Draft {
        text: page.text(),
        blocked: page.count(Level::Blocked),
        warnings: page.count(Level::Warning),
    }
}

fn head(page: &mut Section, findings: &Findings) {
    page.info(
        "Drafted by `reconcile init` from what it saw on both hosts; it changed nothing there. Read \
         the comments, correct what is not right, and run `reconcile plan`.",
    );
    page.info(
        "A key behind a `#` is at its default, or an example or a proposal: take the `#` away to set \
         it.",
    );
    page.set("version", "1", "");
    page.set(
        "name",
        yaml::scalar(findings.name.as_str()),
        "names the directory of the records on the hosts",
    );
    for (name, authority) in &findings.migrations {
        let text = if *name == findings.name {
            format!(
                "the target has records of a migration of this name already, by which the \
                 {authority}'s mail counts: this manifest goes on with it"
            )
        } else {
            format!(
                "the target has records of the migration `{name}`, by which the {authority}'s mail \
                 counts; set `name: {name}` to go on with it"
            )
        };
        page.warning(text);
    }
    for place in findings.unread.iter().take(NAMED) {
        page.warning(place.clone());
    }
    if let Some(more) = more(findings.unread.len()) {
        page.warning(format!("{more} more places could not be looked at"));
    }
}

fn host(page: &mut Section, side: Side, host: &HostFindings, dovecot: Option<&HostDovecot>) {
    let mut seen: Vec<String> = Vec::new();
    seen.extend(host.system.clone());
    seen.extend(
        host.hostname
            .as_ref()
            .map(|name| format!("calls itself {name}")),
    );
    seen.extend(host.mta.iter().map(ToString::to_string));
    let version = dovecot.filter(|dovecot| dovecot.uidl_format.is_some());
    seen.extend(version.map(|dovecot| format!("Dovecot ({})", dovecot.evidence)));
    let lacks = match (host.mta.is_empty(), version.is_none()) {
        (true, true) => Some("no mail transfer agent and no Dovecot found"),
        (true, false) => Some("no mail transfer agent found"),
        (false, true) => Some("no Dovecot found"),
        (false, false) => None,
    };
    seen.extend(lacks.map(str::to_owned));
    page.info(format!("The {side}: {}.", seen.join(", ")));
    let mut section = Section::new(&side.to_string());
    let (note, only) = match &host.host {
        HostAddress::Dir(_) => ("a relative path counts from this file", "ssh:// only: "),
        HostAddress::Ssh { .. } => ("what is not given here is as in ssh_config", ""),
    };
    section.set("host", yaml::scalar(&host.host.to_string()), note);
    section.off(
        "host_key",
        "SHA256:...",
        format!("{only}pin of the host key; else known_hosts decides"),
    );
    section.off(
        "become",
        "sudo",
        format!("{only}when the login is not root, by `sudo -n`"),
    );
    page.section(section);
}

/// So many names are given; more are counted.
const NAMED: usize = 8;
/// Names are cut here, in characters; no system has longer ones.
const NAME: usize = 32;

/// How many there are beyond those that are given.
fn more(count: usize) -> Option<usize> {
    count.checked_sub(NAMED).filter(|more| *more > 0)
}

/// `anna, bernd and 3 more`.
fn names<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all
        .into_iter()
        .map(|name| short(&name.to_string()))
        .collect();
    match more(all.len()) {
        None => all.join(", "),
        Some(more) => format!("{} and {more} more", all[..NAMED].join(", ")),
    }
}

fn short(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The name, if DNS would take it and it has a domain.
fn full_name(name: &str) -> Option<&str> {
    let local = name
        .split('.')
        .skip(1)
        .any(|label| matches!(label, "localdomain" | "local"));
    (name.contains('.') && !local && DnsName::check(name).is_ok()).then_some(name)
}

/// Set where something was found, else commented out.
fn found<T>(value: Option<&T>) -> State {
    if value.is_some() {
        State::Set
    } else {
        State::Off
    }
}
