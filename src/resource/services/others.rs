//! Signs that a target serves mail which is not this migration's: stopping its services would hurt
//! somebody. What a freshly installed server has is no sign: mail of root, and what cron wrote to
//! its admin.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HostServices;
use super::process::Program;
use crate::error::Result;
use crate::host::{FileKind, Probe, ReadHost};
use crate::manifest::Manifest;
use crate::names::UserName;
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::resource::accounts::{Database, Resolved};
use crate::resource::mail;

/// A sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OtherMail {
    /// People who are not in the migration have mail there.
    Mailboxes {
        /// Some of them.
        of: Vec<UserName>,
    },
    /// Clients are logged in to its Dovecot.
    Sessions {
        /// Some of the users.
        of: Vec<String>,
    },
    /// Its Postfix takes mail for mailboxes or hosts that are not its own accounts.
    Parameter {
        /// The parameter, postconf(5).
        name: String,
        /// Its value.
        value: String,
    },
}

impl fmt::Display for OtherMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailboxes { of } => {
                let names: Vec<String> = of.iter().map(ToString::to_string).collect();
                write!(f, "mail of {}", names.join(", "))
            }
            Self::Sessions { of } => write!(f, "sessions of {}", of.join(", ")),
            Self::Parameter { name, value } => write!(f, "{name} = {value}"),
        }
    }
}

/// A sign is a few names; more do not make it better.
const NAMED: usize = 5;

/// People on the target who are not in the migration, and their homes.
pub(super) fn strangers(
    target: &Database,
    resolved: &Resolved,
    receipt: Option<&Receipt>,
) -> Vec<(UserName, HostPath)> {
    let ours = |name: &UserName| {
        resolved.users.contains_key(name) || receipt.is_some_and(|r| r.accounts.contains(name))
    };
    let people = target.people();
    let strangers = people.filter(|(name, _)| !ours(name));
    strangers
        .map(|(name, user)| (name.clone(), user.home.clone()))
        .collect()
}

/// Looks for signs on a target whose services run.
pub(super) fn look(
    manifest: &Manifest,
    target: &dyn ReadHost,
    seen: &HostServices,
    strangers: &[(UserName, HostPath)],
) -> Result<Vec<OtherMail>> {
    let mut signs = Vec::new();
    let postfix = postfix(target, seen)?;
    let mut names = own_names(target)?;
    names.extend(["myhostname", "myorigin"].map(|name| value(&postfix, name).to_lowercase()));
    let spool = mail::spool_dir(manifest, target)?;
    let mut of = Vec::new();
    for (name, home) in strangers {
        let spool_file = spool.join(name.as_bytes());
        if has_mail(target, &spool_file, &names)? || was_served(target, home)? {
            of.push(name.clone());
        }
        if of.len() == NAMED {
            break;
        }
    }
    if !of.is_empty() {
        signs.push(OtherMail::Mailboxes { of });
    }
    if seen.programs.contains(&Program::Dovecot)
        && let Some(answer) = target.probe(&Probe::DovecotSessions)?
    {
        let of = sessions(&String::from_utf8_lossy(&answer.stdout));
        if !of.is_empty() {
            signs.push(OtherMail::Sessions { of });
        }
    }
    signs.extend(parameters(&postfix));
    Ok(signs)
}

/// What `postconf -x` says of the parameters that matter here; nothing where no Postfix runs.
fn postfix(target: &dyn ReadHost, seen: &HostServices) -> Result<String> {
    const PARAMETERS: [&str; 5] = [
        "mydestination",
        "myhostname",
        "myorigin",
        "relay_domains",
        "virtual_mailbox_domains",
    ];
    if !seen.programs.contains(&Program::Postfix) {
        return Ok(String::new());
    }
    let probe = Probe::PostfixParameters(PARAMETERS.map(str::to_owned).to_vec());
    let answer = target.probe(&probe)?;
    Ok(answer.map_or_else(String::new, |answer| {
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }))
}

/// The value of a parameter.
fn value<'a>(parameters: &'a str, name: &str) -> &'a str {
    let lines = parameters.lines().filter_map(|line| line.split_once('='));
    let mut mine = lines.filter(|(key, _)| key.trim() == name);
    mine.next().map_or("", |(_, value)| value.trim())
}

/// A mailbox of this size is no admin's mail from cron.
const CRON_MAIL: u64 = 1 << 20;

/// Whether a spool entry holds mail from somewhere else than the host itself.
fn has_mail(host: &dyn ReadHost, path: &HostPath, names: &[String]) -> Result<bool> {
    let Some(stat) = host.lstat(path)? else {
        return Ok(false);
    };
    match stat.kind {
        FileKind::File if stat.size == 0 => Ok(false),
        FileKind::File if stat.size > CRON_MAIL => Ok(true),
        FileKind::File => {
            let mbox = host.read(path)?.unwrap_or_default();
            Ok(!is_all_local(&String::from_utf8_lossy(&mbox), names))
        }
        FileKind::Dir => Ok(host.list(path)?.is_some_and(|names| !names.is_empty())),
        FileKind::Symlink | FileKind::Special => Ok(false),
    }
}

