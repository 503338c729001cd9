//! Where each user's mail is looked for.

use super::{Finding, Pair, Version, named};
use crate::manifest::Sibling;
use crate::names::UserName;
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
        "the source keeps mail in `{wanted}`, the target looks in `{now}`: {}",
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
fn automatic(pair: &Pair<'_>) -> Option<Finding> {
    let (now, within) = of_target(pair);
    let layouts = &pair.source.layouts;
    if now.is_automatic() && pair.version() == Version::V2_3 {
        // The same search on the same files.
        return None;
    }
    let most = layouts.iter().max_by_key(|layout| layout.users.len())?;
    let missed: Vec<&Layout> = layouts.iter().filter(|l| l.location != now).collect();
    if missed.is_empty() {
        return None;
    }
    let found: Vec<String> = layouts
        .iter()
        .map(|layout| format!("`{}` for {}", layout.location, named(layout.users.iter())))
        .collect();
    let found = found.join("; ");
    let intro = format!("the source has no mail_location, and Dovecot finds there {found}");
    if let [only] = &layouts[..] {
        let what = format!("{intro}; the target looks in `{now}`");
        let lines = lines(pair, &only.location, &now, within);
        return Some(Finding::breaks(Sibling::MailLocation, what, lines));
    }
    let what = format!(
        "{intro}; one setting cannot serve them all: these lines are for most of them and name a \
         file with the others, one line each (`{}`); write {} once that is done",
        override_line(pair, layouts, most),
        "`dovecot: { accept: [mail_location] }`"
    );
    let mut mended = lines(pair, &most.location, &now, within);
    mended.extend(overrides(pair.version()));
    Some(Finding::breaks(Sibling::MailLocation, what, mended))
}

/// The file of exceptions.
const EXCEPTIONS: &str = "/etc/dovecot/mail-locations";

/// A user database that knows nothing but the exceptions and lets the next one go on.
fn overrides(version: Version) -> Vec<String> {
    let lines: &[&str] = match version {
        Version::V2_4 => &[
            "userdb passwd-file {",
            "  passwd_file_path = ",
            "  result_success = continue-ok",
            "  result_failure = continue",
            "}",
        ],
        Version::V2_3 | Version::Absent => &[
            "userdb {",
            "  driver = passwd-file",
            "  args = ",
            "  result_success = continue-ok",
            "  result_failure = continue",
            "}",
        ],
    };
    let with_file = |line: &&str| match line.strip_suffix("= ") {
        Some(start) => format!("{start}= {EXCEPTIONS}"),
        None => (*line).to_owned(),
    };
    lines.iter().map(with_file).collect()
}

/// The line of the first exception.
fn override_line(pair: &Pair<'_>, layouts: &[Layout], most: &Layout) -> String {
    let other = layouts.iter().find(|layout| *layout != most);
    let Some((location, user)) =
        other.and_then(|layout| Some((&layout.location, layout.users.first()?)))
    else {
        return String::new();
    };
    line_for(user, location, pair)
}

fn line_for(user: &UserName, location: &Location, pair: &Pair<'_>) -> String {
    let lines = location.lines(&Location::default(), pair.version(), &pair.spool());
    let fields = lines.iter().map(|line| {
        let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
        let name = match pair.version() {
            Version::V2_4 => name,
            Version::V2_3 | Version::Absent => "mail",
        };
        // Colons separate the fields of the file, but not within the last one.
        format!("userdb_{name}={value}")
    });
    let fields: Vec<String> = fields.collect();
    format!("{user}:::::::{}", fields.join(" "))
}
