//! From a host as a manifest describes it to a host that can be worked with.

use std::ffi::OsStr;
use std::io::{BufReader, BufWriter};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::commands::OverSsh;
use super::remote::message::arguments;
use super::ssh::{CannotRun, Connection, Environment, Login, Remote, Running, Start};
use super::{Bearer, CommandHost, DirHost, Host, HostState, ReadHost, RemoteHost};
use crate::agent;
use crate::error::{Error, Kind, Result};
use crate::manifest::{HostAddress, MigrationName, Source};
use crate::names::Side;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// The operator's end of a run: where it runs, and how it is stopped.
#[derive(Clone, Debug)]
pub struct Operator {
    /// What ssh needs of the environment.
    pub environment: Environment,
    /// This program's file, which is sent to hosts.
    pub program: PathBuf,
    /// Where relative roots start.
    pub base: PathBuf,
    /// The migration, whose copy of this program on a host need not be sent again.
    pub migration: Option<MigrationName>,
    /// Set when the user wants us to stop.
    pub stop: Arc<AtomicBool>,
}

/// The source of a migration.
pub enum SourceHost {
    /// A live host that can be frozen, and can take the mail back.
    Changeable(Box<dyn Host>),
    /// An offline root, which is never written, or a host on which this program does not run.
    Readable(Box<dyn ReadHost>),
}

impl SourceHost {
    /// For looking.
    pub fn read(&self) -> &dyn ReadHost {
        match self {
            Self::Changeable(host) => host.as_ref(),
            Self::Readable(host) => host.as_ref(),
        }
    }

    /// For a hand-over.
    pub fn change(&self) -> Option<&dyn Host> {
        match self {
            Self::Changeable(host) => Some(host.as_ref()),
            Self::Readable(_) => None,
        }
    }
}

impl std::fmt::Debug for SourceHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SourceHost")
            .field(&self.read().label())
            .finish()
    }
}

/// Opens the source of a migration. A live one on which this program cannot run is read by its own
/// programs.
///
/// # Errors
///
/// [`Kind::Host`] if it cannot be reached or is not what it should be, with what to do about it.
pub fn reach_source(described: &Source, operator: &Operator) -> Result<SourceHost> {
    match get_to(Side::Source, described, operator)? {
        Reached::Whole(host) if host.state() == HostState::Live => Ok(SourceHost::Changeable(host)),
        Reached::Whole(host) => Ok(SourceHost::Readable(host)),
        Reached::ForReading(connection, why) => {
            let programs = Arc::new(OverSsh(connection));
            let why = why.why().to_owned();
            let host = CommandHost::open(Side::Source, programs, why)?;
            Ok(SourceHost::Readable(Box::new(host)))
        }
    }
}

/// Opens the target of a migration, which this program has to run on if it is live.
///
/// # Errors
///
/// As [`reach_source`], and if the program cannot run there.
pub fn reach_target(described: &Source, operator: &Operator) -> Result<Box<dyn Host>> {
    match get_to(Side::Target, described, operator)? {
        Reached::Whole(host) => Ok(host),
        Reached::ForReading(_, why) => Err(why.into_error()),
    }
}

/// Opens a host that is no side of the migration, to look at the service from there. This program has
/// to run on it, as root as everywhere.
///
/// # Errors
///
/// As [`reach_target`]; [`Kind::Usage`] for a directory, from which nothing can be looked at.
pub fn reach_vantage(described: &Source, operator: &Operator) -> Result<Box<dyn ReadHost>> {
    let label = described.host.to_string();
    // It has to be one of them, and writes nothing.
    let side = Side::Target;
    let Some(login) = Login::new(side, described) else {
        let what = format!("no mail service can be looked at from {label}");
        return Err(Error::new(Kind::Usage, what).hint("name a host that runs: ssh://..."));
    };
    match connect(side, &Login { label, ..login }, operator)? {
        Reached::Whole(host) => Ok(host),
        Reached::ForReading(_, why) => Err(why.into_error()),
    }
}

/// Opens the backup mail exchanger, which is changed.
///
/// # Errors
///
/// As [`reach_target`]; [`Kind::Usage`] for a directory, in which nothing runs.
pub fn reach_backup(described: &Source, operator: &Operator) -> Result<Box<dyn Host>> {
    let label = format!("the backup ({})", described.host);
    let side = Side::Target;
    let Some(login) = Login::new(side, described) else {
        let what = format!("{} cannot queue mail", described.host);
        return Err(Error::new(Kind::Usage, what).hint("name a host that runs: ssh://..."));
    };
    match connect(side, &Login { label, ..login }, operator)? {
        Reached::Whole(host) => Ok(host),
        Reached::ForReading(_, why) => Err(why.into_error()),
    }
}

