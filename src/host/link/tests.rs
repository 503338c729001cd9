//! On two machines of our own making: network namespaces that a wire joins, which end with the test.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;
use crate::host::step::Closed;

/// A machine: a network namespace, alive as long as the program in it, which ends with its input.
struct Machine(Child);

impl Machine {
    #[expect(clippy::disallowed_methods, reason = "the test makes the machines")]
    fn start() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let said = child.stdout.as_mut().unwrap();
        said.read_exact(&mut [0]).unwrap();
        let machine = Self(child);
        machine.ip("link set lo up");
        machine
    }

    /// Does something there: a thread can be in another namespace than its process.
    fn on<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                what()
            });
            there
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn sh(&self, script: &str) -> String {
        #[expect(clippy::disallowed_methods, reason = "the test looks at the machines")]
        let output = self.on(|| Command::new("sh").args(["-ec", script]).output().unwrap());
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn ip(&self, words: &str) -> String {
        self.sh(&format!("ip {words}"))
    }

    fn sysctl(&self, name: &str, value: &str) {
        self.sh(&format!("echo {value} >/proc/sys/net/{name}"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

const MAC: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/// Two machines, each with `eth0` up: `192.0.2.1` and `2001:db8::1`, `192.0.2.2` and `2001:db8::2`.
/// `None` without root.
fn two() -> Option<[Machine; 2]> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let machines = [Machine::start(), Machine::start()];
    let peer = machines[1].0.id();
    machines[0].ip(&format!(
        "link add eth0 type veth peer name eth0 netns {peer}"
    ));
    for (machine, (n, mac)) in machines.iter().zip((1..).zip(MAC)) {
        machine.ip(&format!("link set eth0 address {mac} up"));
        machine.ip(&format!("addr add 192.0.2.{n}/24 brd + dev eth0"));
        machine.ip(&format!("addr add 2001:db8::{n}/64 dev eth0 nodad"));
    }
    Some(machines)
}

const V4: &str = "192.0.2.25";
const V6: &str = "2001:db8::25";

fn on_eth0(address: &str) -> OnInterface {
    OnInterface {
        address: address.parse().unwrap(),
        interface: "eth0".to_owned(),
    }
}

fn assigned(net: &str) -> Assignment {
    Assignment {
        net: net.parse().unwrap(),
        interface: "eth0".to_owned(),
    }
}

#[test]
fn an_address_is_free_only_when_nobody_else_answers_for_it() {
    let Some([here, there]) = two() else { return };
    for (address, net) in [(V4, "192.0.2.25/32"), (V6, "2001:db8::25/128")] {
        let (on, net) = (on_eth0(address), assigned(net));
        here.on(|| await_free(&on)).unwrap();
        there.on(|| take(&net)).unwrap();
        // Our questions change nothing there: the address goes on answering.
        for _ in 0..2 {
            let error = here.on(|| await_free(&on)).unwrap_err();
            let expected = format!("{address} is held by {} on eth0's network", MAC[1]);
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), Kind::Blocked);
        }
        // Its own holder is no stranger.
        there.on(|| await_free(&on)).unwrap();
        there.on(|| drop_address(&net)).unwrap();
        here.on(|| await_free(&on)).unwrap();
    }
}

#[test]
fn a_closed_address_still_answers_for_itself() {
    let Some([here, there]) = two() else { return };
    for filter in ["1", "2"] {
        there.sysctl("ipv4/conf/all/rp_filter", filter);
        for (address, net) in [(V4, "192.0.2.25/32"), (V6, "2001:db8::25/128")] {
            let closed = Closed {
                address: address.parse().unwrap(),
                but_for: Vec::new(),
            };
            there.on(|| close(&closed)).unwrap();
            there.on(|| take(&assigned(net))).unwrap();
            assert!(here.on(|| await_free(&on_eth0(address))).is_err());
            there.on(|| drop_address(&assigned(net))).unwrap();
        }
    }
}

#[test]
fn a_dead_link_proves_nothing() {
    let Some([here, there]) = two() else { return };
    there.ip("link set eth0 down");
    let error = here.on(|| await_free(&on_eth0(V4))).unwrap_err();
    assert_eq!(error.to_string(), "eth0 has no carrier");
    here.ip("link set eth0 down");
    let error = here.on(|| await_free(&on_eth0(V4))).unwrap_err();
    assert_eq!(error.to_string(), "eth0 is down");
    let lo = OnInterface {
        interface: "lo".to_owned(),
        ..on_eth0(V4)
    };
    let error = here.on(|| await_free(&lo)).unwrap_err();
    assert!(
        error.to_string().starts_with("lo is no Ethernet"),
        "{error}"
    );
}

/// What the machine tells of an address on `eth0`.
fn lines(machine: &Machine, address: &str) -> Vec<String> {
    let shown = machine.ip("-o addr show dev eth0");
    let lines = shown.lines().filter(|line| line.contains(address));
    lines.map(str::to_owned).collect()
}

#[test]
fn taking_and_dropping_twice_is_like_once() {
    let Some([here, _there]) = two() else { return };
    for net in ["192.0.2.25/24", "192.0.2.25/32", "2001:db8::25/64"] {
        for _ in 0..2 {
            here.on(|| take(&assigned(net))).unwrap();
        }
        let shown = lines(&here, net);
        assert!(
            shown.len() == 1 && !shown[0].contains("tentative"),
            "{shown:?}"
        );
    }
    assert!(
        here.ip("addr show dev eth0")
            .contains("192.0.2.25/24 brd 192.0.2.255")
    );
    for net in ["192.0.2.25/24", "192.0.2.25/32", "2001:db8::25/64"] {
        for _ in 0..2 {
            here.on(|| drop_address(&assigned(net))).unwrap();
        }
        assert!(!here.ip("-o addr show dev eth0").contains(net));
    }
    let gone = Assignment {
        interface: "eth7".to_owned(),
        ..assigned("192.0.2.25/24")
    };
    here.on(|| drop_address(&gone)).unwrap();
    let error = here.on(|| take(&gone)).unwrap_err();
    let error = crate::error::chain(&error);
    assert!(error.contains("eth7"), "{error}");
}

#[test]
fn an_address_that_the_kernel_gave_up_is_taken_all_the_same() {
    let Some([here, there]) = two() else { return };
    there.on(|| take(&assigned("2001:db8::25/64"))).unwrap();
    here.ip("addr add 2001:db8::25/64 dev eth0");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !here.ip("-o addr show dev eth0").contains("dadfailed") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(100));
    }
    there
        .on(|| drop_address(&assigned("2001:db8::25/64")))
        .unwrap();
    here.on(|| take(&assigned("2001:db8::25/64"))).unwrap();
    let shown = lines(&here, V6);
    assert!(
        shown.len() == 1 && !shown[0].contains("tentative"),
        "{shown:?}"
    );
}

