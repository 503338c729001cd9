//! The service looked at through its addresses after it moved: it offers what it offered before, takes
//! mail for the same people, and a message that is sent through it arrives.
//!
//! What is looked at is in the plan ([`ServiceProbe`]); what was seen before the move is a
//! [`Survey`]. Nobody logs in. Each message that arrived is removed again, whatever else was found.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::execute::interrupted;
use crate::error::{Error, Kind, Result, chain};
use crate::exposure::smtp::{Accepted, Letter, Marker, Recipients, Refusal};
use crate::exposure::{self, Exposure, Survey, Weight, smtp};
use crate::host::{Command, Host, Probe, ReadHost, probe};
use crate::names::UserName;
use crate::plan::hand_over::ServiceProbe;

/// Services were started a moment ago, and not all listen at once.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);

/// How long a message may take from the server's promise to the INBOX.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// The port that mail comes in by.
const SMTP: u16 = 25;

/// A place from which services are looked at.
#[derive(Clone, Copy)]
pub enum Vantage<'a> {
    /// This process.
    Here,
    /// A host.
    Host(&'a dyn ReadHost),
}

impl fmt::Debug for Vantage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl Vantage<'_> {
    fn label(&self) -> String {
        match self {
            Self::Here => "this machine".to_owned(),
            Self::Host(host) => host.label(),
        }
    }

    fn look(&self, address: IpAddr) -> Result<Exposure> {
        match self {
            Self::Here => Ok(exposure::look(address, exposure::PATIENCE)),
            Self::Host(host) => host.expose(address),
        }
    }

    fn recipients(&self, query: &Recipients) -> Result<Vec<(UserName, Refusal)>> {
        match self {
            Self::Here => smtp::recipients(query),
            Self::Host(host) => host.recipients(query),
        }
    }

    fn send(&self, letter: &Letter) -> Result<Accepted> {
        match self {
            Self::Here => smtp::send(letter),
            Self::Host(host) => host.send(letter),
        }
    }
}

/// What was found, where nothing was wrong.
#[derive(Debug, Default)]
pub struct Probed {
    /// What people should know although nothing breaks by it.
    pub notes: Vec<String>,
    /// Recipients that were asked for.
    pub recipients: usize,
    /// Messages that were sent, read back and removed.
    pub messages: usize,
}

/// Looks at the service before it moves.
///
/// # Errors
///
/// [`Kind::Blocked`] if nothing serves at an address from any place: nothing could be told afterwards.
pub fn survey(plan: &ServiceProbe, vantages: &[Vantage<'_>]) -> Result<Survey> {
    let mut survey = Survey::default();
    let all = looks(plan, vantages);
    for (vantage, _, exposure) in look_all(&all) {
        let place = survey.places.entry(vantage.label()).or_default();
        place.push(exposure?);
    }
    for &address in &plan.addresses {
        let serves = |vantage: &Vantage<'_>| {
            let seen = survey.of(&vantage.label(), address);
            seen.is_some_and(Exposure::serves)
        };
        if !vantages.iter().any(serves) {
            let places: Vec<String> = vantages.iter().map(Vantage::label).collect();
            let what = format!(
                "no mail service is seen at {address} from {}",
                places.join(" or ")
            );
            return Err(Error::new(Kind::Blocked, what).hint(
                "let the server answer there, or name a host that reaches it: without it nobody \
                 can tell whether the move worked",
            ));
        }
    }
    if let Some((vantage, address)) = first_with_smtp(plan, vantages, &survey) {
        let refused = vantage.recipients(&query(plan, address))?;
        let refused = refused.into_iter();
        survey.refused = refused.map(|(user, why)| (user, why.to_string())).collect();
    }
    Ok(survey)
}

/// Looks at the service after it moved.
///
/// # Errors
///
/// [`Kind::Verification`] with everything that is wrong.
pub fn probe(
    plan: &ServiceProbe,
    before: &Survey,
    vantages: &[Vantage<'_>],
    server: &dyn Host,
    stop: &AtomicBool,
) -> Result<Probed> {
    let mut probed = Probed::default();
    let mut wrong = offers(plan, before, vantages, stop, &mut probed)?;
    match first_with_smtp(plan, vantages, before) {
        // What does not answer was said already.
        Some(_) if !wrong.is_empty() => {}
        Some((vantage, address)) => {
            wrong.extend(refused(plan, before, &vantage, address, &mut probed));
            wrong.extend(messages(plan, before, vantages, server, stop, &mut probed)?);
        }
        None => probed.notes.push(format!(
            "no message was sent: port {SMTP} served nobody before"
        )),
    }
    if wrong.is_empty() {
        return Ok(probed);
    }
    let what = "the service is not what it was before it moved";
    Err(
        Error::caused(Kind::Verification, what, wrong.join("; ")).hint(
            "put right what is named, on the host that takes over, and run `reconcile apply` again",
        ),
    )
}

/// A place to look from, and what at.
type Look<'a> = (Vantage<'a>, IpAddr);

