//! A further machine on the mail network: where clients are, beside the operator. It has addresses
//! and a neighbour cache of its own, and threads of the test can be in its network.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::host::PATIENCE;
use crate::lab::Lab;

/// Its interface.
pub(crate) const LINK: &str = "mail0";

/// A network namespace that lives as long as this value.
#[derive(Debug)]
pub(crate) struct Machine {
    /// A process in it.
    process: Child,
    address: Ipv4Addr,
    address_6: Ipv6Addr,
}

impl Lab {
    /// A machine at 198.51.100.NUMBER and `2001:db8:51::NUMBER`, from 2 to 9; the hosts are beyond.
    #[track_caller]
    pub(crate) fn machine(&self, number: u8) -> Machine {
        assert!((2..=9).contains(&number), "{number} is another's");
        let process = self
            .operator("unshare", ["--net", "sleep", "infinity"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let machine = Machine {
            process,
            address: Ipv4Addr::new(198, 51, 100, number),
            address_6: Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, u16::from(number)),
        };
        machine.await_its_network(self);
        let id = machine.process.id();
        let port = format!("machine{number}");
        // Its hardware address is its own, whenever it is made: the hosts may remember it.
        let script = format!(
            "ip link add {port} type veth peer name {LINK} address 02:00:00:00:00:0{number} netns {id}
             ip link set {port} master mail up"
        );
        self.operate("sh", ["-euc", &script]).exits(0).done();
        machine.run(&format!(
            "ip link set lo up; ip link set {LINK} up
             ip addr add {}/24 dev {LINK}; ip addr add {}/64 dev {LINK} nodad",
            machine.address, machine.address_6
        ));
        machine
    }
}

impl Machine {
    /// The process becomes one of the lab's, then one of a network of its own, then `sleep`.
    #[track_caller]
    fn await_its_network(&self, lab: &Lab) {
        let began = Instant::now();
        let init = fs::read_to_string(lab.dir().join("init")).unwrap();
        let network = |id: &str| fs::read_link(format!("/proc/{id}/ns/net")).unwrap();
        let others = [network(init.trim()), network("self")];
        while others.contains(&network(&self.process.id().to_string())) {
            assert!(began.elapsed() < PATIENCE, "no network of its own");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// Where the kernel shows its network.
    fn network(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.process.id()).into()
    }

    /// Starts a thread whose connections are this machine's.
    #[track_caller]
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let network = File::open(self.network()).unwrap();
        std::thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).unwrap();
            work()
        })
    }

    /// Runs a script of sh in its network; what it printed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.attempt(script);
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {problem}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script of sh in its network, however it ends.
    #[track_caller]
    pub(crate) fn attempt(&self, script: &str) -> Output {
        Command::new("nsenter")
            .arg(format!("--net={}", self.network().display()))
            .args(["sh", "-euc", script])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail if the lab ended it.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