#[test]
fn dropping_a_primary_address_leaves_the_others_and_the_way_out() {
    let Some([here, _there]) = two() else { return };
    here.ip("addr flush dev eth0");
    for net in ["192.0.2.25/24", "192.0.2.1/24", "192.0.2.26/24"] {
        here.ip(&format!("addr add {net} brd + dev eth0"));
    }
    here.ip("route add default via 192.0.2.2");
    here.on(|| drop_address(&assigned("192.0.2.25/24")))
        .unwrap();
    let shown = here.ip("-o -4 addr show dev eth0");
    assert!(
        shown.contains("192.0.2.1/24") && shown.contains("192.0.2.26/24"),
        "{shown}"
    );
    let routes = here.ip("route show");
    assert!(routes.contains("default via 192.0.2.2"), "{routes}");
    here.sh("ping -c 1 -W 2 192.0.2.2 || { ip route get 192.0.2.2; ip neigh; }");
}

#[test]
fn a_neighbour_that_remembers_another_machine_finds_the_new_one_at_once() {
    let Some([here, there]) = two() else { return };
    for (address, net) in [(V4, "192.0.2.25/32"), (V6, "2001:db8::25/128")] {
        let old = "02:00:00:00:00:99";
        there.ip(&format!(
            "neigh replace {address} lladdr {old} dev eth0 nud reachable"
        ));
        let error = here.on(|| announce(&on_eth0(address))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot announce {address}: eth0 does not have it")
        );
        here.on(|| take(&assigned(net))).unwrap();
        here.on(|| announce(&on_eth0(address))).unwrap();
        let shown = there.ip(&format!("neigh show {address}"));
        assert!(shown.contains(MAC[0]), "{shown}");
    }
}

