//! The plan as plain data: what differs, what will be done about it in which order, and why.
//!
//! Making a plan is [`crate::planner`]; ordering is [`graph`]; invariants are [`lint`]; showing it is
//! [`render`]. Nothing here does IO. Everything here may be posted in public: secrets are absent by
//! type (see [`crate::secret`]).

pub mod backup;
pub mod change;
pub mod graph;
pub mod hand_over;
pub mod lint;
pub mod reason;
pub mod render;
pub mod timer;

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::manifest::{HostAddress, Manifest};
use crate::names::{GroupName, Side, UserName};
pub use change::Change;
use change::{ServiceHold, ServiceRelease};
pub use reason::{Obstacle, Reason};

/// Version of the plan's JSON form.
pub const PLAN_VERSION: u32 = 1;

/// What `reconcile plan` prints and `reconcile apply` obeys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// The manifest that it was made from.
    pub manifest: Manifest,
    /// Digest of everything observed that the plan rests on; a saved plan is refused when a fresh
    /// observation no longer has it.
    pub basis: String,
    /// Which side's mail counts now.
    pub authority: Side,
    /// The actions, in the order in which they run (dependencies first, then by phase and id).
    pub actions: Vec<Action>,
    /// What cannot be done, and what waits for it. A plan with any of these is never applied.
    pub blocked: Vec<Blocked>,
    /// What a person should know; nothing will be done about it.
    pub notes: Vec<Note>,
    /// How the numeric owners of files on the side whose mail counts translate to the other.
    pub ids: change::IdMap,
    /// The same for people: names whose number is another one on the target; files follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renumbered: Vec<change::Renumbered>,
}

/// The JSON schema of the plan's JSON form.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Plan);
    schema.insert("title".to_owned(), "A plan of reconcile".into());
    schema.to_value()
}

impl Plan {
    /// Whether there is nothing to do and nothing in the way.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.blocked.is_empty()
    }

    /// Whether this only ends what a run that died left half-done.
    pub fn ends_leftovers(&self) -> bool {
        let ends = |action: &Action| matches!(action.change, Change::EndLeftover(_));
        self.actions.iter().any(ends)
    }

    /// Whether the mail of the other host counts afterwards.
    pub fn hands_over(&self) -> bool {
        let hands_over = |action: &Action| matches!(action.change, Change::HandOver { .. });
        self.actions.iter().any(hands_over)
    }

    /// Whether nothing is left but old messages that somebody read since they were looked at last.
    pub fn is_housekeeping_only(&self) -> bool {
        let moves = |action: &Action| {
            matches!(action.change, Change::MoveMessages(_))
                && action.because == Reason::OldMessages
        };
        self.blocked.is_empty() && self.actions.iter().all(moves)
    }

    /// Whether nothing is left but mail that moved on a live source since it was looked at last.
    pub fn is_new_mail_only(&self) -> bool {
        self.has_live_source()
            && self.blocked.is_empty()
            && self.actions.iter().all(is_copy_of_mail)
    }

    /// Whether two plans differ in nothing but the mail that a live source got in between.
    pub fn is_same_but_for_new_mail(&self, other: &Self) -> bool {
        let steady = |plan: &Self| {
            let mut plan = plan.clone();
            if plan.has_live_source() {
                plan.actions.retain(|action| !is_copy_of_mail(action));
                plan.notes.clear();
            }
            // What a cache remembers is remembered for a shorter time at each look; a timer's last run
            // is another one each time.
            plan.notes
                .retain(|note| !matches!(note.resource, Resource::Mx(_) | Resource::SpoolTimer));
            plan
        };
        steady(self) == steady(other)
    }

    fn has_live_source(&self) -> bool {
        matches!(self.manifest.source.host, HostAddress::Ssh { .. })
    }
}

fn is_copy_of_mail(action: &Action) -> bool {
    matches!(action.change, Change::CopyMail(_))
}

/// One idempotent change to one resource; the grain is the unit of undoing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Natural key, `mail/alice/copy`; unique in the plan.
    pub id: ActionId,
    /// What to do. Carries everything that executing needs but secrets and file contents.
    pub change: Change,
    /// Why.
    pub because: Reason,
    /// What must hold before.
    pub needs: BTreeSet<Fact>,
    /// What holds afterwards.
    pub gives: BTreeSet<Fact>,
    /// What can go wrong with it.
    pub risk: Risk,
    /// How it is undone.
    pub undo: Undo,
}

