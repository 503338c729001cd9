//! `mail`, `dovecot`, `spool`, and what stays behind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{found, names};
use crate::init::findings::{Findings, Mailbox};
use crate::init::page::{Section, State};
use crate::init::proposal::{bare, pattern};
use crate::init::yaml;
use crate::manifest::SpoolPath;
use crate::names::UserName;
use crate::plan::Resource;
use crate::raw::HostPath;
use crate::report::{counted, size};
use crate::resource::{accounts, beside, dovecot};
use crate::uidl::Format;

pub(super) fn section(page: &mut Section, findings: &Findings) {
    let mut section = Section::new("mail");
    boxes(&mut section, findings);
    let mut spool = Section::new("spool").why("directories of the mboxes");
    for (side, host) in [("source", &findings.source), ("target", &findings.target)] {
        let dir = host.spool_dir.as_ref().map(HostPath::to_string);
        let dir = dir.filter(|dir| SpoolPath::check(dir).is_ok());
        let why = match &dir {
            Some(_) => "found there",
            None => "not found; the default",
        };
        let shown = dir.as_deref().unwrap_or("/var/mail");
        spool.key(side, yaml::scalar(shown), found(dir.as_ref()), why);
    }
    section.section(spool);
    section.off(
        "homes",
        "whole",
        "`mail-only`: mail folders and the dot files that steer mail",
    );
    section.off(
        "exclude",
        "[]",
        "globs beneath a home that stay behind, as in [\".cache/**\"]",
    );
    occupied(&mut section, findings);
    page.section(section);
}

fn boxes(section: &mut Section, findings: &Findings) {
    let mut by_kind: BTreeMap<Mailbox, BTreeSet<&UserName>> = BTreeMap::new();
    let mut without: BTreeSet<&UserName> = BTreeSet::new();
    for (user, boxes) in &findings.mailboxes {
        if boxes.is_empty() {
            without.insert(user);
        }
        for kind in boxes {
            by_kind.entry(*kind).or_default().insert(user);
        }
    }
    let kinds: Vec<String> = by_kind
        .iter()
        .map(|(kind, users)| {
            let what = match kind {
                Mailbox::SpoolMbox => "an mbox in the spool",
                Mailbox::SpoolMaildir => "a Maildir in the spool",
                Mailbox::MailFolders => "folders in ~/mail",
                Mailbox::Maildir => "a Maildir at home",
                Mailbox::Dbox => "dbox at home",
            };
            format!("{what} for {} ({})", users.len(), names(users))
        })
        .collect();
    if !kinds.is_empty() {
        section.info(format!("Mail on the source: {}.", kinds.join(", ")));
    }
    if !without.is_empty() {
        section.info(format!(
            "No mail seen: {} ({}).",
            without.len(),
            names(without)
        ));
    }
    let inboxes = |user: &BTreeSet<Mailbox>| {
        user.contains(&Mailbox::SpoolMbox) && user.contains(&Mailbox::Maildir)
    };
    let both = findings
        .mailboxes
        .iter()
        .filter(|(_, boxes)| inboxes(boxes));
    let both: Vec<&UserName> = both.map(|(user, _)| user).collect();
    if !both.is_empty() {
        section.warning(format!(
            "an mbox in the spool and a Maildir beside it: {}. Only one is the inbox that Dovecot \
             serves; both move.",
            names(both)
        ));
    }
    let formats = by_kind.keys().map(|kind| match kind {
        Mailbox::SpoolMbox | Mailbox::MailFolders => "mbox",
        Mailbox::SpoolMaildir | Mailbox::Maildir => "Maildir",
        Mailbox::Dbox => "dbox",
    });
    if formats.collect::<BTreeSet<_>>().len() > 1 {
        section.warning(
            "more than one format. None is converted, and Dovecot 2.4 detects none: the target's \
             must be told where each user's mail is.",
        );
    }
}

