//! A host at the far end of a wire: an agent there serves it, and this is its client.
//!
//! Everything that a host can do is asked of the agent, one request a channel, any number at a time;
//! one thread hears all answers. How the agent came to be there is [`super::ssh`]'s business; here a
//! host is two streams of bytes.

mod direct;
mod hearing;
mod job;
mod line;
mod memory;
pub(crate) mod message;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::direct::Direct;
pub use self::direct::OnLoss;
pub use self::line::Bearer;
use self::line::{Line, outcome};
use self::memory::Memory;
use self::message::{Fault, Hello, Outcome, Request, Tell, encode};
use super::switch::{Advance, Arming, Settlement};
use super::{
    Answer, Answers, Command, CopiedTrees, Guard, Hearing, Host, HostState, Lookup, NewFile,
    Pending, Probe, ReadHost, Relay, Space, Stat, TreeJob, Watch, Writer,
};
use crate::error::{Error, Kind, Result};
use crate::exposure::Exposure;
use crate::exposure::smtp::{Accepted, Letter, Recipients, Refusal};
use crate::manifest::MigrationName;
use crate::names::{Side, UserName};
use crate::plan::change::IdMap;
use crate::raw::{HostPath, Raw};
use crate::replicate::{Depth, Held, OriginTree, Origins, Pace, Report};
use crate::wire;

/// A host that an agent serves.
pub struct RemoteHost {
    side: Side,
    line: Arc<Line>,
    /// The ids that the agent was told last.
    ids: Mutex<Option<Arc<IdMap>>>,
    direct: Mutex<Direct>,
    round_trip: Duration,
    memory: Arc<Memory>,
}

impl fmt::Debug for RemoteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHost")
            .field("label", &self.line.label())
            .finish_non_exhaustive()
    }
}

impl RemoteHost {
    /// Takes up the conversation with an agent that was just started, and makes sure that it runs the
    /// program with this digest (BLAKE3), as root. `bearer` is kept as long as the host.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if nothing, or something else than our agent, answers.
    pub fn greet(
        side: Side,
        label: String,
        mut from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        digest: &[u8; 32],
        bearer: Arc<dyn Bearer>,
    ) -> Result<Self> {
        let what = || format!("the agent on {label} does not answer");
        let frame = match wire::read(&mut from) {
            Ok(Some(frame)) if frame.kind == wire::Kind::Hello => frame,
            Ok(Some(_)) => return Err(Error::new(Kind::Host, what())),
            Ok(None) => {
                let why = bearer.why_lost();
                return Err(why.unwrap_or_else(|| Error::new(Kind::Host, what())));
            }
            Err(error) => return Err(Error::caused(Kind::Host, what(), error)),
        };
        let hello: Hello = message::decode(&frame.body)?;
        if hello.version != wire::VERSION || hello.digest != *digest {
            let what = format!("what answers on {label} is not the program that was sent there");
            return Err(Error::new(Kind::Host, what).hint("run reconcile again"));
        }
        if hello.uid != 0 {
            let what = format!("the login on {label} is not root");
            return Err(Error::new(Kind::Host, what)
                .hint(format!("log in as root, or write `{side}.become: sudo`")));
        }
        let mut host = Self {
            side,
            line: Line::open(label, from, to, bearer),
            ids: Mutex::default(),
            direct: Mutex::default(),
            round_trip: Duration::ZERO,
            memory: Arc::default(),
        };
        let began = Instant::now();
        host.lstat(&HostPath::from("/"))?;
        host.round_trip = began.elapsed();
        Ok(host)
    }

    /// Has the host keep a copy of this program for the runs of a migration to come
    /// ([`crate::receipt::Receipt::program`]), or keep none.
    pub fn keep_program(&self, name: &MigrationName, keep: bool) -> Result<()> {
        let name = name.clone();
        self.done(&Request::KeepProgram { name, keep })
    }

    fn call(&self, request: &Request) -> Result<Outcome> {
        self.line.call(request)
    }

    /// Asks about a path, if the answer is not known.
    fn fact(&self, request: &Request) -> Result<Outcome> {
        match self.memory.recall(&encode(request)) {
            Some(known) => outcome(&known),
            None => self.call(request),
        }
    }

    /// Has something changed.
    fn change(&self, request: &Request) -> Result<()> {
        self.memory.forget();
        self.done(request)
    }

    fn done(&self, request: &Request) -> Result<()> {
        match self.call(request)? {
            Outcome::Done => Ok(()),
            _ => Err(self.line.nonsense()),
        }
    }

    fn lock(&self, request: &Request) -> Result<Option<Guard>> {
        match self.call(request)? {
            Outcome::Lock(number) => Ok(number.map(|number| {
                Box::new(Lock {
                    line: Arc::clone(&self.line),
                    number,
                }) as Guard
            })),
            _ => Err(self.line.nonsense()),
        }
    }
}

