//! The closed list of things that can be done, each with everything that doing it needs.
//!
//! "Executing holds no choices": if `apply/execute.rs` would have to decide something, it is missing
//! here. The only things that are not here are secrets and file contents; they are read when the
//! action runs and refused if they are no longer what the plan saw.

mod accounts;
mod files;
mod ids;
mod mail;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use accounts::{AccountsMerge, Ageing, FieldChange, GroupChange, Password, UserChange, Verb};
pub use files::{FileEdit, LineEdit, Redaction, UidlDropIn};
pub use ids::{Ambiguous, IdMap, Mapped, Renumbered};
pub use mail::{
    CopiedTree, Count, Delta, Difference, Extraneous, MailCopy, Rename, Sample, Selection,
    TreeKind, TreePaths,
};

use super::backup::{BackupAsking, BackupDrain, BackupSetup};
use super::hand_over::{
    Freeze, HostChange, IdentityProof, LastDelta, Leftover, LiveHandOver, QueueCarry, Rounds,
    ServiceProbe, Start, SwitchArming,
};
use super::timer::TimerSetup;
use crate::host::Command;
use crate::names::{Side, UserName};
use crate::raw::HostPath;

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
    /// Set up the timer that measures the spool on the target, or take it away.
    SetUpTimer(TimerSetup),
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

fn target() -> Side {
    Side::Target
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_target(side: &Side) -> bool {
    *side == Side::Target
}
