//! A live host on which this program cannot run, for reading: asked by commands that change nothing.
//!
//! Each question is a command or two, a round trip each. What they tell of entries and of trees is
//! understood in [`crate::replicate::commands`]; how they are run over ssh is in [`ssh`].

mod ssh;

#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::sync::Arc;

use rustix::io::Errno;

use super::{
    Answer, Answers, CONTROL_FILE_LIMIT, Ended, FileKind, Hearing, HostState, Probe, ReadHost,
    Relay, Space, Stat, TreeJob, Watch, dir, failed, probe, tree,
};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::names::Side;
use crate::parallel::Turns;
use crate::raw::{HostPath, Raw};
use crate::replicate::commands::find::{self, Follow, Found};
use crate::replicate::commands::{Finished, Output, Programs, Tools, complaint, hear};
use crate::replicate::{
    Beside, ByPrograms, Depth, Held, OriginTree, Origins, Outflow, Pace, Report, Session,
};

pub use ssh::OverSsh;

/// A host that is read by its own programs.
#[derive(Debug)]
pub struct CommandHost {
    side: Side,
    programs: Arc<dyn Programs>,
    tools: Tools,
    /// Why this program cannot run there.
    why: String,
    outflow: Arc<Outflow>,
    turns: Turns,
}

/// So many questions are asked at a time: each is a session of its own, of which sshd allows ten a
/// connection (`MaxSessions`, `sshd_config(5)`), and users' files are read in others meanwhile.
const QUESTIONS: usize = 3;

impl CommandHost {
    /// Makes sure that the programs are there. `why` says why ours cannot run.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if one is missing or is not GNU's.
    pub fn open(side: Side, programs: Arc<dyn Programs>, why: String) -> Result<Self> {
        let tools = Tools::of(programs.as_ref())?;
        Ok(Self {
            side,
            programs,
            tools,
            why,
            outflow: Arc::default(),
            turns: Turns::new(QUESTIONS),
        })
    }

    fn find(&self, doing: &str, path: &HostPath, follow: Follow) -> Result<Option<Found>> {
        let _turn = self.turns.take();
        find::at(self.programs.as_ref(), path.as_bytes(), follow)?
            .map_err(|error| failed(self.programs.label(), doing, path, error))
    }

    /// What a path leads to, all links followed.
    fn led_to(&self, doing: &str, path: &HostPath) -> Result<Option<Stat>> {
        let found = self.find(doing, path, Follow::Last)?;
        // What find still shows as a link leads nowhere.
        Ok(found
            .filter(|found| found.kind != b'l')
            .as_ref()
            .map(stat_of))
    }

    /// Whether there is a program that can answer a probe.
    fn is_program(&self, probe: &Probe) -> Result<bool> {
        let program = self.stat(&HostPath::from(probe.argv()[0].as_str()))?;
        Ok(program.is_some_and(|stat| stat.kind == FileKind::File && stat.mode & 0o001 != 0))
    }

    fn begin(&self, probe: &Probe) -> Result<Box<dyn Hearing>> {
        let argv = probe.argv();
        let argv: Vec<&[u8]> = argv.iter().map(String::as_bytes).collect();
        let patience = Some(probe.patience());
        let input = probe.input().to_vec();
        let output = self.programs.start_patiently(&argv, input, patience)?;
        Ok(Box::new(Heard {
            output: Some(output),
        }))
    }

    fn session(&self, trees: Vec<OriginTree>) -> Session<'static> {
        let (programs, outflow) = (Arc::clone(&self.programs), Arc::clone(&self.outflow));
        let (tools, shared) = (self.tools, Arc::clone(&outflow));
        Session::new(trees, outflow, move |tree| {
            let (programs, outflow) = (Arc::clone(&programs), Arc::clone(&shared));
            ByPrograms::new(programs, tools, tree, outflow).map(Into::into)
        })
    }

    /// What `dd` or `stat` have against a path.
    fn complaint(&self, doing: &str, path: &HostPath, program: &str, ended: &Finished) -> Error {
        let cause = match refusal(program, ended) {
            Some(errno) => errno.into(),
            None => io::Error::other(complaint::last_words(ended)),
        };
        failed(self.programs.label(), doing, path, cause)
    }
}

