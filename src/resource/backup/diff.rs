//! What the backup is, against what it has to be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::observe::{UNREAD, asked_at};
use super::{Actual, Known, Problem, Says, Seen, directory, parameters, primary};
use crate::host::Command;
use crate::manifest::{BackupMx, Manifest, Mx, Source};
use crate::names::{Side, UserName};
use crate::plan::backup::{BackupAsking, BackupDrain, BackupSetup, BackupState};
use crate::plan::change::FileEdit;
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::resource::edit::between;
use crate::resource::mx;

/// Longer than mail stands still, a backup keeps it for so many seconds at least.
const SPARE: u64 = 3600;

/// For how long a queue is watched while it drains, in seconds.
const DRAINS_WITHIN: u64 = 120;

/// What is to be done to the backup. `users`: people of the domain.
pub fn diff(
    manifest: &Manifest,
    actual: &Actual,
    zone: &mx::Actual,
    users: &BTreeSet<UserName>,
    receipt: Option<&Receipt>,
) -> Draft {
    let mut draft = Draft::default();
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    let weight = if mx::is_cutover(manifest, authority) {
        Weight::Blocks
    } else {
        Weight::Warns
    };
    let recorded = receipt.and_then(|receipt| receipt.backup.as_ref());
    let wanted = manifest.mx.as_ref();
    match (
        wanted.and_then(|mx| Some((mx, mx.backup.as_ref()?))),
        recorded,
    ) {
        (None, None) => {}
        (None, Some(host)) => removed(manifest, actual, host, &mut draft),
        (Some((_, backup)), Some(host)) if backup.source().host != host.host => {
            let host = host.host.to_string();
            block(&mut draft, Problem::Another { host });
        }
        (Some(wanted), _) => {
            set_up(
                manifest,
                wanted,
                (actual, zone),
                users,
                (authority, weight),
                &mut draft,
            );
        }
    }
    draft
}

fn block(draft: &mut Draft, problem: Problem) {
    draft.block(Resource::Backup, Obstacle::Backup { problem });
}

/// What a problem does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// It is in the way of a cutover.
    Blocks,
    /// It is told: staging goes on, and a way back waits for nobody.
    Warns,
}

fn removed(manifest: &Manifest, actual: &Actual, host: &Source, draft: &mut Draft) {
    let directory = directory(&manifest.name);
    let Some(seen) = &actual.host else {
        let why = actual
            .out_of_reach
            .as_deref()
            .unwrap_or("it was not looked at");
        let text = format!(
            "{} was the backup and still is set up, and is out of reach ({why}): plan again when it is back. \
             By hand, take what names {directory} out of its main.cf",
            host.host
        );
        draft.note(Resource::Backup, Level::Warning, text);
        return;
    };
    let left = parameters::without(&seen.written, &seen.defaults, &directory.to_string());
    let (set, unset) = left.into_iter().fold(
        (BTreeMap::new(), Vec::new()),
        |(mut set, mut unset), (name, value)| {
            match value {
                Some(value) => drop(set.insert(name, value)),
                None => unset.push(name),
            }
            (set, unset)
        },
    );
    let mut commands = Vec::new();
    if !set.is_empty() {
        commands.push(Command::SetPostfix(set));
    }
    if !unset.is_empty() {
        commands.push(Command::UnsetPostfix(unset));
    }
    let files = seen.files.keys().filter(|name| *name != UNREAD);
    let remove = files.map(|name| directory.join(name)).collect();
    push(
        draft,
        BackupSetup {
            host: host.clone(),
            to: BackupState::Removed,
            undo: undo(seen, &commands),
            directory,
            files: Vec::new(),
            parameters: commands,
            remove,
            ask: None,
        },
    );
}

/// What brings back the parameters that commands change.
fn undo(seen: &Seen, commands: &[Command]) -> Vec<Command> {
    let names = commands.iter().flat_map(|command| match command {
        Command::SetPostfix(values) => values.keys().cloned().collect(),
        Command::UnsetPostfix(names) => names.clone(),
        _ => Vec::new(),
    });
    let (mut set, mut unset) = (BTreeMap::new(), Vec::new());
    for name in names {
        match seen.written.get(&name) {
            Some(value) => drop(set.insert(name, value.clone())),
            None => unset.push(name),
        }
    }
    let mut undo = Vec::new();
    if !set.is_empty() {
        undo.push(Command::SetPostfix(set));
    }
    if !unset.is_empty() {
        undo.push(Command::UnsetPostfix(unset));
    }
    undo
}

