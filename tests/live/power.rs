//! A host's power: cut, switched off, switched on again.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::host::{Host, PATIENCE};
use crate::lab::PROGRAMS;

impl Host {
    /// Cuts the power: every process of the host is gone at once, its disk is as it was.
    #[track_caller]
    pub(crate) fn cut_power(&self) -> &Self {
        self.signal_init("KILL");
        self.await_off()
    }

    /// Shuts the host down.
    #[track_caller]
    pub(crate) fn power_off(&self) -> &Self {
        // SIGRTMIN+4: systemd(1), "Powers off the machine".
        self.signal_init("RTMIN+4");
        self.await_off()
    }

    /// Switches a host on that is off, and waits until it has booted.
    #[track_caller]
    pub(crate) fn power_on(&self) -> &Self {
        fs::write(self.lab().join(self.name()).join("power"), "on\n").unwrap();
        self.await_booted()
    }

    /// Reboots the host and waits until it has booted.
    #[track_caller]
    pub(crate) fn reboot(&self) -> &Self {
        let before = self.init();
        // SIGRTMIN+5: systemd(1), "Reboots the machine".
        self.signal_init("RTMIN+5");
        let began = Instant::now();
        // A unit that does not stop is given 90 s by systemd.
        while began.elapsed() < 3 * PATIENCE {
            if self.init().is_some_and(|now| Some(now) != before) {
                return self.await_booted();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} does not reboot", self.name());
    }

    #[track_caller]
    fn signal_init(&self, signal: &str) {
        let output = Command::new(format!("{PROGRAMS}/host"))
            .args(["--signal", signal, self.name()])
            .env("LAB", self.lab())
            .output()
            .unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {problem}", self.name());
    }

    /// Waits until the host is off.
    #[track_caller]
    pub(crate) fn await_off(&self) -> &Self {
        let began = Instant::now();
        while self.init().is_some() {
            assert!(began.elapsed() < 3 * PATIENCE, "{} stays up", self.name());
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    #[track_caller]
    fn await_booted(&self) -> &Self {
        // Without --wait, with which systemd 247 can miss the end of a boot. What is stopped while it
        // starts has failed, and the host is degraded.
        self.await_that(
            "case $(systemctl is-system-running) in running | degraded) ;; *) exit 1 ;; esac",
        )
    }
}