/// Whether a connection is answered within so many seconds. A neighbour that asks for an IPv6 address in
/// the very moment in which it is taken is not heard, and asks again after a second.
fn answered(from: &Machine, source: &str, to: SocketAddr, within: i64) -> bool {
    let source: IpAddr = source.parse().unwrap();
    from.on(|| {
        let socket = rustix::net::socket_with(
            if to.is_ipv4() {
                rustix::net::AddressFamily::INET
            } else {
                rustix::net::AddressFamily::INET6
            },
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        rustix::net::bind(&socket, &SocketAddr::new(source, 0)).unwrap();
        let begun = rustix::net::connect(&socket, &to);
        assert_eq!(begun, Err(rustix::io::Errno::INPROGRESS));
        let mut fds = [rustix::event::PollFd::new(
            &socket,
            rustix::event::PollFlags::OUT,
        )];
        let within = rustix::event::Timespec {
            tv_sec: within,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&within)).unwrap() == 1
    })
}

#[test]
fn nobody_but_the_friends_gets_an_answer_from_a_closed_address() {
    let Some([here, there]) = two() else { return };
    there.ip("addr add 192.0.2.3/24 dev eth0");
    there.ip("addr add 2001:db8::3/64 dev eth0 nodad");
    for (address, net, friend, stranger) in [
        (V4, "192.0.2.25/32", "192.0.2.2", "192.0.2.3"),
        (V6, "2001:db8::25/128", "2001:db8::2", "2001:db8::3"),
    ] {
        let closed = Closed {
            address: address.parse().unwrap(),
            // The friends of both families are told for either.
            but_for: vec!["192.0.2.2".parse().unwrap(), "2001:db8::2".parse().unwrap()],
        };
        for filter in ["0", "1", "2"] {
            here.sysctl("ipv4/conf/all/rp_filter", filter);
            for _ in 0..2 {
                here.on(|| close(&closed)).unwrap();
            }
            here.on(|| take(&assigned(net))).unwrap();
            let any = SocketAddr::new(address.parse().unwrap(), 0);
            let listener = here.on(|| TcpListener::bind(any)).unwrap();
            let served = listener.local_addr().unwrap();
            let shut = SocketAddr::new(served.ip(), served.port() ^ 1);
            assert!(answered(&there, friend, served, 10), "{friend}");
            // Neither an answer nor a refusal.
            assert!(!answered(&there, stranger, served, 1), "{stranger}");
            assert!(!answered(&there, stranger, shut, 1), "{stranger}");
            // The machine itself is no stranger.
            let second = Duration::from_secs(1);
            here.on(|| TcpStream::connect_timeout(&served, second))
                .unwrap();
            // Its other addresses are as they were.
            let other = if served.is_ipv4() {
                "192.0.2.1"
            } else {
                "2001:db8::1"
            };
            assert!(answered(
                &there,
                stranger,
                SocketAddr::new(other.parse().unwrap(), 9),
                10
            ));
            for _ in 0..2 {
                here.on(|| open(closed.address)).unwrap();
            }
            assert!(answered(&there, stranger, served, 10), "{stranger}");
            here.on(|| drop_address(&assigned(net))).unwrap();
        }
        let rules = here.ip("rule show") + &here.ip("-6 rule show");
        assert!(!rules.contains(address), "{rules}");
    }
}

#[test]
fn closing_for_other_friends_lets_go_of_the_former_ones() {
    let Some([here, _there]) = two() else { return };
    for friend in ["192.0.2.2", "192.0.2.3"] {
        let closed = Closed {
            address: V4.parse().unwrap(),
            but_for: vec![friend.parse().unwrap()],
        };
        here.on(|| close(&closed)).unwrap();
    }
    let rules = here.ip("rule show");
    assert!(
        rules.contains("192.0.2.3") && !rules.contains("192.0.2.2 "),
        "{rules}"
    );
}