fn push(draft: &mut Draft, setup: BackupSetup) {
    let (id, because, gives) = match setup.to {
        BackupState::SetUp => (
            "mx/backup/set-up",
            Reason::BackupDiffers,
            Some(Fact::BackupReady),
        ),
        BackupState::Removed => ("mx/backup/remove", Reason::BackupGone, None),
    };
    draft.actions.push(Action {
        id: ActionId(id.to_owned()),
        change: Change::SetUpBackup(setup),
        because,
        needs: BTreeSet::new(),
        gives: gives.into_iter().collect(),
        risk: Risk::Safe,
        undo: Undo::Manual("take mx.backup out of the manifest and apply".to_owned()),
    });
}

fn set_up(
    manifest: &Manifest,
    (mx, backup): (&Mx, &BackupMx),
    (actual, zone): (&Actual, &mx::Actual),
    users: &BTreeSet<UserName>,
    (authority, weight): (Side, Weight),
    draft: &mut Draft,
) {
    let tell = |problem: Problem, draft: &mut Draft| match weight {
        Weight::Blocks => block(draft, problem),
        Weight::Warns => draft.note(Resource::Backup, Level::Warning, problem.to_string()),
    };
    let Some(seen) = &actual.host else {
        let problem = match &actual.out_of_reach {
            Some(why) => Problem::OutOfReach { why: why.clone() },
            None => Problem::NotSeen,
        };
        tell(problem, draft);
        return;
    };
    let mut problems = of_postfix(manifest, mx, seen);
    if !actual.known.unlisted.is_empty() && backup.recipients.is_empty() {
        let tables = joined(&actual.known.unlisted);
        problems.push(Problem::Recipients { tables });
    }
    let kept = Former::of(authority);
    let wanted = wanted(manifest, (mx, backup), actual, seen, users, kept);
    if wanted.is_none() {
        problems.push(Problem::NoPrimary);
    }
    let ask = asking(manifest, actual, zone, users, authority);
    let everybody = takes_all((mx, actual), seen, kept);
    let setup = wanted.and_then(|files| change((manifest, backup), seen, &files, ask));
    problems.extend(of_talk(seen, setup.is_none(), everybody));
    if let Some(text) = seen.untold().filter(|_| !seen.values.is_empty()) {
        draft.note(Resource::Backup, Level::Warning, text);
    }
    let sound = problems.is_empty();
    // Senders do not know it yet, which keeps nobody from setting it up.
    let record = mx::missing_record(manifest, zone, &seen.addresses);
    problems.extend(record.map(|record| Problem::NotInZone { record }));
    for problem in problems {
        tell(problem, draft);
    }
    match setup {
        Some(setup) if sound => push(draft, setup),
        Some(_) => {}
        None => drop(draft.settled.insert(Fact::BackupReady)),
    }
}

/// What keeps a Postfix from being a backup.
fn of_postfix(manifest: &Manifest, mx: &Mx, seen: &Seen) -> Vec<Problem> {
    let mut problems = Vec::new();
    if seen.values.is_empty() {
        return vec![Problem::NoPostfix];
    }
    let value = |name: &str| seen.values.get(name).map_or("", String::as_str);
    for parameter in parameters::LOCAL {
        let words = parameters::words(value(parameter));
        let named = words
            .iter()
            .any(|word| word.eq_ignore_ascii_case(&mx.domain));
        if named || seen.local.contains(parameter) {
            problems.push(Problem::Local {
                parameter: parameter.to_owned(),
                domain: mx.domain.clone(),
            });
        }
    }
    let listens = value("inet_interfaces");
    let loopback = ["loopback-only", "localhost", "127.0.0.1"];
    if loopback.contains(&listens) {
        let listens = listens.to_owned();
        problems.push(Problem::NotListening { listens });
    }
    let lifetime = value("maximal_queue_lifetime");
    let needed = mx::window(manifest) + SPARE;
    if seconds(lifetime).is_some_and(|seconds| seconds < needed) {
        let lifetime = lifetime.to_owned();
        problems.push(Problem::Lifetime { lifetime, needed });
    }
    for parameter in ["smtpd_recipient_restrictions", "smtpd_relay_restrictions"] {
        if value(parameter).contains("reject_unverified_recipient") {
            let parameter = parameter.to_owned();
            problems.push(Problem::Verifies { parameter });
        }
    }
    if takes_everybody(manifest, seen) && !seen.unlisted.is_empty() {
        let tables = joined(&seen.unlisted);
        problems.push(Problem::Unlisted { tables });
    }
    problems
}

/// Without a table of recipients, everybody of the domains that are relayed for is taken.
fn takes_everybody(manifest: &Manifest, seen: &Seen) -> bool {
    let maps = seen
        .values
        .get("relay_recipient_maps")
        .map_or("", String::as_str);
    parameters::others(maps, &directory(&manifest.name).to_string()).is_empty()
}

/// What is wrong with the answers of a backup that is set up.
pub fn refuses(seen: &Seen, asking: &BackupAsking) -> Vec<Problem> {
    of_talk(seen, true, asking.everybody)
}