enum Reached {
    Whole(Box<dyn Host>),
    /// The host is there, and does not run our program.
    ForReading(Arc<Connection>, CannotRun),
}

fn get_to(side: Side, described: &Source, operator: &Operator) -> Result<Reached> {
    let login = match (&described.host, Login::new(side, described)) {
        (HostAddress::Dir(path), _) => {
            let root = operator.base.join(OsStr::from_bytes(path.as_bytes()));
            return Ok(Reached::Whole(Box::new(DirHost::open(side, &root)?)));
        }
        (HostAddress::Ssh { .. }, Some(login)) => login,
        (HostAddress::Ssh { .. }, None) => {
            return Err(Error::new(Kind::Internal, "an ssh host without a login"));
        }
    };
    connect(side, &login, operator)
}

fn connect(side: Side, login: &Login, operator: &Operator) -> Result<Reached> {
    let connection = Connection::open(login, &operator.environment, &operator.stop)?;
    let connection = Arc::new(connection);
    let digest = agent::digest(&operator.program)?;
    let arguments = arguments(side, &login.label);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let greeted =
        |running| over_ssh(side, login, Arc::clone(&connection), running, &digest).map(Box::new);
    if let Some(name) = &operator.migration {
        let kept = Receipt::program(name);
        let running = connection.start_kept(&kept, &operator.program, &arguments)?;
        // One of another version has the same size now and then, and does not pass.
        if let Some(Ok(remote)) = running.map(greeted) {
            return Ok(Reached::Whole(remote));
        }
    }
    match connection.start_agent(&operator.program, &arguments)? {
        Start::Running(running) => Ok(Reached::Whole(greeted(running)?)),
        Start::CannotRun(why) => Ok(Reached::ForReading(connection, why)),
    }
}

fn over_ssh(
    side: Side,
    login: &Login,
    connection: Arc<Connection>,
    running: Running,
    digest: &[u8; 32],
) -> Result<RemoteHost> {
    let Running {
        stdin,
        stdout,
        remote,
        ..
    } = running;
    let carried = Carried {
        remote: Mutex::new(Some(remote)),
        connection,
    };
    RemoteHost::greet(
        side,
        login.label.clone(),
        BufReader::with_capacity(256 * 1024, stdout),
        // The head and the body of a message leave together.
        BufWriter::with_capacity(64 * 1024, stdin),
        digest,
        Arc::new(carried),
    )
}

/// An agent on an ssh connection.
struct Carried {
    remote: Mutex<Option<Remote>>,
    connection: Arc<Connection>,
}

impl Bearer for Carried {
    fn addresses(&self) -> Vec<IpAddr> {
        self.connection.addresses()
    }

    fn why_lost(&self) -> Option<Error> {
        match self.connection.lost() {
            Ok(Some(error)) | Err(error) => return Some(error),
            Ok(None) => {}
        }
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = match remote.take()?.wait() {
            Ok(ended) => ended,
            Err(error) => return Some(error),
        };
        let what = format!("the agent on {} ended", self.connection.label());
        let error = match ended.last_words() {
            words if words.is_empty() => Error::new(Kind::Host, what),
            words => Error::caused(Kind::Host, what, words),
        };
        Some(error.hint("run reconcile again: it goes on from where it was"))
    }
}

/// Refuses two sides that are one machine, however they are reached.
pub fn refuse_one_host(source: &dyn ReadHost, target: &dyn ReadHost) -> Result<()> {
    let top = HostPath::from("/");
    let (Some(a), Some(b)) = (source.stat(&top)?, target.stat(&top)?) else {
        return Ok(());
    };
    if (a.dev, a.ino) != (b.dev, b.ino) || boot(source)? != boot(target)? {
        return Ok(());
    }
    let (one, other) = (source.label(), target.label());
    let what = match (source.state(), target.state()) {
        (HostState::Offline, HostState::Offline) => format!("{one} and {other} are one directory"),
        _ => format!("{one} and {other} are one machine"),
    };
    Err(Error::new(Kind::Usage, what).hint("name two hosts"))
}

/// Which boot of which kernel a host's files are seen through, random(4): device and inode numbers
/// of two kernels may be alike.
fn boot(host: &dyn ReadHost) -> Result<Option<Vec<u8>>> {
    let id = HostPath::from("/proc/sys/kernel/random/boot_id");
    match host.state() {
        HostState::Live => host.read(&id),
        HostState::Offline => DirHost::open(host.side(), Path::new("/"))?.read(&id),
    }
}
