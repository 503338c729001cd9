//! Looking at ports of an address, all at once.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::dialogue::{self, Unsound};
use super::line::Line;
use super::{Exposure, PORTS, Protocol, Seen, Service, Start, Tls};

/// What a server may take for all that it is asked on one port. Sendmail asks a client's machine who
/// it is for 5 seconds (`Timeout.ident`), postscreen(8) has it wait for 6, and names are looked up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at ports of an address, from this machine. Takes no longer than `patience`, and a moment.
pub fn look(address: IpAddr, ports: &BTreeSet<u16>, patience: Duration) -> Exposure {
    let wanted = PORTS.iter().filter(|(port, ..)| ports.contains(port));
    let ports = std::thread::scope(|scope| {
        let looking: Vec<_> = wanted
            .map(|&(port, protocol, start)| {
                let address = SocketAddr::new(address, port);
                let look = scope.spawn(move || look_at(address, protocol, start, patience));
                (port, look)
            })
            .collect();
        let seen = looking.into_iter().map(|(port, look)| {
            let seen = look.join().expect("looking at a port does not panic");
            (port, seen)
        });
        seen.collect()
    });
    Exposure { address, ports }
}

/// Looks at one port.
pub(super) fn look_at(
    address: SocketAddr,
    protocol: Protocol,
    start: Start,
    patience: Duration,
) -> Seen {
    let line = match Line::connect(address, patience) {
        Ok(line) => line,
        Err(error) => return not_connected(&error),
    };
    let served = match start {
        Start::Clear => clear(line, protocol),
        Start::Tls => Ok(Service {
            clear: None,
            tls: dialogue::secured(line, protocol, start),
        }),
    };
    match served {
        Ok(service) => Seen::Serves(service),
        Err(unsound) => Seen::Unsound(unsound.to_string()),
    }
}

fn clear(mut line: Line, protocol: Protocol) -> Result<Service, Unsound> {
    let offer = dialogue::greet(&mut line, protocol)?;
    let tls = if offer.has(dialogue::tls_keyword(protocol)) {
        dialogue::secured(line, protocol, Start::Clear)
    } else {
        dialogue::take_leave(&mut line, protocol);
        Tls::NotOffered
    };
    Ok(Service {
        clear: Some(offer),
        tls,
    })
}

fn not_connected(error: &io::Error) -> Seen {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Seen::Refused,
        // No packet came back, or nobody said at which interface the address is.
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Seen::Silent,
        _ => Seen::Unreachable(error.to_string()),
    }
}