fn occupied(section: &mut Section, findings: &Findings) {
    let users: BTreeSet<&UserName> = findings.occupied.iter().map(|o| &o.user).collect();
    if users.is_empty() {
        section.off(
            "adopt",
            "[]",
            "users whose files on the target are renamed to make way",
        );
        return;
    }
    let places = findings.occupied.iter().map(|occupied| &occupied.path);
    section.blocked(format!(
        "files on the target that no migration put there: {}. Look at them; `adopt` renames them, \
         and never removes them.",
        names(places)
    ));
    let users = users.into_iter().filter_map(pattern).take(MOST_ADOPTED);
    let users = yaml::list(users.map(|user| yaml::item(&user)));
    section.off(
        "adopt",
        users,
        "whose files there may be renamed to make way",
    );
}

/// Who has more in the way wants a glob, or another target.
const MOST_ADOPTED: usize = 50;

/// What POP3 clients know their messages by, what they would be told on the target, what else they
/// would notice, and the certificates of both sides.
pub(super) fn dovecot(page: &mut Section, findings: &Findings) {
    let mut section = Section::new("dovecot");
    let actual = &findings.dovecot;
    let manifest = bare(findings);
    let resolved = accounts::resolve(&manifest, &findings.accounts, None);
    let draft = dovecot::diff(&manifest, actual, &resolved, None);
    let source = actual.source.as_ref();
    if let Some(serves) = source.and_then(|source| source.uidl_format.as_deref()) {
        section.info(format!("The source's UIDLs are {serves}."));
    }
    if let Some(serves) = &actual.target.uidl_format {
        let wanted = dovecot::wanted(&manifest, actual, None);
        section.info(match wanted {
            Some(_) if draft.actions.is_empty() => {
                format!("The target's are {serves}, which is the same: nothing to do.")
            }
            Some(wanted) => format!(
                "The target's are {serves}; apply sets pop3_uidl_format = {wanted} in a drop-in."
            ),
            None => format!("The target's are {serves}."),
        });
    }
    for blocked in &draft.blocked {
        let lines = blocked
            .by
            .lines()
            .iter()
            .map(|line| format!("`{}`", line.trim()));
        let lines: Vec<String> = lines.collect();
        section.blocked(format!("{} {}", blocked.by, lines.join(" ")).trim_end());
    }
    let certificates = Resource::Dovecot("tls".to_owned());
    for note in draft
        .notes
        .iter()
        .filter(|note| note.resource == certificates)
    {
        section.info(note.text.clone());
    }
    for (side, host) in [("source", source), ("target", Some(&actual.target))] {
        for doubt in host.into_iter().flat_map(|host| &host.doubts) {
            section.warning(format!("on the {side}: {doubt}"));
        }
    }
    by_file(&mut section, findings);
    section.set(
        "uidl_format",
        "source",
        "what POP3 clients know; or a format in 2.3 or 2.4 syntax",
    );
    section.off(
        "accept",
        "[]",
        "settings that may differ although clients could notice, as in mail_location, tls",
    );
    page.section(section);
}

/// A UIDL made of file names needs files: an mbox has none (FACTS 3.1).
fn by_file(section: &mut Section, findings: &Findings) {
    let Some(source) = &findings.dovecot.source else {
        return;
    };
    let Some((syntax, text)) = source.version.syntax().zip(source.uidl_format.as_deref()) else {
        return;
    };
    let Ok(format) = Format::parse(text, syntax) else {
        // The planner's own obstacle says what is wrong with it.
        return;
    };
    let has = |variable| {
        let mut parts = format.parts().iter();
        parts
            .any(|part| matches!(part, crate::uidl::Part::Variable(found, _) if *found == variable))
    };
    let users_with = |mailbox| {
        let boxes = findings.mailboxes.iter();
        boxes
            .filter(|(_, boxes)| boxes.contains(&mailbox))
            .map(|(user, _)| user)
            .collect::<Vec<_>>()
    };
    let mboxes = users_with(Mailbox::SpoolMbox);
    if has(crate::uidl::Variable::Filename) && !mboxes.is_empty() {
        section.warning(format!(
            "that format is made of file names, which an mbox does not have: {}",
            names(mboxes)
        ));
    }
    let maildirs = users_with(Mailbox::Maildir);
    if has(crate::uidl::Variable::Md5) && !maildirs.is_empty() {
        section.warning(format!(
            "that format is made of headers' MD5, which a Maildir does not have: {}",
            names(maildirs)
        ));
    }
}

