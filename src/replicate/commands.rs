//! Looking at trees through a host's own read-only programs, where this program cannot run: GNU find
//! tells what there is ([`find`]), GNU tar what is in it ([`archive`]).
//!
//! Nothing is written over there. Names are bytes: they go as arguments or as NUL-terminated lists on
//! standard input, and come back NUL-terminated or with their length. Programs run in the C locale;
//! what they complain of is understood in [`complaint`], and what is not understood is a failure.
//!
//! What does not belong here: how a program is run on a host (that is behind [`Programs`]), and what
//! the engine makes of the answers ([`super::origin`]).

pub(super) mod archive;
pub(crate) mod complaint;
pub mod find;

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read};
use std::time::Duration;

use crate::error::{Doing as _, Error, Kind, Result};
use archive::Archive;

use super::scan::Moment;

/// Runs programs on a host.
pub trait Programs: Send + Sync + fmt::Debug {
    /// How to name the host to a person.
    fn label(&self) -> &str;
    /// Starts a program, found by `PATH`, as root and in the C locale, with `stdin` to read. It must
    /// be one that changes nothing.
    fn start(&self, argv: &[&[u8]], stdin: Vec<u8>) -> Result<Box<dyn Output>> {
        self.start_patiently(argv, stdin, None)
    }
    /// The same of one that may hang: reading its output fails with [`io::ErrorKind::TimedOut`] once it
    /// is silent for that long.
    fn start_patiently(
        &self,
        argv: &[&[u8]],
        stdin: Vec<u8>,
        patience: Option<Duration>,
    ) -> Result<Box<dyn Output>>;
}

/// A program's standard output, as it comes. Dropped early, the program ends by itself.
pub trait Output: Read + Send {
    /// Waits for the end; what was not read is thrown away. A host that is gone is an error.
    fn end(self: Box<Self>) -> Result<Finished>;
}

/// How a program ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard error; if it has [`STDERR_KEPT`] bytes or more, perhaps only its end.
    pub stderr: Vec<u8>,
}

/// Of a program's standard error this much is kept at least.
pub const STDERR_KEPT: usize = 16 << 10;

/// What can be told of a host by its programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tools {
    /// Whether its tar tells extended attributes.
    xattrs: Xattrs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Xattrs {
    Told,
    Untold,
}

/// What takes long is to be in nobody's way over there: nice(1), from coreutils as date(1). A host that
/// is read by its programs is never frozen, so nobody waits for them.
const NICE: [&[u8]; 3] = [b"nice", b"-n", b"10"];

/// The moment by the host's clock, on a line, and then the program.
const DATED: &str = r#"date +%s.%N && exec "$0" "$@""#;

/// POSIX archives have names of any length and times to the nanosecond. A second name of a file is a
/// file of its own here. Names are taken as they are, also those with a backslash.
const TAR: &[&str] = &[
    "tar",
    "--create",
    "--file=-",
    "--blocking-factor=64",
    "--format=posix",
    "--numeric-owner",
    "--no-recursion",
    "--hard-dereference",
    "--atime-preserve=system",
    "--null",
    "--no-unquote",
];

/// tar then tells an ACL as the kernel has it, in numbers.
const TAR_XATTRS: &[&str] = &[
    "--xattrs",
    "--xattrs-include=user.*",
    "--xattrs-include=system.posix_acl_*",
    "--xattrs-include=security.capability",
];

impl Tools {
    /// Tries the programs.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if one of them is not there or not as it has to be.
    pub fn of(programs: &dyn Programs) -> Result<Self> {
        if let Err(error) = find::at(programs, b"/", find::Follow::Last)? {
            return Err(unfit(programs, "find", &error.to_string()));
        }
        if find::several(programs, &[b"/".to_vec()])?.found.is_empty() {
            return Err(unfit(programs, "xargs", "it does not run find"));
        }
        let told = Self {
            xattrs: Xattrs::Told,
        };
        let untold = Self {
            xattrs: Xattrs::Untold,
        };
        match told.try_tar(programs)? {
            Ok(()) => Ok(told),
            Err(_) => match untold.try_tar(programs)? {
                Ok(()) => Ok(untold),
                Err(said) => Err(unfit(programs, "tar", &said)),
            },
        }
    }

