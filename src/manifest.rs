//! The manifest: what the admin commits to git. Plain data, and the JSON schema that follows from it.
//!
//! How YAML becomes these types is [`load`]; what a problem looks like is [`Invalid`]. On the way,
//! the text becomes a tree with places (`tree`), which is compared with the types' own
//! description (`walk`, `shape`), each value with its grammar ([`scalar`]), and values with each
//! other (`check`). What a manifest means for a host is not known here.

mod check;
mod cutover;
mod excerpt;
pub mod load;
mod mx;
mod problem;
pub mod scalar;
mod services;
mod shape;
mod spool;
mod transfer;
mod tree;
mod walk;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::names::Side;
use crate::raw::HostPath;
pub(crate) use check::{FIRST_USER_UID, LAST_USER_UID, TWO_HOSTS, not_two};
pub use cutover::{ConfirmedBy, Cutover, CutoverProbe, Freeze, SourceAfter};
pub use mx::{BackupMx, Mx};
pub use problem::Invalid;
pub use scalar::{Cidr, HostAddress, IpAddress, MigrationName, Rate, Size, Span, UidRange};
pub(crate) use scalar::{DnsName, InterfaceName, MetricsFile, SpoolPath, UserPattern};
pub use services::{MtaOffer, OnOtherMail, Services, Units};
pub use spool::{Every, Housekeeping, Spool, Timer, Unread};
pub use transfer::{SentProgram, Transfer, TransferPath};

/// The JSON schema of a manifest, as `reconcile schema` prints it and
/// `schemas/manifest.schema.json` holds it. Also what [`load`] holds a manifest to.
pub fn schema() -> serde_json::Value {
    shape::manifest_schema()
}

/// A finished migration, described.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    #[schemars(schema_with = "version_schema")]
    pub version: u32,
    /// Name of this migration; names its directory under /var/lib/reconcile on the hosts.
    pub name: MigrationName,
    /// The old host.
    pub source: Source,
    /// The new host.
    pub target: Target,
    /// Which host serves the mail: `source` while staging, `target` to cut over.
    pub serve_from: Side,
    /// Which accounts move.
    #[serde(default)]
    pub users: Users,
    /// Which files move.
    #[serde(default)]
    pub mail: Mail,
    /// How mail gets from one host to the other.
    #[serde(default, skip_serializing_if = "Transfer::is_default")]
    pub transfer: Transfer,
    /// Dovecot settings to enforce on the target.
    #[serde(default)]
    pub dovecot: Dovecot,
    /// Units of the mail services.
    #[serde(default)]
    pub services: Services,
    /// When and how long the mail may stand still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// The service address and its move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutover: Option<Cutover>,
    /// Mail exchangers of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mx: Option<Mx>,
    /// Thresholds and housekeeping of the spool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<Spool>,
}

fn version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": 1, "description": "Version of this format: 1." })
}

/// One of the two hosts, and how to reach it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Host")]
pub struct Source {
    /// Where it is.
    pub host: HostAddress,
    /// Pin of its SSH host key, `SHA256:...`; else `known_hosts` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::HostKeyPin>")]
    pub host_key: Option<String>,
    /// How to become root when the login is not root.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub become_root: Option<Become>,
}

/// The target is described as the source is.
pub type Target = Source;

/// How to become root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Become {
    /// By `sudo -n`.
    Sudo,
}

/// Which accounts move.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Users {
    /// Range of uids on the source; default: its `UID_MIN..UID_MAX` from login.defs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<UidRange>,
    /// Names or globs beyond the range.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::UserPattern>")]
    pub include: Vec<String>,
    /// Names or globs to leave out; wins over everything else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::UserPattern>")]
    pub exclude: Vec<String>,
    /// What to do when a uid or gid means something else on the target.
    pub on_uid_conflict: OnUidConflict,
    /// Uids on the target for single users; their files follow.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "remap_schema")]
    pub remap: BTreeMap<String, u32>,
    /// Names or globs whose empty passwords may be carried over as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::UserPattern>")]
    pub allow_empty_password: Vec<String>,
}

fn remap_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "Uids on the target for single users; their files follow.",
        "additionalProperties": {
            "type": "integer",
            "minimum": FIRST_USER_UID,
            "maximum": LAST_USER_UID,
        }
    })
}

/// What to do when a uid or gid means something else on the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUidConflict {
    /// Block, with the whole table of conflicts.
    #[default]
    Fail,
    /// Take a free uid or gid on the target; files follow.
    Remap,
}

