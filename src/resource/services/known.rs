//! The services that are known by name, and what each consists of.

use std::fmt;

use super::process::Program;

/// What a service does for the mail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Serves mailboxes to clients: IMAP and POP3.
    Imap,
    /// Takes mail and delivers it.
    Mta,
    /// Runs people's and the system's programs by the clock; some of them write mail.
    Cron,
    /// Fetches mail from elsewhere.
    Fetcher,
}

impl Role {
    /// The TCP ports that such a service offers, by the IANA registry.
    pub const fn ports(self) -> &'static [u16] {
        match self {
            Self::Imap => &[110, 143, 993, 995],
            Self::Mta => &[25, 465, 587],
            Self::Cron | Self::Fetcher => &[],
        }
    }

    /// What may run for such a service, if the manifest names units that are not known.
    pub(super) const fn programs(self) -> &'static [Program] {
        match self {
            Self::Imap => DOVECOT.programs,
            Self::Mta => &[
                Program::Postfix,
                Program::PostfixWorker,
                Program::Sendmail,
                Program::Delivery,
            ],
            Self::Cron => CRON.programs,
            Self::Fetcher => FETCHMAIL.programs,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imap => "imap",
            Self::Mta => "mta",
            Self::Cron => "cron",
            Self::Fetcher => "fetcher",
        })
    }
}

/// A service that is known.
#[derive(Debug)]
pub struct Known {
    /// Its name; also what names of its units and scripts begin with.
    pub name: &'static str,
    /// What it does.
    pub role: Role,
    /// Names and patterns of its units, the one that is started first in front.
    pub units: &'static [&'static str],
    /// Names of its init scripts.
    pub scripts: &'static [&'static str],
    /// What runs for it.
    pub programs: &'static [Program],
    /// Units and scripts that end by themselves when their work is done. They are waited for, never
    /// stopped: whoever stops one in the middle does not know what is left undone.
    pub jobs: &'static [&'static str],
}

/// Dovecot, as upstream and all distributions name it.
pub const DOVECOT: Known = Known {
    name: "dovecot",
    role: Role::Imap,
    units: &["dovecot.service", "dovecot.socket"],
    scripts: &["dovecot"],
    programs: &[Program::Dovecot, Program::DovecotWorker],
    jobs: &[],
};

/// Postfix. Up to Debian 12 `postfix.service` starts nothing itself: the instances do, `-` being the
/// first.
pub const POSTFIX: Known = Known {
    name: "postfix",
    role: Role::Mta,
    units: &["postfix.service", "postfix@-.service", "postfix@*.service"],
    scripts: &["postfix"],
    programs: &[Program::Postfix, Program::PostfixWorker, Program::Delivery],
    jobs: &[],
};

/// Sendmail; Red Hat has its client queue runner as a unit of its own.
pub const SENDMAIL: Known = Known {
    name: "sendmail",
    role: Role::Mta,
    units: &["sendmail.service", "sm-client.service"],
    scripts: &["sendmail"],
    programs: &[Program::Sendmail, Program::Delivery],
    jobs: &[],
};

/// Exim, which delivers without its daemon; it is only looked at.
pub const EXIM: Known = Known {
    name: "exim",
    role: Role::Mta,
    units: &["exim4.service", "exim.service"],
    scripts: &["exim4", "exim"],
    programs: &[Program::Exim, Program::Delivery],
    jobs: &[],
};

/// cron(8): `cron` on Debian, `crond` on Red Hat, and `cron.target` where systemd.cron(7) makes timers
/// of crontabs, which are parts of it. Users' crontabs rest with it. Jobs go on when it is stopped.
pub const CRON: Known = Known {
    name: "cron",
    role: Role::Cron,
    units: &["cron.service", "crond.service", "cron.target"],
    scripts: &["cron", "crond"],
    programs: &[Program::Cron, Program::CronJob],
    jobs: &[],
};

/// atd(8). A job that goes on when it is stopped has its name.
pub const ATD: Known = Known {
    name: "atd",
    role: Role::Cron,
    units: &["atd.service"],
    scripts: &["atd"],
    programs: &[Program::Atd],
    jobs: &[],
};

/// anacron(8), which ends when its jobs have. To stop its unit is to wait for them, without a limit
/// (Debian's `TimeoutStopSec=infinity`).
pub const ANACRON: Known = Known {
    name: "anacron",
    role: Role::Cron,
    units: &["anacron.timer", "anacron.service"],
    scripts: &["anacron"],
    programs: &[Program::Anacron],
    jobs: &["anacron.service", "anacron"],
};

/// fetchmail(1) as a service of the system.
pub const FETCHMAIL: Known = Known {
    name: "fetchmail",
    role: Role::Fetcher,
    units: &["fetchmail.service"],
    scripts: &["fetchmail"],
    programs: &[Program::Fetchmail, Program::Getmail],
    jobs: &[],
};

/// All of them.
pub const ALL: [&Known; 8] = [
    &DOVECOT, &POSTFIX, &SENDMAIL, &EXIM, &CRON, &ATD, &ANACRON, &FETCHMAIL,
];

impl Known {
    /// Whether a unit or script is of this service.
    pub fn has(&self, unit: &str) -> bool {
        let fits = |name: &&str| match name.split_once('*') {
            Some((start, end)) => unit.starts_with(start) && unit.ends_with(end),
            None => unit == *name,
        };
        self.units.iter().any(fits) || self.scripts.contains(&unit)
    }
}
