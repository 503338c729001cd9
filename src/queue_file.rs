//! The files in which an MTA keeps a message that waits: those of Postfix and those of sendmail, and
//! how one is made of the other.
//!
//! Bytes in, bytes out; the message itself goes through as a stream. Which files are where, and whose
//! they are, is the business of [`crate::host::queue`].

pub mod address;
pub mod postfix;
pub mod record;
pub mod sendmail;

/// What an MTA knows about a message besides the message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Envelope {
    /// When the message was accepted, in seconds since the epoch; 0 if it is not known.
    pub arrived: i64,
    /// Whom a bounce goes to, without quoting; empty for a bounce itself.
    pub sender: Vec<u8>,
    /// ENVID of RFC 3461, in xtext.
    pub id: Option<Vec<u8>>,
    /// What of the message a bounce returns, if the sender asked for one of the two.
    pub returned: Option<Returned>,
    /// Whether the body has bytes above 127.
    pub eight_bit: Bits,
    /// Those who have not got it yet.
    pub recipients: Vec<Recipient>,
}

/// A recipient of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recipient {
    /// The address, without quoting.
    pub address: Vec<u8>,
    /// ORCPT of RFC 3461: type, `;`, address, not in xtext.
    pub original: Option<Vec<u8>>,
    /// When the sender wants to hear of it, if the sender said so.
    pub notify: Option<Notify>,
}

/// NOTIFY of RFC 3461; nothing at all is NEVER.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notify {
    /// On success.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// On delay.
    pub delay: bool,
}

/// RET of RFC 3461.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returned {
    /// The whole message.
    Full,
    /// Its headers.
    Headers,
}

/// How wide the bytes of a body are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bits {
    /// US-ASCII, as far as the MTA knows.
    #[default]
    Seven,
    /// Eight.
    Eight,
}

/// The headers of a message are kept in memory; no MTA takes more by default: 32 KB in sendmail
/// (`confMAX_HEADERS_LENGTH`), 100 KB each in Postfix (`header_size_limit`).
pub const MOST_HEADERS: usize = 4 << 20;

#[cfg(test)]
mod tests;
