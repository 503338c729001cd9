//! The target's settings against the source's, as clients would notice. Pure.
//!
//! What would break clients is an obstacle with the lines that mend it, in the target's own syntax;
//! what merely differs is a note. `dovecot.accept` of the manifest makes a note of an obstacle.

mod access;
mod ids;
mod location;
mod namespace;
mod simple;

use std::collections::{BTreeMap, BTreeSet};

use super::settings::{Access, Location};
use super::{Actual, HostDovecot, Problem, Settings, SpoolDir, Version, tls};
use crate::exposure::Loss;
use crate::manifest::{Manifest, Sibling};
use crate::names::{Side, UserName};
use crate::plan::{Draft, Level, Obstacle, Resource};
use crate::raw::HostPath;
use crate::resource::accounts::Chosen;
use crate::uidl::Format;

/// So many users are named; more are counted.
const NAMED: usize = 5;

/// All that is compared.
pub(super) struct Pair<'a> {
    pub(super) source: &'a HostDovecot,
    pub(super) target: &'a HostDovecot,
    /// The source's settings.
    pub(super) from: &'a Settings,
    /// The target's settings.
    pub(super) to: &'a Settings,
    pub(super) users: &'a BTreeMap<UserName, Chosen>,
    /// The format that clients know, where its meaning is known.
    pub(super) uidl: Option<Format>,
    /// The name that clients use.
    pub(super) hostname: Option<&'a str>,
}

impl Pair<'_> {
    fn version(&self) -> Version {
        self.target.version
    }

    /// The target's spool directory as it is written in settings.
    fn spool(&self) -> String {
        spool_path(self.target)
    }

    /// Where the source keeps mail, for people.
    fn source_location(&self, location: &Location) -> String {
        location.shown(&spool_path(self.source))
    }

    /// Where the target looks for it, for people.
    fn target_location(&self, location: &Location) -> String {
        location.shown(&self.spool())
    }

    fn spool_dir(&self) -> Option<&SpoolDir> {
        self.target.spool.as_ref()
    }
}

fn spool_path(host: &HostDovecot) -> String {
    let spool = host.spool.as_ref();
    spool.map_or_else(|| "/var/mail".to_owned(), |spool| spool.path.to_string())
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// Clients would break.
    Breaks {
        /// What the manifest calls it.
        setting: Sibling,
        /// What differs and what comes of it, a sentence without its end.
        what: String,
        /// The lines that mend it.
        lines: Vec<String>,
        /// The file for them, if they must not stand at the end of all.
        file: Option<HostPath>,
    },
    /// Clients hardly notice.
    Differs {
        /// Its name in the configuration.
        setting: String,
        level: Level,
        what: String,
    },
}

impl Finding {
    pub(super) fn breaks(setting: Sibling, what: impl Into<String>, lines: Vec<String>) -> Self {
        let what = what.into();
        Self::Breaks {
            setting,
            what,
            lines,
            file: None,
        }
    }

    fn info(setting: &str, what: impl Into<String>) -> Self {
        Self::noted(setting, Level::Info, what)
    }

    pub(super) fn warning(setting: &str, what: impl Into<String>) -> Self {
        Self::noted(setting, Level::Warning, what)
    }

    fn noted(setting: &str, level: Level, what: impl Into<String>) -> Self {
        Self::Differs {
            setting: setting.to_owned(),
            level,
            what: what.into(),
        }
    }
}

/// Adds to the draft what differs. Silent where a side could not be read.
pub(super) fn compare(
    draft: &mut Draft,
    manifest: &Manifest,
    actual: &Actual,
    users: &BTreeMap<UserName, Chosen>,
    uidl: Option<Format>,
) {
    let Some(source) = &actual.source else {
        return;
    };
    let target = &actual.target;
    let (Some(from), Some(to)) = (&source.settings, &target.settings) else {
        return;
    };
    let cutover = manifest.cutover.as_ref();
    let pair = Pair {
        source,
        target,
        from,
        to,
        users,
        uidl,
        hostname: cutover.and_then(|cutover| cutover.hostname.as_deref()),
    };
    let findings = [
        location::compare(&pair),
        namespace::compare(&pair),
        simple::compare(&pair),
        ids::compare(&pair),
        access::compare(&pair),
        tls::compare(&pair),
    ];
    let mut broken = BTreeSet::new();
    for finding in findings.into_iter().flatten() {
        match finding {
            Finding::Breaks { setting, .. } => {
                broken.insert(setting);
                report(draft, manifest, Side::Target, target, finding);
            }
            Finding::Differs { .. } => report(draft, manifest, Side::Target, target, finding),
        }
    }
    for setting in &manifest.dovecot.accept {
        if !broken.contains(setting) {
            let text = format!("dovecot.accept names {setting}, in which nothing would break");
            draft.note(resource(&setting.to_string()), Level::Info, text);
        }
    }
    if broken.is_empty() {
        let text = "mail location, namespaces, UIDLs, ids, access and certificates: the target \
                    serves clients as the source does";
        draft.note(resource("settings"), Level::Info, text);
    }
}

