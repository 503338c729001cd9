//! What clients see as one word, to be kept as the record of what was proven.

use blake3::Hasher;

use super::mailbox::{Folder, FolderName, Mailbox, Seen};

impl Seen {
    /// A BLAKE3 of all that [`super::compare`] compares, in hex: the same on both hosts when they show
    /// the same to every client. What is no difference is not in it. `None` where something could not
    /// be read.
    ///
    /// The values that a folder got only because we asked are left out, and so are the unique ids of a
    /// maildrop whose INBOX nobody has opened.
    pub fn digest(&self) -> Option<String> {
        let (maildrop, folders) = (self.pop3.as_ref().ok()?, self.imap.as_ref().ok()?);
        let unseen = match folders.folders.get(&FolderName::inbox()) {
            Some(Folder::Mailbox(inbox)) => inbox.never_opened(self.asked),
            Some(Folder::Branch | Folder::Unreadable(_)) | None => false,
        };
        let mut digest = Hasher::new();
        number(&mut digest, maildrop.messages.len() as u64);
        for message in &maildrop.messages {
            let uidl: &[u8] = if unseen { b"" } else { &message.uidl };
            bytes(&mut digest, uidl);
            number(&mut digest, message.size);
        }
        number(&mut digest, folders.folders.len() as u64);
        for (name, folder) in &folders.folders {
            bytes(&mut digest, name.0.as_bytes());
            match folder {
                Folder::Branch => bytes(&mut digest, b"branch"),
                // Neither side can read it; its words hold times of day.
                Folder::Unreadable(_) => bytes(&mut digest, b"unreadable"),
                Folder::Mailbox(mailbox) => self.mailbox(&mut digest, mailbox),
            }
        }
        for name in &folders.subscriptions {
            bytes(&mut digest, name.0.as_bytes());
        }
        Some(digest.finalize().to_hex().to_string())
    }

    fn mailbox(&self, digest: &mut Hasher, mailbox: &Mailbox) {
        let unseen = mailbox.never_opened(self.asked);
        number(
            digest,
            if unseen {
                0
            } else {
                mailbox.uid_validity.into()
            },
        );
        number(digest, mailbox.messages.len() as u64);
        for message in &mailbox.messages {
            number(digest, message.uid.into());
            number(digest, message.size);
            number(digest, message.date.cast_unsigned());
            number(digest, message.flags.0.len() as u64);
            for flag in &message.flags.0 {
                bytes(digest, flag.as_bytes());
            }
        }
    }
}

fn number(digest: &mut Hasher, number: u64) {
    digest.update(&number.to_le_bytes());
}

/// With their length, so that no two lists of words look alike.
fn bytes(digest: &mut Hasher, bytes: &[u8]) {
    number(digest, bytes.len() as u64);
    digest.update(bytes);
}
