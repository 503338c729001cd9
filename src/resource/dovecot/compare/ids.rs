//! Ids that the target's Dovecot refuses, and the group that it needs in the spool directory.

use super::{Finding, Pair, named};
use crate::manifest::Sibling;
use crate::names::UserName;
use crate::resource::dovecot::settings::{Range, SPOOL, namespace};

pub(super) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let uids: Vec<(&UserName, u32)> = pair.users.iter().map(|(n, c)| (n, c.uid.0)).collect();
    let gids: Vec<(&UserName, u32)> = pair.users.iter().map(|(n, c)| (n, c.gid.0)).collect();
    findings.extend(refused(
        "uid",
        &uids,
        pair.to.valid_uids,
        Sibling::ValidUids,
    ));
    findings.extend(refused(
        "gid",
        &gids,
        pair.to.valid_gids,
        Sibling::ValidGids,
    ));
    findings.extend(spool_group(pair));
    findings
}

fn refused(
    kind: &str,
    ids: &[(&UserName, u32)],
    range: Range,
    setting: Sibling,
) -> Option<Finding> {
    let out: Vec<&(&UserName, u32)> = ids.iter().filter(|(_, id)| !range.has(*id)).collect();
    let lowest = ids.iter().map(|(_, id)| *id).min()?;
    let highest = ids.iter().map(|(_, id)| *id).max()?;
    if out.is_empty() {
        return None;
    }
    let names: Vec<UserName> = out.iter().map(|(name, _)| (*name).clone()).collect();
    let mut lines = Vec::new();
    if lowest < range.first {
        lines.push(format!("first_valid_{kind} = {lowest}"));
    }
    if range.last != 0 && highest > range.last {
        lines.push(format!("last_valid_{kind} = {highest}"));
    }
    let last = match range.last {
        0 => String::new(),
        last => format!(" to {last}"),
    };
    let what = format!(
        "the target's Dovecot lets {kind}s from {}{last} in, which shuts out {}",
        range.first,
        named(names.iter())
    );
    Some(Finding::breaks(setting, what, lines))
}

/// An mbox in the spool directory is locked by a file beside it, which takes a group that may write
/// there. Without it every mailbox can be read and none can be changed, and nothing says so.
fn spool_group(pair: &Pair<'_>) -> Option<Finding> {
    let (_, inbox) = namespace::of_inbox(&pair.from.namespaces);
    let location = inbox.location(&pair.from.location);
    let in_spool = |inbox: Option<&str>| inbox.is_some_and(|path| path.starts_with(SPOOL));
    let used = if location.is_automatic() {
        pair.source
            .layouts
            .iter()
            .any(|l| in_spool(l.location.inbox()))
    } else {
        location.driver == "mbox" && in_spool(location.inbox())
    };
    let spool = pair.spool_dir().filter(|_| used)?;
    if spool.mode & 0o002 != 0 {
        return None;
    }
    let group = spool.group.as_deref();
    let has = |name: &str| {
        pair.to.privileged_group.as_deref() == Some(name) || pair.to.access_groups.contains(name)
    };
    let right_group = group.is_some_and(has);
    if right_group && spool.mode & 0o020 != 0 {
        return None;
    }
    let silent = "Dovecot would read every mailbox and change none, and clients' deletions would be \
                  lost without a word";
    let (path, mode) = (&spool.path, spool.mode);
    if mode & 0o020 == 0 || group.is_none() || group == Some("root") {
        let what = format!(
            "{path} on the target is {} {mode:04o}, which no group of mail processes can write: \
             {silent}; run `chgrp mail {path} && chmod 2775 {path}` there",
            group.map_or_else(
                || "of an unknown group,".to_owned(),
                |g| format!("of group {g},")
            ),
        );
        let lines = if has("mail") {
            Vec::new()
        } else {
            vec!["mail_privileged_group = mail".to_owned()]
        };
        return Some(Finding::breaks(Sibling::MailPrivilegedGroup, what, lines));
    }
    let now = pair.to.privileged_group.as_deref().unwrap_or("not set");
    let group = group.unwrap_or_default();
    let what = format!(
        "{path} on the target is of group {group}, and mail_privileged_group there is {now}: {silent}"
    );
    let lines = vec![format!("mail_privileged_group = {group}")];
    Some(Finding::breaks(Sibling::MailPrivilegedGroup, what, lines))
}