    /// Whether extended attributes, ACLs among them, can be told.
    pub fn tells_xattrs(self) -> bool {
        self.xattrs == Xattrs::Told
    }

    fn try_tar(self, programs: &dyn Programs) -> Result<std::result::Result<(), String>> {
        let mut output = buffered(self.start_tar(programs, b"/", b"./\0".to_vec())?);
        let told = moment(&mut output).and_then(|_| {
            let mut archive = Archive::new(output.by_ref());
            let header = archive.next()?;
            archive.finish()?;
            Ok(header)
        });
        let ended = output.into_inner().end()?;
        Ok(match told {
            Ok(Some(header)) if ended.status == Some(0) && header.ctime.is_some() => Ok(()),
            Ok(_) => Err(complaint::last_words(&ended)),
            Err(_) if !ended.stderr.is_empty() => Err(complaint::last_words(&ended)),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Starts an archive of these names, NUL-terminated, within `dir`. First it tells the moment, for
    /// [`moment`].
    pub(super) fn start_tar(
        self,
        programs: &dyn Programs,
        dir: &[u8],
        names: Vec<u8>,
    ) -> Result<Box<dyn Output>> {
        let dir = [b"--directory=", dir].concat();
        let mut argv = NICE.to_vec();
        argv.extend([b"sh", b"-c", DATED.as_bytes()]);
        argv.extend(TAR.iter().map(|word| word.as_bytes()));
        if self.tells_xattrs() {
            argv.extend(TAR_XATTRS.iter().map(|word| word.as_bytes()));
        }
        argv.push(&dir);
        argv.extend([&b"--files-from=-"[..]]);
        programs.start(&argv, names)
    }
}

fn unfit(programs: &dyn Programs, program: &str, said: &str) -> Error {
    let what = format!(
        "{} cannot be read by its own programs: its {program} is not as GNU's",
        programs.label()
    );
    Error::caused(Kind::Host, what, said.to_owned()).hint(
        "install GNU findutils, tar and coreutils there, or give the host's disk or a backup of it as \
         dir:PATH",
    )
}

pub(super) fn buffered(output: Box<dyn Output>) -> BufReader<Box<dyn Output>> {
    BufReader::with_capacity(64 << 10, output)
}

/// Reads what `date +%s.%N` says.
pub(super) fn moment(from: &mut BufReader<Box<dyn Output>>) -> io::Result<Moment> {
    let mut line = Vec::new();
    from.take(64).read_until(b'\n', &mut line)?;
    let told = line.strip_suffix(b"\n").and_then(find::moment);
    told.ok_or_else(|| malformed("the moment"))
}

/// What came is not what was asked for.
fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} cannot be understood"),
    )
}

/// A program's output broke off, or is not understood: its own words, if it has some, say more.
pub(super) fn broken(
    programs: &dyn Programs,
    what: &str,
    output: Box<dyn Output>,
    error: &io::Error,
) -> Error {
    let what = || format!("cannot {what} on {}", programs.label());
    match output.end() {
        Err(lost) => lost,
        Ok(ended) if ended.status == Some(0) => {
            Error::caused(Kind::Host, what(), error.to_string())
        }
        Ok(ended) => Error::caused(Kind::Host, what(), complaint::last_words(&ended)),
    }
}

/// Reads an answer whole.
pub(crate) fn hear(output: &mut dyn Output, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut limited = output.take(limit);
    limited
        .read_to_end(&mut bytes)
        .doing(Kind::Host, || "cannot hear a program".to_owned())?;
    Ok(bytes)
}
