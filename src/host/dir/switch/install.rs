//! The process that watches a switch: how a host keeps it alive, and how it leaves without a trace.
//!
//! It runs a copy of this program that stays on the host, as a systemd service, or on a host without
//! systemd as a process of its own with an init script for the boot.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::DirHost;
use super::file::{Lock, Taken, WATCHER_LOCK, end_holders};
use super::steps::program;
use crate::error::{Error, Kind, Result};
use crate::host::{Host as _, NewFile, ReadHost as _};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// How long a watcher may take to show that it watches; a loaded host starts a service in seconds.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// `sd_booted(3)`.
const SYSTEMD: &str = "/run/systemd/system";
const SYSTEMCTL: &str = "/bin/systemctl";
const UPDATE_RC: &str = "/usr/sbin/update-rc.d";
const CHKCONFIG: &str = "/sbin/chkconfig";

/// A process that outlives us: argument 0 is the program, the rest are its arguments.
const DETACHED: &str = r#""$0" "$@" </dev/null >/dev/null 2>&1 &"#;

/// How this host starts a service.
enum Init {
    Systemd,
    /// With the program that enters scripts into runlevels.
    Scripts(&'static str),
}

impl Init {
    fn of(host: &DirHost) -> Result<Self> {
        let there = |path: &str| host.stat(&HostPath::from(path)).map(|stat| stat.is_some());
        if there(SYSTEMD)? {
            return Ok(Self::Systemd);
        }
        for known in [UPDATE_RC, CHKCONFIG] {
            if there(known)? {
                return Ok(Self::Scripts(known));
            }
        }
        let what = format!(
            "{} starts nothing at boot in a way known here, so no dead man's switch can be armed",
            host.label
        );
        Err(Error::new(Kind::Host, what).hint(format!(
            "it needs systemd, {UPDATE_RC} or {CHKCONFIG}: install one of them there"
        )))
    }

