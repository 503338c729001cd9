//! What a cutover or a reverse between two live hosts is made of: changes of a plan.
//!
//! The two directions differ in nothing but who is who: `from` hands over, `to` takes over. All that is
//! done on a host here is done under its dead man's switch ([`crate::host::switch`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{FileEdit, MailCopy};
use crate::exposure::Loss;
use crate::host::queue::{QueueAside, QueueMove};
use crate::host::{Command, Step};
use crate::manifest::ConfirmedBy;
use crate::names::{Side, UserName};
use crate::raw::HostPath;

/// Something done on one host under its switch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostChange {
    /// Which host.
    pub side: Side,
    /// Files that are edited first; each is put back when the switch trips.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<FileEdit>,
    /// What is done then, in this order.
    pub steps: Vec<Step>,
    /// What takes the steps back, in the order in which they are done: undone from the last to the
    /// first.
    pub undo: Vec<Step>,
}

/// A dead man's switch is armed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchArming {
    /// Which host.
    pub side: Side,
    /// Seconds until it gives up.
    pub within: u64,
    /// What follows on that host once authority has changed hands.
    pub commit: Vec<Step>,
}

/// Everything that writes mail on a host is stopped, kept from starting, and proven still.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// What is done; its undoing is the thaw.
    pub change: HostChange,
    /// What is stopped and masked, by the name of the service, for the receipt.
    pub holds: BTreeMap<String, Hold>,
    /// TCP ports that are closed afterwards.
    pub ports: BTreeSet<u16>,
    /// Trees in which nobody has a file open for writing afterwards.
    pub trees: Vec<HostPath>,
}

/// Units or scripts that are masked and stopped, and were not before.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Masked units, or disabled scripts.
    pub masks: BTreeSet<String>,
    /// What ran.
    pub running: BTreeSet<String>,
}

/// The services of the host that takes over are started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// What is done; its undoing stops and masks them again.
    pub change: HostChange,
    /// TCP ports of which, for each service, one at least is open afterwards.
    pub ports: BTreeMap<String, BTreeSet<u16>>,
}

/// Mail is brought over again and again while it moves, until one round is short enough.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// Whose mail counts.
    pub from: Side,
    /// All users.
    pub copies: Vec<MailCopy>,
    /// The freeze may take so many seconds.
    pub budget: u64,
    /// What it has to keep to besides, because no other exchanger takes mail meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Alone>,
    /// What makes the mail queue small before that, on the host that hands over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flush: Vec<Command>,
}

/// No other exchanger takes mail while it stands still.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alone {
    /// For so many seconds that is accepted.
    pub seconds: u64,
    /// The record that would change it.
    pub record: String,
}

/// The last delta: everything that differs is copied, and what was copied is compared by content.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastDelta {
    /// Whose mail counts.
    pub from: Side,
    /// All users.
    pub copies: Vec<MailCopy>,
}

/// Clients will see the same mailboxes on the other host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityProof {
    /// Whose mail counts.
    pub from: Side,
    /// Whether mail moves meanwhile.
    pub of: ProofOf,
    /// Each user's home and spool file on both sides.
    pub users: BTreeMap<UserName, Mailboxes>,
}

/// Which copy a proof is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofOf {
    /// A seed: mail moves meanwhile, and what moved is no difference.
    Seed,
    /// The frozen mail.
    Frozen,
}

/// Where a user's mailboxes are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailboxes {
    /// Home directories, on the source and on the target.
    pub home: [HostPath; 2],
    /// Spool files, likewise.
    pub spool: [HostPath; 2],
}

/// The service is looked at through its addresses, as clients and senders meet it, and is found to be
/// what it was before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceProbe {
    /// Who serves there now, and reads the messages back.
    pub to: Side,
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The ports that are looked at, of [`crate::exposure::PORTS`]: nothing may be missing there.
    pub ports: BTreeSet<u16>,
    /// The users' domain.
    pub domain: String,
    /// For whom the server takes mail, as before.
    pub users: BTreeSet<UserName>,
    /// What may be missing there after the move, because the manifest accepts it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accepted: BTreeSet<Loss>,
    /// Who gets a message, through each address and from each place; `None`: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<UserName>,
}

/// A switch that a run which died left armed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Leftover {
    /// On which host.
    pub side: Side,
    /// What becomes of it.
    pub how: Ending,
}

/// How an unfinished hand-over ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Authority had not changed hands: everything is taken back.
    TakeBack,
    /// It had: what follows is done.
    Finish,
}

/// What a hand-over between live hosts records besides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveHandOver {
    /// The receipt's epoch from then on.
    pub epoch: u32,
    /// Who confirms.
    pub confirm: ConfirmedBy,
    /// Seconds that they have.
    pub within: u64,
    /// Which machines the two sides are, for the receipts.
    pub machines: BTreeMap<Side, String>,
    /// Services that the host which hands over holds from then on, for its receipt.
    pub holds: BTreeMap<String, Hold>,
    /// Services that the host which takes over holds no longer.
    pub started: BTreeSet<String>,
}

/// What waits in the mail queues of the host that hands over is carried to the other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueCarry {
    /// Whose queues.
    pub from: Side,
    /// What delivers as much as can be while that host still serves.
    pub flush: Vec<Command>,
    /// Done first, on the host that takes over: nothing is left there of an earlier try, and nothing
    /// will be of this one if it is taken back.
    pub begin: HostChange,
    /// The directories that are copied.
    pub trees: Vec<QueueTree>,
    /// Done then, on the host that takes over: its MTA could be given the messages.
    pub ready: HostChange,
    /// What there is to move.
    pub queue: QueueMove,
    /// What is put aside in the end.
    pub aside: QueueAside,
    /// What follows on the host that takes over once authority has changed hands.
    pub commit_to: Vec<Step>,
    /// What follows on the host that hands over.
    pub commit_from: Vec<Step>,
}

/// A queue directory that is copied as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueTree {
    /// On the host that hands over.
    pub from: HostPath,
    /// On the host that takes over.
    pub to: HostPath,
    /// Only these names at its top; `None` for all.
    pub parts: Option<Vec<String>>,
}