/// Which files move.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// The spool directories; default: detected.
    pub spool: SpoolDirs,
    /// How much of each home moves.
    pub homes: Homes,
    /// Globs beneath a home that stay behind, as in `.cache/**`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::HomeGlob>")]
    pub exclude: Vec<String>,
    /// Names or globs of users whose existing files on the target are set aside (renamed, never
    /// removed) so that the source's can take their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::UserPattern>")]
    pub adopt: Vec<String>,
}

/// The directories of the mbox spools.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolDirs {
    /// On the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::SpoolPath>")]
    pub source: Option<HostPath>,
    /// On the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::SpoolPath>")]
    pub target: Option<HostPath>,
}

/// How much of each home moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Homes {
    /// The whole home directory.
    #[default]
    Whole,
    /// Mail folders and the dot files that steer mail.
    MailOnly,
}

/// Dovecot settings to enforce on the target.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dovecot {
    /// `source` for whatever the source serves, or a literal in Dovecot 2.3 or 2.4 syntax.
    pub uidl_format: UidlFormat,
    /// Settings in which the target may differ from the source although clients could notice: what
    /// would block is a warning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<Sibling>,
}

/// A setting of Dovecot, apart from the UIDL format, that clients could notice.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Sibling {
    /// Where mail is kept: `mail_location`, or `mail_driver`, `mail_path` and their kin.
    MailLocation,
    /// Prefix, separator and kind of the namespaces.
    Namespace,
    /// UIDLs taken from X-UIDL headers.
    Pop3ReuseXuidl,
    /// What becomes of equal UIDLs.
    Pop3UidlDuplicates,
    /// The flag that hides what POP3 clients deleted.
    Pop3DeletedFlag,
    /// The digest of headers that the UIDL format shows.
    MboxMd5,
    /// Uids that Dovecot lets in.
    ValidUids,
    /// Gids that Dovecot lets in.
    ValidGids,
    /// Who can lock mailboxes in the spool directory.
    MailPrivilegedGroup,
    /// IMAP and POP3, turned on or not.
    Protocols,
    /// Ports of the login services.
    Ports,
    /// TLS, offered or demanded.
    Ssl,
    /// Passwords that are readable on the wire.
    Cleartext,
    /// SASL mechanisms.
    AuthMechanisms,
    /// How user names may be written.
    AuthUsernameFormat,
    /// Who checks passwords.
    Passdb,
    /// Who knows users' uids and homes.
    Userdb,
    /// Certificates and their keys.
    Tls,
}

impl Sibling {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::MailLocation,
        Self::Namespace,
        Self::Pop3ReuseXuidl,
        Self::Pop3UidlDuplicates,
        Self::Pop3DeletedFlag,
        Self::MboxMd5,
        Self::ValidUids,
        Self::ValidGids,
        Self::MailPrivilegedGroup,
        Self::Protocols,
        Self::Ports,
        Self::Ssl,
        Self::Cleartext,
        Self::AuthMechanisms,
        Self::AuthUsernameFormat,
        Self::Passdb,
        Self::Userdb,
        Self::Tls,
    ];

    /// Its name in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::MailLocation => "mail_location",
            Self::Namespace => "namespace",
            Self::Pop3ReuseXuidl => "pop3_reuse_xuidl",
            Self::Pop3UidlDuplicates => "pop3_uidl_duplicates",
            Self::Pop3DeletedFlag => "pop3_deleted_flag",
            Self::MboxMd5 => "mbox_md5",
            Self::ValidUids => "valid_uids",
            Self::ValidGids => "valid_gids",
            Self::MailPrivilegedGroup => "mail_privileged_group",
            Self::Protocols => "protocols",
            Self::Ports => "ports",
            Self::Ssl => "ssl",
            Self::Cleartext => "cleartext",
            Self::AuthMechanisms => "auth_mechanisms",
            Self::AuthUsernameFormat => "auth_username_format",
            Self::Passdb => "passdb",
            Self::Userdb => "userdb",
            Self::Tls => "tls",
        }
    }
}

impl std::fmt::Display for Sibling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The POP3 UIDL format to enforce.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum UidlFormat {
    /// Whatever the source serves.
    #[default]
    Source,
    /// A literal `pop3_uidl_format`.
    Literal(String),
}

impl From<String> for UidlFormat {
    fn from(text: String) -> Self {
        if text == "source" {
            Self::Source
        } else {
            Self::Literal(text)
        }
    }
}

impl From<UidlFormat> for String {
    fn from(format: UidlFormat) -> Self {
        match format {
            UidlFormat::Source => "source".to_owned(),
            UidlFormat::Literal(text) => text,
        }
    }
}
