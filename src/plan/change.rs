//! The closed list of things that can be done, each with everything that doing it needs.
//!
//! "Executing holds no choices": if `apply/execute.rs` would have to decide something, it is missing
//! here. The only things that are not here are secrets and file contents; they are read when the
//! action runs and refused if they are no longer what the plan saw.

mod ids;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use ids::{Ambiguous, IdMap, Mapped, Renumbered};

use super::backup::{BackupAsking, BackupDrain, BackupSetup};
use super::hand_over::{
    Freeze, HostChange, IdentityProof, LastDelta, Leftover, LiveHandOver, QueueCarry, Rounds,
    ServiceProbe, Start, SwitchArming,
};
use crate::host::Command;
use crate::names::{Gid, GroupName, Side, Uid, UserName};
use crate::raw::{HostPath, Raw};
use crate::resource::dovecot;
use crate::secret::Digest;

/// What an action does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Merge accounts and groups into one host's four files, as one transaction.
    MergeAccounts(AccountsMerge),
    /// Record in the receipt that these users' trees are managed, before the first byte is written.
    ClaimTrees {
        /// The users and their trees.
        users: BTreeMap<UserName, Vec<TreePaths>>,
    },
    /// Rename what is in the way of a user's trees.
    SetAside {
        /// Whose.
        user: UserName,
        /// From and to, on the target; nothing is replaced.
        renames: Vec<Rename>,
    },
    /// Make a user's trees on one side equal to the other's.
    CopyMail(MailCopy),
    /// Compare a user's trees by content, every file.
    ProveMail(MailCopy),
    /// Change lines of one configuration file.
    EditFile(FileEdit),
    /// Stop a service of the target and keep it from being started.
    HoldService(ServiceHold),
    /// Let a service of the target go, and start it.
    ReleaseService(ServiceRelease),
    /// The same for our Dovecot drop-in on a live host: tried first, and taken back if it fails.
    EnforceUidl(UidlDropIn),
    /// Bring over mail that moves, until a round is short enough to be done in the freeze.
    Rounds(Rounds),
    /// Compare what clients see on both hosts.
    ProveIdentity(IdentityProof),
    /// Look at the service through its addresses, to know afterwards what it was.
    Survey(ServiceProbe),
    /// Look at it again, and send a message through it.
    ProbeService(ServiceProbe),
    /// Arm dead man's switches, in this order.
    Arm(Vec<SwitchArming>),
    /// Stop all that writes mail on the host that hands over.
    Freeze(Freeze),
    /// Keep what waits in the mail queues ready on the other host.
    CarryQueue(Box<QueueCarry>),
    /// Bring over what changed last, and compare it by content.
    LastDelta(LastDelta),
    /// The host that serves takes service addresses that it lost.
    MendAddresses(HostChange),
    /// The host that hands over lets go of the service addresses.
    LeaveAddresses(HostChange),
    /// The host that takes over takes them.
    TakeAddresses(HostChange),
    /// The host that takes over starts its mail services.
    StartServices(Start),
    /// End what a run that died left half-done.
    EndLeftover(Leftover),
    /// Give the backup mail exchanger its tables, or take them away.
    SetUpBackup(BackupSetup),
    /// Ask the backup for recipients, before anything is stopped.
    AskBackup(BackupAsking),
    /// Have the backup deliver what waits there, and watch it.
    DrainBackup(BackupDrain),
    /// Move messages of a user's INBOX into a folder, on the target.
    MoveMessages(MessageMove),
    /// Record in the receipt that authority changed hands.
    HandOver {
        /// To whom.
        to: Side,
        /// What the receipt keeps, because the source may be gone from here on.
        keep: HandOverRecord,
    },
}

/// Messages that leave an INBOX.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageMove {
    /// Whose.
    pub user: UserName,
    /// Where they go; made if it is not there.
    pub folder: String,
    /// What was received before this day is old.
    pub before: String,
    /// UIDVALIDITY of the INBOX.
    pub uidvalidity: u32,
    /// The messages, `1:5,9`; none to end what a run that died left half-done.
    pub uids: String,
    /// How many they are.
    pub messages: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// How many of them nobody has read.
    pub unread: u64,
    /// How many messages that are as old stay: unread, flagged or deleted.
    pub stay: u64,
    /// The INBOX and the directory of the folders: whose file systems are synced before anything leaves
    /// the INBOX.
    pub paths: Vec<HostPath>,
}

/// A service that is stopped and kept from being started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceHold {
    /// Its name: `dovecot`.
    pub service: String,
    /// Units that are masked, or scripts that are disabled, and were not before; for the receipt.
    pub masks: BTreeSet<String>,
    /// Units or scripts that are stopped; for the receipt.
    pub running: BTreeSet<String>,
    /// TCP ports that are closed afterwards.
    pub ports: BTreeSet<u16>,
    /// How it is done, in this order.
    pub commands: Vec<Command>,
}

