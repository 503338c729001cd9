//! What an MTA would do otherwise, each with the line that mends it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Kind;
use crate::manifest::MtaOffer;
use crate::names::Side;
use crate::report::size;

/// What would lose or misplace mail.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// There is neither Postfix nor sendmail.
    NoMta {
        /// Where.
        side: Side,
    },
    /// A domain would be refused.
    Domain {
        /// Where.
        side: Side,
        /// The domain.
        domain: String,
        /// The line that mends it.
        mend: String,
    },
    /// It does not listen on an address that moves.
    NotListening {
        /// Where.
        side: Side,
        /// The address.
        address: String,
        /// Where it listens.
        listens: String,
        /// The line that mends it.
        mend: String,
    },
    /// What senders can do on the other host could not be done here.
    Offer {
        /// Where.
        side: Side,
        /// What would not be so, after `would`.
        lacks: String,
        /// The line that mends it.
        mend: String,
        /// What the manifest calls it; `None` for what nobody can do without.
        accept: Option<MtaOffer>,
    },
    /// Users of the system would be refused.
    Recipients {
        /// Where.
        side: Side,
        /// `local_recipient_maps`.
        maps: String,
    },
    /// Mail would be put somewhere else.
    Delivery {
        /// Where.
        side: Side,
        /// Where it puts mail.
        puts: String,
        /// Where it should.
        should: String,
        /// The line that mends it.
        mend: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMta { side } => write!(
                f,
                "the {side} has neither Postfix nor sendmail; `apt-get install postfix`"
            ),
            Self::Domain { side, domain, mend } => write!(
                f,
                "the {side}'s MTA would refuse mail for {domain}, which the other host takes; {mend}"
            ),
            Self::NotListening {
                side,
                address,
                listens,
                mend,
            } => write!(
                f,
                "the {side}'s MTA would not listen on {address} but on {listens}; {mend}"
            ),
            Self::Offer {
                side,
                lacks,
                mend,
                accept,
            } => {
                write!(f, "the {side}'s MTA would {lacks}; {mend}")?;
                match accept {
                    Some(offer) => write!(
                        f,
                        ", or, if nobody needs it, write `services: {{ accept: [{}] }}`",
                        offer.name()
                    ),
                    None => Ok(()),
                }
            }
            Self::Recipients { side, maps } => write!(
                f,
                "the {side}'s MTA knows its users from `{maps}` and not from its accounts; \
                 `postconf -X local_recipient_maps && postfix reload`"
            ),
            Self::Delivery {
                side,
                puts,
                should,
                mend,
            } => write!(
                f,
                "the {side}'s MTA would put users' mail {puts}, and it belongs {should}; {mend}"
            ),
        }
    }
}

/// What a person should know.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The other host's own name is no name that this one takes mail for.
    OwnName {
        /// Where.
        side: Side,
        /// The name.
        domain: String,
        /// The line that mends it.
        mend: String,
    },
    /// It lacks something, and the manifest accepts that.
    Accepted {
        /// Where.
        side: Side,
        /// What would not be so, after `would`.
        lacks: String,
    },
    /// Domains of the other host cannot be listed.
    Unlisted {
        /// Where they come from.
        table: String,
    },
    /// Messages of a size that the other host takes would be refused.
    Limit {
        /// Where.
        side: Side,
        /// Which setting.
        setting: Limit,
        /// Its value.
        here: u64,
        /// That of the other host; `None` is no limit.
        there: Option<u64>,
    },
}

/// A limit.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Of a message.
    Message,
    /// Of a mailbox.
    Mailbox,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnName { side, domain, mend } => write!(
                f,
                "the {side}'s MTA would refuse mail for {domain}, the other host's own name; if \
                 anybody writes to it, {mend}"
            ),
            Self::Accepted { side, lacks } => write!(
                f,
                "accepted by services.accept: the {side}'s MTA would {lacks}"
            ),
            Self::Unlisted { table } => write!(
                f,
                "which domains the other host takes mail for is in {table} as well, which is not \
                 read; compare it by hand"
            ),
            Self::Limit {
                side,
                setting,
                here,
                there,
            } => {
                let what = match setting {
                    Limit::Message => "messages",
                    Limit::Mailbox => "mailboxes",
                };
                write!(
                    f,
                    "the {side}'s MTA takes {what} of {} at most, the other ",
                    size(*here)
                )?;
                match there {
                    Some(there) => write!(f, "of {}", size(*there)),
                    None => f.write_str("of any size"),
                }
            }
        }
    }
}

/// The line that makes an MTA take mail for a domain.
pub(super) fn accept(kind: Kind, domain: &str) -> String {
    match kind {
        Kind::Postfix => format!(
            "`postconf -e \"mydestination = $(postconf -h mydestination), {domain}\" && postfix reload`"
        ),
        Kind::Sendmail => {
            format!("`echo {domain} >>/etc/mail/local-host-names`, and restart sendmail")
        }
    }
}
