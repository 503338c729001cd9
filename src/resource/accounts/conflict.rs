//! What keeps an account or group from being merged: each with the numbers and names on both hosts
//! and the way out.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scheme::Crypt;
use crate::names::{Gid, GroupName, Side, Uid, UserName};
use crate::plan::change::Ambiguous;

/// What is in the way. The text says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// No account is chosen.
    NobodyChosen {
        /// What was looked at: `uids 1000..60000 of the source`.
        among: String,
    },
    /// A pattern of `users.include` fits no account on the source.
    IncludeMatchesNobody {
        /// The pattern.
        pattern: String,
        /// A name that may have been meant.
        guess: Option<String>,
    },
    /// A pattern is no glob.
    BadPattern {
        /// Its list in the manifest: `users.include`.
        list: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that no system takes, or that leads elsewhere as the name of a spool file.
    UnusableName {
        /// The name.
        user: UserName,
    },
    /// `users.remap` names nobody who is chosen.
    RemapOfNobody {
        /// The name there.
        user: String,
        /// A name that may have been meant.
        guess: Option<String>,
    },
    /// The uid in `users.remap` is somebody else's.
    RemapTaken {
        /// Whose.
        user: UserName,
        /// The uid.
        uid: Uid,
        /// Who has it, or will have.
        by: UserName,
        /// A uid that is free on both sides.
        free: Option<Uid>,
    },
    /// `users.remap` gives another uid to an account that is on the target already.
    RemapTooLate {
        /// Whose.
        user: UserName,
        /// The uid in `users.remap`.
        uid: Uid,
        /// The uid that it has there.
        target: Uid,
    },
    /// The uid in `users.remap` is one that no person may have.
    RemapReserved {
        /// Whose.
        user: UserName,
        /// The uid.
        uid: Uid,
    },
    /// An account has more than one line.
    DuplicateUser {
        /// Which.
        user: UserName,
        /// Where.
        side: Side,
    },
    /// A group has more than one line.
    DuplicateGroup {
        /// Which.
        group: GroupName,
        /// Where.
        side: Side,
    },
    /// Chosen accounts have one uid between them.
    SharedUid {
        /// Where.
        side: Side,
        /// The uid.
        uid: Uid,
        /// The accounts.
        users: Vec<UserName>,
    },
    /// The account is on the target with another uid.
    SameNameOtherUid {
        /// Which.
        user: UserName,
        /// The uid that it should have there.
        wanted: Uid,
        /// The uid that it has there.
        target: Uid,
    },
    /// The uid belongs to another person on the target.
    OtherNameSameUid {
        /// The account on the source.
        user: UserName,
        /// The uid.
        uid: Uid,
        /// The account on the target.
        other: UserName,
        /// A uid that is free on both sides.
        free: Option<Uid>,
    },
    /// The name is a system account's on the target.
    SystemName {
        /// The name.
        user: UserName,
        /// Uid on the source.
        source: Uid,
        /// Uid on the target.
        target: Uid,
    },
    /// The uid belongs to a system account on the target.
    SystemUid {
        /// The account on the source.
        user: UserName,
        /// The uid.
        uid: Uid,
        /// The system account on the target.
        other: UserName,
        /// A uid that is free on both sides.
        free: Option<Uid>,
    },
    /// The group is on the target with another gid.
    GroupSameNameOtherGid {
        /// Which.
        group: GroupName,
        /// The gid that it should have there.
        wanted: Gid,
        /// The gid that it has there.
        target: Gid,
    },
    /// The gid belongs to another group on the target.
    GroupOtherNameSameGid {
        /// The group on the source.
        group: GroupName,
        /// The gid.
        gid: Gid,
        /// The group on the target.
        other: GroupName,
    },
    /// A group of people on the source has the name of a system group on the target.
    SystemGroupName {
        /// The name.
        group: GroupName,
        /// Gid on the source.
        source: Gid,
        /// Gid on the target.
        target: Gid,
    },
    /// An account's primary gid has no group on the source.
    NoPrimaryGroup {
        /// The account.
        user: UserName,
        /// The gid.
        gid: Gid,
    },
    /// An account's primary group is a system group that the target does not have.
    NoSystemGroup {
        /// The account.
        user: UserName,
        /// The group.
        group: GroupName,
    },
    /// Every uid or gid for people is in use on the target.
    NoFreeId {
        /// Account or group.
        name: String,
        /// The range that was searched.
        range: String,
    },
    /// The target cannot check the password.
    UncheckablePassword {
        /// Whose.
        user: UserName,
        /// How it is hashed.
        scheme: String,
        /// The target's library.
        crypt: Crypt,
    },
    /// A reverse cannot tell whose a file is on the source.
    AmbiguousIds {
        /// The numbers.
        ambiguous: Ambiguous,
    },
    /// The password is empty.
    EmptyPassword {
        /// Whose.
        user: UserName,
    },
    /// The target has no shadow file for the hashes.
    NoShadowFile,
}

/// The policy that takes free numbers.
const REMAP: &str = "`users.on_uid_conflict: remap`";

