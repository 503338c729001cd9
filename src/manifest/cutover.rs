//! `freeze` and `cutover`: when the service moves, how long that may take, and who says that it is well.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, IpAddress, Source, Span, scalar};
use crate::names::UserName;

/// When and how long the mail may stand still.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Freeze {
    /// Longest downtime that is acceptable; default 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Span>,
    /// Do not freeze before this instant (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::Instant>")]
    pub not_before: Option<Timestamp>,
    /// Do not freeze after this instant (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::Instant>")]
    pub not_after: Option<Timestamp>,
}

/// The service address and its move.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cutover {
    /// The addresses that move, each with the prefix of its subnet.
    #[schemars(length(min = 1))]
    pub address: Vec<Cidr>,
    /// Interface on the target; default: the one in that subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::InterfaceName>")]
    pub interface: Option<String>,
    /// Name that clients use; kept right in the target's /etc/hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::DnsName>")]
    pub hostname: Option<String>,
    /// What becomes of the source.
    #[serde(default)]
    pub source_after: SourceAfter,
    /// Dead man's switch: without confirmation by then, everything goes back by itself; default 2m,
    /// and 5m when a person confirms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within: Option<Span>,
    /// Who confirms.
    #[serde(default)]
    pub confirm: ConfirmedBy,
    /// Who may reach the service before it is confirmed, besides this program's probes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub try_from: Vec<IpAddress>,
    /// The probes through the moved address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<CutoverProbe>,
}

impl Cutover {
    /// How long the hosts wait for confirmation, in seconds.
    pub fn confirmed_within(&self) -> u64 {
        let default = match self.confirm {
            ConfirmedBy::Probes => 120,
            ConfirmedBy::Person => 300,
        };
        self.confirm_within.map_or(default, |span| span.seconds)
    }
}

/// Who confirms a cutover. Until then nobody but the probes and `try_from` reaches the service, so that
/// going back loses nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// The probes, at once when all of them pass.
    #[default]
    Probes,
    /// A person, by `reconcile confirm`, once all of them have passed.
    Person,
}

/// The probes through the moved address.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CutoverProbe {
    /// Who gets a message that is read back and removed; default: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::UserPattern>")]
    pub user: Option<UserName>,
    /// A third host that looks at the service too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
}

/// What becomes of the source after the cutover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceAfter {
    /// It lets go of the address and stays up.
    #[default]
    Release,
    /// It is powered off, after confirmation.
    PowerOff,
}