/// The error that a program ends with.
fn refusal(program: &str, ended: &Finished) -> Option<Errno> {
    complaint::lines(program, &ended.stderr).find_map(complaint::errno)
}

fn stat_of(found: &Found) -> Stat {
    Stat {
        kind: match found.kind {
            b'f' => FileKind::File,
            b'd' => FileKind::Dir,
            b'l' => FileKind::Symlink,
            _ => FileKind::Special,
        },
        mode: found.mode,
        uid: found.uid,
        gid: found.gid,
        size: found.size,
        dev: found.dev,
        ino: found.ino,
    }
}

impl ReadHost for CommandHost {
    fn side(&self) -> Side {
        self.side
    }

    fn label(&self) -> String {
        self.programs.label().to_owned()
    }

    fn state(&self) -> HostState {
        HostState::Live
    }

    fn limits(&self) -> Vec<String> {
        let label = self.programs.label();
        let mut limits = vec![format!(
            "reconcile cannot run on {label}: {}; its files are read by find and tar, which takes \
             longer: a file that has to be compared by content is fetched for it, a sparse one with its \
             holes, and a bind mount inside a home is taken for a part of it",
            self.why
        )];
        if !self.tools.tells_xattrs() {
            limits.push(format!(
                "the tar on {label} tells no extended attributes: ACLs and attributes of users' files \
                 are not carried over"
            ));
        }
        limits
    }

    fn lstat(&self, path: &HostPath) -> Result<Option<Stat>> {
        let found = self.find("look at", path, Follow::Never)?;
        Ok(found.as_ref().map(stat_of))
    }

    fn stat(&self, path: &HostPath) -> Result<Option<Stat>> {
        self.led_to("look at", path)
    }

    fn read_link(&self, path: &HostPath) -> Result<Option<Raw>> {
        let found = self.find("look at", path, Follow::Never)?;
        let link = found.filter(|found| found.kind == b'l');
        Ok(link.map(|found| Raw::from(found.link)))
    }

    fn list(&self, dir: &HostPath) -> Result<Option<Vec<Raw>>> {
        let _turn = self.turns.take();
        let found = find::list(self.programs.as_ref(), dir.as_bytes())?
            .map_err(|error| failed(self.programs.label(), "list", dir, error))?;
        let names = found.map(|found| {
            let names = found.iter().map(|entry| {
                let slash = entry.path.iter().rposition(|&byte| byte == b'/');
                Raw::from(&entry.path[slash.map_or(0, |slash| slash + 1)..])
            });
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        });
        Ok(names)
    }

    fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>> {
        let label = self.programs.label();
        match self.led_to("read", path)? {
            None => return Ok(None),
            Some(stat) if stat.kind != FileKind::File => {
                let what = format!("{path} on {label} is no regular file");
                return Err(Error::new(Kind::Host, what));
            }
            Some(_) => {}
        }
        let _turn = self.turns.take();
        let input = [b"if=", path.as_bytes()].concat();
        // Should a fifo take the file's place, it must not hang us.
        let argv: [&[u8]; 4] = [b"dd", &input, b"bs=65536", b"iflag=nonblock"];
        let mut output = self.programs.start(&argv, Vec::new())?;
        let content = hear(output.as_mut(), CONTROL_FILE_LIMIT + 1)?;
        if content.len() as u64 > CONTROL_FILE_LIMIT {
            let what = format!(
                "{path} on {label} is larger than any such file ({CONTROL_FILE_LIMIT} bytes)"
            );
            return Err(Error::new(Kind::Malformed, what));
        }
        let ended = output.end()?;
        match ended.status {
            Some(0) => Ok(Some(content)),
            _ if refusal("dd", &ended) == Some(Errno::NOENT) => Ok(None),
            _ => Err(self.complaint("read", path, "dd", &ended)),
        }
    }