/// What Dovecot leaves in a home when it serves a mailbox there.
const SERVED: [&str; 3] = ["Maildir/dovecot-uidlist", "mail/.imap", "Mail/.imap"];

fn was_served(host: &dyn ReadHost, home: &HostPath) -> Result<bool> {
    for mark in SERVED {
        if host.lstat(&home.join(mark))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the host calls itself.
fn own_names(host: &dyn ReadHost) -> Result<Vec<String>> {
    let mut names = vec!["localhost".to_owned()];
    for path in ["/etc/hostname", "/etc/mailname"].map(HostPath::from) {
        if let Some(bytes) = host.read(&path)? {
            let text = String::from_utf8_lossy(&bytes);
            names.extend(text.split_whitespace().map(str::to_lowercase));
        }
    }
    Ok(names)
}

/// Whether every message of an mbox was sent on the host itself, by the envelope sender in its
/// separator lines (RFC 4155).
fn is_all_local(mbox: &str, names: &[String]) -> bool {
    let mut after_blank = true;
    for line in mbox.lines() {
        if after_blank && let Some(rest) = line.strip_prefix("From ") {
            let sender = rest.split(' ').next().unwrap_or(rest).to_lowercase();
            let is_own = |domain: &str| {
                let below = |name: &String| {
                    let rest = domain.strip_prefix(name.as_str());
                    !name.is_empty()
                        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                names.iter().any(below)
            };
            if sender
                .rsplit_once('@')
                .is_some_and(|(_, domain)| !is_own(domain))
            {
                return false;
            }
        }
        after_blank = line.is_empty();
    }
    true
}

/// The users in `doveadm -f tab who`, a header above them.
fn sessions(text: &str) -> Vec<String> {
    let users = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next());
    let mut users: Vec<String> = users
        .filter(|user| !user.is_empty())
        .map(str::to_owned)
        .collect();
    users.sort();
    users.dedup();
    users.truncate(NAMED);
    users
}

/// What `postconf -x` says that is more than a host with accounts of its own has. `mydestination` is
/// no sign: a target that is prepared takes the mail of the very domain that moves.
fn parameters(text: &str) -> Vec<OtherMail> {
    let value = |name| value(text, name);
    // Before Postfix 3.0 relay_domains was $mydestination unless set.
    let usual = ["", value("mydestination")];
    ["relay_domains", "virtual_mailbox_domains"]
        .into_iter()
        .filter(|name| !usual.contains(&value(name)))
        .map(|name| OtherMail::Parameter {
            name: name.to_owned(),
            value: value(name).to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As cron and Postfix on Debian write it.
    const CRON: &str = "From root@new.example.org  Tue Nov 24 06:25:01 2026\n\
        Return-Path: <root@new.example.org>\nSubject: Cron <root@new> test -x /usr/sbin/anacron\n\n\
        From here on there is nothing.\n\n";

    #[test]
    fn what_cron_wrote_is_no_mail_of_others() {
        let names = ["localhost", "new"].map(str::to_owned);
        assert!(is_all_local(CRON, &names));
        assert!(is_all_local(
            "From MAILER-DAEMON Tue Nov 24 06:25:01 2026\n\nx\n",
            &names
        ));
        let more = format!("{CRON}From bob@example.org  Tue Nov 24 07:00:00 2026\n\nhello\n");
        assert!(!is_all_local(&more, &names));
        assert!(!is_all_local(
            "From a@newer.org Tue Nov 24 06:25:01 2026\n\nx\n",
            &names
        ));
    }

    #[test]
    fn sessions_are_named_once_each() {
        // Dovecot 2.3.19 and 2.4.1, doveadm -f tab who.
        for header in [
            "username\t#\tproto\t(pids)\t(ips)",
            "username\t#\tservice\t(pids)\t(ips)",
        ] {
            let text = format!(
                "{header}\nanna\t2\timap\t(11 12)\t(192.0.2.7)\nanna\t1\tpop3\t(13)\t(192.0.2.7)\n"
            );
            assert_eq!(sessions(&text), ["anna"]);
            assert!(sessions(&format!("{header}\n")).is_empty());
        }
    }

    #[test]
    fn domains_beyond_the_hosts_own_are_a_sign() {
        let usual =
            "mydestination = $myhostname, localhost\nrelay_domains =\nvirtual_mailbox_domains =\n";
        assert!(parameters(usual).is_empty());
        let old = "mydestination = new, localhost\nrelay_domains = new, localhost\nvirtual_mailbox_domains =\n";
        assert!(parameters(old).is_empty());
        let hosting =
            "mydestination = localhost\nrelay_domains =\nvirtual_mailbox_domains = example.net\n";
        let expected = OtherMail::Parameter {
            name: "virtual_mailbox_domains".to_owned(),
            value: "example.net".to_owned(),
        };
        assert_eq!(parameters(hosting), [expected]);
    }
}
