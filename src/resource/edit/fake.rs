//! A host in memory, for tests of what is done to configuration files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;

use crate::error::Result;
use crate::host::switch::{Advance, Arming, Settlement};
use crate::host::{
    Answer, Answers, Command, CopiedTrees, FileKind, Guard, Hearing, Host, HostState, NewFile,
    Probe, ReadHost, Relay, Space, Stat, TreeJob, Watch,
};
use crate::manifest::MigrationName;
use crate::names::{Gid, Side, Uid};
use crate::raw::{HostPath, Raw};
use crate::replicate::{Depth, Held, OriginTree, Origins, Pace, Report};

/// Files by path; directories are there when something is in them.
pub(crate) struct FakeHost {
    side: Side,
    files: Mutex<BTreeMap<HostPath, Vec<u8>>>,
    masked: Mutex<BTreeSet<HostPath>>,
    /// What programs say, by path and first argument. A host with any of them runs.
    said: Mutex<BTreeMap<String, Answer>>,
    /// Where others reach it.
    pub(crate) reached_at: Mutex<Vec<IpAddr>>,
    /// Every change that was asked for, as text.
    pub(crate) log: Mutex<Vec<String>>,
}

impl FakeHost {
    pub(crate) fn new(side: Side, files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| (HostPath::from(*path), text.as_bytes().to_vec()));
        Self {
            side,
            files: Mutex::new(files.collect()),
            masked: Mutex::default(),
            said: Mutex::default(),
            reached_at: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        self.files
            .lock()
            .unwrap()
            .insert(path.into(), content.to_vec());
    }

    /// Makes a link to `/dev/null`, in a root without devices.
    pub(crate) fn mask(&self, path: &str) {
        self.masked.lock().unwrap().insert(path.into());
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let files = self.files.lock().unwrap();
        let content = files.get(&HostPath::from(path))?.clone();
        Some(String::from_utf8(content).unwrap())
    }

    /// A program, as in `/usr/sbin/postconf -x`, will say this, whoever asks for it.
    pub(crate) fn says(&self, program: &str, status: i32, text: &str) {
        let answer = Answer {
            status: Some(status),
            stdout: text.as_bytes().to_vec(),
            stderr: Vec::new(),
        };
        self.said.lock().unwrap().insert(program.to_owned(), answer);
    }

    fn has_dir(&self, dir: &HostPath) -> bool {
        let files = self.files.lock().unwrap();
        files
            .keys()
            .any(|path| path != dir && path.as_path().starts_with(dir.as_path()))
    }
}

impl ReadHost for FakeHost {
    fn side(&self) -> Side {
        self.side
    }

    fn label(&self) -> String {
        format!("{} (dir:/fake)", self.side)
    }

    fn lstat(&self, path: &HostPath) -> Result<Option<Stat>> {
        let size = self.files.lock().unwrap().get(path).map(Vec::len);
        let kind = match size {
            Some(_) => FileKind::File,
            None if self.has_dir(path) => FileKind::Dir,
            None => return Ok(None),
        };
        Ok(Some(Stat {
            kind,
            mode: 0o644,
            uid: Uid(0),
            gid: Gid(0),
            size: size.unwrap_or(0) as u64,
            dev: 1,
            ino: 1,
        }))
    }

    fn stat(&self, path: &HostPath) -> Result<Option<Stat>> {
        self.lstat(path)
    }

    fn read_link(&self, path: &HostPath) -> Result<Option<Raw>> {
        let masked = self.masked.lock().unwrap();
        Ok(masked.contains(path).then(|| Raw::from("/dev/null")))
    }

    fn list(&self, dir: &HostPath) -> Result<Option<Vec<Raw>>> {
        if !self.has_dir(dir) {
            return Ok(None);
        }
        let files = self.files.lock().unwrap();
        let masked = self.masked.lock().unwrap();
        let names: BTreeSet<Raw> = files
            .keys()
            .chain(masked.iter())
            .filter_map(|path| path.as_path().strip_prefix(dir.as_path()).ok())
            .filter_map(|rest| rest.iter().next())
            .map(|name| Raw::from(name.as_encoded_bytes()))
            .collect();
        Ok(Some(names.into_iter().collect()))
    }

    fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(path).cloned())
    }

    fn space(&self, _: &HostPath) -> Result<Space> {
        panic!("not asked of a fake host")
    }

    fn state(&self) -> HostState {
        if self.said.lock().unwrap().is_empty() {
            HostState::Offline
        } else {
            HostState::Live
        }
    }

    fn probe(&self, probe: &Probe) -> Result<Option<Answer>> {
        let program: Vec<String> = probe.argv().into_iter().take(2).collect();
        Ok(self.said.lock().unwrap().get(&program.join(" ")).cloned())
    }

    fn reached_at(&self) -> Vec<IpAddr> {
        self.reached_at.lock().unwrap().clone()
    }

    fn ask(&self, _: &Probe) -> Result<Option<Box<dyn Hearing>>> {
        panic!("not asked of a fake host")
    }

    fn origins(&self, _: Vec<OriginTree>) -> Result<Origins<'_>> {
        panic!("not asked of a fake host")
    }

    fn relay(&self, _: Vec<OriginTree>, _: Answers) -> Result<Box<dyn Relay>> {
        panic!("not asked of a fake host")
    }

    fn set_pace(&self, _: Pace) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn held(&self) -> Held {
        panic!("not asked of a fake host")
    }

    fn compare(
        &self,
        _: &[TreeJob],
        _: Depth,
        _: &dyn ReadHost,
        _: &mut Watch<'_>,
    ) -> Vec<Result<Report>> {
        panic!("not asked of a fake host")
    }
}

impl Host for FakeHost {
    fn replace(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()> {
        let mut log = self.log.lock().unwrap();
        log.push(format!("replace {path} {:o}", new.mode));
        self.files
            .lock()
            .unwrap()
            .insert(path.clone(), content.to_vec());
        Ok(())
    }

    fn append(&self, _: &HostPath, _: &[u8], _: NewFile) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn make_dirs(&self, dir: &HostPath, mode: u32) -> Result<()> {
        let mut log = self.log.lock().unwrap();
        log.push(format!("make_dirs {dir} {mode:o}"));
        Ok(())
    }

    fn put_program(&self, _: &HostPath) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn rename_new(&self, _: &HostPath, _: &HostPath) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn remove_file(&self, _: &HostPath) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn copy(&self, _: &[TreeJob], _: &dyn ReadHost, _: &mut Watch<'_>) -> CopiedTrees {
        panic!("not asked of a fake host")
    }

    fn sync(&self, _: &BTreeSet<HostPath>) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn try_lock(&self) -> Result<Option<Guard>> {
        panic!("not asked of a fake host")
    }

    fn run(&self, command: &Command) -> Result<Answer> {
        self.log.lock().unwrap().push(command.to_string());
        let program: Vec<String> = command.argv().into_iter().take(2).collect();
        let said = self.said.lock().unwrap().get(&program.join(" ")).cloned();
        Ok(said.expect("not asked of a fake host"))
    }

    fn lock_accounts(&self) -> Result<Guard> {
        panic!("not asked of a fake host")
    }

    fn clear_account_locks(&self) -> Result<()> {
        Ok(())
    }

    fn arm(&self, _: &Arming) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn advance(&self, _: &Advance) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn trip(&self, _: &MigrationName) -> Result<()> {
        panic!("not asked of a fake host")
    }

    fn settle(&self, _: &Settlement) -> Result<()> {
        panic!("not asked of a fake host")
    }
}
