//! The host's `ip`, ip(8).

use std::io::Read as _;
use std::time::Duration;

use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::dir::run::{Order, as_root};
use crate::host::network::{Held, parse_addresses};
use crate::host::{Answer, Ended};

/// It asks the kernel, which answers at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `ip` with these words.
fn run(words: &[&str]) -> Result<Answer> {
    let what = || format!("cannot run `ip {}`", words.join(" "));
    let argv: Vec<String> = ["ip"].iter().chain(words).map(|&w| w.to_owned()).collect();
    let order = Order {
        argv: &argv,
        input: &[],
        patience: PATIENCE,
    };
    let Some(mut hearing) = as_root(&order)? else {
        return Err(
            Error::new(Kind::Host, format!("{}: it is not there", what()))
                .hint("install iproute2 (Debian) or iproute (Red Hat)"),
        );
    };
    let mut stdout = Vec::new();
    hearing.read_to_end(&mut stdout).doing(Kind::Host, what)?;
    match hearing.end()? {
        Ended::Ran { status, stderr } => Ok(Answer {
            status,
            stdout,
            stderr,
        }),
        Ended::NotRun => Err(Error::new(Kind::Host, format!("{}: it cannot run", what()))),
        Ended::Hung => Err(Error::new(Kind::Host, format!("{}: it hangs", what()))),
    }
}

/// What it says to a question.
pub(super) fn ask(words: &[&str]) -> Result<Vec<u8>> {
    let answer = run(words)?;
    if answer.status == Some(0) {
        return Ok(answer.stdout);
    }
    Err(refused(words, &answer))
}

/// Has it change something.
pub(super) fn change(words: &[&str]) -> Result<()> {
    ask(words).map(drop)
}

fn refused(words: &[&str], answer: &Answer) -> Error {
    let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    let what = format!("`ip {}` failed", words.join(" "));
    Error::caused(Kind::Host, what, said)
}

/// Whether there is an interface.
pub(super) fn exists(interface: &str) -> Result<bool> {
    let links = ask(&["-o", "link", "show"])?;
    let network = crate::host::network::Network::parse(&links, &[], &[]);
    let network = network.doing(Kind::Malformed, || "cannot list the interfaces".to_owned())?;
    Ok(network.interfaces.contains_key(interface))
}

/// The addresses of an interface.
pub(super) fn addresses(interface: &str) -> Result<Vec<Held>> {
    let said = ask(&["-o", "addr", "show", "dev", interface])?;
    let all = parse_addresses(&said).doing(Kind::Malformed, || {
        format!("cannot list the addresses of {interface}")
    })?;
    Ok(all.into_iter().map(|(_, held)| held).collect())
}

/// From now on a deleted primary address leaves its secondary ones, of which one becomes primary:
/// `promote_secondaries`, ip-sysctl of the kernel's documentation, until the
/// next boot. systemd's `50-default.conf` has it so for every interface.
pub(super) fn promote_secondaries(interface: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
    #[expect(
        clippy::disallowed_methods,
        reason = "host/ is where files are written"
    )]
    std::fs::write(&path, "1\n").map_err(|cause| {
        let what = format!("cannot keep the other addresses of {interface}: cannot write {path}");
        Error::caused(Kind::Host, what, cause)
    })
}
