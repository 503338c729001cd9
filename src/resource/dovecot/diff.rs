//! Comparing with the manifest, and how the change is shown. Pure.

use std::collections::BTreeSet;

use super::settings::{Ssl, namespace};
use super::tls::Program;
use super::trial::Mailbox;
use super::{
    Actual, Effect, HostDovecot, Problem, ReadBy, Running, Version, compare, drop_in, tls,
};
use crate::host::HostState;
use crate::manifest::{Manifest, UidlFormat};
use crate::names::Side;
use crate::plan::change::{FileEdit, UidlDropIn};
use crate::plan::render::{Row, Sign};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Receipt;
use crate::resource::accounts::Resolved;
use crate::resource::edit;
use crate::uidl::{Format, Syntax};

fn resource() -> Resource {
    Resource::Dovecot("uidl_format".to_owned())
}

/// What must be done so that POP3 clients see the UIDLs that they know.
pub fn diff(
    manifest: &Manifest,
    actual: &Actual,
    resolved: &Resolved,
    receipt: Option<&Receipt>,
) -> Draft {
    let mut draft = Draft::default();
    if let Some(source) = &actual.source {
        describe(&mut draft, Side::Source, source);
    }
    describe(&mut draft, Side::Target, &actual.target);
    contradiction(&mut draft, manifest, actual, receipt);
    // Later the source's settings count no more than its mail.
    if receipt.is_none_or(|receipt| receipt.authority == Side::Source) {
        let uidl = served(actual).and_then(|(syntax, text)| Format::parse(text, syntax).ok());
        compare::compare(&mut draft, manifest, actual, &resolved.users, uidl);
    }
    match desired(manifest, actual, receipt) {
        Ok(Some(wanted)) => enforce(&mut draft, actual, wanted),
        Ok(None) => {
            draft.note(
                resource(),
                Level::Info,
                "no UIDL format was recorded at the cutover",
            );
            draft.settled.insert(Fact::UidlEnforced);
        }
        Err(problem) => draft.block(resource(), Obstacle::Dovecot { problem }),
    }
    draft
}