    /// The file that has the service started at boot.
    fn definition(&self, name: &MigrationName) -> HostPath {
        match self {
            Self::Systemd => HostPath::from("/etc/systemd/system").join(unit(name)),
            Self::Scripts(_) => HostPath::from("/etc/init.d").join(service(name)),
        }
    }
}

fn service(name: &MigrationName) -> String {
    format!("reconcile-{name}")
}

fn unit(name: &MigrationName) -> String {
    format!("{}.service", service(name))
}

fn program_path(name: &MigrationName) -> HostPath {
    Receipt::directory(name).join("reconcile")
}

/// Sees to it that the switch is watched by this very program, now and after a reboot. The caller
/// holds the lock of the switch: nobody leaves, and nobody takes back.
pub(super) fn ensure(host: &DirHost, name: &MigrationName) -> Result<()> {
    let init = Init::of(host)?;
    let fresh_program = put_program(host, name)?;
    let fresh_service = put_service(host, name, &init)?;
    let watched_already = watched(host, name)?;
    // Who watches was started after all this, and mail may stand still while a deadline is moved.
    if fresh_service || !watched_already {
        enable(host, name, &init)?;
    }
    if fresh_program || fresh_service || !watched_already {
        start(host, name, &init)?;
        let until = Instant::now() + STARTS_WITHIN;
        while !watched(host, name)? {
            if Instant::now() > until {
                // Left as it is, so that a person can look why.
                let what = format!(
                    "no watcher of the dead man's switch starts on {}",
                    host.label
                );
                return Err(Error::new(Kind::Host, what).hint(format!(
                    "`systemctl status {}` or `{} watch {name} {}` there says why",
                    service(name),
                    program_path(name),
                    host.side,
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Whether a process shows that it watches.
fn watched(host: &DirHost, name: &MigrationName) -> Result<bool> {
    let taken = Lock::try_take(host, name, WATCHER_LOCK)?;
    Ok(matches!(taken, Taken::Busy))
}

/// Puts a copy of the running program on the host; whether it is another one than before.
fn put_program(host: &DirHost, name: &MigrationName) -> Result<bool> {
    let path = program_path(name);
    if host.is_program(&path)? == Some(true) {
        return Ok(false);
    }
    host.put_program(&path)?;
    Ok(true)
}

/// Writes the definition of the service; whether it is another one than before.
fn put_service(host: &DirHost, name: &MigrationName, init: &Init) -> Result<bool> {
    let path = init.definition(name);
    let (text, mode) = match init {
        Init::Systemd => (unit_text(host, name), 0o644),
        Init::Scripts(_) => (script_text(host, name), 0o755),
    };
    if host.read(&path)?.as_deref() == Some(text.as_bytes()) {
        return Ok(false);
    }
    host.replace(&path, text.as_bytes(), NewFile::root(mode))?;
    Ok(true)
}

/// Has the service started at boot.
fn enable(host: &DirHost, name: &MigrationName, init: &Init) -> Result<()> {
    match init {
        Init::Systemd => {
            program(host, &[SYSTEMCTL, "daemon-reload"])?;
            program(host, &[SYSTEMCTL, "enable", &unit(name)])?;
        }
        Init::Scripts(UPDATE_RC) => program(host, &[UPDATE_RC, &service(name), "defaults"])?,
        Init::Scripts(chkconfig) => program(host, &[chkconfig, "--add", &service(name)])?,
    }
    // The links that these programs made.
    host.sync(&BTreeSet::from([HostPath::from("/etc")]))
}

/// Nothing of it ends with the ssh session that it was made from, or takes what it started with it.
/// Through a shell, because with `SELinux` what systemd starts itself may not be of `/var/lib`.
fn unit_text(host: &DirHost, name: &MigrationName) -> String {
    format!(
        "[Unit]\n\
         Description=reconcile: takes back the hand-over {name} unless it is confirmed\n\
         After=network.target\n\
         \n\
         [Service]\n\
         ExecStart=/bin/sh -c 'exec {program} watch {name} {side}'\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         StartLimitInterval=0\n\
         KillMode=process\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        program = program_path(name),
        side = host.side,
    )
}

fn script_text(host: &DirHost, name: &MigrationName) -> String {
    format!(
        "#!/bin/sh\n\
         # chkconfig: 2345 99 01\n\
         # description: takes back the hand-over {name} unless it is confirmed\n\
         ### BEGIN INIT INFO\n\
         # Provides: {service}\n\
         # Required-Start: $local_fs $network\n\
         # Required-Stop:\n\
         # Default-Start: 2 3 4 5\n\
         # Default-Stop:\n\
         # Short-Description: takes back the hand-over {name} unless it is confirmed\n\
         ### END INIT INFO\n\
         case \"$1\" in\n\
         start) {program} watch {name} {side} </dev/null >/dev/null 2>&1 & ;;\n\
         esac\n",
        service = service(name),
        program = program_path(name),
        side = host.side,
    )
}

fn start(host: &DirHost, name: &MigrationName, init: &Init) -> Result<()> {
    match init {
        Init::Systemd => program(host, &[SYSTEMCTL, "restart", &unit(name)]),
        Init::Scripts(_) => {
            end_holders(host, name, WATCHER_LOCK)?;
            let path = program_path(name).to_string();
            let side = host.side.to_string();
            let words = [
                "/bin/sh",
                "-c",
                DETACHED,
                &path,
                "watch",
                name.as_str(),
                &side,
            ];
            program(host, &words)
        }
    }
}

/// Removes the service and the program. What is missing is no failure.
pub(super) fn remove(host: &DirHost, name: &MigrationName) -> Result<()> {
    let init = Init::of(host)?;
    let path = init.definition(name);
    if host.lstat(&path)?.is_some() {
        // The definition before the program: a service without its program would be started for ever.
        match init {
            Init::Systemd => program(host, &[SYSTEMCTL, "disable", &unit(name)])?,
            Init::Scripts(UPDATE_RC) => {}
            Init::Scripts(chkconfig) => program(host, &[chkconfig, "--del", &service(name)])?,
        }
        host.remove_file(&path)?;
    }
    match init {
        Init::Systemd => program(host, &[SYSTEMCTL, "daemon-reload"])?,
        Init::Scripts(UPDATE_RC) => program(host, &[UPDATE_RC, &service(name), "remove"])?,
        Init::Scripts(_) => {}
    }
    host.remove_file(&program_path(name))
}
