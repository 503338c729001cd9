//! Which processes belong to mail, by their command lines as ps(1) shows them.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program that serves, takes, delivers or fetches mail, or starts others by the clock.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// Dovecot's first process.
    Dovecot,
    /// A process of Dovecot that its first one left behind, a session perhaps.
    DovecotWorker,
    /// Postfix's `master`.
    Postfix,
    /// A process of Postfix that its master left behind.
    PostfixWorker,
    /// sendmail, the daemon or one that runs its queue.
    Sendmail,
    /// Exim, the daemon or one that runs its queue.
    Exim,
    /// A program that an MTA runs to put a message into a mailbox.
    Delivery,
    /// fetchmail.
    Fetchmail,
    /// getmail.
    Getmail,
    /// cron.
    Cron,
    /// What cron started a job with, and waits for its end.
    CronJob,
    /// atd, or one of its jobs.
    Atd,
    /// anacron.
    Anacron,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dovecot => "dovecot",
            Self::DovecotWorker => "a process of dovecot without its master",
            Self::Postfix => "postfix's master",
            Self::PostfixWorker => "a process of postfix without its master",
            Self::Sendmail => "sendmail",
            Self::Exim => "exim",
            Self::Delivery => "a delivery",
            Self::Fetchmail => "fetchmail",
            Self::Getmail => "getmail",
            Self::Cron => "cron",
            Self::CronJob => "a job of cron",
            Self::Atd => "atd or a job of it",
            Self::Anacron => "anacron",
        })
    }
}

impl Program {
    /// Whether mail is served or taken where it runs.
    pub fn serves(self) -> bool {
        !matches!(
            self,
            Self::Delivery
                | Self::Fetchmail
                | Self::Getmail
                | Self::Cron
                | Self::CronJob
                | Self::Atd
                | Self::Anacron
        )
    }

    /// Whether it is the one that starts the others of its service.
    pub(super) fn is_master(self) -> bool {
        !matches!(
            self,
            Self::DovecotWorker | Self::PostfixWorker | Self::Delivery | Self::CronJob
        )
    }
}

/// Leaves out what comes and goes with a master that runs.
pub(super) fn forget_children(programs: &mut BTreeSet<Program>) {
    let of = [
        (Program::Dovecot, Program::DovecotWorker),
        (Program::Postfix, Program::PostfixWorker),
        (Program::Postfix, Program::Delivery),
        (Program::Sendmail, Program::Delivery),
        (Program::Exim, Program::Delivery),
        (Program::Cron, Program::CronJob),
    ];
    for (master, child) in of {
        if programs.contains(&master) {
            programs.remove(&child);
        }
    }
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// What it is.
    pub program: Program,
}

/// The processes that are known, of the output of `ps -eo pid=,uid=,args=`.
pub fn known(text: &str) -> Vec<Process> {
    let read = |line: &str| {
        let (pid, rest) = line.trim_start().split_once(char::is_whitespace)?;
        let (_uid, args) = rest.trim_start().split_once(char::is_whitespace)?;
        Some(Process {
            pid: pid.parse().ok()?,
            program: program(args.trim_start())?,
        })
    };
    text.lines().filter_map(read).collect()
}

/// Daemons of Postfix that master(8) starts; each has the kind of its socket in its arguments.
const POSTFIX_DAEMONS: [&str; 21] = [
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "lmtp",
    "local",
    "oqmgr",
    "pickup",
    "pipe",
    "postscreen",
    "proxymap",
    "qmgr",
    "scache",
    "smtp",
    "smtpd",
    "tlsmgr",
    "trivial-rewrite",
    "virtual",
];

/// Which program a command line is of.
fn program(args: &str) -> Option<Program> {
    let first = args.split_whitespace().next()?;
    let name = first.rsplit('/').next()?;
    // Dovecot names its processes `dovecot/imap`, sendmail itself `sendmail: MTA: ...`.
    if first.starts_with("dovecot/") {
        return Some(Program::DovecotWorker);
    }
    let has = |word: &str| args.split_whitespace().any(|arg| arg == word);
    let has_start = |start: &str| args.split_whitespace().any(|arg| arg.starts_with(start));
    Some(match name {
        // Whoever asks for its version or its settings, as we do, is no server; dovecot(1).
        "dovecot" if has_start("--") || has("-n") || has("-a") => return None,
        "dovecot" => Program::Dovecot,
        "master" if first.contains("postfix") => Program::Postfix,
        "sendmail:" => Program::Sendmail,
        "sendmail" | "sendmail-mta" | "sendmail-msp" if has("-bd") || has_start("-q") => {
            Program::Sendmail
        }
        "exim" | "exim4" if has("-bd") || has("-bdf") || has_start("-q") => Program::Exim,
        "procmail" | "maildrop" | "dovecot-lda" | "deliver" => Program::Delivery,
        "fetchmail" => Program::Fetchmail,
        "getmail" | "getmail4" | "getmail6" => Program::Getmail,
        "cron" | "crond" => Program::Cron,
        // Debian's cron and cronie name their children so.
        "CRON" | "CROND" => Program::CronJob,
        "atd" => Program::Atd,
        "anacron" => Program::Anacron,
        // A script of an interpreter.
        _ if has_start("/usr/bin/getmail") || has_start("/usr/local/bin/getmail") => {
            Program::Getmail
        }
        _ if POSTFIX_DAEMONS.contains(&name) && has("-t") => Program::PostfixWorker,
        _ => return None,
    })
}
