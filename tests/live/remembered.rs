//! What clients remember of mailboxes, read by the program's own code: it runs on the host as it does there
//! for `reconcile verify`, and is heard here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reconcile::agent;
use reconcile::host::RemoteHost;
use reconcile::identity::mailbox::Seen;
use reconcile::identity::{self, Party, Subject, Way};
use reconcile::names::Side;
use reconcile::raw::HostPath;

use crate::host::Host;
use crate::operator::BINARY;

/// The program on a host, which reads mailboxes.
#[derive(Debug)]
pub(crate) struct Reader {
    agent: RemoteHost,
    process: Child,
}

impl Reader {
    /// Brings the program to a host, and starts it.
    #[track_caller]
    pub(crate) fn start(host: &Host) -> Self {
        let file = "/root/reconcile";
        host.file(file, fs::read(BINARY).unwrap());
        host.run(format!("chmod 700 {file}"));
        let mut process = host
            .command(file)
            .args(["agent", "--side", "target", "--label", host.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (from, to) = (
            process.stdout.take().unwrap(),
            process.stdin.take().unwrap(),
        );
        let digest = agent::digest(Path::new(BINARY)).unwrap();
        let label = host.name().to_owned();
        let agent = RemoteHost::greet(Side::Target, label, from, to, &digest, Arc::new(()));
        let agent = agent.unwrap();
        Self { agent, process }
    }

    /// What a client that logs in now gets to know of each user's mailboxes.
    #[track_caller]
    pub(crate) fn read<'a>(&self, users: &[&'a str]) -> BTreeMap<&'a str, Seen> {
        let subject = |user: &&str| Subject {
            user: (*user).into(),
            home: HostPath::from("/home").join(user),
            spool: HostPath::from("/var/mail").join(user),
        };
        let subjects: Vec<Subject> = users.iter().map(subject).collect();
        let party = Party {
            host: &self.agent,
            way: Way::Client,
        };
        let (mut all, mut left) = (BTreeMap::new(), users.iter());
        let stop = AtomicBool::new(false);
        let unable = identity::read(party, &subjects, &stop, &mut |_, seen| {
            all.insert(*left.next().unwrap(), seen.clone());
        });
        assert_eq!(unable.unwrap(), None);
        all
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Both fail if it has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