    fn space(&self, path: &HostPath) -> Result<Space> {
        let mut path = path.clone();
        let dev = loop {
            match self.stat(&path)? {
                Some(stat) => break stat.dev,
                None if path.is_root() => {
                    return Err(failed(self.programs.label(), "open", &path, Errno::NOENT));
                }
                None => path = path.parent(),
            }
        };
        // Free blocks, their size, inodes, free inodes, type: stat(1).
        let argv: [&[u8]; 5] = [
            b"stat",
            b"-f",
            b"--printf=%f %S %c %d %t",
            b"--",
            path.as_bytes(),
        ];
        let doing = "measure the space at";
        let _turn = self.turns.take();
        let mut output = self.programs.start(&argv, Vec::new())?;
        let said = hear(output.as_mut(), 4096)?;
        let ended = output.end()?;
        if ended.status != Some(0) {
            return Err(self.complaint(doing, &path, "stat", &ended));
        }
        let not_understood = || {
            let said = String::from_utf8_lossy(&said).into_owned();
            failed(self.programs.label(), doing, &path, io::Error::other(said))
        };
        space(&said, dev).ok_or_else(not_understood)
    }

    fn ask(&self, probe: &Probe) -> Result<Option<Box<dyn Hearing>>> {
        if self.is_program(probe)? {
            self.begin(probe).map(Some)
        } else {
            Ok(None)
        }
    }

    fn probe(&self, probe: &Probe) -> Result<Option<Answer>> {
        if !self.is_program(probe)? {
            return Ok(None);
        }
        let _turn = self.turns.take();
        probe::whole(self.begin(probe)?, probe)
    }

    fn origins(&self, trees: Vec<OriginTree>) -> Result<Origins<'_>> {
        let pipe = Beside::from(self.session(trees));
        Ok(Origins::there(Box::new(pipe)))
    }

    fn relay(&self, trees: Vec<OriginTree>, answers: Answers) -> Result<Box<dyn Relay>> {
        Ok(tree::answering(self.session(trees), answers))
    }

    fn set_pace(&self, pace: Pace) -> Result<()> {
        self.outflow.set_pace(pace);
        Ok(())
    }

    fn held(&self) -> Held {
        self.outflow.held()
    }

    fn compare(
        &self,
        jobs: &[TreeJob],
        _: Depth,
        _: &dyn ReadHost,
        _: &mut Watch<'_>,
    ) -> Vec<Result<Report>> {
        let what = format!(
            "{} is read by its own programs, and cannot be written by them: {}",
            self.programs.label(),
            self.why
        );
        let error = Error::new(Kind::Blocked, what)
            .hint("let reconcile run there, or keep serve_from: target");
        jobs.iter().map(|_| Err(error.clone())).collect()
    }
}

fn space(said: &[u8], dev: u64) -> Option<Space> {
    let mut fields = std::str::from_utf8(said).ok()?.split(' ');
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (free, block, inodes, free_inodes) = (number()?, number()?, number()?, number()?);
    let magic = i64::from_str_radix(fields.next()?, 16).ok()?;
    Some(Space {
        bytes: free.saturating_mul(block),
        inodes: (inodes > 0).then_some(free_inodes),
        dev,
        kind: dir::file_system(magic).to_owned(),
    })
}

/// A probe's answer; without output once it was silent for too long.
struct Heard {
    output: Option<Box<dyn Output>>,
}

impl Read for Heard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else {
            return Ok(0);
        };
        match output.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.output = None;
                Ok(0)
            }
            read => read,
        }
    }
}

impl Hearing for Heard {
    fn end(mut self: Box<Self>) -> Result<Ended> {
        io::copy(self.as_mut(), &mut io::sink())
            .doing(Kind::Host, || "cannot hear a program".to_owned())?;
        let Some(output) = self.output else {
            return Ok(Ended::Hung);
        };
        let Finished { status, stderr } = output.end()?;
        Ok(Ended::Ran { status, stderr })
    }
}
