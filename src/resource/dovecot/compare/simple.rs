//! Settings of the same name and meaning on both versions.

use std::collections::BTreeSet;

use super::{Finding, Pair, Version, for_pop3, listed, shown};
use crate::manifest::Sibling;
use crate::plan::Level;
use crate::resource::dovecot::config::syntax;
use crate::resource::dovecot::settings::{self, variables, words};
use crate::uidl::{Part, Variable};

pub(super) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let different = settings::SIMPLE
        .iter()
        .map(|(key, ..)| *key)
        .filter(|key| pair.from.simple(key) != pair.to.simple(key));
    different.filter_map(|key| finding(pair, key)).collect()
}

fn finding(pair: &Pair<'_>, key: &str) -> Option<Finding> {
    let (from, to) = (pair.from.simple(key), pair.to.simple(key));
    let written = variables::write(from, pair.version());
    let value = match written.as_str() {
        "" => String::new(),
        written => syntax::quote(written),
    };
    let line = format!("{key} = {value}").trim_end().to_owned();
    let differs = format!(
        "it is {} on the source and {} on the target",
        shown(&written),
        shown(&variables::write(to, pair.version()))
    );
    let level = match key {
        "pop3_reuse_xuidl" => {
            let what = format!(
                "{differs}: messages with an X-UIDL header get another UIDL, and POP3 clients \
                 download them again"
            );
            return Some(Finding::breaks(
                Sibling::Pop3ReuseXuidl,
                what,
                for_pop3(&line),
            ));
        }
        "pop3_uidl_duplicates" => {
            let what = format!("{differs}: messages whose UIDLs are the same get other ones");
            return Some(Finding::breaks(
                Sibling::Pop3UidlDuplicates,
                what,
                for_pop3(&line),
            ));
        }
        "pop3_deleted_flag" => {
            let what = format!(
                "{differs}: POP3 clients get messages back that they deleted, or lose others"
            );
            return Some(Finding::breaks(
                Sibling::Pop3DeletedFlag,
                what,
                for_pop3(&line),
            ));
        }
        "auth_username_format" => {
            let what =
                format!("{differs}: a client whose user name is written otherwise is refused");
            return Some(Finding::breaks(
                Sibling::AuthUsernameFormat,
                what,
                vec![line],
            ));
        }
        "mbox_md5" if uses_md5(pair) => {
            let what = format!("{differs}, and the UIDL format shows that digest");
            return Some(Finding::breaks(Sibling::MboxMd5, what, vec![line]));
        }
        "mail_plugins" => return plugins(from, to),
        "mbox_read_locks" | "mbox_write_locks" | "lock_method" => {
            let what = format!(
                "{differs}: every program on the target that writes mailboxes must lock in the same \
                 way and in the same order"
            );
            return Some(Finding::warning(key, what));
        }
        // Debian 13 sets one for users without a home, which those of /etc/passwd are not.
        "mail_home" if from.is_empty() => Level::Info,
        "mail_home" => Level::Warning,
        "mail_max_userip_connections" => match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), Ok(to)) if to < from && to != 0 => Level::Warning,
            _ => Level::Info,
        },
        "pop3_save_uidl" if from == "yes" => {
            let what = format!(
                "{differs}: UIDLs that are stored stay valid, those of new messages are no longer \
                 stored"
            );
            return Some(Finding::info(key, what));
        }
        "imap_client_workarounds" | "pop3_client_workarounds" | "pop3_no_flag_updates" => {
            Level::Warning
        }
        _ => Level::Info,
    };
    Some(Finding::noted(key, level, differs))
}

/// Whether the UIDL format shows a digest of headers: as itself, or as the GUID of an mbox message.
fn uses_md5(pair: &Pair<'_>) -> bool {
    let shows = |part: &Part| {
        let variable = match part {
            Part::Variable(variable, _) => *variable,
            Part::Literal(_) => return false,
        };
        matches!(variable, Variable::Md5 | Variable::Guid)
    };
    // A format that is not understood may show anything.
    let unknown = pair.uidl.is_none();
    unknown
        || pair
            .uidl
            .iter()
            .any(|format| format.parts().iter().any(shows))
}

/// Plugins that the source has and the target has not.
fn plugins(from: &str, to: &str) -> Option<Finding> {
    let (from, to) = (words(from), words(to));
    let missing: BTreeSet<String> = from.difference(&to).cloned().collect();
    let more: BTreeSet<String> = to.difference(&from).cloned().collect();
    let said = |what: &str| Some(Finding::warning("mail_plugins", what));
    match (missing.is_empty(), more.is_empty()) {
        (true, true) => None,
        (false, _) => said(&format!(
            "the source loads {}, the target does not: what they do (quotas, ACLs, virtual folders) \
             is missing there, and their settings are not carried over",
            listed(&missing)
        )),
        (true, false) => said(&format!(
            "the target loads {}, the source does not",
            listed(&more)
        )),
    }
}

impl Pair<'_> {
    /// Whether the target's own syntax is that of 2.4.
    pub(in crate::resource::dovecot) fn is_new(&self) -> bool {
        self.version() == Version::V2_4
    }
}