/// The format that clients know, in the target's own syntax, for the record of the hand-over; `None`
/// where there is none or it cannot be had.
pub fn wanted(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Option<String> {
    desired(manifest, actual, receipt).ok().flatten()
}

/// The format that the source serves, and its syntax.
fn served(actual: &Actual) -> Option<(Syntax, &str)> {
    let source = actual.source.as_ref()?;
    source.version.syntax().zip(source.uidl_format.as_deref())
}

/// Says who read what.
fn describe(draft: &mut Draft, side: Side, host: &HostDovecot) {
    let Some(format) = &host.uidl_format else {
        return;
    };
    let version = match host.version {
        Version::Absent => return,
        Version::V2_3 => "2.3 or before",
        Version::V2_4 => "2.4",
    };
    let reader = match host.read_by {
        ReadBy::Doveconf => "doveconf",
        ReadBy::OwnReader => "reconcile's own reader",
    };
    draft.note(
        resource(),
        Level::Info,
        format!(
            "the {side} serves {format}, read by {reader} (Dovecot {version}; {})",
            host.evidence
        ),
    );
    for text in tls::notes(side, &host.certificates) {
        draft.note(Resource::Dovecot("tls".to_owned()), Level::Info, text);
    }
    for doubt in &host.doubts {
        draft.note(
            resource(),
            Level::Warning,
            format!("on the {side}: {doubt}"),
        );
    }
}

/// A format of the manifest is right where the source's cannot be had; where it can, and is another
/// one, its clients would download everything again.
fn contradiction(
    draft: &mut Draft,
    manifest: &Manifest,
    actual: &Actual,
    receipt: Option<&Receipt>,
) {
    let handed_over = receipt.is_some_and(|receipt| receipt.authority == Side::Target);
    let (UidlFormat::Literal(text), Some(source), false) =
        (&manifest.dovecot.uidl_format, &actual.source, handed_over)
    else {
        return;
    };
    let Some((syntax, serves)) = source.version.syntax().zip(source.uidl_format.as_deref()) else {
        return;
    };
    let written = Format::parse(text, Syntax::guess(text));
    if text != serves && written != Format::parse(serves, syntax) {
        let text = format!(
            "dovecot.uidl_format is {text}, but the source serves {serves}: POP3 clients of the \
             source would download every message again; write `uidl_format: source` unless you \
             know better"
        );
        draft.note(resource(), Level::Warning, text);
    }
}

/// The format to enforce, in the target's syntax; `None` if the cutover recorded none.
fn desired(
    manifest: &Manifest,
    actual: &Actual,
    receipt: Option<&Receipt>,
) -> Result<Option<String>, Problem> {
    let target = actual
        .target
        .version
        .syntax()
        .ok_or(Problem::TargetWithoutDovecot)?;
    if let UidlFormat::Literal(text) = &manifest.dovecot.uidl_format {
        return express(text, Syntax::guess(text), target, None).map(Some);
    }
    match (receipt, &actual.source) {
        (Some(receipt), _) if receipt.authority == Side::Target => recorded(receipt, target),
        (_, Some(source)) => {
            let served = source.version.syntax().zip(source.uidl_format.as_deref());
            let (syntax, text) = served.ok_or(Problem::SourceWithoutDovecot)?;
            express(text, syntax, target, Some(Side::Source)).map(Some)
        }
        (Some(receipt), None) if receipt.uidl_format.is_some() => recorded(receipt, target),
        (_, None) => Err(Problem::SourceOutOfReach),
    }
}

/// The format of the receipt. The target's Dovecot may have been upgraded since it was written.
fn recorded(receipt: &Receipt, target: Syntax) -> Result<Option<String>, Problem> {
    receipt
        .uidl_format
        .as_deref()
        .map(|text| express(text, Syntax::guess(text), target, Some(Side::Target)))
        .transpose()
}

/// A format in the target's syntax. What is in that syntax already needs no translation.
fn express(
    text: &str,
    syntax: Syntax,
    target: Syntax,
    served_by: Option<Side>,
) -> Result<String, Problem> {
    match Format::parse(text, syntax) {
        Ok(_) if syntax == target => Ok(text.to_owned()),
        Ok(format) => Ok(format.to(target)),
        Err(error) if syntax == target && !error.is_refused_by_dovecot() => Ok(text.to_owned()),
        Err(error) => Err(Problem::NoTranslation {
            format: text.to_owned(),
            served_by,
            reason: error.to_string(),
        }),
    }
}

/// Whether two formats of the same syntax give the same UIDLs.
fn same(one: &str, other: &str, syntax: Syntax) -> bool {
    let meaning = |text: &str| Format::parse(text, syntax);
    one == other || matches!((meaning(one), meaning(other)), (Ok(a), Ok(b)) if a == b)
}

fn enforce(draft: &mut Draft, actual: &Actual, wanted: String) {
    let serves = actual.target.uidl_format.as_deref();
    let settled = actual
        .target
        .version
        .syntax()
        .zip(serves)
        .is_some_and(|(syntax, serves)| same(serves, &wanted, syntax));
    if settled {
        draft.settled.insert(Fact::UidlEnforced);
        return;
    }
    let problem = match &actual.drop_in.effect {
        Effect::Effective => None,
        Effect::NotIncluded { main } => Some(Problem::NotIncluded { main: main.clone() }),
        Effect::Beaten { by } => Some(Problem::Beaten { by: by.clone() }),
    };
    if let Some(problem) = problem {
        draft.block(resource(), Obstacle::Dovecot { problem });
        return;
    }
    let edit = edit::between(
        &drop_in::path(),
        actual.drop_in.content.as_deref(),
        &drop_in::render(&wanted),
        0o644,
    );
    let target = &actual.target;
    let change = match target.state {
        HostState::Offline => Change::EditFile(edit),
        HostState::Live => Change::EnforceUidl(live(target, edit, wanted.clone())),
    };
    // A Dovecot that runs shows its clients the other format from the reload on.
    let (risk, undo) = (
        Risk::Safe,
        Undo::Manual(format!("remove {} on the target", drop_in::PATH)),
    );
    draft.actions.push(Action {
        id: ActionId("dovecot/uidl_format/enforce".to_owned()),
        change,
        because: Reason::UidlDiffers {
            serves: serves.map(str::to_owned),
            wanted,
        },
        needs: BTreeSet::new(),
        gives: BTreeSet::from([Fact::UidlEnforced]),
        risk: match target.running {
            Running::Yes => Risk::ServiceVisible,
            Running::No => risk,
        },
        undo,
    });
}

fn live(target: &HostDovecot, edit: FileEdit, format: String) -> UidlDropIn {
    let driver = target.settings.as_ref().map(|settings| {
        let (_, inbox) = namespace::of_inbox(&settings.namespaces);
        inbox.location(&settings.location).driver.clone()
    });
    let uses_tls = target
        .settings
        .as_ref()
        .is_some_and(|settings| settings.access.ssl != Ssl::No);
    let shown = target
        .certificates
        .iter()
        .filter(|shown| uses_tls && shown.by == Program::Dovecot);
    UidlDropIn {
        edit,
        format,
        version: target.version,
        mailbox: Mailbox::of(&driver.unwrap_or_default()),
        files: shown
            .flat_map(|shown| [Some(shown.file.clone()), shown.key_file.clone()])
            .flatten()
            .collect(),
        running: target.running,
    }
}

/// The change for people.
pub fn rows(edit: &FileEdit) -> Vec<Row> {
    vec![Row {
        sign: match edit.before {
            None => Sign::Create,
            Some(_) => Sign::Update,
        },
        resource: resource(),
        title: edit.path.to_string(),
        details: edit.diff.lines().map(str::to_owned).collect(),
    }]
}

/// The same on a live host: what is done besides.
pub fn live_rows(drop_in: &UidlDropIn) -> Vec<Row> {
    let mut rows = rows(&drop_in.edit);
    if let Some(row) = rows.last_mut() {
        let first = "first tried in a private instance without listeners, on a mailbox of its own";
        row.details.push(first.to_owned());
        if drop_in.running == Running::Yes {
            let then = "then the running Dovecot reads its configuration again";
            row.details.push(then.to_owned());
        }
    }
    rows
}

/// What the target serves once the edit is made.
///
/// # Panics
/// When the edit was not planned on this `actual`.
pub fn predict(actual: &mut Actual, edit: &FileEdit) {
    let before = actual.drop_in.content.as_deref();
    let after = edit::apply(edit, before).expect("the edit was planned on this drop-in");
    if let Some(format) = drop_in::format_in(&after) {
        actual.target.uidl_format = Some(format);
    }
    actual.drop_in.content = Some(after);
}

#[cfg(test)]
mod tests;