/// A service that is let go and started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceRelease {
    /// Its name: `dovecot`.
    pub service: String,
    /// Units or scripts that run afterwards; none if it is only let go.
    pub start: BTreeSet<String>,
    /// TCP ports of which one at least is open afterwards.
    pub ports: BTreeSet<u16>,
    /// How it is done, in this order.
    pub commands: Vec<Command>,
}

/// What must be known once the source is gone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverRecord {
    /// The UIDL format that clients know, in the target's syntax; `None` if it was never enforced.
    pub uidl_format: Option<String>,
    /// The accounts that were chosen.
    pub users: BTreeSet<UserName>,
    /// Between live hosts: what becomes of both, and who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveHandOver>,
}

/// Changes to passwd, shadow, group and gshadow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountsMerge {
    /// The side whose files change; password hashes come from the other one.
    #[serde(default = "target", skip_serializing_if = "is_target")]
    pub onto: Side,
    /// A directory there, which only root can enter, where the four files are kept as they were before
    /// the first merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<HostPath>,
    /// Groups, by name.
    pub groups: Vec<GroupChange>,
    /// Users, by name.
    pub users: Vec<UserChange>,
}

impl AccountsMerge {
    /// Nothing to merge yet.
    pub fn onto(onto: Side) -> Self {
        Self {
            onto,
            aside: None,
            groups: Vec::new(),
            users: Vec::new(),
        }
    }
}

/// Make or change.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It is not there.
    Create,
    /// It is there and different.
    Update,
}

/// One account as it will be. The hash itself is read from the other side when the action runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Login name.
    pub name: UserName,
    /// Make or change.
    pub verb: Verb,
    /// Uid on the side that changes.
    pub uid: Uid,
    /// Primary gid there.
    pub gid: Gid,
    /// Comment field, verbatim.
    pub gecos: Raw,
    /// Home directory.
    pub home: HostPath,
    /// Login shell, verbatim.
    pub shell: Raw,
    /// Password after the change; `None` where the source has no entry: the account is locked.
    pub password: Option<Password>,
    /// Shadow ageing after the change.
    pub ageing: Ageing,
    /// What differs from the target now, for people; empty for a new account.
    pub differs: Vec<FieldChange>,
}

/// One group as it will be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// Group name.
    pub name: GroupName,
    /// Make or change.
    pub verb: Verb,
    /// Gid on the target.
    pub gid: Gid,
    /// Members to add; members that the target has besides are left alone.
    pub add_members: BTreeSet<UserName>,
    /// Group administrators (gshadow field 3) to add.
    pub add_admins: BTreeSet<UserName>,
    /// Group password of a new group; an existing group keeps its own.
    pub password: Option<Password>,
    /// What differs from the target now, for people; empty for a new group.
    pub differs: Vec<FieldChange>,
}

/// One field that changes, as text for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// Name of the field: `gecos`, `shell`, `password`, ...
    pub field: String,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// All that may be known of a password field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// How it was hashed, by its prefix.
    pub scheme: String,
    /// Whether a leading `!` locks it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// Keyed digest of the whole field.
    pub digest: Digest,
}

/// Shadow fields 3 to 9, shadow(5): days since the epoch or numbers of days; empty is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ageing {
    /// Last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<i64>,
    /// Minimum age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Maximum age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Warning period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<i64>,
    /// Inactivity period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive: Option<i64>,
    /// Account expiration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire: Option<i64>,
    /// Reserved field 9, verbatim.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reserved: String,
}

/// What kind of tree a path is the top of.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TreeKind {
    /// A home directory.
    Home,
    /// The user's one file (or Maildir) in the spool directory.
    Spool,
}

/// A tree on both sides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreePaths {
    /// Home or spool.
    pub kind: TreeKind,
    /// Its top on the source, links in the middle resolved by the host.
    pub source: HostPath,
    /// Its top on the target.
    pub target: HostPath,
}

impl TreePaths {
    /// Its top on one side.
    pub fn on(&self, side: Side) -> &HostPath {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// One rename on the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// What is there.
    pub from: HostPath,
    /// A name that is free.
    pub to: HostPath,
}

/// What happens to files of the written tree that the other host does not have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extraneous {
    /// They are an error: the tree was empty or absent when the plan was made.
    Refuse,
    /// They are removed: the tree is managed, and the other host has authority.
    Remove,
    /// A reverse: they are kept, and so is all that is replaced, in the aside of this name, which is
    /// one component; see [`crate::replicate`].
    SetAside(String),
}

/// Which parts of a home are copied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Only these names at the top of a home (`homes: mail-only`); `None` for all.
    pub only: Option<Vec<Raw>>,
    /// Globs, relative to the home, that stay behind on both sides.
    pub exclude: Vec<String>,
}

/// One tree of a copy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedTree {
    /// Where it is.
    pub paths: TreePaths,
    /// What happens to files on the target that the source does not have.
    pub extraneous: Extraneous,
}

