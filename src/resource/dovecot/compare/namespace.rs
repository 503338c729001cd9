//! The names under which clients see their folders.

use super::{Finding, Pair, shown};
use crate::manifest::Sibling;
use crate::resource::dovecot::settings::namespace::{Flag, of_inbox};

pub(super) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = inbox(pair).into_iter().collect();
    let (own, _) = of_inbox(&pair.from.namespaces);
    let others = pair.from.namespaces.iter().filter(|(name, _)| *name != own);
    for (name, namespace) in others {
        let wanted = namespace.separator_for(namespace.location(&pair.from.location));
        let same_prefix = pair
            .to
            .namespaces
            .values()
            .find(|other| other.prefix == namespace.prefix);
        let as_wanted = same_prefix.is_some_and(|other| {
            other.location(&pair.to.location) == namespace.location(&pair.from.location)
                && other.separator_for(other.location(&pair.to.location)) == wanted
                && other.unusual == namespace.unusual
        });
        if as_wanted {
            continue;
        }
        let what = match same_prefix {
            Some(_) => "the target's is another one",
            None => "the target has none",
        };
        let what = format!(
            "the source has the namespace {name} with the prefix {}, {what}: clients would not find \
             its folders",
            shown(&namespace.prefix)
        );
        let mut lines = namespace.lines(name, wanted);
        if let Some(location) = &namespace.location {
            let inner = location.lines(location, pair.version(), &pair.spool());
            let renamed = inner.iter().map(|line| {
                if pair.is_new() {
                    format!("  {line}")
                } else {
                    format!("  {}", line.replacen("mail_", "", 1))
                }
            });
            let end = lines.len() - 1;
            lines.splice(end..end, renamed.collect::<Vec<_>>());
        }
        findings.push(Finding::breaks(Sibling::Namespace, what, lines));
    }
    if !pair.to.autoexpunge.is_subset(&pair.from.autoexpunge) {
        let more = pair.to.autoexpunge.difference(&pair.from.autoexpunge);
        let more: Vec<String> = more.cloned().collect();
        let what = format!(
            "the target removes old messages from {} by itself, the source does not",
            more.join(", ")
        );
        findings.push(Finding::warning("autoexpunge", what));
    }
    findings
}

/// The namespace of INBOX.
fn inbox(pair: &Pair<'_>) -> Option<Finding> {
    let (_, from) = of_inbox(&pair.from.namespaces);
    let (name, to) = of_inbox(&pair.to.namespaces);
    let location = from.location(&pair.from.location);
    // Where the source leaves the format to Dovecot, so is the separator; the location is an
    // obstacle of its own where it differs.
    let wanted = from.separator_for(location);
    let now = match to.location(&pair.to.location) {
        other if other.driver == location.driver => to.separator_for(other),
        _ => to.separator_for(location),
    };
    let differs = [
        (from.prefix != to.prefix).then(|| {
            format!(
                "folders' names begin with {} on the source and {} on the target",
                shown(&from.prefix),
                shown(&to.prefix)
            )
        }),
        (wanted != now && !location.is_automatic()).then(|| {
            format!("`{wanted}` stands between their parts on the source and `{now}` on the target")
        }),
        (from.unusual != to.unusual).then(|| {
            format!(
                "the namespace is {:?} on the source and {:?} on the target",
                from.unusual, to.unusual
            )
        }),
    ];
    let differs: Vec<String> = differs.into_iter().flatten().collect();
    if differs.is_empty() {
        return None;
    }
    let what = format!(
        "{}: IMAP clients would take their folders for gone and download other ones",
        differs.join(", and ")
    );
    let wanted_lines = {
        let mut namespace = from.clone();
        namespace.inbox = Flag::Yes;
        // What only the target has is set back.
        for (key, usual) in [
            ("hidden", "no"),
            ("list", "yes"),
            ("subscriptions", "yes"),
            ("type", "private"),
        ] {
            if to.unusual.contains_key(key) && !from.unusual.contains_key(key) {
                namespace.unusual.insert(key.to_owned(), usual.to_owned());
            }
        }
        namespace.lines(name, wanted)
    };
    Some(Finding::breaks(Sibling::Namespace, what, wanted_lines))
}
