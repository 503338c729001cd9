//! Whoever runs `reconcile`: a home with ssh configuration and a key, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reconcile::error::{Error, Result, chain};
use reconcile::host::ssh::{Connection, Environment, Login};

use crate::server::{Server, keygen};

pub(crate) struct Operator {
    dir: tempfile::TempDir,
}

impl Operator {
    /// Somebody whom no host knows.
    pub(crate) fn stranger() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let operator = Self { dir };
        fs::create_dir_all(operator.ssh()).unwrap();
        fs::create_dir(operator.run()).unwrap();
        keygen(&operator.ssh().join("id_ed25519"), "ed25519");
        operator.configure("");
        operator
    }

    /// Somebody who may log in, and knows the host.
    pub(crate) fn of(server: &Server) -> Self {
        let operator = Self::welcome(server);
        operator.knows(&server.known("host_ed25519"));
        operator
    }

    /// Somebody who may log in, and does not know the host.
    pub(crate) fn welcome(server: &Server) -> Self {
        let operator = Self::stranger();
        operator.may_log_in_to(server);
        operator
    }

    pub(crate) fn may_log_in_to(&self, server: &Server) {
        let key = fs::read(self.ssh().join("id_ed25519.pub")).unwrap();
        let authorized = server.path("authorized_keys");
        fs::write(&authorized, key).unwrap();
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Writes `.ssh/config`; the agent of whoever runs the tests is left alone.
    pub(crate) fn configure(&self, lines: &str) {
        let config = format!("{lines}\nHost *\n  IdentityAgent none\n  ConnectTimeout 10\n");
        fs::write(self.ssh().join("config"), config).unwrap();
    }

    /// Writes `.ssh/known_hosts`.
    pub(crate) fn knows(&self, lines: &str) {
        fs::write(self.ssh().join("known_hosts"), lines).unwrap();
    }

    pub(crate) fn home(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn ssh(&self) -> PathBuf {
        self.dir.path().join(".ssh")
    }

    /// Where control directories come to lie.
    pub(crate) fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub(crate) fn environment(&self) -> Environment {
        environment(self.home())
    }

    pub(crate) fn connect(&self, login: &Login) -> Result<Connection> {
        Connection::open(login, &self.environment(), &Arc::default())
    }

    /// The message, with its causes, and the hint.
    pub(crate) fn fails(&self, login: &Login) -> (String, String) {
        told(&self.connect(login).expect_err("it does not connect"))
    }
}

pub(crate) fn environment(home: &Path) -> Environment {
    Environment {
        home: Some(home.to_owned()),
        runtime_dir: Some(home.join("run")),
        temp_dir: None,
    }
}

/// The message, with its causes, and the hint.
pub(crate) fn told(error: &Error) -> (String, String) {
    (chain(error), error.remedy().unwrap_or_default().to_owned())
}

/// `ssh://root@127.0.0.1:PORT`, as the source.
pub(crate) fn root_at(port: u16) -> Login {
    Login {
        label: "source (old)".to_owned(),
        user: Some("root".to_owned()),
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        host_key: None,
        become_root: None,
    }
}
