//! The service looked at through its addresses after it moved: it offers what it offered before, takes
//! mail for the same people, and a message that is sent through it arrives.
//!
//! What is looked at is in the plan ([`ServiceProbe`]); what was seen before the move is a
//! [`Survey`]. Nobody logs in. Each message that arrived is removed again, whatever else was found.

mod message;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::execute::interrupted;
use crate::error::{Error, Kind, Result, chain};
use crate::exposure::smtp::{Accepted, Letter, Recipients, Refusal};
use crate::exposure::{self, Exposure, Missing, Seen, Survey, Weight, smtp};
use crate::host::{Host, ReadHost};
use crate::names::UserName;
use crate::plan::hand_over::ServiceProbe;

/// Services were started a moment ago, and not all listen at once.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks at an INBOX.
const PAUSE: Duration = Duration::from_millis(250);

/// Before the second look at a port that was not as before, and twice as long before each further one.
/// Servers count connections, and turn away who makes too many: sendmail of Debian takes 10 from a client
/// in ten minutes.
const LONG_PAUSE: Duration = Duration::from_secs(1);

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

    fn look(&self, address: IpAddr, ports: &BTreeSet<u16>) -> Result<Exposure> {
        match self {
            Self::Here => Ok(exposure::look(address, ports, exposure::PATIENCE)),
            Self::Host(host) => host.expose(address, ports),
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
    for ((vantage, _), exposure) in look_at_all(plan, vantages) {
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
    } else if let Some(how) = unsound(&survey) {
        let what = format!("whether mail is taken cannot be told at port {SMTP}: {how}");
        return Err(Error::new(Kind::Blocked, what)
            .hint("a server that counts connections takes the next one some minutes later: try again then"));
    }
    Ok(survey)
}

/// What was wrong where mail should be taken, and nobody was served.
fn unsound(survey: &Survey) -> Option<&str> {
    let mut seen = survey.places.values().flatten();
    seen.find_map(|exposure| match exposure.ports.get(&SMTP)? {
        Seen::Unsound(how) => Some(how.as_str()),
        _ => None,
    })
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
            wrong.extend(message::go_through(
                plan,
                before,
                vantages,
                server,
                stop,
                &mut probed,
            )?);
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

/// Looks from everywhere at once, from each place at the ports that are given with it.
fn look_all<'a>(looks: &[(Look<'a>, BTreeSet<u16>)]) -> Vec<(Look<'a>, Result<Exposure>)> {
    std::thread::scope(|scope| {
        let started: Vec<_> = looks
            .iter()
            .map(|(look, ports)| {
                let (vantage, address) = *look;
                (*look, scope.spawn(move || vantage.look(address, ports)))
            })
            .collect();
        let seen = started.into_iter().map(|(look, seen)| {
            let seen = seen.join().expect("looking does not panic");
            (look, seen)
        });
        seen.collect()
    })
}

/// Looks at the same ports from everywhere.
fn look_at_all<'a>(
    plan: &ServiceProbe,
    vantages: &[Vantage<'a>],
) -> Vec<(Look<'a>, Result<Exposure>)> {
    let looks = looks(plan, vantages).into_iter();
    let looks: Vec<_> = looks.map(|look| (look, plan.ports.clone())).collect();
    look_all(&looks)
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
    let mut wait = LONG_PAUSE;
    let mut seen = Vec::new();
    for (look, exposure) in look_at_all(plan, vantages) {
        seen.push((look, exposure?));
    }
    loop {
        let mut wrong = Vec::new();
        let mut again = Vec::new();
        for &((vantage, address), ref after) in &seen {
            let place = vantage.label();
            // What was not looked at before cannot be said to be as before.
            let Some(old) = before.of(&place, address) else {
                wrong.push(format!("{address} from {place} was not looked at before"));
                continue;
            };
            let mut breaks = exposure::compare(old, after);
            breaks.retain(|missing| missing.weight() == Weight::Breaks && !accepted(plan, missing));
            wrong.extend(
                breaks
                    .iter()
                    .map(|missing| format!("{address} from {place}: {missing}")),
            );
            let ports: BTreeSet<u16> = breaks.iter().map(|missing| missing.port).collect();
            if !ports.is_empty() {
                again.push(((vantage, address), ports));
            }
        }
        if again.is_empty() || Instant::now() > until {
            probed.notes.extend(differences(plan, before, &seen));
            return Ok(wrong);
        }
        pause(stop, wait)?;
        wait *= 2;
        for ((vantage, address), exposure) in look_all(&again) {
            let place = vantage.label();
            let mut seen = seen.iter_mut();
            let known = seen.find(|((vantage, at), _)| *at == address && vantage.label() == place);
            let (_, known) = known.expect("it was looked at before");
            known.ports.extend(exposure?.ports);
        }
    }
}

/// Whether the plan says that it may be missing.
fn accepted(plan: &ServiceProbe, missing: &Missing) -> bool {
    let mut losses = plan.accepted.iter();
    losses.any(|loss| missing.is_part_of(*loss))
}

/// What is otherwise than before, and nothing breaks by it.
fn differences(plan: &ServiceProbe, before: &Survey, seen: &[(Look<'_>, Exposure)]) -> Vec<String> {
    let mut notes = Vec::new();
    for ((vantage, address), after) in seen {
        let place = vantage.label();
        let mut note = |text: &dyn fmt::Display| {
            notes.push(format!("{address} from {place}: {text}"));
        };
        let Some(old) = before.of(&place, *address).filter(|old| old.serves()) else {
            note(&"nothing served there before, nothing was compared");
            continue;
        };
        for missing in exposure::compare(old, after) {
            if missing.weight() == Weight::Lessens {
                note(&missing);
            } else if accepted(plan, &missing) {
                note(&format_args!("{missing}, as the manifest accepts"));
            }
        }
        for other in exposure::notes(old, after) {
            note(&other);
        }
    }
    notes
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

fn pause(stop: &AtomicBool, time: Duration) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(interrupted());
    }
    std::thread::sleep(time);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was seen at port 25 from one place.
    fn survey_of(smtp: Seen) -> Survey {
        let exposure = Exposure {
            address: "192.0.2.25".parse().unwrap(),
            ports: [(SMTP, smtp)].into(),
        };
        Survey {
            places: [("here".to_owned(), vec![exposure])].into(),
            ..Survey::default()
        }
    }

    #[test]
    fn a_server_that_turns_us_away_is_not_one_that_takes_no_mail() {
        let turned_away = "it turns clients away: 421 4.3.2 Connection rate limit exceeded.";
        let survey = survey_of(Seen::Unsound(turned_away.to_owned()));
        assert_eq!(unsound(&survey), Some(turned_away));
        assert_eq!(unsound(&survey_of(Seen::Refused)), None);
    }
}