/// Adds to the draft what clients would miss on the source, to which a reverse goes back: only how they
/// get in, since what they remember is as it was before the cutover.
pub fn compare_back(draft: &mut Draft, manifest: &Manifest, actual: &Actual) {
    let Some((from, to)) = ways(actual, Side::Target) else {
        return;
    };
    let Some(source) = &actual.source else {
        return;
    };
    let way = access::Way {
        between: [Side::Target, Side::Source],
        from,
        to,
        new: source.version == Version::V2_4,
    };
    for finding in access::way_in(way) {
        report(draft, manifest, Side::Source, source, finding);
    }
}

/// How clients get in on the host that hands over, and on the other.
fn ways(actual: &Actual, from: Side) -> Option<(&Access, &Access)> {
    let source = &actual.source.as_ref()?.settings.as_ref()?.access;
    let target = &actual.target.settings.as_ref()?.access;
    Some(match from {
        Side::Source => (source, target),
        Side::Target => (target, source),
    })
}

/// What clients lose by a hand-over because the manifest accepts it.
pub fn losses(manifest: &Manifest, from: Side, actual: &Actual) -> BTreeSet<Loss> {
    let ways = ways(actual, from);
    ways.map_or_else(BTreeSet::new, |(from, to)| {
        access::losses(from, to, &manifest.dovecot.accept)
    })
}

/// The ports on which Dovecot on a side takes submissions, as an MTA does.
pub fn submission_ports(actual: &Actual, side: Side) -> BTreeSet<u16> {
    let ways = ways(actual, side);
    ways.map_or_else(BTreeSet::new, |(access, _)| access.submission.clone())
}

fn resource(setting: &str) -> Resource {
    Resource::Dovecot(setting.to_owned())
}

/// `side` takes over.
fn report(
    draft: &mut Draft,
    manifest: &Manifest,
    side: Side,
    host: &HostDovecot,
    finding: Finding,
) {
    match finding {
        Finding::Breaks {
            setting,
            what,
            lines,
            file,
        } => {
            let resource = resource(&setting.to_string());
            if manifest.dovecot.accept.contains(&setting) {
                let text = format!("accepted by dovecot.accept: {what}");
                draft.note(resource, Level::Warning, text);
                return;
            }
            let file = file.or_else(|| host.lines_go_to.clone());
            let file = file.unwrap_or_else(|| HostPath::from("/etc/dovecot/dovecot.conf"));
            let problem = Problem::Differs {
                side,
                setting,
                what,
                file,
                lines,
            };
            draft.block(resource, Obstacle::Dovecot { problem });
        }
        Finding::Differs {
            setting,
            level,
            what,
        } => draft.note(resource(&setting), level, what),
    }
}

/// `a, b and 3 more`.
pub(super) fn named<'a>(names: impl ExactSizeIterator<Item = &'a UserName>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<String> = names.take(NAMED).map(UserName::to_string).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `a, b`; `nothing` for nothing.
fn listed(words: &BTreeSet<String>) -> String {
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// A value for people.
fn shown(value: &str) -> String {
    if value.is_empty() {
        "empty".to_owned()
    } else {
        format!("`{value}`")
    }
}

/// A setting for POP3 sessions: a value in `protocol pop3` beats every global one.
fn for_pop3(line: &str) -> Vec<String> {
    vec![
        "protocol pop3 {".to_owned(),
        format!("  {line}"),
        "}".to_owned(),
    ]
}
