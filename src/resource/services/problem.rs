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
        /// The unit.
        unit: String,
        /// Its file.
        file: HostPath,
    },
    /// Processes run that no unit or script started, and that no command stops.
    Strays {
        /// What they are.
        programs: Vec<Program>,
    },
    /// Something that is not known listens on ports of mail.
    PortsTaken {
        /// The ports.
        ports: Vec<u16>,
    },
    /// Neither systemd nor init scripts.
    UnknownInit,
    /// It is masked, and not by this migration.
    MaskedByOthers {
        /// The units.
        units: Vec<String>,
    },
    /// Several services could serve, and none runs.
    Ambiguous {
        /// The services.
        services: Vec<String>,
        /// The manifest's key that decides.
        key: String,
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
            Self::CannotMask { unit, file } => write!(
                f,
                "{file} on the target is in the place where a mask would be; move it with `mv {file} \
                 /usr/local/lib/systemd/system/{unit} && systemctl daemon-reload` (make that \
                 directory first)"
            ),
            Self::Strays { programs } => {
                let names: Vec<String> = programs.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{} runs on the target; find it with `ps -ef` and end it",
                    names.join(" and ")
                )
            }
            Self::PortsTaken { ports } => write!(
                f,
                "something listens on {} of the target and is none of the services that are known; \
                 find it with `ss -ltnp`, then stop it or name its unit in the manifest's `services`",
                super::describe::numbers(ports)
            ),
            Self::UnknownInit => f.write_str(
                "the target has neither systemd nor init scripts that can be disabled: stop it by \
                 hand, and keep it stopped until the target's mail counts",
            ),
            Self::MaskedByOthers { units } => write!(
                f,
                "{units} on the target is masked, and not by this migration; run `systemctl unmask \
                 {units}` there if it may be started",
                units = units.join(" ")
            ),
            Self::Ambiguous { services, key } => write!(
                f,
                "none of {} runs on the target; name the units of the one that should serve in {key}",
                services.join(" and ")
            ),
        }
    }
}