/// `RESOURCE/VERB`, as in `dovecot/uidl_format/enforce`.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ActionId(pub String);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A thing with a desired and an actual state.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// The hosts as such, and the manifest's parts that belong to no other resource.
    Migration,
    /// A service of one host.
    Service(Side, String),
    /// All accounts and groups together: four files, one transaction.
    Accounts,
    /// One account.
    Account(UserName),
    /// One group.
    Group(GroupName),
    /// Home and spool file of one user.
    Mail(UserName),
    /// A Dovecot setting.
    Dovecot(String),
    /// A service address.
    Address(String),
    /// The line of the service's name in `/etc/hosts`.
    Hostname(String),
    /// The size of one user's spool file.
    Spool(UserName),
    /// The timer that measures the spool.
    SpoolTimer,
    /// A mail domain's exchangers.
    Mx(String),
    /// The backup mail exchanger.
    Backup,
}

impl Resource {
    /// The resource that an action is about.
    pub fn of(action: &Action) -> Self {
        match &action.change {
            Change::MergeAccounts(_) => Self::Accounts,
            Change::HoldService(ServiceHold { service, .. })
            | Change::ReleaseService(ServiceRelease { service, .. }) => {
                Self::Service(Side::Target, service.clone())
            }
            Change::ClaimTrees { .. }
            | Change::HandOver { .. }
            | Change::Rounds(_)
            | Change::ProveIdentity(_)
            | Change::Survey(_)
            | Change::ProbeService(_)
            | Change::Arm(_)
            | Change::CarryQueue(_)
            | Change::Freeze(_)
            | Change::LastDelta(_)
            | Change::MendAddresses(_)
            | Change::LeaveAddresses(_)
            | Change::TakeAddresses(_)
            | Change::StartServices(_)
            | Change::EndLeftover(_) => Self::Migration,
            Change::SetUpBackup(_) | Change::AskBackup(_) | Change::DrainBackup(_) => Self::Backup,
            Change::SetAside { user, .. } => Self::Mail(user.clone()),
            Change::CopyMail(copy) | Change::ProveMail(copy) => Self::Mail(copy.user.clone()),
            Change::SetUpTimer(_) => Self::SpoolTimer,
            Change::MoveMessages(planned) => Self::Spool(planned.user.clone()),
            Change::EnforceUidl(_) => Self::Dovecot("uidl_format".to_owned()),
            Change::EditFile(_) => match action.gives.first() {
                Some(Fact::AddressConfigured(address)) => Self::Address(address.clone()),
                Some(Fact::HostnameSet(name)) => Self::Hostname(name.clone()),
                Some(Fact::UidlEnforced) => Self::Dovecot("uidl_format".to_owned()),
                _ => Self::Migration,
            },
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration => f.write_str("migration"),
            Self::Service(side, name) => write!(f, "service/{side}/{name}"),
            Self::Accounts => f.write_str("accounts"),
            Self::Account(name) => write!(f, "account/{name}"),
            Self::Group(name) => write!(f, "group/{name}"),
            Self::Mail(name) => write!(f, "mail/{name}"),
            Self::Dovecot(setting) => write!(f, "dovecot/{setting}"),
            Self::Address(address) => write!(f, "address/{address}"),
            Self::Hostname(name) => write!(f, "hostname/{name}"),
            Self::Spool(name) => write!(f, "spool/{name}"),
            Self::SpoolTimer => f.write_str("spool/timer"),
            Self::Mx(domain) => write!(f, "mx/{domain}"),
            Self::Backup => f.write_str("mx/backup"),
        }
    }
}