/// What the answers to recipients show; whether the tables are in place is told, and whether they name
/// everybody.
fn of_talk(seen: &Seen, in_place: bool, everybody: bool) -> Vec<Problem> {
    if let Some(why) = &seen.silent {
        return vec![Problem::Silent { why: why.clone() }];
    }
    let Some(Says {
        known,
        unknown,
        foreign,
    }) = seen.says
    else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    let takes = |code: u16| (200..300).contains(&code);
    if takes(foreign) {
        problems.push(Problem::OpenRelay);
    } else if in_place {
        if takes(unknown) && !everybody {
            problems.push(Problem::TakesUnknown);
        }
        if !takes(known) {
            problems.push(Problem::RefusesKnown { code: known });
        }
    }
    problems
}

/// A time of postconf(5), whose unit is a day here; `None` for one that is not understood.
fn seconds(time: &str) -> Option<u64> {
    let digits = time.trim_end_matches(char::is_alphabetic);
    let unit = match &time[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" | "" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? * unit)
}

fn joined(all: &BTreeSet<String>) -> String {
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    all.join(", ")
}

/// The tables; `None` without an address that mail goes to.
fn wanted(
    manifest: &Manifest,
    (mx, backup): (&Mx, &BackupMx),
    actual: &Actual,
    seen: &Seen,
    users: &BTreeSet<UserName>,
    kept: Former,
) -> Option<BTreeMap<&'static str, String>> {
    let primary = primary(manifest)?;
    let domain = mx.domain.to_ascii_lowercase();
    let head = format!(
        "# Of the migration {} by reconcile, which writes it anew.\n",
        manifest.name
    );
    let hop = if primary.is_ipv4() {
        format!("relay:[{primary}]")
    } else {
        format!("relay:[ipv6:{primary}]")
    };
    let mut names = names(backup, &actual.known, users);
    names.extend(kept.names(seen, &domain));
    let mut lines = String::new();
    for name in &names {
        lines.extend([name.as_str(), "@", domain.as_str(), " OK\n"]);
    }
    let mut files = BTreeMap::from([
        ("domains", format!("{head}{domain} OK\n")),
        ("transport", format!("{head}{domain} {hop}\n")),
        ("recipients", format!("{head}{lines}")),
    ]);
    let mut patterns = patterns(manifest, (&domain, &names), &actual.known, seen);
    let more: Vec<&str> = kept.lines(seen, "patterns").collect();
    for line in more {
        if !patterns.lines().any(|one| one == line) {
            patterns.push_str(line);
            patterns.push('\n');
        }
    }
    if !patterns.is_empty() {
        files.insert("patterns", format!("{head}{patterns}"));
    }
    Some(files)
}

/// What becomes of recipients that the serving host does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Former {
    /// They are refused.
    Dropped,
    /// What was taken before a hand-over is taken still: it may be on its way.
    Kept,
}

impl Former {
    fn of(authority: Side) -> Self {
        match authority {
            Side::Source => Self::Dropped,
            Side::Target => Self::Kept,
        }
    }

    /// The lines of a table as it is.
    fn lines<'a>(self, seen: &'a Seen, file: &str) -> impl Iterator<Item = &'a str> {
        let text = seen.files.get(file).filter(|_| self == Self::Kept);
        let lines = text.into_iter().flat_map(|text| text.lines());
        lines.filter(|line| !line.starts_with('#') && !line.is_empty())
    }

    /// The names in the table of recipients as it is.
    fn names(self, seen: &Seen, domain: &str) -> BTreeSet<String> {
        let keys = self
            .lines(seen, "recipients")
            .filter_map(|line| line.split(' ').next());
        let names = keys.filter_map(|key| key.strip_suffix(domain)?.strip_suffix('@'));
        names.map(str::to_owned).collect()
    }
}

/// Local parts that the backup takes mail for, in lower case.
fn names(backup: &BackupMx, known: &Known, users: &BTreeSet<UserName>) -> BTreeSet<String> {
    let users = users
        .iter()
        .filter_map(|user| std::str::from_utf8(user.as_bytes()).ok());
    // RFC 5321, 4.5.1; and who gets what cron says.
    let always = ["postmaster", "root"].into_iter();
    let all = users.map(str::to_ascii_lowercase);
    let all = all.chain(always.map(str::to_owned));
    let all = all.chain(
        backup
            .recipients
            .iter()
            .map(|name| name.to_ascii_lowercase()),
    );
    all.chain(known.names.iter().cloned())
        .filter(|name| is_sayable(name))
        .collect()
}

/// Whether a name can be in the table.
fn is_sayable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('#')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>@[\\]".contains(&byte))
}

/// The pattern that is everybody in a domain.
fn everybody(domain: &str) -> String {
    format!("/@{}$/ OK", quoted(domain))
}

