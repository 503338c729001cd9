//! Where faults are tried: two hosts with a few people and their mail, the service's addresses on the
//! old one, and a machine with clients.

use std::fs;
use std::process::{Child, Stdio};

use serde_json::Value;

use super::{BUDGET, CONFIRM_WITHIN, Kind, Way};
use crate::lab::Lab;
use crate::machine::Machine;
use crate::office::{self, expect_maildirs, these_move_in};

/// The new host's disk: room for everything, and filled at once.
const NEW: &str = "new=trixie:1500M";

/// People with an mbox. Few, because each is several points of a run's journal.
const MBOX: &[&str] = office::MBOX.first_chunk::<1>().unwrap();

/// People with a Maildir.
const MAILDIR: &[&str] = office::MAILDIR.first_chunk::<2>().unwrap();

/// Two hosts, and clients.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) lab: Lab,
    pub(crate) clients: Machine,
}

impl Stand {
    /// Boots them; people move in. None if hosts cannot be booted here, or the program has no
    /// failpoints.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        if !cfg!(feature = "failpoints") {
            eprintln!("left out: this test needs `--features failpoints`");
            return None;
        }
        let lab = Lab::start(["old=bookworm", NEW])?;
        let clients = lab.machine(2);
        let (old, new) = (lab.host("old"), lab.host("new"));
        old.hold_service_address();
        for host in [old, new] {
            host.lock_as_procmail_does();
            // On a full disk procmail fails for good, and its mail would go back to the sender.
            host.run("postconf -e soft_bounce=yes && postfix reload");
        }
        these_move_in(old, MBOX, MAILDIR, &[]);
        expect_maildirs(old, new, MAILDIR);
        Some(Self { lab, clients })
    }

    /// Writes the manifest that asks for this.
    #[track_caller]
    pub(crate) fn wants(&self, way: Way) -> &Self {
        let more = format!("  confirm_within: {}s\n", CONFIRM_WITHIN.as_secs());
        let rest = format!(
            "freeze: {{ budget: {}s }}\ndovecot: {{ accept: [userdb] }}\n",
            BUDGET.as_secs()
        );
        self.lab.cutover_manifest(way.ends().0, &more, &rest);
        self
    }

    /// Brings the copy on the target up to date.
    #[track_caller]
    pub(crate) fn staged(&self) -> &Self {
        self.wants(Way::Stage);
        self.lab.reconcile(["apply", "--yes"]).exits(0).done();
        self
    }

    /// The actions that the next `apply` would carry out, in order.
    #[track_caller]
    pub(crate) fn actions(&self) -> Vec<String> {
        let run = self.lab.reconcile(["plan", "--format", "json"]);
        let plan: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.describe()));
        let blocked = plan["blocked"]
            .as_array()
            .is_some_and(|blocked| !blocked.is_empty());
        assert!(!blocked, "{}", run.describe());
        let actions = plan["actions"].as_array().unwrap().iter();
        let ids = actions.map(|action| action["id"].as_str().unwrap().to_owned());
        ids.collect()
    }

    /// Starts `apply` with a failpoint; what it says goes to files, see [`Stand::said`].
    #[track_caller]
    pub(super) fn apply_with(&self, failpoint: &str) -> Child {
        let file = |name: &str| Stdio::from(fs::File::create(self.lab.work(name)).unwrap());
        self.lab
            .operator(env!("CARGO_BIN_EXE_reconcile"), ["apply", "--yes"])
            .env("RECONCILE_FAILPOINT", failpoint)
            .stdout(file("apply.out"))
            .stderr(file("apply.err"))
            .spawn()
            .unwrap()
    }

    /// What the last [`Stand::apply_with`] said.
    pub(super) fn said(&self) -> String {
        ["apply.out", "apply.err"]
            .map(|name| fs::read_to_string(self.lab.work(name)).unwrap())
            .concat()
    }

    /// Prints what the hosts' mail servers said last, for whoever looks for the cause of a failure.
    pub(crate) fn tell(&self) {
        for name in ["old", "new"] {
            let said = self.lab.host(name).recent_log();
            eprintln!("--- {name} said:\n{said}");
        }
    }

    /// Who gets mail meanwhile. An mbox is rewritten in place, by whoever flags or expunges: a power cut
    /// tears it by itself, with or without us. So where power is cut, only Maildirs are in use.
    pub(super) fn people(kind: Kind) -> Vec<&'static str> {
        match kind {
            Kind::SourcePowerCut | Kind::TargetPowerCut => MAILDIR.to_vec(),
            Kind::OperatorKilled | Kind::OperatorCut | Kind::TargetDiskFull => {
                [MBOX, MAILDIR].concat()
            }
        }
    }
}
