//! A remote host reached by the system's `ssh`: from a manifest's address to a running process there,
//! with a stdin and a stdout.
//!
//! One [`Connection`] is one ssh master of our own (`master`), in a control directory of its own
//! (`control`). It gets in (`way_in`) by the operator's ssh configuration under conditions of ours
//! (`config`), believes no host key that `known_hosts` or a pin did not announce (`pin`), and has the
//! host say what it is (`answer`). Over it go single
//! commands ([`Connection::exec`]), whole files by SFTP (`sftp`), and the agent, which is this very
//! program (`agent`). What ssh and sudo say when they fail is understood in [`failure`].
//!
//! What the processes over there say to us, and that they make a host, is not known here.

mod agent;
mod answer;
mod config;
mod control;
pub mod failure;
mod master;
mod pin;
mod process;
mod quote;
mod sftp;
mod way_in;

use std::fmt;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use openssh::Session;
use tokio::runtime::{Builder, Runtime};

use crate::error::{Doing as _, Error, Kind, Result};
use crate::manifest::{Become, HostAddress, Source};
use crate::names::Side;

pub use agent::{CannotRun, Running, Start};
pub use process::{Ended, Exec, Remote};

use failure::Failure;
use master::Master;

/// How to reach a host, as the manifest says.
#[derive(Clone, Debug)]
pub struct Login {
    /// How to name the host to a person: `source (ssh://root@old.example.org)`.
    pub label: String,
    /// Login name; the operator's ssh configuration decides if absent.
    pub user: Option<String>,
    /// Host name, address or alias of the operator's ssh configuration.
    pub host: String,
    /// TCP port; the operator's ssh configuration decides if absent.
    pub port: Option<u16>,
    /// The one host key to believe, `SHA256:...`; else `known_hosts` decides.
    pub host_key: Option<String>,
    /// How to become root if the login is not root.
    pub become_root: Option<Become>,
}

impl Login {
    /// The login of one side of a manifest; `None` for an offline root.
    pub fn new(side: Side, described: &Source) -> Option<Self> {
        let HostAddress::Ssh { user, host, port } = &described.host else {
            return None;
        };
        Some(Self {
            label: format!("{side} ({})", described.host),
            user: user.clone(),
            host: host.clone(),
            port: *port,
            host_key: described.host_key.clone(),
            become_root: described.become_root,
        })
    }

    /// `-p PORT USER@HOST` for a command that a person pastes.
    fn destination(&self) -> String {
        let port = self.port.map(|port| format!("-p {port} "));
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        format!(
            "{}{}{}",
            port.unwrap_or_default(),
            user.unwrap_or_default(),
            self.host
        )
    }
}

/// What connecting needs to know of the environment, which `main.rs` reads.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HOME`: whose `.ssh` holds configuration, known hosts and keys; the login's own if absent.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: the best place for a control directory.
    pub runtime_dir: Option<PathBuf>,
    /// `TMPDIR`: the second best; `/tmp` is the last.
    pub temp_dir: Option<PathBuf>,
}

/// A connection to a host. Dropping it ends the ssh master and removes its control directory, and with
/// that what still runs over it sees the end of its stdin.
pub struct Connection {
    // In the order in which they have to go.
    sftp: Mutex<Option<sftp::Files>>,
    session: Arc<Session>,
    master: Mutex<Master>,
    runtime: Arc<Runtime>,
    login: Login,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and logs in. Sweeps away first what killed runs left on this machine. `stop` interrupts
    /// this, and bringing an agent over later.
    pub fn open(login: &Login, environment: &Environment, stop: &Arc<AtomicBool>) -> Result<Self> {
        let master = Master::start(login, environment, stop)?;
        let facts = master.facts();
        if facts.system != "Linux" {
            let failure = Failure::NotLinux(facts.system.clone());
            return Err(failure.into_error(login));
        }
        if facts.uid != 0 && login.become_root.is_none() {
            return Err(Failure::NotRoot(facts.uid).into_error(login));
        }
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .doing(Kind::Internal, || "cannot start the ssh client".to_owned())?;
        let session = Session::resume_mux(master.socket().into_boxed_path(), None);
        Ok(Self {
            sftp: Mutex::new(None),
            session: Arc::new(session),
            master: Mutex::new(master),
            runtime: Arc::new(runtime),
            login: login.clone(),
            stop: Arc::clone(stop),
        })
    }

    /// How to name the host to a person.
    pub fn label(&self) -> &str {
        &self.login.label
    }

    /// Why the connection is gone; `None` while it stands.
    pub fn lost(&self) -> Result<Option<Error>> {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = master.ended()? else {
            return Ok(None);
        };
        Ok(Some(Failure::Lost(said).into_error(&self.login)))
    }

    /// The addresses by which the host is reached from this machine, as far as they are known here: not
    /// those of a tunnel, nor those that only a jump host knows.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = master.host_name(&self.login) else {
            return Vec::new();
        };
        drop(master);
        // Not being resolved here is no fault of a name.
        let found = (name, 0).to_socket_addrs().into_iter().flatten();
        let addresses = found.map(|address| address.ip());
        addresses.filter(|address| !address.is_loopback()).collect()
    }

    /// Whether everything over there has to be asked for by `sudo -n`.
    fn through_sudo(&self) -> bool {
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.facts().uid != 0
    }

    /// A failure of the connection's client side: the connection is lost, or the server refused a
    /// channel.
    fn channel(&self, what: &str, error: &openssh::Error) -> Error {
        match self.lost() {
            Ok(Some(lost)) | Err(lost) => lost,
            Ok(None) if matches!(error, openssh::Error::Disconnected) => {
                Failure::Lost("ssh does not answer any more".to_owned()).into_error(&self.login)
            }
            Ok(None) => Error::caused(
                Kind::Host,
                format!("cannot start {what} on {}", self.login.label),
                failure::flat(error),
            )
            .hint(
                "look into the log of sshd there; its MaxSessions has to be 4 or more, and 10 where \
                 reconcile cannot run",
            ),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The SFTP session's tasks want the runtime that they were made on.
        let _entered = self.runtime.enter();
        self.sftp
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}
