//! What can make a user's trees impossible to copy, each with what to do about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Side, UserName};
use crate::raw::HostPath;
use crate::report::{counted, size};

/// What is in the way of a user's trees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The home is a directory of the system.
    SystemHome {
        /// The home.
        home: HostPath,
    },
    /// The home field is no absolute path.
    NoAbsoluteHome {
        /// The field.
        home: HostPath,
    },
    /// Several chosen users live in one home.
    SharedHome {
        /// The home, links resolved.
        home: HostPath,
        /// The others.
        with: Vec<UserName>,
    },
    /// The home lies inside another chosen user's home.
    NestedHome {
        /// The home, links resolved.
        home: HostPath,
        /// Whose home is around it.
        inside: UserName,
    },
    /// The home is on a network file system.
    NetworkHome {
        /// The home.
        home: HostPath,
        /// Kind of the file system.
        file_system: String,
    },
    /// The home is there and no directory.
    HomeNoDirectory {
        /// The home.
        home: HostPath,
    },
    /// It was copied before and is not there any more; perhaps a file system is not mounted.
    GoneOnSource {
        /// What is gone.
        path: HostPath,
    },
    /// Another migration manages the user's trees on the target.
    OtherMigration {
        /// Its name.
        name: String,
        /// Whose mail counts by its receipt.
        authority: Side,
    },
    /// It was copied to the target and is gone there, so it cannot go back.
    GoneOnTarget {
        /// What is gone.
        path: HostPath,
    },
    /// The home is another one on the target than the one that was copied there.
    HomeMoved {
        /// The home that was copied.
        copied: HostPath,
        /// The home now, links resolved.
        now: HostPath,
    },
    /// Files on the source were changed by hand after it handed over, and a reverse would replace them.
    ChangedByHand {
        /// Whose files.
        user: UserName,
        /// How many.
        count: u64,
        /// The first few.
        first: Vec<HostPath>,
    },
    /// Files on the target that did not come from this migration.
    InTheWay {
        /// Where.
        path: HostPath,
        /// The user, for the remedy.
        user: UserName,
    },
    /// The target has no spool directory, and the user has a spool file.
    NoSpoolDirectory {
        /// Where it should be.
        path: HostPath,
    },
    /// The tree cannot be read in full.
    Unreadable {
        /// Path and cause.
        first: String,
        /// How many places.
        count: u64,
    },
    /// The target's file system is too small.
    NoRoom {
        /// A directory on it.
        path: HostPath,
        /// Bytes that must be free.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The target's file system has too few inodes.
    NoInodes {
        /// A directory on it.
        path: HostPath,
        /// Inodes that must be free.
        needed: u64,
        /// Inodes that are free.
        free: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SystemHome { home } => write!(
                f,
                "the home {home} is a directory of the system, which is never copied; add the user \
                 to users.exclude, or give it a home of its own on the source (`usermod -d`)"
            ),
            Self::NoAbsoluteHome { home } => {
                write!(
                    f,
                    "the home `{home}` is no absolute path; mend it with usermod -d or exclude the user"
                )
            }
            Self::SharedHome { home, with } => {
                let with: Vec<String> = with.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "the home {home} is also the home of {}; exclude all of them but one",
                    with.join(", ")
                )
            }
            Self::NestedHome { home, inside } => write!(
                f,
                "the home {home} lies inside the home of {inside}; exclude one of the two users"
            ),
            Self::NetworkHome { home, file_system } => write!(
                f,
                "the home {home} is on {file_system}; mount it on the target instead and exclude \
                 the user, or copy it on its own server"
            ),
            Self::HomeNoDirectory { home } => {
                write!(
                    f,
                    "the home {home} is no directory; mend it or exclude the user"
                )
            }
            Self::GoneOnSource { path } => write!(
                f,
                "{path} on the source is gone or empty, and was copied before; mount its file \
                 system, or exclude the user if it is meant to be gone"
            ),
            Self::OtherMigration { name, authority } => write!(
                f,
                "the migration `{name}` manages this user's mail on the target, and by its receipt \
                 the {authority}'s mail counts; set `name: {name}` in the manifest to go on with it, \
                 or exclude the user"
            ),
            Self::GoneOnTarget { path } => write!(
                f,
                "{path} on the target is gone or empty, and was copied there; mount its file system, or \
                 bring it back from where it was moved to"
            ),
            Self::HomeMoved { copied, now } => write!(
                f,
                "the home on the target is {now} now, and {copied} was copied there: what is in it cannot \
                 go back; move it to {copied} again (`usermod -m -d`)"
            ),
            Self::ChangedByHand { user, count, first } => by_hand(f, user, *count, first),
            Self::InTheWay { path, user } => write!(
                f,
                "{path} on the target holds files that did not come from this migration; look at \
                 them, then add `{user}` to mail.adopt to have them renamed and kept aside"
            ),
            Self::NoSpoolDirectory { path } => write!(
                f,
                "the target has no spool directory {path}; install its MTA or name the directory \
                 in mail.spool.target"
            ),
            Self::Unreadable { first, count } => write!(
                f,
                "{} cannot be read, the first: {first}; a copy would be incomplete",
                counted(*count, "place", "places")
            ),
            Self::NoRoom { path, needed, free } => write!(
                f,
                "the file system of {path} needs {} free and has {}; make room or move less \
                 (mail.exclude, users.exclude)",
                size(*needed),
                size(*free)
            ),
            Self::NoInodes { path, needed, free } => write!(
                f,
                "the file system of {path} needs {needed} free inodes and has {free}; make a file \
                 system with more inodes"
            ),
        }
    }
}

fn by_hand(
    f: &mut fmt::Formatter<'_>,
    user: &UserName,
    count: u64,
    first: &[HostPath],
) -> fmt::Result {
    let (was, them) = if count == 1 {
        ("was", "it")
    } else {
        ("were", "them")
    };
    let named: Vec<String> = first.iter().map(ToString::to_string).collect();
    write!(
        f,
        "{} on the source {was} changed there after it handed over, and not by reconcile: {}{}; look \
         at {them}, then add `{user}` to mail.adopt to have {them} set aside and replaced",
        counted(count, "entry", "entries"),
        named.join(", "),
        if count > first.len() as u64 {
            ", ..."
        } else {
            ""
        },
    )
}
