//! The proof that clients will see the same mailboxes on the other host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::rounds::forecast;
use crate::apply::execute::Context;
use crate::apply::mail::{self, Stillness};
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Difference, Outcome, Party, Subject, UserVerdict, Way};
use crate::names::{Side, UserName};
use crate::plan::Change;
use crate::plan::hand_over::{IdentityProof, Mailboxes, ProofOf, Rounds};
use crate::report::counted;

/// How often a user whose mail moves is compared again.
const TRIES: u32 = 3;

/// So many differences are named in a message.
const NAMED: usize = 8;

/// Compares what clients see.
///
/// # Errors
///
/// Of seeds, [`Kind::Blocked`]: nothing was stopped yet. Of frozen mail, [`Kind::Verification`].
pub(crate) fn prove(context: &Context<'_>, proof: &IdentityProof) -> Result<()> {
    match proof.of {
        ProofOf::Seed => prove_seeds(context, proof),
        ProofOf::Frozen => prove_frozen(context, proof),
    }
}

/// While mail moves, a difference may be mail that moved: those users are brought up to date and
/// compared again, and what is left then must be of a kind that moving mail explains.
fn prove_seeds(context: &Context<'_>, proof: &IdentityProof) -> Result<()> {
    let rounds = rounds_of(context)?;
    let mut left: BTreeMap<&UserName, &Mailboxes> = proof.users.iter().collect();
    let began = Instant::now();
    let mut took = Duration::ZERO;
    let mut differing: Vec<UserVerdict> = Vec::new();
    for attempt in 1..=TRIES {
        differing = compare(context, proof, &left)?;
        if attempt == 1 {
            took = began.elapsed();
        }
        if attempt == TRIES {
            break;
        }
        // Reading is one more login, and a login may write to indexes. What it wrote is brought over, so
        // that a mailbox in which nothing else happens stays proven.
        let changed = mail::bring_over(context, &rounds.copies, Stillness::Moving)?;
        left = unproven(&proof.users, &changed, &differing);
        if left.is_empty() {
            break;
        }
    }
    let broken: Vec<&UserVerdict> = differing
        .iter()
        .filter(|verdict| !verdict.differences.iter().all(is_lag))
        .collect();
    if !broken.is_empty() {
        return Err(different(Kind::Blocked, proof.from, &broken).hint(
            match proof.from {
                Side::Source => {
                    "nothing was stopped; `reconcile verify` shows every difference: mend the cause, and \
                     run `reconcile apply` again"
                }
                Side::Target => {
                    "nothing was stopped; look at the mailboxes that are named on both hosts, mend the \
                     cause, and run `reconcile apply` again"
                }
            },
        ));
    }
    let differs = |user: &UserName| differing.iter().any(|verdict| verdict.user == *user);
    let proven = proof.users.keys().filter(|user| !differs(user));
    context.memory.open().proven = proven.cloned().collect();
    let share = took.mul_f64(share_that_moves(left.len(), proof.users.len()));
    forecast(context, share, rounds)
}

/// Who has to be compared again: who differed, and whose mail was copied since, also if it was found to be
/// the same before.
fn unproven<'a>(
    users: &'a BTreeMap<UserName, Mailboxes>,
    changed: &BTreeSet<UserName>,
    differing: &[UserVerdict],
) -> BTreeMap<&'a UserName, &'a Mailboxes> {
    let differs = |user: &UserName| differing.iter().any(|verdict| verdict.user == *user);
    let again = |(user, _): &(&UserName, &Mailboxes)| changed.contains(*user) || differs(user);
    users.iter().filter(again).collect()
}

/// Of the users that are proven, those whose mail moved are proven again in the freeze: at least a
/// tenth is expected to.
#[expect(clippy::cast_precision_loss, reason = "a forecast")]
fn share_that_moves(moved: usize, all: usize) -> f64 {
    (moved as f64 / all.max(1) as f64).max(0.1)
}

/// Nothing moves any more: whoever is not proven must not differ at all.
fn prove_frozen(context: &Context<'_>, proof: &IdentityProof) -> Result<()> {
    let proven = context.memory.open().proven.clone();
    let left = proof
        .users
        .iter()
        .filter(|(user, _)| !proven.contains(*user))
        .collect();
    let differing = compare(context, proof, &left)?;
    if differing.is_empty() {
        return Ok(());
    }
    let all: Vec<&UserVerdict> = differing.iter().collect();
    let hint = match proof.from {
        Side::Source => "`reconcile verify` shows every difference once the source serves again",
        Side::Target => {
            "the target serves again with all of its mail: look at the mailboxes that are named on both \
             hosts, mend the cause, and run `reconcile apply` again"
        }
    };
    Err(different(Kind::Verification, proof.from, &all).hint(hint))
}

/// The users whose clients would notice.
fn compare(
    context: &Context<'_>,
    proof: &IdentityProof,
    users: &BTreeMap<&UserName, &Mailboxes>,
) -> Result<Vec<UserVerdict>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let run = context.run;
    let party = |side| -> Result<Party<'_>> {
        let host = run.read(side)?;
        // Where the copy is, nobody may open it; where the mail counts, one more login is all.
        let way = if side == proof.from {
            Way::Client
        } else {
            Way::Aside
        };
        Ok(Party { host, way })
    };
    let subject = |user: &UserName, mailboxes: &Mailboxes, side: Side| {
        let at = usize::from(side == Side::Target);
        Subject {
            user: user.clone(),
            home: mailboxes.home[at].clone(),
            spool: mailboxes.spool[at].clone(),
        }
    };
    let to = proof.from.other();
    let pairs: Vec<_> = users
        .iter()
        .map(|(user, boxes)| (subject(user, boxes, proof.from), subject(user, boxes, to)))
        .collect();
    let mut differing = Vec::new();
    let outcome = identity::compare(
        party(proof.from)?,
        party(to)?,
        &pairs,
        run.stop,
        &mut |verdict| {
            if !verdict.identical() {
                differing.push(verdict.clone());
            }
        },
    )?;
    match outcome {
        Outcome::Done(_) => Ok(differing),
        Outcome::Unable(side, unable) => {
            let side = if side == Side::Source { proof.from } else { to };
            let what = format!(
                "what clients see cannot be compared: {}: {unable}",
                run.read(side)?.label()
            );
            Err(Error::new(Kind::Blocked, what).hint(unable.remedy()))
        }
    }
}