/// Something that holds, or will hold once an action has run. Edges of the plan come from these, so
/// that resources never name each other.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Every chosen account and group is on the target as it should be.
    AccountsMerged,
    /// The account can own files on the target.
    AccountExists(UserName),
    /// The receipt on the target says that this user's trees are managed by this migration.
    TreesClaimed(UserName),
    /// Nothing on the target is in the way of this user's trees.
    TreesClear(UserName),
    /// The user's trees on the target are equal to the source's as the scan sees them.
    MailCopied(UserName),
    /// The same, by content, file for file.
    MailProven(UserName),
    /// POP3 clients will see the UIDLs that they know.
    UidlEnforced,
    /// Nothing on the target opens a mailbox or delivers mail, and nothing can start what would.
    TargetQuiet,
    /// This service of the target runs.
    Serving(String),
    /// Nothing on the source can change the mail.
    MailFrozen(Side),
    /// The mail that moves on a live host is brought over in rounds that are short enough.
    RoundsAreShort,
    /// Clients would see the same mailboxes in the copies that were made while mail moved.
    SeedsProven,
    /// What the service offers through its addresses is known.
    ServiceSurveyed,
    /// The dead man's switch of this host is armed.
    Armed(Side),
    /// What waits in the queue of the host that hands over is kept on the one that takes over.
    QueueStaged,
    /// Clients will see the same mailboxes.
    IdentityProven,
    /// This host does not have the service addresses.
    AddressesLeft(Side),
    /// This host has the service addresses, and only the probes reach it.
    AddressesTaken(Side),
    /// The mail services of this host run.
    ServicesStarted(Side),
    /// The service was looked at through its addresses, and is as it was.
    ServiceProbed,
    /// The backup mail exchanger queues for the domain.
    BackupReady,
    /// It was asked, and takes mail for those whom it should.
    BackupAsked,
    /// What a run that died left half-done on this host is ended.
    Settled(Side),
    /// This side's mail counts.
    Authority(Side),
    /// The persistent configuration of the host that serves has this address.
    AddressConfigured(String),
    /// The target's `/etc/hosts` is right about this name.
    HostnameSet(String),
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountsMerged => f.write_str("accounts merged"),
            Self::AccountExists(user) => write!(f, "account {user} exists"),
            Self::TreesClaimed(user) => write!(f, "trees of {user} claimed"),
            Self::TreesClear(user) => write!(f, "nothing in the way of {user}'s trees"),
            Self::MailCopied(user) => write!(f, "mail of {user} copied"),
            Self::MailProven(user) => write!(f, "mail of {user} proven"),
            Self::UidlEnforced => f.write_str("UIDL format enforced"),
            Self::TargetQuiet => f.write_str("target quiet"),
            Self::Serving(service) => write!(f, "{service} serves"),
            Self::MailFrozen(side) => write!(f, "mail on the {side} frozen"),
            Self::RoundsAreShort => f.write_str("rounds are short"),
            Self::SeedsProven => f.write_str("copies proven for clients"),
            Self::ServiceSurveyed => f.write_str("service surveyed"),
            Self::Armed(side) => write!(f, "dead man's switch of the {side} armed"),
            Self::QueueStaged => f.write_str("queue staged"),
            Self::IdentityProven => f.write_str("mailboxes proven for clients"),
            Self::AddressesLeft(side) => write!(f, "{side} has no service address"),
            Self::AddressesTaken(side) => write!(f, "{side} has the service addresses"),
            Self::ServicesStarted(side) => write!(f, "services of the {side} started"),
            Self::ServiceProbed => f.write_str("service probed"),
            Self::BackupReady => f.write_str("backup mail exchanger ready"),
            Self::BackupAsked => f.write_str("backup mail exchanger asked"),
            Self::Settled(side) => write!(f, "nothing half-done on the {side}"),
            Self::Authority(side) => write!(f, "{side} has authority"),
            Self::AddressConfigured(address) => write!(f, "address {address} configured"),
            Self::HostnameSet(name) => write!(f, "{name} in /etc/hosts"),
        }
    }
}

/// What an action can do to users.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nobody can notice.
    Safe,
    /// Users can notice.
    ServiceVisible,
    /// From here on, going back is a migration of its own.
    PointOfNoReturn,
}

/// How an action is undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// There is nothing to undo: running it again is all that is ever needed.
    Repeat,
    /// By hand or by a later version; the text says how.
    Manual(String),
    /// By the host itself: its dead man's switch takes it back unless the hand-over is confirmed.
    Switch,
    /// By `serve_from: source`.
    Reverse,
    /// Not at all; the text says why.
    Never(String),
}

/// A resource that cannot be brought to its desired state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    /// Which.
    pub resource: Resource,
    /// What is in the way, with the remedy in its text.
    pub by: Obstacle,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// About what.
    pub resource: Resource,
    /// How much it matters.
    pub level: Level,
    /// One sentence.
    pub text: String,
}

/// How much a note matters.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Look at it before you go on.
    Warning,
}

/// What one resource contributes to a plan: the result of its `diff`.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// What to do.
    pub actions: Vec<Action>,
    /// What cannot be done.
    pub blocked: Vec<Blocked>,
    /// What holds already.
    pub settled: BTreeSet<Fact>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

impl Draft {
    /// Adds a note.
    pub fn note(&mut self, resource: Resource, level: Level, text: impl Into<String>) {
        self.notes.push(Note {
            resource,
            level,
            text: text.into(),
        });
    }

    /// Adds an obstacle.
    pub fn block(&mut self, resource: Resource, by: Obstacle) {
        self.blocked.push(Blocked { resource, by });
    }

    /// Takes over another draft.
    pub fn absorb(&mut self, other: Self) {
        self.actions.extend(other.actions);
        self.blocked.extend(other.blocked);
        self.settled.extend(other.settled);
        self.notes.extend(other.notes);
    }
}
