//! Why a service cannot be held or started, and what to do about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::others::OtherMail;
use super::process::Program;
use crate::names::Side;
use crate::raw::HostPath;

/// What is in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The manifest names a unit that no running host has.
    UnknownUnit {
        /// As it is written.
        unit: String,
        /// What may be meant.
        guess: Option<String>,
    },
    /// A host has none of the units that the manifest names for a role.
    NoneOfTheUnits {
        /// Which host.
        side: Side,
        /// The manifest's key.
        key: String,
    },
    /// It serves mail that is not this migration's.
    ServesOthers {
        /// What was found.
        signs: Vec<OtherMail>,
    },
    /// The target's MTA is exim.
    Exim {
        /// The unit that runs or could be started.
        unit: String,
    },
    /// A unit file in `/etc/systemd/system` cannot be masked.
    CannotMask {
        /// On which host.
        side: Side,
        /// The unit.
        unit: String,
        /// Its file.
        file: HostPath,
    },
    /// Processes run that no unit or script started, and that no command stops.
    Strays {
        /// On which host.
        side: Side,
        /// What they are.
        programs: Vec<Program>,
    },
    /// Something that is not known listens on ports of mail.
    PortsTaken {
        /// On which host.
        side: Side,
        /// The ports.
        ports: Vec<u16>,
    },
    /// Neither systemd nor init scripts.
    UnknownInit,
    /// It is masked, and not by this migration.
    MaskedByOthers {
        /// On which host.
        side: Side,
        /// The units.
        units: Vec<String>,
    },
    /// Several services could serve, and none runs.
    Ambiguous {
        /// On which host.
        side: Side,
        /// The services.
        services: Vec<String>,
        /// The manifest's key that decides.
        key: String,
    },
    /// Nothing on this host could be stopped and started again by itself.
    CannotFreeze {
        /// Which host.
        side: Side,
    },
    /// Exim on a host that is to be frozen.
    EximDelivers {
        /// On which host.
        side: Side,
        /// The unit that runs or could be started.
        unit: String,
    },
    /// What was started by hand could be stopped, and nothing would start it again.
    ByHand {
        /// On which host.
        side: Side,
        /// What it is.
        program: Program,
    },
    /// The host whose mail does not count serves again, although it was stopped when it handed over.
    ServesToo {
        /// Which.
        side: Side,
        /// Ports that other hosts reach.
        ports: Vec<u16>,
        /// Units or scripts that are to be stopped.
        units: Vec<String>,
    },
    /// A unit is at work that ends by itself, and is not to be stopped in the middle.
    AtWork {
        /// On which host.
        side: Side,
        /// The unit.
        unit: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUnit { unit, guess: None } => write!(
                f,
                "no running host has a unit {unit}; `systemctl list-unit-files` lists those that \
                 there are"
            ),
            Self::UnknownUnit {
                unit,
                guess: Some(guess),
            } => write!(
                f,
                "no running host has a unit {unit}; did you mean {guess}?"
            ),
            Self::NoneOfTheUnits { side, key } => write!(
                f,
                "the {side} has none of the units in {key}; name those of both hosts there, with \
                 spaces between, or write `auto`"
            ),
            Self::ServesOthers { signs } => {
                let signs: Vec<String> = signs.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "it serves mail that is not this migration's ({}), and cannot go on while the \
                     copy is incomplete; write `services.on_other_mail: stop` to have it stopped \
                     until the target's mail counts, or migrate to another host",
                    signs.join("; ")
                )
            }
            Self::Exim { unit } => write!(
                f,
                "exim is not handled: its `sendmail` delivers into the incomplete mailboxes without \
                 a daemon; put postfix or sendmail in its place, or see to it that nothing is \
                 delivered there and run `systemctl mask --now {unit}` on the target"
            ),
            Self::CannotMask { side, unit, file } => write!(
                f,
                "{file} on the {side} is in the place where a mask would be; move it with `mv {file} \
                 /usr/local/lib/systemd/system/{unit} && systemctl daemon-reload` (make that \
                 directory first)"
            ),
            Self::Strays { side, programs } => {
                let names: Vec<String> = programs.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{} runs on the {side}; find it with `ps -ef` and end it",
                    names.join(" and ")
                )
            }
            Self::PortsTaken { side, ports } => write!(
                f,
                "something listens on {} of the {side} and is none of the services that are known; \
                 find it with `ss -ltnp`, then stop it or name its unit in the manifest's `services`",
                super::describe::numbers(ports)
            ),
            Self::UnknownInit => f.write_str(
                "the target has neither systemd nor init scripts that can be disabled: stop it by \
                 hand, and keep it stopped until the target's mail counts",
            ),
            Self::MaskedByOthers { side, units } => write!(
                f,
                "{units} on the {side} is masked, and not by this migration; run `systemctl unmask \
                 {units}` there if it may be started",
                units = units.join(" ")
            ),
            Self::Ambiguous {
                side,
                services,
                key,
            } => write!(
                f,
                "none of {} runs on the {side}; name the units of the one that should serve in {key}",
                services.join(" and ")
            ),
            Self::CannotFreeze { side } => write!(
                f,
                "the {side} has neither systemd nor init scripts that can be disabled, so its services \
                 cannot be kept stopped for the hand-over and started again if it is taken back; \
                 install update-rc.d or chkconfig there"
            ),
            Self::EximDelivers { side, unit } => write!(
                f,
                "exim ({unit}) on the {side} is not handled: its `sendmail` delivers without a daemon, \
                 so the mail there cannot be frozen; put postfix or sendmail in its place first"
            ),
            Self::ByHand { side, program } => write!(
                f,
                "{program} on the {side} was started by hand, and nothing would start it again if the \
                 hand-over is taken back; stop it, and start its unit with systemctl"
            ),
            Self::ServesToo { side, ports, units } => serves_too(f, *side, ports, units),
            Self::AtWork { side, unit } => write!(
                f,
                "{unit} on the {side} is at work, and is not to be stopped before its jobs have ended; \
                 wait until `systemctl is-active {unit}` there says that it is not"
            ),
        }
    }
}

fn serves_too(
    f: &mut fmt::Formatter<'_>,
    side: Side,
    ports: &[u16],
    units: &[String],
) -> fmt::Result {
    write!(
        f,
        "both hosts serve, and the {}'s mail counts: what was stopped on the {side} when it handed over \
         listens on {} again; stop it with `systemctl mask --now {}` there, then plan again; mail that \
         came there meanwhile is in its mailboxes and its queue",
        side.other(),
        super::describe::numbers(ports),
        units.join(" ")
    )
}