fn looks<'a>(plan: &ServiceProbe, vantages: &[Vantage<'a>]) -> Vec<Look<'a>> {
    let each = vantages.iter().flat_map(|&vantage| {
        let addresses = plan.addresses.iter();
        addresses.map(move |&address| (vantage, address))
    });
    each.collect()
}

/// Looks from everywhere at once.
fn look_all<'a>(looks: &[Look<'a>]) -> Vec<(Vantage<'a>, IpAddr, Result<Exposure>)> {
    std::thread::scope(|scope| {
        let started: Vec<_> = looks
            .iter()
            .map(|&(vantage, address)| {
                let look = scope.spawn(move || vantage.look(address));
                (vantage, address, look)
            })
            .collect();
        let seen = started.into_iter().map(|(vantage, address, look)| {
            let seen = look.join().expect("looking does not panic");
            (vantage, address, seen)
        });
        seen.collect()
    })
}

/// What is missing, once services had time to start.
fn offers(
    plan: &ServiceProbe,
    before: &Survey,
    vantages: &[Vantage<'_>],
    stop: &AtomicBool,
    probed: &mut Probed,
) -> Result<Vec<String>> {
    let until = Instant::now() + SETTLES_WITHIN;
    let mut left = looks(plan, vantages);
    loop {
        let mut wrong = Vec::new();
        let mut again = Vec::new();
        for (vantage, address, after) in look_all(&left) {
            let place = vantage.label();
            let after = after?;
            let seen = format!("{address} from {place}");
            let Some(old) = before.of(&place, address).filter(|old| old.serves()) else {
                let note = format!("{seen}: nothing served there before, nothing was compared");
                probed.notes.push(note);
                continue;
            };
            let missing = exposure::compare(old, &after);
            let (breaks, lessens): (Vec<_>, Vec<_>) = missing
                .iter()
                .partition(|missing| missing.weight() == Weight::Breaks);
            let breaks: Vec<_> = breaks
                .into_iter()
                .filter(|missing| plan.ports.contains(&missing.port))
                .collect();
            if breaks.is_empty() {
                let lessens = lessens.iter().map(|missing| format!("{seen}: {missing}"));
                probed.notes.extend(lessens);
                let notes = exposure::notes(old, &after).into_iter();
                probed
                    .notes
                    .extend(notes.map(|note| format!("{seen}: {note}")));
            } else {
                wrong.extend(breaks.iter().map(|missing| format!("{seen}: {missing}")));
                again.push((vantage, address));
            }
        }
        if wrong.is_empty() || Instant::now() > until {
            return Ok(wrong);
        }
        pause(stop)?;
        left = again;
    }
}

/// The first place and address where the server took mail before.
fn first_with_smtp<'a>(
    plan: &ServiceProbe,
    vantages: &[Vantage<'a>],
    before: &Survey,
) -> Option<Look<'a>> {
    let mut looks = looks(plan, vantages).into_iter();
    looks.find(|(vantage, address)| takes_mail(before, vantage, *address))
}

fn takes_mail(before: &Survey, vantage: &Vantage<'_>, address: IpAddr) -> bool {
    let seen = before.of(&vantage.label(), address);
    seen.is_some_and(|seen| seen.service(SMTP).is_some())
}

fn query(plan: &ServiceProbe, address: IpAddr) -> Recipients {
    Recipients {
        address,
        users: plan.users.iter().cloned().collect(),
        domain: plan.domain.clone(),
    }
}

/// For whom no mail is taken any more.
fn refused(
    plan: &ServiceProbe,
    before: &Survey,
    vantage: &Vantage<'_>,
    address: IpAddr,
    probed: &mut Probed,
) -> Vec<String> {
    let refused = match vantage.recipients(&query(plan, address)) {
        Ok(refused) => refused,
        Err(error) => return vec![chain(&error)],
    };
    probed.recipients = plan.users.len();
    let mut wrong = Vec::new();
    for (user, why) in refused {
        match before.refused.get(&user) {
            Some(_) => probed
                .notes
                .push(format!("no mail is taken for {user}, as before: {why}")),
            None => wrong.push(format!("no mail is taken for {user} any more: {why}")),
        }
    }
    wrong
}

/// A message under way.
struct UnderWay {
    marker: Marker,
    /// Where it was sent, and from where.
    seen: String,
    /// What the server said when it took it.
    said: String,
}

/// Sends messages, waits for them, removes them; what went wrong.
fn messages(
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
        pause(stop)?;
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

fn pause(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(interrupted());
    }
    std::thread::sleep(PAUSE);
    Ok(())
}