/// A lock that the agent holds for us.
struct Lock {
    line: Arc<Line>,
    number: u32,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.line.tell(&Request::Unlock(self.number));
    }
}

/// Indexes that the agent has ready.
struct Ready {
    line: Arc<Line>,
    numbers: Vec<u32>,
}

impl Pending for Ready {
    fn commit(mut self: Box<Self>) -> Result<()> {
        let numbers = std::mem::take(&mut self.numbers);
        if numbers.is_empty() {
            return Ok(());
        }
        match self.line.call(&Request::Commit(numbers))? {
            Outcome::Done => Ok(()),
            _ => Err(self.line.nonsense()),
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if !self.numbers.is_empty() {
            let numbers = std::mem::take(&mut self.numbers);
            self.line.tell(&Request::Forget(numbers));
        }
    }
}

macro_rules! ask {
    ($self:ident, $request:expr, $outcome:ident) => {
        match $self.call(&$request)? {
            Outcome::$outcome(value) => Ok(value),
            _ => Err($self.line.nonsense()),
        }
    };
}

/// The same for what may be known.
macro_rules! know {
    ($self:ident, $request:expr, $outcome:ident) => {
        match $self.fact(&$request)? {
            Outcome::$outcome(value) => Ok(value),
            _ => Err($self.line.nonsense()),
        }
    };
}

/// The same for many answers in one.
macro_rules! ask_each {
    ($self:ident, $request:ident($paths:ident), $outcome:ident) => {{
        let each = match $self.call(&Request::$request($paths.to_vec())) {
            Ok(Outcome::$outcome(each)) if each.len() == $paths.len() => Ok(each),
            Ok(_) => Err($self.line.nonsense()),
            Err(error) => Err(error),
        };
        match each {
            Ok(each) => each
                .into_iter()
                .map(|one| one.map_err(Fault::into_error))
                .collect(),
            Err(error) => $paths.iter().map(|_| Err(error.clone())).collect(),
        }
    }};
}

impl ReadHost for RemoteHost {
    fn side(&self) -> Side {
        self.side
    }

    fn label(&self) -> String {
        self.line.label().to_owned()
    }

    fn state(&self) -> HostState {
        HostState::Live
    }

    fn lstat(&self, path: &HostPath) -> Result<Option<Stat>> {
        know!(self, Request::Lstat(path.clone()), Stat)
    }

    fn lstats(&self, paths: &[HostPath]) -> Vec<Result<Option<Stat>>> {
        ask_each!(self, Lstats(paths), Stats)
    }

    fn stat(&self, path: &HostPath) -> Result<Option<Stat>> {
        know!(self, Request::Stat(path.clone()), Stat)
    }

    fn stats(&self, paths: &[HostPath]) -> Vec<Result<Option<Stat>>> {
        ask_each!(self, Stats(paths), Stats)
    }

    fn real_paths(&self, paths: &[HostPath]) -> Vec<Result<HostPath>> {
        ask_each!(self, RealPaths(paths), RealPaths)
    }

    fn read_link(&self, path: &HostPath) -> Result<Option<Raw>> {
        know!(self, Request::ReadLink(path.clone()), Link)
    }

    fn list(&self, dir: &HostPath) -> Result<Option<Vec<Raw>>> {
        know!(self, Request::List(dir.clone()), Names)
    }

    fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>> {
        know!(self, Request::Read(path.clone()), Content)
    }

    fn remember(&self, usual: &[(Lookup, HostPath)]) -> Result<Guard> {
        let usual = usual.iter().map(|(lookup, path)| {
            let path = path.clone();
            match lookup {
                Lookup::Stat => Request::Stat(path),
                Lookup::ReadLink => Request::ReadLink(path),
                Lookup::List => Request::List(path),
                Lookup::Read => Request::Read(path),
            }
        });
        let questions = self.memory.questions(usual);
        let answers = ask!(self, Request::Facts(questions.clone()), Facts)?;
        Ok(Box::new(self.memory.learn(questions, answers)))
    }

    fn space(&self, path: &HostPath) -> Result<Space> {
        know!(self, Request::Space(path.clone()), Space)
    }

    fn ask(&self, probe: &Probe) -> Result<Option<Box<dyn Hearing>>> {
        hearing::ask(&self.line, probe)
    }

    fn origins(&self, trees: Vec<OriginTree>) -> Result<Origins<'_>> {
        let pipe = job::session(&self.line, trees)?;
        Ok(Origins::there(Box::new(pipe)))
    }

    fn relay(&self, trees: Vec<OriginTree>, answers: Answers) -> Result<Box<dyn Relay>> {
        job::relay(&self.line, trees, answers)
    }

    fn round_trip(&self) -> Duration {
        self.round_trip
    }

    fn remote(&self) -> Option<&RemoteHost> {
        Some(self)
    }

    fn reached_at(&self) -> Vec<IpAddr> {
        self.line.addresses()
    }

    fn set_pace(&self, pace: Pace) -> Result<()> {
        self.done(&Request::SetPace(pace))
    }

