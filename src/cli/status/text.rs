//! The status as people read it.

use std::fmt::Write as _;

use super::known::{Armed, Standing};
use super::runs::{LastRun, Progress};
use super::{Missing, Status};
use crate::apply::Owner;
use crate::names::Side;
use crate::report::counted;

pub(super) fn text(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        writeln!(out, "{label:<11} {text}").expect("writing to a String cannot fail");
    };
    line("migration", &status.migration);
    line("mail counts", &counts(status));
    for side in [Side::Source, Side::Target] {
        let stands = status.hosts.iter().filter(|host| host.side == side);
        stands.for_each(|host| line(&side.to_string(), &stands_so(host)));
        let missing = status.missing.iter().filter(|host| host.side == side);
        missing.for_each(|host| line(&side.to_string(), &is_missing(host, status)));
    }
    line(
        "managed",
        &format!("{} accounts, {} trees", status.accounts, status.trees),
    );
    for text in &status.misplaced {
        line("wrong host", text);
    }
    for armed in &status.armed {
        line("armed", &is_armed(armed));
    }
    if status.busy {
        line("running", &runs(status.running.as_ref()));
    }
    if let Some(progress) = &status.progress {
        line("", &is_at(progress));
    }
    line("last run", &last(status));
    line("next", &status.next);
    out
}

fn counts(status: &Status) -> String {
    let since = status
        .since
        .map_or("nothing was applied yet".to_owned(), |since| {
            format!("since {since}")
        });
    match status.authority {
        Some(authority) => format!("on the {authority} ({since})"),
        None => "only a host that is out of reach knows where".to_owned(),
    }
}

fn stands_so(host: &Standing) -> String {
    let list = |items: Vec<String>| items.join(", ");
    let mut parts = Vec::new();
    if host.ports.is_empty() {
        parts.push("no port of mail is open".to_owned());
    } else {
        let ports = host.ports.iter().map(ToString::to_string).collect();
        parts.push(format!("serves at ports {}", list(ports)));
    }
    if !host.addresses.is_empty() {
        let addresses = host.addresses.iter().map(ToString::to_string).collect();
        let closed = if host.closed {
            ", which only the probes and cutover.try_from reach yet"
        } else {
            ""
        };
        parts.push(format!("has {}{closed}", list(addresses)));
    }
    // What is started before the hand-over is made is still written down as held.
    if !host.held.is_empty() && !host.closed {
        parts.push(format!("holds {} stopped", host.held.join(", ")));
    }
    parts.join("; ")
}

fn is_missing(host: &Missing, status: &Status) -> String {
    let needed = status.authority == Some(Side::Target) && host.side == Side::Source;
    let needed = if needed && status.armed.is_empty() {
        "; it is not needed any more"
    } else {
        ""
    };
    format!("not there: {}{needed}", host.why)
}

fn is_armed(armed: &Armed) -> String {
    let steps = counted(armed.steps as u64, "step", "steps");
    let stuck = armed
        .stuck
        .as_ref()
        .map_or(String::new(), |why| format!("; stuck: {why}"));
    let Armed { side, deadline, .. } = armed;
    if armed.made {
        return format!("on the {side}: the hand-over was made, and it was not told{stuck}");
    }
    format!("on the {side}: takes back {steps} at {deadline} unless the hand-over is made{stuck}")
}

fn runs(owner: Option<&Owner>) -> String {
    let Some(Owner {
        machine,
        pid,
        since,
    }) = owner
    else {
        return "a run that still looks, or asks".to_owned();
    };
    format!("process {pid} on {machine}, since {since}")
}

fn is_at(progress: &Progress) -> String {
    let Progress {
        done,
        during,
        since,
    } = progress;
    let done = counted(*done as u64, "action", "actions");
    let at = match during.as_slice() {
        [] => "between two actions".to_owned(),
        [one] => format!("at {one}"),
        [one, others @ ..] => format!("at {one} and {} more", others.len()),
    };
    format!("{at} since {since}; {done} done before")
}

fn last(status: &Status) -> String {
    match &status.last_run {
        None => "known to the target only".to_owned(),
        Some(LastRun::Never) => "none has ended".to_owned(),
        Some(LastRun::Well { at }) => format!("ended well at {at}"),
        Some(LastRun::Failed { at, actions }) => {
            format!("failed at {at}: {}", actions.join(", "))
        }
        Some(LastRun::Interrupted { at, during }) if during.is_empty() => {
            format!("died after {at}, between two actions")
        }
        Some(LastRun::Interrupted { at, during }) => {
            format!("died after {at}, during {}", during.join(", "))
        }
    }
}
