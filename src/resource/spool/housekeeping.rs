//! Old messages that leave the INBOX for a folder, by the Dovecot that serves them.
//!
//! Only on the target, and only while its mail counts and stays there: the source's mail is never
//! changed, a copy must stay one, and what is on its way back is left alone. A message is old by the
//! date on which it was received, which a migration keeps. What is flagged or deleted stays in any case.
//! What nobody has read stays unless the manifest says otherwise: a POP3 client that fetches a message
//! marks it as read, so an unread one may still have to be fetched.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::begun::Begun;
use super::measure::{OldMessage, Quota, Usage, measure};
use super::uids;
use super::volumes::Volumes;
use crate::error::{Kind, Result, chain};
use crate::host::{HostState, ReadHost};
use crate::manifest::{Housekeeping, Manifest, Unread};
use crate::names::{Side, UserName};
use crate::plan::change::MessageMove;
use crate::plan::render::{Row, Sign};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::report::{counted, size};
use crate::resource::{as_path, patterns};

/// The old messages of INBOXes on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Old {
    /// What was received before this is old: a midnight, so that every plan of a day is the same.
    pub before: Timestamp,
    /// Why nobody's INBOX could be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
    /// Who has any.
    #[serde(default)]
    pub users: BTreeMap<UserName, OldMail>,
    /// Whose move a run that died left half-done.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub begun: BTreeSet<UserName>,
    /// Bytes that are free, by a directory of each file system that folders are on.
    #[serde(default)]
    pub room: BTreeMap<HostPath, u64>,
}

/// One user's old messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OldMail {
    /// UIDVALIDITY of the INBOX.
    pub uidvalidity: u32,
    /// Messages that somebody has read.
    #[serde(default)]
    pub read: Group,
    /// Messages that nobody has.
    #[serde(default)]
    pub unread: Group,
    /// How many are flagged or deleted.
    #[serde(default)]
    pub kept: u64,
    /// The INBOX, and the directory of the folders.
    pub paths: [HostPath; 2],
    /// The file system of the folders, as in [`Old::room`].
    pub volume: HostPath,
    /// What Dovecot's quota says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
}

/// Some messages of an INBOX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Their UIDs, ascending.
    pub uids: Vec<u32>,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Group {
    fn add(&mut self, message: &OldMessage) {
        self.uids.push(message.uid);
        self.bytes += message.bytes;
    }

    fn messages(&self) -> u64 {
        self.uids.len() as u64
    }
}

/// Whether messages are moved now, as far as manifest and receipt tell.
fn wanted(manifest: &Manifest, authority: Side) -> Option<&Housekeeping> {
    let housekeeping = manifest.spool.as_ref()?.housekeeping.as_ref()?;
    let stays = authority == Side::Target && manifest.serve_from == Side::Target;
    (stays && manifest.target.host.is_live()).then_some(housekeeping)
}

/// Looks at the INBOXes of a target that serves.
pub fn observe<'a>(
    manifest: &Manifest,
    target: &dyn ReadHost,
    receipt: Option<&Receipt>,
    users: impl Iterator<Item = &'a UserName>,
    now: Timestamp,
) -> Result<Option<Old>> {
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    let Some(housekeeping) = wanted(manifest, authority) else {
        return Ok(None);
    };
    if target.state() == HostState::Offline {
        return Ok(None);
    }
    let age = i64::try_from(housekeeping.move_older_than.seconds).unwrap_or(i64::MAX);

    let then = now.saturating_sub(SignedDuration::from_secs(age));
    let date = TimeZone::UTC
        .to_datetime(then.unwrap_or(Timestamp::MIN))
        .date();
    let before = TimeZone::UTC
        .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        .unwrap_or(Timestamp::MIN);
    let mut old = Old {
        before,
        unable: None,
        users: BTreeMap::new(),
        begun: Begun::users(target, &manifest.name)?,
        room: BTreeMap::new(),
    };
    let exclude = patterns(&housekeeping.exclude);
    let users = users.filter(|user| !exclude.is_match(as_path(user)));
    // The server compares days of its own time zone; what is too much is left out here.
    let measured = match measure(target, users, date.tomorrow().ok()) {
        Ok(measured) => measured,
        Err(error) if error.kind() == Kind::Host => {
            old.unable = Some(chain(&error));
            return Ok(Some(old));
        }
        Err(error) => return Err(error),
    };
    let mut volumes = Volumes::default();
    for (user, usage) in measured.users {
        let Some(mut mail) = sorted(&usage, before) else {
            continue;
        };
        mail.volume = volumes.of(target, &usage.homes(&user))?.0;
        old.users.insert(user, mail);
    }
    old.room = volumes.free();
    Ok(Some(old))
}