impl fmt::Display for Conflict {
    #[expect(
        clippy::too_many_lines,
        reason = "one sentence for each conflict, nothing else"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusableName { user } => write!(
                f,
                "`{user}` is no name that a system takes; rename the account on the source, or \
                 leave it out by users.exclude"
            ),
            Self::NobodyChosen { among } => write!(
                f,
                "no account is chosen: looked at {among}; widen `users.uid` or name accounts in \
                 `users.include`"
            ),
            Self::IncludeMatchesNobody { pattern, guess } => write!(
                f,
                "`{pattern}` in users.include fits no account on the source{}; correct it or take \
                 it out",
                Guess(guess.as_ref())
            ),
            Self::BadPattern {
                list,
                pattern,
                problem,
            } => {
                write!(f, "`{pattern}` in {list} is no glob: {problem}; correct it")
            }
            Self::RemapOfNobody { user, guess } => write!(
                f,
                "users.remap names {user}, who is not among the chosen accounts{}; correct it or \
                 take it out",
                Guess(guess.as_ref())
            ),
            Self::RemapTaken {
                user,
                uid,
                by,
                free,
            } => write!(
                f,
                "users.remap gives {user} the uid {uid}, which is {by}'s on the target; {}",
                Remap(user, *free)
            ),
            Self::RemapTooLate { user, uid, target } => write!(
                f,
                "users.remap gives {user} the uid {uid}, and {user} has uid {target} on the target \
                 already, which is never changed; if they are one person, write \
                 `users.remap: {{ {user}: {target} }}`, else add {user} to users.exclude"
            ),
            Self::RemapReserved { user, uid } => write!(
                f,
                "users.remap gives {user} the uid {uid}, which no person may have; choose another"
            ),
            Self::DuplicateUser { user, side } => write!(
                f,
                "{user} has more than one line in passwd or shadow on the {side}; remove the wrong \
                 ones with `vipw` and `vipw -s` there, or add {user} to users.exclude"
            ),
            Self::DuplicateGroup { group, side } => write!(
                f,
                "the group {group} has more than one line in group or gshadow on the {side}; \
                 remove the wrong ones with `vigr` and `vigr -s` there"
            ),
            Self::SharedUid { side, uid, users } => {
                write!(f, "the uid {uid} on the {side} is shared by ")?;
                for (n, user) in users.iter().enumerate() {
                    write!(f, "{}{user}", if n == 0 { "" } else { " and " })?;
                }
                f.write_str(
                    ", so that their files cannot be told apart; leave all but one out in \
                     users.exclude",
                )
            }
            Self::NoPrimaryGroup { user, gid } => write!(
                f,
                "{user}'s primary gid {gid} has no group on the source; make one there \
                 (`groupadd -g {gid} NAME`), or add {user} to users.exclude"
            ),
            Self::SameNameOtherUid {
                user,
                wanted,
                target,
            } => write!(
                f,
                "{user} should have uid {wanted} and has uid {target} on the target; if they are \
                 one person, write `users.remap: {{ {user}: {target} }}` or {REMAP} to keep \
                 {target}, else add {user} to users.exclude"
            ),
            Self::OtherNameSameUid {
                user,
                uid,
                other,
                free,
            } => write!(
                f,
                "{user} has uid {uid} on the source, which is {other}'s on the target; {}, or {REMAP}",
                Remap(user, *free)
            ),
            Self::SystemName {
                user,
                source,
                target,
            } => write!(
                f,
                "{user} (uid {source} on the source) is a system account on the target (uid \
                 {target}); add {user} to users.exclude"
            ),
            Self::SystemUid {
                user,
                uid,
                other,
                free,
            } => write!(
                f,
                "{user} has uid {uid} on the source, which is the system account {other}'s on the \
                 target; {}, or {REMAP}",
                Remap(user, *free)
            ),
            Self::NoFreeId { name, range } => write!(
                f,
                "there is no free number for {name} on the target in {range}; raise the maximum in \
                 its /etc/login.defs"
            ),
            Self::GroupSameNameOtherGid {
                group,
                wanted,
                target,
            } => write!(
                f,
                "the group {group} should have gid {wanted} and has gid {target} on the target; if \
                 they are one group, write `users.on_uid_conflict: remap` to keep {target}, else \
                 rename one (`groupmod -n`)"
            ),
            Self::GroupOtherNameSameGid { group, gid, other } => write!(
                f,
                "the group {group} has gid {gid}, which is the group {other}'s on the target; \
                 write `users.on_uid_conflict: remap` to give it a free one"
            ),
            Self::SystemGroupName {
                group,
                source,
                target,
            } => write!(
                f,
                "the group {group} is one of people on the source (gid {source}) and a system group \
                 on the target (gid {target}); rename it on the source (`groupmod -n`)"
            ),
            Self::NoSystemGroup { user, group } => write!(
                f,
                "{user}'s primary group {group} is a system group that the target does not have; \
                 make it there (`groupadd -r {group}`), or change {user}'s group on the source"
            ),
            Self::UncheckablePassword {
                user,
                scheme,
                crypt,
            } => write!(
                f,
                "{user}'s password is hashed by a scheme ({scheme}) that {} on the target cannot \
                 check; set a new password on the source, or add {user} to users.exclude",
                crypt.name()
            ),
            Self::AmbiguousIds { ambiguous } => write!(
                f,
                "the owners of files cannot be told apart on the way back: {ambiguous}; give each a \
                 number of its own on the target (usermod -u, groupmod -g, and chown)"
            ),
            Self::EmptyPassword { user } => write!(
                f,
                "{user} has an empty password on the source: anybody could log in; set one there, \
                 or write `users.allow_empty_password: [{user}]`"
            ),
            Self::NoShadowFile => f.write_str(
                "the target has no /etc/shadow, and password hashes do not belong in /etc/passwd; \
                 run `pwconv` there",
            ),
        }
    }
}

/// `; did you mean carol?`
struct Guess<'a>(Option<&'a String>);

impl fmt::Display for Guess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |guess| write!(f, " (did you mean {guess}?)"))
    }
}

/// `write users.remap: { bob: 2001 }`
struct Remap<'a>(&'a UserName, Option<Uid>);

impl fmt::Display for Remap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(user, free) = self;
        match free {
            Some(free) => write!(f, "write `users.remap: {{ {user}: {free} }}`"),
            None => write!(f, "give {user} a free uid in users.remap"),
        }
    }
}
