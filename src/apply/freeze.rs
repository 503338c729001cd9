//! The proof that nothing moves on a host that was frozen: no service, no open file, no change time; and
//! that the other host's services serve.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::services::{self as settling, Left};
use crate::error::{Error, Kind, Result};
use crate::host::{ReadHost, Writer};
use crate::manifest::Services;
use crate::plan::hand_over::{Freeze, Start};
use crate::replicate::OriginTree;
use crate::resource::services;

/// How long what was stopped may take to be gone. The commands that stopped it have ended; every second
/// here is one in which nobody is served.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// How long listeners that were started may take to listen.
const SERVES_WITHIN: Duration = Duration::from_secs(30);

/// How long a file may stay open for writing after that: by a delivery that ends, say.
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// How long nothing may change. Longer than what writes twice a second needs to show itself, and than
/// the grain of any file system's clock.
const STILL_FOR: Duration = Duration::from_millis(1200);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What is shown of what is in the way.
const SHOWN: usize = 5;

/// Proves that a host, whose services have been told to stop, is still: nothing of them is left, nobody
/// has a file of the trees that move open for writing, and nothing in them changes for a while.
///
/// Returns the moment, by the host's clock, since which nothing changed; [`look`] can ask again later.
///
/// # Errors
///
/// [`Kind::Blocked`] if anything moves, naming it, and what to do about it.
pub fn prove(
    host: &dyn ReadHost,
    named: &Services,
    freeze: &Freeze,
    trees: &[OriginTree],
) -> Result<Timestamp> {
    let label = host.label();
    let left = |seen: &services::HostServices| services::unquiet(named, seen, freeze);
    settling::settle(host, named, GONE_WITHIN, &left).map_err(|left| match left {
        Left::Reasons(why) => Error::new(
            Kind::Blocked,
            format!("{label} is not still: {}", some(&why)),
        )
        .hint(format!(
            "find what it is with `ps -ef` and `ss -ltnp` on the {}, see to it that it ends, and run \
             again",
            host.side()
        )),
        Left::Unseen(error) => error,
    })?;
    let until = Instant::now() + CLOSED_WITHIN;
    while Instant::now() < until && !host.writers(&freeze.trees)?.is_empty() {
        std::thread::sleep(PAUSE);
    }
    let since = host.clock()?;
    std::thread::sleep(STILL_FOR);
    look(host, freeze, trees, since)?;
    Ok(since)
}

/// Waits until the services that were started on the host that takes over serve.
///
/// # Errors
///
/// [`Kind::Verification`] if they do not before long, and why.
pub fn serving(host: &dyn ReadHost, named: &Services, start: &Start) -> Result<()> {
    let left = |seen: &services::HostServices| services::unstarted(named, seen, start);
    settling::settle(host, named, SERVES_WITHIN, &left).map_err(|left| {
        let what = format!("{} does not serve", host.label());
        left.error(&what).hint(format!(
            "`systemctl status` and the mail log on the {} say why; mend it and run again",
            host.side()
        ))
    })
}

/// Looks once whether anybody could write to the trees that move, or has, since that moment by the
/// host's clock.
///
/// # Errors
///
/// [`Kind::Blocked`], naming processes or files.
pub fn look(
    host: &dyn ReadHost,
    freeze: &Freeze,
    trees: &[OriginTree],
    since: Timestamp,
) -> Result<()> {
    let (label, side) = (host.label(), host.side());
    let writers = host.writers(&freeze.trees)?;
    if let Some(Writer { pid, .. }) = writers.first() {
        let writers: Vec<String> = writers.iter().map(ToString::to_string).collect();
        let what = format!("{label} is not still: {}", some(&writers));
        let hint = format!(
            "let those programs end (`ps -fp {pid}` on the {side} says whose they are), and run again"
        );
        return Err(Error::new(Kind::Blocked, what).hint(hint));
    }
    let changed = host.changed_since(trees, since, SHOWN + 1)?;
    if changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<String> = changed.iter().map(ToString::to_string).collect();
    let what = format!(
        "{label} is not still: something that is no service changes {}",
        some(&changed)
    );
    let hint = format!(
        "find the program among its owner's on the {side} (`ps -fu USER`), see to it that it ends, \
         and run again"
    );
    Err(Error::new(Kind::Blocked, what).hint(hint))
}

/// The first few, and whether there are more.
fn some(all: &[String]) -> String {
    let shown = all[..all.len().min(SHOWN)].join(", ");
    if all.len() > SHOWN {
        format!("{shown}, and more")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_shown_and_it_is_said_that_there_are_more() {
        let all: Vec<String> = (1..=6).map(|number| number.to_string()).collect();
        assert_eq!(some(&all[..2]), "1, 2");
        assert_eq!(some(&all[..5]), "1, 2, 3, 4, 5");
        assert_eq!(some(&all), "1, 2, 3, 4, 5, and more");
    }
}
