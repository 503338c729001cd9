//! `reconcile` run by somebody else, from a host of the lab: it has the manifest, the program, and the
//! hosts' names and keys as ssh wants them. Nothing of what the operator did is there.

use crate::host::Host;
use crate::lab::Lab;
use crate::operator::{BINARY, Run};

/// Where the colleague has the program and the manifest.
const PROGRAM: &str = "/usr/local/bin/reconcile";

/// A host from which a colleague runs the program.
#[derive(Debug)]
pub(crate) struct Colleague<'a> {
    host: &'a Host,
}

impl Lab {
    /// Gives a host the program, and the manifest as it is now.
    #[track_caller]
    pub(crate) fn colleague(&self, name: &str) -> Colleague<'_> {
        let ssh = |file: &str| self.ssh_file(file).display().to_string();
        let [key, config, known] = ["id_ed25519", "config", "known_hosts"].map(ssh);
        self.operate("scp", [BINARY, &format!("{name}:{PROGRAM}")])
            .exits(0)
            .done();
        self.operate("scp", [&key, &config, &known, &format!("{name}:.ssh/")])
            .exits(0)
            .done();
        let colleague = Colleague {
            host: self.host(name),
        };
        colleague.reads_manifest_of(self);
        colleague
    }
}

impl Colleague<'_> {
    /// The manifest is fetched anew.
    #[track_caller]
    pub(crate) fn reads_manifest_of(&self, lab: &Lab) -> &Self {
        let text = std::fs::read(lab.work("migration.yaml")).unwrap();
        self.host.file("/root/migration.yaml", text);
        self
    }

    /// What `reconcile status` tells.
    #[track_caller]
    pub(crate) fn status(&self) -> Run {
        let run = self.reconcile(["status"]).exits(0);
        eprint!("{}", run.stdout);
        run
    }

    /// Runs `reconcile` to its end.
    #[track_caller]
    pub(crate) fn reconcile<const N: usize>(&self, arguments: [&str; N]) -> Run {
        let what = format!("{}: reconcile {}", self.host.name(), arguments.join(" "));
        Run::of(what, self.host.command(PROGRAM).args(arguments))
    }
}
