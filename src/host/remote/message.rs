//! What the bodies of frames say: requests to an agent, and their outcomes. Encoded by postcard.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::direct::PublicKey;
use crate::error::{Error, Kind, Result};
use crate::exposure::Exposure;
use crate::exposure::smtp::{Accepted, Letter, Recipients, Refusal};
use crate::host::switch::{Advance, Arming, Settlement};
use crate::host::{
    Answer, Command, Ended, IndexFile, NewFile, Probe, Space, Stat, TreeJob, Writer,
};
use crate::manifest::MigrationName;
use crate::names::{Side, UserName};
use crate::plan::change::{Difference, Extraneous, IdMap};
use crate::raw::{HostPath, Raw};
use crate::replicate::{Depth, Held, OriginTree, Pace, Report};

/// The agent's first message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// [`crate::wire::VERSION`].
    pub(crate) version: u32,
    /// BLAKE3 of the program that it runs.
    pub(crate) digest: [u8; 32],
    /// Its effective uid.
    pub(crate) uid: u32,
}

/// What an agent can be asked to do: what hosts can do.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Several questions about paths, as they would be asked alone.
    Facts(Vec<Vec<u8>>),
    Lstat(HostPath),
    Lstats(Vec<HostPath>),
    Stat(HostPath),
    Stats(Vec<HostPath>),
    RealPaths(Vec<HostPath>),
    ReadLink(HostPath),
    List(HostPath),
    Read(HostPath),
    Space(HostPath),
    /// Answered by events of bytes, each asked for by `More`, and `Ended`.
    Ask(Probe),
    /// Stays open for questions until `Cancel`.
    Origins(Vec<OriginTree>),
    /// The same for the other agent, over the data connection, where it has the number of this
    /// channel. `Event::Ready` says that it is open.
    DirectOrigins(Vec<OriginTree>),
    /// Who the agent is on a data connection.
    Introduce,
    /// Opens a port for the other agent, who is this.
    Listen(PublicKey),
    /// Closes it.
    Unlisten,
    /// Connects to the other agent, who is this and listens at one of these addresses.
    Connect {
        peer: PublicKey,
        to: Vec<SocketAddr>,
    },
    /// How owners translate in the jobs that follow.
    Ids(IdMap),
    /// How trees are read from now on.
    SetPace(Pace),
    /// Answered by an `Event::Ended` for each job, and `Done`.
    Compare {
        jobs: Vec<WireJob>,
        route: Route,
        depth: Depth,
        tell: Tell,
    },
    /// Likewise.
    Copy {
        jobs: Vec<WireJob>,
        route: Route,
    },
    /// Ends what `Copy` left pending.
    Commit(Vec<u32>),
    Forget(Vec<u32>),
    Replace {
        path: HostPath,
        content: Vec<u8>,
        new: NewFile,
    },
    Append {
        path: HostPath,
        content: Vec<u8>,
        new: NewFile,
    },
    MakeDirs {
        dir: HostPath,
        mode: u32,
    },
    RenameNew {
        from: HostPath,
        to: HostPath,
    },
    RemoveFile(HostPath),
    Sync(BTreeSet<HostPath>),
    TryLock,
    LockAccounts,
    /// Lets go of a lock.
    Unlock(u32),
    ClearAccountLocks,
    Run(Command),
    Clock,
    ChangedSince {
        trees: Vec<OriginTree>,
        since: Timestamp,
        most: u64,
    },
    /// Answered by why not, if so.
    Track(Vec<HostPath>),
    AddressTowards(IpAddr),
    Writers(Vec<HostPath>),
    IsProgram(HostPath),
    PutProgram(HostPath),
    KeepProgram {
        name: MigrationName,
        keep: bool,
    },
    Arm(Arming),
    Advance(Advance),
    Trip(MigrationName),
    Settle(Settlement),
    Expose {
        address: IpAddr,
        ports: BTreeSet<u16>,
    },
    Recipients(Recipients),
    Send(Letter),
}

/// A request may hold the content of a file with secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request")
    }
}

/// Whether every difference is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Tell {
    Every,
    Counts,
}

/// How questions of jobs and their answers travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Route {
    /// Through the operator's machine.
    Relay,
    /// Over the data connection, to the session of this number.
    Direct(u32),
}

/// A port that is open for the other agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Port {
    /// Who listens.
    pub(crate) key: PublicKey,
    pub(crate) number: u16,
    /// The host's own addresses, at the port.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// A [`TreeJob`] without its ids, which are sent once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireJob {
    pub(crate) tree: OriginTree,
    pub(crate) target: HostPath,
    pub(crate) extraneous: Extraneous,
    pub(crate) sealed: Option<Timestamp>,
    pub(crate) index: Option<IndexFile>,
    pub(crate) sample: u64,
}