/// Copying or proving one user's trees.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailCopy {
    /// Whose.
    pub user: UserName,
    /// The side whose files count; the other one is written.
    #[serde(default = "source", skip_serializing_if = "is_source")]
    pub from: Side,
    /// The user's uid on that side: files of others are treated with care.
    pub uid: Uid,
    /// The trees, home first.
    pub trees: Vec<CopiedTree>,
    /// What of the home.
    pub select: Selection,
    /// What the plan saw; counts, bytes and a sample.
    pub delta: Delta,
}

fn source() -> Side {
    Side::Source
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_source(side: &Side) -> bool {
    *side == Side::Source
}

fn target() -> Side {
    Side::Target
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_target(side: &Side) -> bool {
    *side == Side::Target
}

/// What differs between a user's trees on both sides, without a list of all files.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    /// Files, directories and links that the target lacks, and their bytes.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub create: Count,
    /// Files whose content differs, and their bytes on the source.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub update: Count,
    /// Files whose metadata alone differs.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub touch: Count,
    /// Files that the source does not have, and their bytes.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub remove: Count,
    /// The largest file to be written, in bytes: a temporary copy needs that much room.
    pub largest: u64,
    /// The first few paths, in the order of the trees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Sample>,
    /// Digest over every difference and the source's metadata there: two plans with the same
    /// counts that would copy different things differ here.
    pub fingerprint: String,
}

impl Delta {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        [self.create, self.update, self.touch, self.remove]
            .iter()
            .all(|c| c.files == 0)
    }

    /// This and another tree's differences together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let add = |a: Count, b: Count| Count {
            files: a.files + b.files,
            bytes: a.bytes + b.bytes,
        };
        let mut sample = self.sample.clone();
        sample.extend(other.sample.iter().cloned());
        Self {
            create: add(self.create, other.create),
            update: add(self.update, other.update),
            touch: add(self.touch, other.touch),
            remove: add(self.remove, other.remove),
            largest: self.largest.max(other.largest),
            sample,
            fingerprint: format!("{}{}", self.fingerprint, other.fingerprint),
        }
    }

    /// Bytes that a copy transfers.
    pub fn bytes(&self) -> u64 {
        self.create.bytes + self.update.bytes
    }
}

/// A number of directory entries and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Entries.
    pub files: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

impl Count {
    /// Whether it counts nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// One difference, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The tree.
    pub tree: TreeKind,
    /// Path within the tree.
    pub path: Raw,
    /// What differs.
    pub differs: Difference,
}

/// What differs about one path.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Not on the target.
    Missing,
    /// Not on the source.
    Extraneous,
    /// A file on one side, something else on the other.
    Kind,
    /// Content, by size or byte for byte; or where a link points.
    Content,
    /// Owner or group.
    Owner,
    /// Permission bits.
    Mode,
    /// Modification time.
    Mtime,
    /// Extended attributes or ACL.
    Xattrs,
    /// Which names are links to the same file.
    HardLinks,
}

/// A change of some lines of a configuration file; lines that stay are not in the plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEdit {
    /// On which host.
    #[serde(default = "target", skip_serializing_if = "is_target")]
    pub side: Side,
    /// The file.
    pub path: HostPath,
    /// Digest of the file as the plan saw it, its secrets hidden; `None` if it is absent.
    pub before: Option<String>,
    /// Digest of the file as it will be, its secrets hidden.
    pub after: String,
    /// Which of its values are secrets.
    #[serde(default)]
    pub redaction: Redaction,
    /// Line edits, from the top down; line numbers are those of the file before the edit.
    pub edits: Vec<LineEdit>,
    /// Permission bits if the file is made new.
    pub mode: u32,
    /// Unified diff for people, with secrets hidden.
    pub diff: String,
    /// What is run then, so that whoever reads the file reads it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Command>,
}

/// Our Dovecot drop-in on a live host, and how it is tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UidlDropIn {
    /// The file.
    pub edit: FileEdit,
    /// The format that it sets.
    pub format: String,
    /// The target's Dovecot.
    pub version: dovecot::Version,
    /// The format of the mailbox that it is tried on: that of the users.
    pub mailbox: dovecot::trial::Mailbox,
    /// Certificate and key files that Dovecot cannot start without, which doveconf does not notice.
    pub files: Vec<HostPath>,
    /// Whether a Dovecot runs that has to read its configuration again.
    pub running: dovecot::Running,
}

/// Some lines replaced by others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineEdit {
    /// Number of lines that come before, 0 for the top.
    pub after: usize,
    /// Lines that go.
    pub delete: usize,
    /// Lines that come, each with its line feed.
    pub insert: Vec<String>,
}

/// How secrets stand in a file, so that they can be hidden from observations, plans and diffs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Redaction {
    /// The format has none.
    #[default]
    None,
    /// `key=value` in sections: `NetworkManager` keyfiles, systemd units.
    Keyfile,
    /// `KEY=value` with shell quotes: ifcfg files.
    Shell,
    /// `option value`: interfaces(5).
    Words,
    /// YAML mappings: netplan.
    Yaml,
}