pub(super) fn transfer(page: &mut Section) {
    let mut section = Section::new("transfer").why("how mail gets from one host to the other");
    section.off(
        "path",
        "auto",
        "straight if that works; or always `direct`, always `relay`",
    );
    section.off(
        "limit",
        "50MB/s",
        "an example: so much may leave the source each second while it serves; none unless given",
    );
    section.off(
        "program",
        "remove",
        "of this program, after each run; or `keep`: later runs need not send it again",
    );
    page.section(section);
}

/// Files above this are worth a mention: clients and locks get slow.
const WARN: (&str, u64) = ("500MB", 500_000_000);
/// Programs of the old days stop here: 2^31 bytes.
const LIMIT: (&str, u64) = ("2GB", 2_000_000_000);

pub(super) fn spool(page: &mut Section, findings: &Findings) {
    let mut section = Section::new("spool");
    let mut by_size: Vec<(&UserName, u64)> = findings
        .spool
        .sizes
        .iter()
        .map(|(user, size)| (user, *size))
        .collect();
    by_size.sort_by_key(|(user, size)| (Reverse(*size), *user));
    if let Some((largest, bytes)) = by_size.first() {
        section.info(format!(
            "{} of {} in all, the largest {largest}'s of {}.",
            counted(by_size.len() as u64, "mbox", "mboxes"),
            size(
                by_size
                    .iter()
                    .fold(0, |sum: u64, (_, size)| sum.saturating_add(*size))
            ),
            size(*bytes)
        ));
    }
    let big = by_size.iter().filter(|(_, size)| *size > WARN.1);
    let big: Vec<String> = big
        .map(|(user, bytes)| format!("{} {}", super::short(&user.to_string()), size(*bytes)))
        .collect();
    let state = if big.is_empty() {
        State::Off
    } else {
        State::Set
    };
    if !big.is_empty() {
        section.warning(format!("large mboxes: {}", names(big)));
    }
    section.key("warn", WARN.0, state, "the plan mentions mboxes above it");
    section.key("limit", LIMIT.0, state, "no mbox should be above it");
    let mut housekeeping =
        Section::new("housekeeping").why("moves old messages out of the spool; off unless given");
    housekeeping.off("move_older_than", "365d", "age from which they move");
    housekeeping.off("to", "Archive", "folder that takes them");
    housekeeping.off(
        "unread",
        "stay",
        "or move: what nobody has read, and no POP3 client fetched",
    );
    housekeeping.off("exclude", "[]", "users whose messages all stay");
    section.section(housekeeping);
    let mut timer = Section::new("timer")
        .why("measures the mail on the target while it counts, by systemd; off unless given");
    timer.off("every", "daily", "or hourly, weekly");
    timer.off(
        "prometheus",
        "/var/lib/prometheus/node-exporter/spool.prom",
        "for node exporter's textfile collector",
    );
    section.section(timer);
    page.section(section);
}

/// What does not move, as the plan says it.
pub(super) fn beside(page: &mut Section, findings: &Findings) {
    let notes = beside::diff(
        [&findings.source.host, &findings.target.host],
        &findings.beside,
    )
    .notes;
    if notes.is_empty() {
        return;
    }
    page.blank();
    for note in notes {
        match note.level {
            crate::plan::Level::Warning => page.warning(note.text),
            crate::plan::Level::Info => page.info(note.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Size;

    #[test]
    fn the_thresholds_are_what_they_say() {
        for (text, bytes) in [WARN, LIMIT] {
            assert_eq!(text.parse::<Size>().unwrap().bytes, bytes);
        }
    }
}