impl From<&TreeJob> for WireJob {
    fn from(job: &TreeJob) -> Self {
        Self {
            tree: job.tree.clone(),
            target: job.target.clone(),
            extraneous: job.extraneous.clone(),
            sealed: job.sealed,
            index: job.index.clone(),
            sample: job.sample as u64,
        }
    }
}

/// What comes of a request.
#[derive(Serialize, Deserialize)]
pub(crate) enum Outcome {
    Done,
    /// The replies, as they would come alone; empty for one that has to be.
    Facts(Vec<Vec<u8>>),
    Stat(Option<Stat>),
    Stats(Vec<std::result::Result<Option<Stat>, Fault>>),
    RealPaths(Vec<std::result::Result<HostPath, Fault>>),
    Link(Option<Raw>),
    Names(Option<Vec<Raw>>),
    Content(Option<Vec<u8>>),
    Space(Space),
    Ended(Option<Ended>),
    /// The data connection broke before all jobs were done, for this reason.
    Unlinked(String),
    Key(PublicKey),
    Port(Port),
    Connected(SocketAddr),
    /// The number of the lock, if it was free.
    Lock(Option<u32>),
    Answer(Answer),
    Clock(Timestamp),
    Address(Option<IpAddr>),
    Paths(Vec<HostPath>),
    Untracked(Option<String>),
    Writers(Vec<Writer>),
    IsProgram(Option<bool>),
    Exposure(Exposure),
    Refusals(Vec<(UserName, Refusal)>),
    Accepted(Accepted),
}

/// A value whose form leaves out what is empty, as JSON does and postcard does not bear.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let json = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&json)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let json = String::deserialize(deserializer)?;
        let value = serde_json::from_str(&json).map_err(serde::de::Error::custom)?;
        Ok(Self(value))
    }
}

/// How a job ended: its report, and the number of the index that waits to be committed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) report: Json<Report>,
    pub(crate) index: Option<u32>,
}

/// What jobs tell while they work.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Totals so far.
    Progress {
        files: u64,
        copied: u64,
        compared: u64,
    },
    /// Of the job that is worked on.
    Difference(Vec<u8>, Difference),
    /// The job that was worked on has ended; the next one begins.
    Ended(std::result::Result<Ending, Fault>),
    /// What held the sessions with this host so far, all of them; on channel 0, nobody's.
    Held(Held),
    /// Of a program's standard output.
    Output(Vec<u8>),
    /// A session is open.
    Ready,
}

/// An [`Error`] that crossed the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    kind: Kind,
    what: String,
    /// What was behind it, the nearest first.
    causes: Vec<String>,
    hint: Option<String>,
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        use std::error::Error as _;
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Self {
            kind: error.kind(),
            what: error.to_string(),
            causes,
            hint: error.remedy().map(str::to_owned),
        }
    }
}

/// A cause whose own cause is another.
#[derive(Debug)]
struct Cause(String, Option<Box<Cause>>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1
            .as_deref()
            .map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

impl Fault {
    /// The error again.
    pub(crate) fn into_error(self) -> Error {
        let causes = self.causes.into_iter().rev();
        let cause = causes.fold(None, |inner, text| Some(Box::new(Cause(text, inner))));
        let error = match cause {
            Some(cause) => Error::caused(self.kind, self.what, cause),
            None => Error::new(self.kind, self.what),
        };
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The bytes of a message.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("messages are plain data")
}

/// A message from bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|error| {
        let what = "the other end of the connection says something that makes no sense";
        Error::caused(Kind::Internal, what, error)
    })
}

/// How an agent is started: the arguments after the program's name.
pub(crate) fn arguments(side: Side, label: &str) -> Vec<String> {
    let side = match side {
        Side::Source => "source",
        Side::Target => "target",
    };
    ["agent", "--side", side, "--label", label]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _request = decode::<Request>(&bytes).is_ok();
            let _outcome = decode::<Result<Outcome, Fault>>(&bytes).is_ok();
            let _event = decode::<Event>(&bytes).is_ok();
            let _hello = decode::<Hello>(&bytes).is_ok();
        }
    }

    #[test]
    fn an_error_keeps_its_kind_causes_and_hint() {
        let inner = Error::caused(Kind::Host, "cannot open", std::io::Error::other("disk"));
        let error = Error::caused(Kind::Blocked, "cannot read", inner).hint("mend it");
        let there: Fault = decode(&encode(&Fault::from(&error))).unwrap();
        let back = there.into_error();
        assert_eq!(crate::error::chain(&back), "cannot read: cannot open: disk");
        assert_eq!(
            (back.kind(), back.remedy()),
            (Kind::Blocked, Some("mend it"))
        );
    }
}