/// Whether the tables are to name everybody in the domain.
fn takes_all((mx, actual): (&Mx, &Actual), seen: &Seen, kept: Former) -> bool {
    let line = everybody(&mx.domain.to_ascii_lowercase());
    actual.known.everybody || kept.lines(seen, "patterns").any(|one| one == line)
}

/// What no list of recipients can say: `regexp_table(5)`.
fn patterns(
    manifest: &Manifest,
    (domain, names): (&str, &BTreeSet<String>),
    known: &Known,
    seen: &Seen,
) -> String {
    let mut lines = Vec::new();
    if known.everybody {
        lines.push(format!("{}\n", everybody(domain)));
    }
    let own = seen
        .values
        .get("recipient_delimiter")
        .map_or("", String::as_str);
    let missing = known
        .delimiter
        .chars()
        .filter(|letter| !own.contains(*letter));
    for letter in missing {
        let letter = quoted(&letter.to_string());
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        lines.push(format!(
            "/^({}){letter}.*@{}$/ OK\n",
            names.join("|"),
            quoted(domain)
        ));
    }
    if takes_everybody(manifest, seen) {
        let others = seen.others.iter().filter(|other| *other != domain);
        lines.extend(others.map(|other| format!("/[@.]{}$/ OK\n", quoted(other))));
    }
    lines.concat()
}

/// Text that stands for itself in an extended regular expression.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for letter in text.chars() {
        if !letter.is_ascii_alphanumeric() && !"-_@".contains(letter) {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}

/// What is to be done; nothing if all is in place.
fn change(
    (manifest, backup): (&Manifest, &BackupMx),
    seen: &Seen,
    files: &BTreeMap<&'static str, String>,
    ask: Option<BackupAsking>,
) -> Option<BackupSetup> {
    let directory = directory(&manifest.name);
    let edit = |(name, text): (&&'static str, &String)| -> Option<FileEdit> {
        let before = seen.files.get(*name);
        (before != Some(text)).then(|| {
            between(
                &directory.join(name),
                before.map(String::as_str),
                text,
                0o644,
            )
        })
    };
    let edits: Vec<FileEdit> = files.iter().filter_map(edit).collect();
    let present: Vec<&str> = files.keys().copied().collect();
    let set = parameters::with(
        &seen.written,
        &seen.defaults,
        &directory.to_string(),
        &present,
    );
    let stray = |name: &&String| !files.contains_key(name.as_str()) && *name != UNREAD;
    let remove: Vec<HostPath> = seen
        .files
        .keys()
        .filter(stray)
        .map(|name| directory.join(name))
        .collect();
    let unread = seen.files.contains_key(UNREAD);
    if edits.is_empty() && set.is_empty() && remove.is_empty() && !unread {
        return None;
    }
    let parameters = if set.is_empty() {
        Vec::new()
    } else {
        vec![Command::SetPostfix(set)]
    };
    Some(BackupSetup {
        host: backup.source(),
        to: BackupState::SetUp,
        undo: undo(seen, &parameters),
        directory,
        files: edits,
        parameters,
        remove,
        ask,
    })
}

/// How the backup is asked; `None` without one, or where it cannot be.
pub fn asking(
    manifest: &Manifest,
    actual: &Actual,
    zone: &mx::Actual,
    users: &BTreeSet<UserName>,
    authority: Side,
) -> Option<BackupAsking> {
    let seen = actual.host.as_ref()?;
    let mx = manifest.mx.as_ref()?;
    let backup = mx.backup.as_ref()?;
    Some(BackupAsking {
        everybody: takes_all((mx, actual), seen, Former::of(authority)),
        ..question((mx, backup), asked_at(zone, seen)?, users)
    })
}

/// Asks for a user of the domain, or for `root`, whom the tables always name.
pub(super) fn question<'a>(
    (mx, backup): (&Mx, &BackupMx),
    at: IpAddr,
    users: impl IntoIterator<Item = &'a UserName>,
) -> BackupAsking {
    let mut users = users.into_iter();
    let known = users.find(|user| std::str::from_utf8(user.as_bytes()).is_ok_and(is_sayable));
    BackupAsking {
        host: backup.host.to_string(),
        domain: mx.domain.clone(),
        at,
        known: known.cloned().unwrap_or_else(|| UserName::from("root")),
        everybody: false,
    }
}

/// How its queue is brought over after a hand-over; `None` without one.
pub fn draining(manifest: &Manifest, actual: &Actual) -> Option<BackupDrain> {
    actual.host.as_ref()?;
    let mx = manifest.mx.as_ref()?;
    let backup = mx.backup.as_ref()?;
    Some(BackupDrain {
        host: backup.host.to_string(),
        domain: mx.domain.clone(),
        within: DRAINS_WITHIN,
    })
}
