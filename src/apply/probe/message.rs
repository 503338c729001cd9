//! Messages sent through the service, found in the recipient's INBOX by the server's own code, and
//! removed again.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::{PAUSE, Probed, Vantage, looks, pause, takes_mail};
use crate::error::{Error, Kind, Result, chain};
use crate::exposure::Survey;
use crate::exposure::smtp::{Accepted, Letter, Marker};
use crate::host::{Command, Host, Probe, probe};
use crate::names::UserName;
use crate::plan::hand_over::ServiceProbe;

/// How long a message may take from the server's promise to the INBOX.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// A message under way.
struct UnderWay {
    marker: Marker,
    /// Where it was sent, and from where.
    seen: String,
    /// What the server said when it took it.
    said: String,
}

/// Sends messages, waits for them, removes them; what went wrong.
pub(super) fn go_through(
    plan: &ServiceProbe,
    before: &Survey,
    vantages: &[Vantage<'_>],
    server: &dyn Host,
    stop: &AtomicBool,
    probed: &mut Probed,
) -> Result<Vec<String>> {
    let Some(user) = &plan.recipient else {
        let note = "no message was sent: nobody is named who could get one";
        probed.notes.push(note.to_owned());
        return Ok(Vec::new());
    };
    let mut wrong = Vec::new();
    let mut under_way = Vec::new();
    for (vantage, address) in looks(plan, vantages) {
        if !takes_mail(before, &vantage, address) {
            continue;
        }
        let letter = Letter {
            address,
            from: String::new(),
            to: user.clone(),
            domain: plan.domain.clone(),
            marker: Marker::random()?,
        };
        let seen = format!("{address} from {}", vantage.label());
        match vantage.send(&letter) {
            Ok(Accepted { said }) => under_way.push(UnderWay {
                marker: letter.marker,
                seen,
                said,
            }),
            Err(error) => wrong.push(format!("{seen}: {}", chain(&error))),
        }
    }
    let until = Instant::now() + ARRIVES_WITHIN;
    loop {
        let mut missing = Vec::new();
        for message in under_way {
            if arrived(server, user, &message.marker)? {
                probed.messages += 1;
                probed.notes.extend(remove(server, user, &message.marker)?);
            } else {
                missing.push(message);
            }
        }
        under_way = missing;
        if under_way.is_empty() || Instant::now() > until {
            wrong.extend(under_way.iter().map(|message| {
                format!(
                    "{}: a message was taken ({}) and is not in the INBOX of {user} after {} seconds",
                    message.seen,
                    message.said,
                    ARRIVES_WITHIN.as_secs()
                )
            }));
            return Ok(wrong);
        }
        pause(stop, PAUSE)?;
    }
}

/// Whether a message is in the INBOX.
fn arrived(server: &dyn Host, user: &UserName, marker: &Marker) -> Result<bool> {
    let question = Probe::Letter(probe::Letter {
        user: user.to_string(),
        marker: marker.as_str().to_owned(),
    });
    let what = || {
        let label = server.label();
        format!("the INBOX of {user} on {label} cannot be read")
    };
    let Some(answer) = server.probe(&question)? else {
        let why = "doveadm is not there or hangs";
        return Err(Error::caused(Kind::Verification, what(), why));
    };
    if answer.status != Some(0) {
        let said = crate::raw::escape(answer.stderr.trim_ascii());
        return Err(Error::caused(Kind::Verification, what(), said));
    }
    // The first line is the column's name.
    let lines = answer.stdout.split(|&byte| byte == b'\n').skip(1);
    Ok(lines.filter(|line| !line.is_empty()).count() > 0)
}

/// Removes a message, and makes sure that it is gone: a doveadm that may not write says so on standard
/// error only. That it stays is no reason to go back.
fn remove(server: &dyn Host, user: &UserName, marker: &Marker) -> Result<Option<String>> {
    let answer = server.run(&Command::ExpungeLetter {
        user: user.to_string(),
        marker: marker.as_str().to_owned(),
    })?;
    if answer.status == Some(0) && !arrived(server, user, marker)? {
        return Ok(None);
    }
    Ok(Some(format!(
        "the message that was sent to {user} could not be removed: {}",
        crate::raw::escape(answer.stderr.trim_ascii())
    )))
}
