//! Programs of this machine, as if it were a host on which this program cannot run.

use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Doing as _, Kind, Result};
use crate::replicate::commands::{Finished, Output, Programs, Tools};

#[derive(Debug)]
pub(crate) struct Local;

impl Local {
    pub(crate) fn programs() -> (Arc<dyn Programs>, Tools) {
        static TOOLS: OnceLock<Tools> = OnceLock::new();
        let tools = *TOOLS.get_or_init(|| Tools::of(&Self).unwrap());
        assert!(tools.tells_xattrs());
        (Arc::new(Self), tools)
    }
}

impl Programs for Local {
    fn label(&self) -> &'static str {
        "this machine"
    }

    fn start_patiently(
        &self,
        argv: &[&[u8]],
        stdin: Vec<u8>,
        _: Option<Duration>,
    ) -> Result<Box<dyn Output>> {
        use std::os::unix::ffi::OsStrExt as _;
        let argv: Vec<_> = argv
            .iter()
            .map(|a| std::ffi::OsStr::from_bytes(a))
            .collect();
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing(Kind::Host, || format!("cannot run {}", argv[0].display()))?;
        let mut input = child.stdin.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || io::Write::write_all(&mut input, &stdin));
        Ok(Box::new(Running {
            stdout: child.stdout.take().unwrap(),
            stderr: std::thread::spawn(move || {
                let mut said = Vec::new();
                stderr.read_to_end(&mut said).unwrap();
                said
            }),
            child,
        }))
    }
}

struct Running {
    stdout: ChildStdout,
    stderr: JoinHandle<Vec<u8>>,
    child: Child,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(buffer)
    }
}

impl Output for Running {
    fn end(mut self: Box<Self>) -> Result<Finished> {
        io::copy(&mut self.stdout, &mut io::sink()).doing(Kind::Host, String::new)?;
        let status = self.child.wait().doing(Kind::Host, String::new)?.code();
        let stderr = self.stderr.join().unwrap();
        Ok(Finished { status, stderr })
    }
}
