//! Why a host cannot be the backup, or is none yet, each with what to do there.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It was not looked at.
    NotSeen,
    /// It cannot be reached.
    OutOfReach {
        /// Why.
        why: String,
    },
    /// Another host is still set up.
    Another {
        /// It.
        host: String,
    },
    /// There is no Postfix on it.
    NoPostfix,
    /// Nobody knows where its mail would go.
    NoPrimary,
    /// It would deliver the domain's mail itself.
    Local {
        /// The parameter that says so.
        parameter: String,
        /// The domain.
        domain: String,
    },
    /// It listens to itself only.
    NotListening {
        /// `inet_interfaces`.
        listens: String,
    },
    /// It would give mail up too early.
    Lifetime {
        /// `maximal_queue_lifetime`.
        lifetime: String,
        /// For how many seconds it has to keep it.
        needed: u64,
    },
    /// It would ask the primary for each recipient, which is down.
    Verifies {
        /// The parameter.
        parameter: String,
    },
    /// It takes everybody of other domains that cannot be listed, and would not any more.
    Unlisted {
        /// Their tables.
        tables: String,
    },
    /// Recipients of the serving host cannot be listed.
    Recipients {
        /// Their tables.
        tables: String,
    },
    /// Nothing answers there.
    Silent {
        /// What went wrong.
        why: String,
    },
    /// It takes mail for everybody.
    OpenRelay,
    /// It takes mail that the primary will refuse.
    TakesUnknown,
    /// It refuses mail for a user.
    RefusesKnown {
        /// Its code.
        code: u16,
    },
    /// Senders do not know it.
    NotInZone {
        /// The record that is missing.
        record: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSeen => f.write_str(
                "the backup was not looked at: plan without --observation, or observe again",
            ),
            Self::OutOfReach { why } => write!(
                f,
                "the backup is out of reach: {why}. Bring it back, or take mx.backup out of the manifest"
            ),
            Self::Another { host } => write!(
                f,
                "{host} is still set up as the backup: take mx.backup out of the manifest and apply, which \
                 removes it there, and name the other host then"
            ),
            Self::NoPostfix => f.write_str(
                "Postfix does not answer on the backup: install it there (`apt-get install postfix`), or name \
                 another host",
            ),
            Self::NoPrimary => f.write_str(
                "the backup needs an address that it passes mail on to: write cutover.address",
            ),
            Self::Local { parameter, domain } => write!(
                f,
                "the backup's Postfix delivers mail for {domain} itself, by {parameter}: take the domain out \
                 of it there"
            ),
            Self::NotListening { listens } => write!(
                f,
                "the backup's Postfix listens on {listens} only: `postconf -e inet_interfaces=all` there, and \
                 restart it"
            ),
            Self::Lifetime { lifetime, needed } => write!(
                f,
                "the backup's Postfix gives mail up after {lifetime} (maximal_queue_lifetime), and has to keep \
                 it for {needed} s: `postconf -e maximal_queue_lifetime=5d && postfix reload` there"
            ),
            Self::Verifies { parameter } => write!(
                f,
                "the backup's Postfix asks the primary for each recipient (reject_unverified_recipient in \
                 {parameter}), and would turn mail away while that is down: take it out there"
            ),
            Self::Unlisted { tables } => write!(
                f,
                "the backup's Postfix takes everybody of other domains that cannot be listed ({tables}), and \
                 would refuse them with a table of recipients: write relay_recipient_maps for them there"
            ),
            Self::Recipients { tables } => write!(
                f,
                "recipients of the serving host are in tables that cannot be listed ({tables}), and the \
                 backup would refuse them: write their names in mx.backup.recipients"
            ),
            Self::Silent { why } => write!(
                f,
                "the backup takes no mail: {why}. Start Postfix there, and let port 25 through"
            ),
            Self::OpenRelay => f.write_str(
                "the backup takes mail for domains that are not its, from everybody: write \
                 reject_unauth_destination in its smtpd_relay_restrictions, and mend its mynetworks",
            ),
            Self::TakesUnknown => f.write_str(
                "the backup takes mail for people whom nobody knows, and would have to send it back to \
                 forged senders: look for what takes them in its smtpd_recipient_restrictions, \
                 relay_recipient_maps and smtpd_reject_unlisted_recipient",
            ),
            Self::RefusesKnown { code } => write!(
                f,
                "the backup refuses mail for a user of the domain ({code}): look into its log"
            ),
            Self::NotInZone { record } => write!(
                f,
                "no mail exchanger in DNS is the backup, so nobody sends it mail: add `{record}` and an \
                 address of that name to the zone"
            ),
        }
    }
}
