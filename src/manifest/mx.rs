//! `mx`: the mail exchangers of the domain, and a host that queues for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Become, HostAddress, IpAddress, Source, Span, scalar};

/// Mail exchangers of the domain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mx {
    /// The mail domain.
    #[schemars(with = "scalar::DnsName")]
    pub domain: String,
    /// Name servers to ask; default: those of the machine that reconcile runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddress>,
    /// DKIM selectors that mail is signed with, besides those that the hosts' opendkim names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::DnsName>")]
    pub dkim: Vec<String>,
    /// How long mail may stand still although no other exchanger takes it meanwhile; default:
    /// `freeze.budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_backup: Option<Span>,
    /// A host prepared to queue for the domain; leave out to only check DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupMx>,
}

/// A host prepared to queue for the domain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupMx {
    /// Where it is.
    pub host: HostAddress,
    /// Pin of its SSH host key, `SHA256:...`; else `known_hosts` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::HostKeyPin>")]
    pub host_key: Option<String>,
    /// How to become root when the login is not root.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub become_root: Option<Become>,
    /// Local parts that it takes mail for besides the users and aliases of the host that serves: what
    /// cannot be listed there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::UserPattern>")]
    pub recipients: Vec<String>,
}

impl BackupMx {
    /// The host as any other is described.
    pub fn source(&self) -> Source {
        Source {
            host: self.host.clone(),
            host_key: self.host_key.clone(),
            become_root: self.become_root,
        }
    }
}
