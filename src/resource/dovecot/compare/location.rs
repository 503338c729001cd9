//! Where each user's mail is looked for.

use super::{Finding, Pair, Version, named};
use crate::manifest::Sibling;
use crate::names::UserName;
use crate::raw::HostPath;
use crate::resource::dovecot::layout::Layout;
use crate::resource::dovecot::settings::{Location, SPOOL, namespace};

pub(super) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let (_, inbox) = namespace::of_inbox(&pair.from.namespaces);
    let wanted = inbox.location(&pair.from.location);
    let mut findings = Vec::new();
    if wanted.is_automatic() {
        findings.extend(automatic(pair));
    } else {
        findings.extend(outside(wanted));
        findings.extend(explicit(pair, wanted));
    }
    findings
}

/// Where the target looks, and the name of the namespace that says so, if one does.
fn of_target<'a>(pair: &'a Pair<'_>) -> (Location, Option<&'a str>) {
    let (name, inbox) = namespace::of_inbox(&pair.to.namespaces);
    let location = inbox.location(&pair.to.location).clone();
    (location, inbox.location.is_some().then_some(name))
}

fn explicit(pair: &Pair<'_>, wanted: &Location) -> Option<Finding> {
    let (now, within) = of_target(pair);
    if now == *wanted {
        return None;
    }
    let what = format!(
        "the source keeps mail in {}, the target looks in {}: {}",
        pair.source_location(wanted),
        pair.target_location(&now),
        consequence(wanted, &now)
    );
    Some(Finding::breaks(
        Sibling::MailLocation,
        what,
        lines(pair, wanted, &now, within),
    ))
}

fn consequence(wanted: &Location, now: &Location) -> &'static str {
    if now.is_automatic() {
        "Dovecot guesses, and a wrong guess makes an empty mailbox with new UIDs"
    } else if wanted.driver != now.driver {
        "clients would find an empty mailbox"
    } else if wanted.inbox() != now.inbox() {
        "clients would find an empty or another INBOX"
    } else if wanted.path != now.path {
        "all folders and subscriptions would be gone"
    } else {
        "Dovecot would not find what it keeps beside the mail (indexes, UIDs, subscriptions)"
    }
}

fn lines(pair: &Pair<'_>, wanted: &Location, now: &Location, within: Option<&str>) -> Vec<String> {
    let lines = wanted.lines(now, pair.version(), &pair.spool());
    match (within, pair.version()) {
        (None, _) => lines,
        (Some(name), version) => {
            let inner = lines.iter().map(|line| match version {
                Version::V2_4 => format!("  {line}"),
                Version::V2_3 | Version::Absent => format!("  {}", line.replacen("mail_", "", 1)),
            });
            let inner: Vec<String> = inner.collect();
            let open = vec![format!("namespace {name} {{")];
            [open, inner, vec!["}".to_owned()]].concat()
        }
    }
}

/// Mail that the copy does not reach.
fn outside(wanted: &Location) -> Vec<Finding> {
    let spool_file = format!("{SPOOL}/%{{user}}");
    let is_reached = |path: &str| {
        let within = |top: &str| {
            let rest = path.strip_prefix(top);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        within("%{home}")
            || within(&spool_file)
            || path == "MEMORY"
            || !path.starts_with(['/', '%'])
    };
    let places = [("mail_path", wanted.path.as_str())].into_iter().chain(
        wanted
            .options
            .iter()
            .filter(|(name, _)| name.ends_with("_path"))
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    places
        .filter(|(_, path)| !path.is_empty() && !is_reached(path))
        .map(|(name, path)| {
            let what = format!(
                "the source keeps mail, or what it knows of mail ({name}), in `{path}`: that is in \
                 no home and no spool file, so it is not copied; move it on the source, or copy it \
                 by hand with Dovecot stopped on both sides"
            );
            Finding::breaks(Sibling::MailLocation, what, Vec::new())
        })
        .collect()
}

/// The source leaves it to Dovecot: what it found for each user counts.
fn automatic(pair: &Pair<'_>) -> Vec<Finding> {
    let (now, within) = of_target(pair);
    let layouts = &pair.source.layouts;
    if now.is_automatic() && pair.version() == Version::V2_3 {
        // The same search on the same files.
        return Vec::new();
    }
    let Some(most) = layouts.iter().max_by_key(|layout| layout.users.len()) else {
        return Vec::new();
    };
    let found: Vec<String> = layouts
        .iter()
        .map(|layout| {
            let location = pair.source_location(&layout.location);
            format!("{location} for {}", named(layout.users.iter()))
        })
        .collect();
    let mut findings = Vec::new();
    if most.location != now {
        let what = format!(
            "the source has no mail_location, and Dovecot finds there {}; the target looks in {}",
            found.join("; "),
            pair.target_location(&now)
        );
        let lines = lines(pair, &most.location, &now, within);
        findings.push(Finding::breaks(Sibling::MailLocation, what, lines));
    }
    findings.extend(exceptions(pair, layouts, most));
    findings
}

/// The file of exceptions, and the one that names it: before the databases that know every user.
const EXCEPTIONS: &str = "/etc/dovecot/mail-locations";
const BEFORE_ALL: &str = "/etc/dovecot/conf.d/00-mail-locations.conf";

/// Users whom the setting for most does not serve: a user database that knows nothing but where their
/// mail is, and lets the next one go on (tried on 2.3.13, 2.3.19 and 2.4.1).
fn exceptions(pair: &Pair<'_>, layouts: &[Layout], most: &Layout) -> Option<Finding> {
    let others = layouts.iter().filter(|layout| *layout != most);
    let users: Vec<(&UserName, &Location)> = others
        .flat_map(|layout| layout.users.iter().map(|user| (user, &layout.location)))
        .collect();
    let (user, location) = users.first()?;
    let what = format!(
        "one setting cannot serve {} besides the others: write a line for each into {EXCEPTIONS} on \
         the target (mode 0644), as in `{}`; reconcile does not read that file: accept the setting \
         once it is there",
        named(users.iter().map(|(user, _)| *user)),
        line_for(user, location, pair)
    );
    Some(Finding::Breaks {
        setting: Sibling::MailLocation,
        what,
        lines: database(pair.version()),
        file: Some(HostPath::from(BEFORE_ALL)),
    })
}

fn database(version: Version) -> Vec<String> {
    let (open, file) = match version {
        Version::V2_4 => (vec!["userdb passwd-file {"], "passwd_file_path"),
        Version::V2_3 | Version::Absent => (vec!["userdb {", "  driver = passwd-file"], "args"),
    };
    let file = format!("  {file} = {EXCEPTIONS}");
    let rest = [
        file.as_str(),
        "  result_success = continue-ok",
        "  result_failure = continue",
        "}",
    ];
    open.into_iter().chain(rest).map(str::to_owned).collect()
}

fn line_for(user: &UserName, location: &Location, pair: &Pair<'_>) -> String {
    let lines = location.lines(&Location::default(), pair.version(), &pair.spool());
    let fields = lines.iter().map(|line| {
        let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
        let name = match pair.version() {
            Version::V2_4 => name,
            Version::V2_3 | Version::Absent => "mail",
        };
        // Here `%{home}` is still empty.
        format!("userdb_{name}={}", value.replace("%{home}", "~"))
    });
    let fields: Vec<String> = fields.collect();
    format!("{user}:::::::{}", fields.join(" "))
}
