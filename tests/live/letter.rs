//! The letters that tests send.

use std::sync::atomic::{AtomicU32, Ordering};

/// A letter with a header, a Message-ID of its own in this process, and this body. Its lines end as
/// on disk; whoever sends it makes the network's ends of lines of them.
pub(crate) fn letter(to: &str, subject: &str, body: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!(
        "From: Sender <sender@example.com>\nTo: {to}@example.org\nSubject: {subject}\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0100\nMessage-ID: <{number}.lab@example.com>\n\n{body}"
    )
}

/// A text with the ends of lines that mail has on the network.
pub(crate) fn on_the_network(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}
