//! `transfer`: how mail gets from one host to the other, and how much of a host may be used for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Rate;
use crate::replicate::{Manner, Pace};

/// How mail gets from one host to the other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// Which way it takes between two live hosts.
    pub path: TransferPath,
    /// How much mail may leave the host that is read each second, as it leaves it: compressed where
    /// that pays. It holds while mail is copied, and not in the freeze; default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Rate>,
    /// What becomes of this program on the hosts when `apply` has ended.
    #[serde(skip_serializing_if = "SentProgram::is_removed")]
    pub program: SentProgram,
}

/// What becomes of this program on the hosts that it was sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SentProgram {
    /// It goes with each run.
    #[default]
    Remove,
    /// It stays, as `/var/lib/reconcile/NAME/program` for root alone: later runs start it there instead
    /// of sending it again.
    Keep,
}

impl SentProgram {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_removed(&self) -> bool {
        *self == Self::Remove
    }
}

/// Which way mail takes between two live hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferPath {
    /// Straight from one to the other if that is possible, else through this machine.
    #[default]
    Auto,
    /// Straight from one to the other, or not at all.
    Direct,
    /// Through this machine.
    Relay,
}

impl Transfer {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How a host is read while it serves.
    pub fn pace(&self) -> Pace {
        Pace {
            limit: self.limit.map(|rate| rate.bytes),
            manner: Manner::Yielding,
        }
    }
}