    fn held(&self) -> Held {
        self.line.held()
    }

    fn compare(
        &self,
        jobs: &[TreeJob],
        depth: Depth,
        source: &dyn ReadHost,
        watch: &mut Watch<'_>,
    ) -> Vec<Result<Report>> {
        let tell = match watch.differences {
            Some(_) => Tell::Every,
            None => Tell::Counts,
        };
        let request = |jobs, route| Request::Compare {
            jobs,
            route,
            depth,
            tell,
        };
        let ended = self.work(jobs, &request, source, watch).into_iter();
        ended.map(|ended| Ok(ended?.report.0)).collect()
    }

    fn clock(&self) -> Result<Timestamp> {
        ask!(self, Request::Clock, Clock)
    }

    fn changed_since(
        &self,
        trees: &[OriginTree],
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<HostPath>> {
        let (trees, most) = (trees.to_vec(), most as u64);
        ask!(self, Request::ChangedSince { trees, since, most }, Paths)
    }

    fn track(&self, trees: &[HostPath]) -> Result<Option<String>> {
        ask!(self, Request::Track(trees.to_vec()), Untracked)
    }

    fn address_towards(&self, to: IpAddr) -> Result<Option<IpAddr>> {
        ask!(self, Request::AddressTowards(to), Address)
    }

    fn is_program(&self, path: &HostPath) -> Result<Option<bool>> {
        ask!(self, Request::IsProgram(path.clone()), IsProgram)
    }

    fn writers(&self, paths: &[HostPath]) -> Result<Vec<Writer>> {
        ask!(self, Request::Writers(paths.to_vec()), Writers)
    }

    fn expose(&self, address: IpAddr, ports: &BTreeSet<u16>) -> Result<Exposure> {
        let ports = ports.clone();
        ask!(self, Request::Expose { address, ports }, Exposure)
    }

    fn recipients(&self, query: &Recipients) -> Result<Vec<(UserName, Refusal)>> {
        ask!(self, Request::Recipients(query.clone()), Refusals)
    }

    fn send(&self, letter: &Letter) -> Result<Accepted> {
        ask!(self, Request::Send(letter.clone()), Accepted)
    }
}

impl Host for RemoteHost {
    fn replace(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()> {
        let (path, content) = (path.clone(), content.to_vec());
        self.change(&Request::Replace { path, content, new })
    }

    fn append(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()> {
        let (path, content) = (path.clone(), content.to_vec());
        self.change(&Request::Append { path, content, new })
    }

    fn make_dirs(&self, dir: &HostPath, mode: u32) -> Result<()> {
        let dir = dir.clone();
        self.change(&Request::MakeDirs { dir, mode })
    }

    fn put_program(&self, path: &HostPath) -> Result<()> {
        self.change(&Request::PutProgram(path.clone()))
    }

    fn rename_new(&self, from: &HostPath, to: &HostPath) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.change(&Request::RenameNew { from, to })
    }

    fn remove_file(&self, path: &HostPath) -> Result<()> {
        self.change(&Request::RemoveFile(path.clone()))
    }

    fn copy(&self, jobs: &[TreeJob], source: &dyn ReadHost, watch: &mut Watch<'_>) -> CopiedTrees {
        self.memory.forget();
        let request = |jobs, route| Request::Copy { jobs, route };
        let ended = self.work(jobs, &request, source, watch).into_iter();
        let mut numbers = Vec::new();
        let reports = ended.map(|ended| {
            let ended = ended?;
            numbers.extend(ended.index);
            Ok(ended.report.0)
        });
        let reports = reports.collect();
        let line = Arc::clone(&self.line);
        let indexes = Box::new(Ready { line, numbers });
        CopiedTrees { reports, indexes }
    }

    fn sync(&self, paths: &BTreeSet<HostPath>) -> Result<()> {
        self.change(&Request::Sync(paths.clone()))
    }

    fn try_lock(&self) -> Result<Option<Guard>> {
        self.lock(&Request::TryLock)
    }

    fn run(&self, command: &Command) -> Result<Answer> {
        self.memory.forget();
        ask!(self, Request::Run(command.clone()), Answer)
    }

    fn lock_accounts(&self) -> Result<Guard> {
        self.lock(&Request::LockAccounts)?
            .ok_or_else(|| self.line.nonsense())
    }

    fn clear_account_locks(&self) -> Result<()> {
        self.change(&Request::ClearAccountLocks)
    }

    fn arm(&self, arming: &Arming) -> Result<()> {
        self.change(&Request::Arm(arming.clone()))
    }

    fn advance(&self, advance: &Advance) -> Result<()> {
        self.change(&Request::Advance(advance.clone()))
    }

    fn trip(&self, name: &MigrationName) -> Result<()> {
        self.change(&Request::Trip(name.clone()))
    }

    fn settle(&self, settlement: &Settlement) -> Result<()> {
        self.change(&Request::Settle(settlement.clone()))
    }
}
