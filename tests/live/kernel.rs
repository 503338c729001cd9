//! What the kernel knows of a host, read from outside: no process is started in the host for it, so that
//! tests may look as often as they like.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// Where this machine may have control groups: see `cgroup_roots` in `tests/lab/common`.
const CGROUPS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/systemd",
];

/// The state of a socket that listens, in `proc_pid_net(5)`.
const LISTENS: &str = "0A";

impl Host {
    /// The host's first process; none if it is off.
    pub(crate) fn init(&self) -> Option<u32> {
        let lab = self.lab().file_name().unwrap().to_str().unwrap();
        let group = format!("reconcile-lab-{lab}/{}/payload/init.scope", self.name());
        CGROUPS.into_iter().find_map(|root| {
            let processes = Path::new(root).join(&group).join("cgroup.procs");
            let text = fs::read_to_string(processes).ok()?;
            text.lines().next()?.parse().ok()
        })
    }

    /// A file of `/proc/PID/net`; empty if the host is off.
    fn net(&self, file: &str) -> String {
        let Some(init) = self.init() else {
            return String::new();
        };
        let path: PathBuf = ["/proc", &init.to_string(), "net", file].iter().collect();
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Whether it has the address now; a host that is off has none.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let text = self.net("fib_trie");
                let (own, mut at) = (format!("|-- {address}"), "");
                text.lines().map(str::trim).any(|line| {
                    if line.starts_with("|-- ") {
                        at = line;
                    }
                    at == own && line == "/32 host LOCAL"
                })
            }
            IpAddr::V6(address) => {
                let hex = u128::from(address);
                self.net("if_inet6").contains(&format!("{hex:032x} "))
            }
        }
    }

    /// Whether somebody listens on a TCP port, on whatever address.
    pub(crate) fn listens(&self, port: u16) -> bool {
        let local = format!(":{port:04X}");
        ["tcp", "tcp6"].into_iter().any(|table| {
            self.net(table).lines().any(|line| {
                let mut words = line.split_whitespace().skip(1);
                words.next().is_some_and(|at| at.ends_with(&local)) && words.nth(1) == Some(LISTENS)
            })
        })
    }
}