fn different(kind: Kind, from: Side, verdicts: &[&UserVerdict]) -> Error {
    let users = counted(verdicts.len() as u64, "user", "users");
    let (messages, bytes) = verdicts.iter().fold((0, 0), |(messages, bytes), verdict| {
        let more = verdict.download;
        (messages + more.messages, bytes + more.bytes)
    });
    let lines: Vec<String> = verdicts
        .iter()
        .flat_map(|verdict| {
            let of = |difference: &Difference| {
                format!("{}: {}", verdict.user, difference.counted_on(from))
            };
            verdict.differences.iter().map(of)
        })
        .take(NAMED)
        .collect();
    let what = format!(
        "clients of {users} would notice (and download {} again, {}): {}",
        counted(messages, "message", "messages"),
        crate::report::size(bytes),
        lines.join("; ")
    );
    Error::new(kind, what)
}

/// Whether mail that came, went or was marked since the copy explains a difference.
fn is_lag(difference: &Difference) -> bool {
    match difference {
        Difference::UidlNew { .. }
        | Difference::UidlGone { .. }
        | Difference::Pop3Size { .. }
        | Difference::Pop3Count { .. }
        | Difference::FolderMissing { .. }
        | Difference::FolderExtra { .. }
        | Difference::UidNext { .. }
        | Difference::MessagesMissing { .. }
        | Difference::MessagesExtra { .. }
        | Difference::Flags { .. }
        | Difference::SubscriptionMissing { .. }
        | Difference::SubscriptionExtra { .. } => true,
        // The one that was being appended when the mailbox was copied.
        Difference::Sizes { uids, .. } => uids.count() == 1,
        Difference::Pop3Unreadable { .. }
        | Difference::UidlFormat { .. }
        | Difference::UidlOrder
        | Difference::ImapUnreadable { .. }
        | Difference::FolderUnreadable { .. }
        | Difference::FolderKind { .. }
        | Difference::UidValidity { .. }
        | Difference::MessageCount { .. }
        | Difference::Dates { .. }
        | Difference::InboxReadOnly
        | Difference::InboxRefused { .. } => false,
    }
}

fn rounds_of<'a>(context: &'a Context<'_>) -> Result<&'a Rounds> {
    let mut actions = context.run.plan.actions.iter();
    let rounds = actions.find_map(|action| match &action.change {
        Change::Rounds(rounds) => Some(rounds),
        _ => None,
    });
    rounds.ok_or_else(|| Error::new(Kind::Internal, "a proof of seeds without rounds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::HostPath;

    #[test]
    fn on_the_way_back_the_hosts_are_called_what_they_are() {
        use crate::identity::mailbox::FolderName;
        use crate::identity::verdict::Again;
        let verdict = UserVerdict {
            user: "anna".into(),
            pop3_messages: 0,
            same_uidls: 0,
            folders: 1,
            imap_messages: 0,
            differences: vec![Difference::FolderMissing {
                folder: FolderName("Sent".into()),
                messages: 2,
            }],
            notes: Vec::new(),
            download: Again::default(),
            resync: Again::default(),
        };
        let said = |from| different(Kind::Verification, from, &[&verdict]).to_string();
        let forth = said(Side::Source);
        assert!(
            forth.contains("anna: Sent: missing on the target"),
            "{forth}"
        );
        let back = said(Side::Target);
        assert!(back.contains("anna: Sent: missing on the source"), "{back}");
    }

    #[test]
    fn a_message_that_was_being_delivered_explains_one_other_size_and_no_more() {
        use crate::identity::mailbox::{FolderName, NumberSet};
        let sizes = |uids: &[u32]| {
            let mut set = NumberSet::default();
            for uid in uids {
                set.push(*uid);
            }
            Difference::Sizes {
                folder: FolderName("INBOX".into()),
                uids: set,
            }
        };
        assert!(is_lag(&sizes(&[12])));
        assert!(!is_lag(&sizes(&[11, 12])));
    }

    #[test]
    fn mail_that_was_copied_since_is_compared_again_although_it_was_the_same() {
        let name = |text: &str| UserName::from(text);
        let boxes = |user: &str| Mailboxes {
            home: ["/home", "/home"].map(|dir| HostPath::from(dir).join(user)),
            spool: ["/var/mail", "/var/mail"].map(|dir| HostPath::from(dir).join(user)),
        };
        let users = ["anna", "bela"].map(|user| (name(user), boxes(user)));
        let users = BTreeMap::from(users);
        let changed = BTreeSet::from([name("anna")]);
        let left = unproven(&users, &changed, &[]);
        assert_eq!(left.keys().copied().collect::<Vec<_>>(), [&name("anna")]);
        assert!(unproven(&users, &BTreeSet::new(), &[]).is_empty());
    }
}
