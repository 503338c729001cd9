//! Why an action is planned, and what is in the way: typed, so that tests and other programs need
//! not read prose. Each resource owns one variant and keeps its own list beside its `diff`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fact;
use crate::report::counted;

/// Facts that are named in a sentence; the others are counted.
const NAMED: usize = 6;

/// Why an action is planned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Accounts or groups on the target are not as on the source.
    AccountsDiffer {
        /// Accounts and groups to make.
        create: u64,
        /// Accounts and groups to change.
        update: u64,
    },
    /// The trees were never written before.
    FirstCopy,
    /// The manifest adopts the users whose files are in the way.
    Adopted,
    /// Files on the target are not as on the source.
    MailDiffers,
    /// The trees must be equal by content before authority changes hands.
    BeforeHandOver,
    /// POP3 would show other UIDLs than clients remember.
    UidlDiffers {
        /// What the target serves now, in its own syntax; `None` for nothing.
        serves: Option<String>,
        /// What it should serve, in its own syntax.
        wanted: String,
    },
    /// The interface configuration lacks the service address.
    AddressMissing {
        /// The interface.
        interface: String,
        /// The backend that configures it.
        backend: String,
    },
    /// `/etc/hosts` does not name the service address.
    HostnameDiffers,
    /// The target's mailboxes are incomplete, and whoever opens one destroys what clients remember.
    MailIncomplete,
    /// The target's mail counts, so it has to serve it.
    TargetServes,
    /// The host that serves lost a service address.
    AddressLost,
    /// It is a part of the hand-over.
    HandOver,
    /// A run that died left it half-done.
    HalfDone,
    /// `serve_from: source`, and everything that it needs is in place.
    ServeFromSource,
    /// Passwords or ageing were changed on the target while its accounts counted.
    PasswordsChanged {
        /// Of so many accounts.
        accounts: u64,
    },
    /// The source is to serve again, and does not have what arrived and changed on the target.
    CarriedBack,
    /// `serve_from: target`, and everything that it needs is in place.
    ServeFromTarget,
    /// The backup is not set up, or not for whom the host that serves takes mail.
    BackupDiffers,
    /// The manifest names no backup any more.
    BackupGone,
    /// Mail waits there since the mail stood still.
    Queued,
    /// They are older than `spool.housekeeping` lets them be.
    OldMessages,
    /// The timer is not there as `spool.timer` asks for it.
    TimerDiffers,
    /// `spool.timer` asks for none, or the target's mail is not to count.
    TimerUnwanted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountsDiffer { create, update: 0 } => {
                write!(f, "{create} missing on the target")
            }
            Self::AccountsDiffer { create: 0, update } => {
                write!(f, "{update} different on the target")
            }
            Self::AccountsDiffer { create, update } => {
                write!(f, "{create} missing and {update} different on the target")
            }
            Self::FirstCopy => f.write_str("never copied before"),
            Self::Adopted => {
                f.write_str("files on the target are in the way, and mail.adopt names the user")
            }
            Self::MailDiffers => f.write_str("files on the target are not as on the source"),
            Self::BeforeHandOver => {
                f.write_str("equality by content is proven before authority changes hands")
            }
            Self::UidlDiffers {
                serves: Some(serves),
                wanted,
            } => {
                write!(f, "the target serves {serves}, clients know {wanted}")
            }
            Self::UidlDiffers {
                serves: None,
                wanted,
            } => {
                write!(
                    f,
                    "the target has no POP3 configuration, clients know {wanted}"
                )
            }
            Self::AddressMissing { interface, backend } => {
                write!(
                    f,
                    "the {backend} configuration of {interface} lacks the service address"
                )
            }
            Self::HostnameDiffers => {
                f.write_str("/etc/hosts does not have the name at the service addresses only")
            }
            Self::MailIncomplete => f.write_str(
                "whoever opens an incomplete mailbox destroys what clients remember of it",
            ),
            Self::TargetServes => f.write_str("the target's mail counts, and clients come there"),
            Self::AddressLost => f.write_str("clients and senders come there"),
            Self::HandOver => f.write_str("a part of the hand-over"),
            Self::HalfDone => f.write_str("a run that died left it half-done"),
            Self::ServeFromSource => f.write_str("the manifest says serve_from: source"),
            Self::PasswordsChanged { accounts } => {
                let accounts = counted(*accounts, "account", "accounts");
                write!(f, "{accounts} got another password or ageing on the target")
            }
            Self::CarriedBack => f.write_str(
                "the source is to serve again and lacks what arrived or changed on the target",
            ),
            Self::OldMessages => f.write_str("older than spool.housekeeping lets them be"),
            Self::TimerDiffers => f.write_str("spool.timer asks for it"),
            Self::TimerUnwanted => {
                f.write_str("no spool.timer asks for it where the target's mail counts")
            }
            Self::ServeFromTarget => f.write_str("the manifest says serve_from: target"),
            Self::BackupDiffers => f.write_str("it takes mail for whom the host that serves does"),
            Self::BackupGone => f.write_str("the manifest names no backup any more"),
            Self::Queued => f.write_str("it took mail while the mail stood still"),
        }
    }
}

/// What is in the way. The text says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// Waits for facts that nobody gives.
    Waits {
        /// Which facts.
        on: Vec<Fact>,
    },
    /// An account or group conflict.
    Account {
        /// What clashes.
        conflict: crate::resource::accounts::Conflict,
    },
    /// Something about the user's trees.
    Mail {
        /// What.
        problem: crate::resource::mail::Problem,
    },
    /// Something about Dovecot.
    Dovecot {
        /// What.
        problem: crate::resource::dovecot::Problem,
    },
    /// Something about a service.
    Service {
        /// What.
        problem: crate::resource::services::Problem,
    },
    /// Something about the service address.
    Address {
        /// What.
        problem: crate::resource::address::Problem,
    },
    /// Something about the domain's mail exchangers.
    Mx {
        /// What.
        problem: crate::resource::mx::Problem,
    },
    /// Something about the backup mail exchanger.
    Backup {
        /// What.
        problem: crate::resource::backup::Problem,
    },
    /// The state of the migration does not allow it.
    Migration {
        /// One sentence with the remedy.
        problem: String,
    },
}

impl Obstacle {
    /// Lines of configuration that are out of its way once they are where its text says: to be
    /// copied as they are.
    pub fn lines(&self) -> &[String] {
        match self {
            Self::Dovecot { problem } => problem.lines(),
            _ => &[],
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits { on } => {
                f.write_str("waits for: ")?;
                for (n, fact) in on.iter().take(NAMED).enumerate() {
                    write!(f, "{}{fact}", if n == 0 { "" } else { ", " })?;
                }
                match on.len().saturating_sub(NAMED) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Account { conflict } => conflict.fmt(f),
            Self::Mail { problem } => problem.fmt(f),
            Self::Dovecot { problem } => problem.fmt(f),
            Self::Service { problem } => problem.fmt(f),
            Self::Address { problem } => problem.fmt(f),
            Self::Mx { problem } => problem.fmt(f),
            Self::Backup { problem } => problem.fmt(f),
            Self::Migration { problem } => f.write_str(problem),
        }
    }
}