/// A user's old messages by what becomes of them; `None` without any.
fn sorted(usage: &Usage, before: Timestamp) -> Option<OldMail> {
    let mut mail = OldMail {
        uidvalidity: usage.uidvalidity?,
        read: Group::default(),
        unread: Group::default(),
        kept: 0,
        paths: [usage.inbox_path.clone(), usage.root.clone()],
        volume: HostPath::default(),
        quotas: usage.quotas.clone(),
    };
    let old = usage.old.iter().filter(|message| message.received < before);
    for message in old {
        if message.flags.contains("\\Flagged") || message.flags.contains("\\Deleted") {
            mail.kept += 1;
        } else if message.flags.contains("\\Seen") {
            mail.read.add(message);
        } else {
            mail.unread.add(message);
        }
    }
    let some = mail.kept + mail.read.messages() + mail.unread.messages() > 0;
    some.then_some(mail)
}

/// What is moved, and what is in the way.
pub fn diff(manifest: &Manifest, old: Option<&Old>, authority: Side) -> Draft {
    let mut draft = Draft::default();
    let asked = manifest
        .spool
        .as_ref()
        .and_then(|spool| spool.housekeeping.as_ref());
    if asked.is_none() {
        return draft;
    }
    let (Some(housekeeping), Some(old)) = (wanted(manifest, authority), old) else {
        draft.note(Resource::Migration, Level::Info, rests(manifest, authority));
        return draft;
    };
    if let Some(why) = &old.unable {
        let text = format!("spool.housekeeping: nobody's old messages are known: {why}");
        draft.note(Resource::Migration, Level::Warning, text);
    }
    let mut needed: BTreeMap<HostPath, u64> = BTreeMap::new();
    for (user, mail) in &old.users {
        let planned = planned(housekeeping, user, mail, old.before);
        if planned.messages == 0 {
            continue;
        }
        if over_quota(mail, planned.bytes) {
            let text = format!(
                "nothing is moved: messages are copied before they leave the INBOX, and the quota has \
                 no room for {} more; raise it, or add the user to spool.housekeeping.exclude",
                size(planned.bytes)
            );
            draft.note(Resource::Spool(user.clone()), Level::Warning, text);
            continue;
        }
        *needed.entry(mail.volume.clone()).or_default() += planned.bytes;
        draft.actions.push(action(planned, Reason::OldMessages));
    }
    for user in &old.begun {
        let again = |action: &&mut Action| Resource::of(action) == Resource::Spool(user.clone());
        if let Some(action) = draft.actions.iter_mut().find(again) {
            action.because = Reason::HalfDone;
        } else {
            let nothing = rest(user, housekeeping, old.before);
            draft.actions.push(action(nothing, Reason::HalfDone));
        }
    }
    room(&needed, old, &mut draft);
    notes(&mut draft);
    draft
}

/// Why nothing is moved now.
fn rests(manifest: &Manifest, authority: Side) -> &'static str {
    if !manifest.target.host.is_live() {
        "spool.housekeeping: nothing runs on a directory root, so nothing is moved there"
    } else if authority == Side::Source {
        "spool.housekeeping: begins when the target's mail counts; the source's mail is never changed"
    } else {
        "spool.housekeeping: rests while the mail goes back to the source"
    }
}

fn planned(
    housekeeping: &Housekeeping,
    user: &UserName,
    mail: &OldMail,
    before: Timestamp,
) -> MessageMove {
    let mut moved = mail.read.uids.clone();
    let mut planned = rest(user, housekeeping, before);
    planned.bytes = mail.read.bytes;
    planned.stay = mail.kept;
    match housekeeping.unread {
        Unread::Stay => planned.stay += mail.unread.messages(),
        Unread::Move => {
            moved.extend(&mail.unread.uids);
            planned.bytes += mail.unread.bytes;
            planned.unread = mail.unread.messages();
        }
    }
    moved.sort_unstable();
    planned.messages = moved.len() as u64;
    planned.uids = uids::write(&moved);
    planned.uidvalidity = mail.uidvalidity;
    planned.paths = mail.paths.to_vec();
    planned
}

