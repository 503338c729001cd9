//! A host's mail servers: their settings, mail that comes in, and sessions of mail clients.

use crate::host::{Host, PASSWORD};
use crate::imap::Imap;
use crate::pop3::Pop3;
use crate::smtp::Smtp;

/// Dovecot's way of writing its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Debian 11 and 12.
    Dovecot2_3,
    /// Debian 13.
    Dovecot2_4,
}

impl Host {
    /// How this host's Dovecot writes its settings.
    #[track_caller]
    pub(crate) fn dialect(&self) -> Dialect {
        if self.run("dovecot --version").starts_with("2.3.") {
            Dialect::Dovecot2_3
        } else {
            Dialect::Dovecot2_4
        }
    }

    /// Sets Dovecot's settings beyond what the tree has, in the host's own dialect, and restarts it.
    #[track_caller]
    pub(crate) fn dovecot(&self, settings: &str) -> &Self {
        self.file("/etc/dovecot/conf.d/95-test.conf", format!("{settings}\n"));
        self.restart_dovecot()
    }

    /// Dovecot locks an mbox as procmail does: dotlock, then fcntl. Debian's Dovecot 2.3 does it the
    /// other way round, and where both write at once each waits for the other, for minutes.
    #[track_caller]
    pub(crate) fn lock_as_procmail_does(&self) -> &Self {
        self.file(
            "/etc/dovecot/conf.d/94-locks.conf",
            "mbox_write_locks = dotlock fcntl\n",
        );
        self.restart_dovecot()
    }

    /// These users have a Maildir in ~/Maildir, for Dovecot and procmail; the others' mail is as it
    /// was. It is to be called before they get mail, once for a host.
    ///
    /// On a full disk procmail's last resort is `ORGMAIL`, which would be an mbox that nobody reads.
    #[track_caller]
    pub(crate) fn maildir_users<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> &Self {
        let names: Vec<String> = names
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        let (fields, userdb) = match self.dialect() {
            Dialect::Dovecot2_3 => (
                "userdb_mail=maildir:~/Maildir",
                "userdb {\n  driver = passwd-file\n  args = /etc/dovecot/maildir-users\n}\n",
            ),
            Dialect::Dovecot2_4 => (
                "userdb_mail_driver=maildir userdb_mail_path=~/Maildir \
                 userdb_mail_inbox_path=~/Maildir",
                "userdb passwd-file {\n  passwd_file_path = /etc/dovecot/maildir-users\n}\n",
            ),
        };
        for name in &names {
            self.run(format!(
                "getent passwd {name} | awk -F: -v OFS=: '{{ print $1, \"\", $3, $4, \"\", $6, \"\", \
                 \"{fields}\" }}' >>/etc/dovecot/maildir-users\n\
                 printf '%s=$HOME/Maildir/\\n' DEFAULT ORGMAIL >~{name}/.procmailrc\n\
                 chown {name}: ~{name}/.procmailrc"
            ));
        }
        // Asked before the other account databases, because it is read before them.
        self.file("/etc/dovecot/conf.d/05-maildir-users.conf", userdb);
        self.restart_dovecot()
    }

    #[track_caller]
    fn restart_dovecot(&self) -> &Self {
        self.run("doveconf -n >/dev/null && systemctl restart dovecot");
        self
    }

    /// A mail client's connection to SMTP.
    #[track_caller]
    pub(crate) fn smtp(&self) -> Smtp {
        Smtp::connect(self)
    }

    /// Sends a letter to a user by SMTP and waits until it is delivered.
    #[track_caller]
    pub(crate) fn deliver(&self, user: &str, letter: &str) -> &Self {
        self.smtp().send("sender@example.com", user, letter).quit();
        self.await_deliveries()
    }

    /// Waits until the MTA's queue is empty, and has it try again what it could not deliver.
    #[track_caller]
    pub(crate) fn await_deliveries(&self) -> &Self {
        // Postfix; sendmail. On a full disk procmail waits for a minute before it gives up.
        self.run(
            "for n in $(seq 150); do
                 mailq | grep -qE 'queue is empty|Total requests: 0' && exit 0
                 if [ $((n % 10)) = 0 ]; then sendmail -q || true; fi
                 sleep 0.5
             done; mailq; exit 1",
        );
        self
    }

    /// Delivers a letter by procmail, as the MTA does.
    #[track_caller]
    pub(crate) fn procmail(&self, user: &str, letter: &str) -> &Self {
        self.feed(&format!("procmail -f sender@example.com -d {user}"), letter);
        self
    }

    /// A user's IMAP session, logged in.
    #[track_caller]
    pub(crate) fn imap(&self, user: &str) -> Imap {
        Imap::login(self, user, PASSWORD)
    }

    /// A user's POP3 session, logged in.
    #[track_caller]
    pub(crate) fn pop3(&self, user: &str) -> Pop3 {
        Pop3::login(self, user, PASSWORD)
    }
}
