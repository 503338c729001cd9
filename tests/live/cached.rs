//! Machines that know the service's hardware address already, and what they make of its move.
//!
//! One machine has a neighbour entry for the address that says for ten minutes that it is reachable:
//! only an announcement changes it. Another asks anew before each attempt. What the first needs longer
//! than the second is what the cache costs.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::lab::Lab;
use crate::machine::{LINK, Machine};

/// Between two attempts.
const EVERY: Duration = Duration::from_millis(40);

/// For a connection; a host that is there answers in a millisecond.
const CONNECT: Duration = Duration::from_millis(120);

/// Two machines that connect all the time, until the new host answers.
#[derive(Debug)]
pub(crate) struct Watch {
    cached: JoinHandle<Option<Instant>>,
    fresh: JoinHandle<Option<Instant>>,
    enough: Arc<AtomicBool>,
    _machines: [Arc<Machine>; 2],
}

/// When the new host answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// To the machine that asks anew each time; `None` if it never did.
    pub(crate) fresh: Option<Instant>,
    /// To the machine with the cached entry; `None` if it never did.
    pub(crate) cached: Option<Instant>,
}

impl Reached {
    /// What the cache costs: how much later the new host answered where the old one was remembered.
    #[track_caller]
    pub(crate) fn lag(&self) -> Duration {
        let fresh = self.fresh.expect("the new host answers");
        let cached = self.cached.expect("the cached entry is replaced");
        cached.saturating_duration_since(fresh)
    }
}

impl Watch {
    /// Connects to a port of the address, which the host `old` has, until the host `new` answers. It
    /// makes the machines 8 and 9, or 6 and 7 for IPv6.
    #[track_caller]
    pub(crate) fn begin(lab: &Lab, address: IpAddr, port: u16, old: &Host, new: &Host) -> Self {
        let numbers = if address.is_ipv4() { [8, 9] } else { [6, 7] };
        let machines = numbers.map(|number| Arc::new(lab.machine(number)));
        let [cached, fresh] = &machines;
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        cached.run(&format!(
            "echo 600000 >/proc/sys/net/{family}/neigh/{LINK}/base_reachable_time_ms
             ip neigh replace {address} lladdr {} dev {LINK} nud reachable",
            old.hardware_address()
        ));
        let enough = Arc::new(AtomicBool::new(false));
        let place = SocketAddr::new(address, port);
        let knock = |machine: &Arc<Machine>, before: Option<String>| {
            let (inside, enough) = (Arc::clone(machine), Arc::clone(&enough));
            let wanted = new.hardware_address();
            machine
                .spawn(move || until_answered(&inside, &enough, place, before.as_deref(), &wanted))
        };
        Self {
            cached: knock(cached, None),
            fresh: knock(fresh, Some(format!("ip neigh flush to {address}"))),
            enough,
            _machines: machines,
        }
    }

    /// Waits until both are answered, or so long.
    pub(crate) fn reached(self, patience: Duration) -> Reached {
        let began = Instant::now();
        while !(self.cached.is_finished() && self.fresh.is_finished()) && began.elapsed() < patience
        {
            std::thread::sleep(EVERY);
        }
        self.enough.store(true, Ordering::Relaxed);
        Reached {
            fresh: self.fresh.join().unwrap(),
            cached: self.cached.join().unwrap(),
        }
    }
}

/// Connects until somebody with this hardware address answers.
fn until_answered(
    machine: &Machine,
    enough: &AtomicBool,
    place: SocketAddr,
    before: Option<&str>,
    wanted: &str,
) -> Option<Instant> {
    let show = format!("ip neigh show to {} dev {LINK}", place.ip());
    while !enough.load(Ordering::Relaxed) {
        if let Some(script) = before {
            machine.run(script);
        }
        if TcpStream::connect_timeout(&place, CONNECT).is_ok() {
            let answered = Instant::now();
            if machine.run(&show).contains(wanted) {
                return Some(answered);
            }
        }
        std::thread::sleep(EVERY);
    }
    None
}