/// The end of a move, and nothing new.
fn rest(user: &UserName, housekeeping: &Housekeeping, before: Timestamp) -> MessageMove {
    MessageMove {
        user: user.clone(),
        folder: housekeeping.to.clone(),
        before: before.strftime("%Y-%m-%d").to_string(),
        uidvalidity: 0,
        uids: String::new(),
        messages: 0,
        bytes: 0,
        unread: 0,
        stay: 0,
        paths: Vec::new(),
    }
}

fn action(planned: MessageMove, because: Reason) -> Action {
    let how = format!(
        "`doveadm move -u {} INBOX mailbox {} ...`; the messages get new UIDs",
        planned.user, planned.folder
    );
    Action {
        id: ActionId(format!("spool/{}/move", planned.user)),
        change: Change::MoveMessages(planned),
        because,
        needs: BTreeSet::from([Fact::Authority(Side::Target)]),
        gives: BTreeSet::new(),
        risk: Risk::ServiceVisible,
        undo: Undo::Manual(how),
    }
}

fn over_quota(mail: &OldMail, bytes: u64) -> bool {
    let over = |quota: &Quota| quota.used.saturating_add(bytes) > quota.limit;
    mail.quotas.iter().any(over)
}

/// Messages are copied before they leave the INBOX.
fn room(needed: &BTreeMap<HostPath, u64>, old: &Old, draft: &mut Draft) {
    for (directory, bytes) in needed {
        // Indexes grow too.
        let needed = bytes.saturating_add(bytes / 8);
        let free = old.room.get(directory).copied().unwrap_or(0);
        if free < needed {
            let problem = format!(
                "spool.housekeeping copies messages before they leave the INBOX: that takes {} in \
                 {directory} on the target, and {} are free; make room there, or raise \
                 move_older_than",
                size(needed),
                size(free)
            );
            draft.block(Resource::Migration, Obstacle::Migration { problem });
        }
    }
}

/// What POP3 clients lose sight of.
fn notes(draft: &mut Draft) {
    let moves = draft
        .actions
        .iter()
        .filter_map(|action| match &action.change {
            Change::MoveMessages(planned) => Some(planned),
            _ => None,
        });
    let (mut users, mut messages, mut unread) = (0, 0, 0);
    for planned in moves.filter(|planned| planned.messages > 0) {
        users += 1;
        messages += planned.messages;
        unread += planned.unread;
    }
    if messages == 0 {
        return;
    }
    let text = format!(
        "{} of {} leave what POP3 clients see, which is the INBOX alone; IMAP clients find them in the \
         folder",
        counted(messages, "message", "messages"),
        counted(users, "user", "users")
    );
    draft.note(Resource::Migration, Level::Info, text);
    if unread > 0 {
        let text = format!(
            "{} that would be moved, nobody has read: a POP3 client that has not fetched them never \
             will (spool.housekeeping.unread: move)",
            counted(unread, "message", "messages")
        );
        draft.note(Resource::Migration, Level::Warning, text);
    }
}

/// A move for people.
pub fn row(planned: &MessageMove) -> Row {
    let mut details = Vec::new();
    if planned.unread > 0 {
        details.push(format!("{} of them unread", planned.unread));
    }
    if planned.stay > 0 {
        details.push(format!(
            "{} as old left there: unread, flagged or deleted",
            counted(planned.stay, "message", "messages")
        ));
    }
    let title = if planned.messages == 0 {
        "end a move of messages that a run left half-done".to_owned()
    } else {
        format!(
            "move {} ({}) received before {} from INBOX to {}",
            counted(planned.messages, "message", "messages"),
            size(planned.bytes),
            planned.before,
            planned.folder
        )
    };
    Row {
        sign: Sign::Update,
        resource: Resource::Spool(planned.user.clone()),
        title,
        details,
    }
}

/// What is old after a move.
pub fn predict(old: &mut Old, planned: &MessageMove) {
    old.begun.remove(&planned.user);
    if let Some(mail) = old.users.get_mut(&planned.user) {
        mail.read = Group::default();
        if planned.unread > 0 {
            mail.unread = Group::default();
        }
    }
}
