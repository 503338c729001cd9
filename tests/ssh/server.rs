//! A private sshd on 127.0.0.1 whose host is this machine, seen through a mount namespace of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The login that is not root.
pub(crate) const USER: &str = "op";

/// Lets `op` become root, over a terminal of sudo's own as Debian 13 has it by default.
pub(crate) const SUDOERS: &str = "Defaults use_pty\nop ALL=(root) NOPASSWD: ALL\n";

/// What is special about a server.
#[derive(Default)]
pub(crate) struct Special {
    /// Lines of `sshd_config` that come first.
    pub(crate) sshd: &'static str,
    /// The line of `sshd_config` about SFTP.
    pub(crate) sftp: Option<&'static str>,
    /// Kinds of host keys beyond ED25519.
    pub(crate) keys: &'static [&'static str],
    /// Shell commands that are run in the namespace before sshd; `$D` is the server's directory.
    pub(crate) host: &'static str,
    /// All of `/etc/sudoers`.
    pub(crate) sudoers: &'static str,
}

pub(crate) struct Server {
    sshd: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
}

/// Why the tests of this file cannot run here; `None` if they can.
pub(crate) fn impossible() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("this test needs root, to run sshd");
    }
    let mount = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return Some("this test needs to mount a tmpfs");
    }
    let sshd = Path::new("/usr/sbin/sshd").exists();
    (!sshd).then_some("this test needs openssh-server")
}

/// Skips a test that cannot run here; in CI it fails.
macro_rules! or_leave_out {
    () => {
        if let Some(reason) = crate::server::impossible() {
            assert!(
                std::env::var_os("CI").is_none(),
                "in CI nothing is left out: {reason}"
            );
            eprintln!("left out: {reason}");
            return;
        }
    };
}
pub(crate) use or_leave_out;

/// `$D` is the server's directory, `$@` the command line of sshd.
const SETUP: &str = r#"
set -e
mount -t tmpfs -o mode=755 none /run
mkdir /run/sshd
for file in passwd shadow sudoers; do mount --bind "$D/$file" "/etc/$file"; done
mount -t tmpfs -o mode=755 none /var/lib
"#;

impl Server {
    pub(crate) fn start() -> Self {
        Self::special(&Special::default())
    }

    pub(crate) fn special(special: &Special) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let d = dir.path();
        fs::set_permissions(d, fs::Permissions::from_mode(0o755)).unwrap();
        accounts(d, special.sudoers);
        keygen(&d.join("host_ed25519"), "ed25519");
        let mut keys = String::new();
        for kind in special.keys {
            let key = d.join(format!("host_{kind}"));
            keygen(&key, kind);
            keys.push_str(&format!("HostKey {}\n", key.display()));
        }
        let config = format!(
            "{special}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {d}/host_ed25519\n{keys}\
             AuthorizedKeysFile {d}/authorized_keys\nUsePAM no\nStrictModes no\n\
             PidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             MaxStartups 100\n{sftp}\n",
            sftp = special
                .sftp
                .unwrap_or("Subsystem sftp /usr/lib/openssh/sftp-server"),
            special = special.sshd,
            d = d.display(),
        );
        fs::write(d.join("sshd_config"), config).unwrap();
        let script = format!("{SETUP}{}\nexec \"$@\"\n", special.host);
        let sshd = Command::new("unshare")
            .args(["--mount", "--", "sh", "-c", &script, "sh"])
            .args(["/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(d.join("sshd_config"))
            .env("D", d)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(d.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { sshd, dir, port };
        server.wait_until_it_listens();
        server
    }

    fn wait_until_it_listens(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.sshd.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no sshd: {}",
                fs::read_to_string(self.dir.path().join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The fingerprint of one of its host keys, as ssh-keygen tells it.
    pub(crate) fn fingerprint(&self, key: &str) -> String {
        fingerprint(&self.path(key))
    }

    /// A line of `known_hosts` for its key.
    pub(crate) fn known(&self, key: &str) -> String {
        known(self.port, &self.path(key))
    }

    /// What a command prints that is run by root on the host, past ssh.
    pub(crate) fn look(&self, script: &str) -> String {
        let output = Command::new("nsenter")
            .args(["-m", "-t", &self.sshd.id().to_string()])
            .args(["sh", "-c", script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends every connection, as a crash of the host would.
    pub(crate) fn drop_connections(&self) {
        let id = self.sshd.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        for child in children.split_whitespace() {
            let child = Pid::from_raw(child.parse().unwrap()).unwrap();
            kill_process(child, Signal::KILL).unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sshd.kill().unwrap();
        self.sshd.wait().unwrap();
    }
}

pub(crate) fn known(port: u16, key: &Path) -> String {
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let key: Vec<&str> = public.split_whitespace().take(2).collect();
    format!("[127.0.0.1]:{port} {}\n", key.join(" "))
}

pub(crate) fn fingerprint(key: &Path) -> String {
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(key)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.split_whitespace().nth(1).unwrap().to_owned()
}

pub(crate) fn keygen(path: &Path, kind: &str) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn accounts(dir: &Path, sudoers: &str) {
    let homes = [("root", 0), (USER, 4242)];
    let mut passwd = String::new();
    for (name, id) in homes {
        let home = dir.join(name);
        fs::DirBuilder::new().mode(0o755).create(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(id), Some(id)).unwrap();
        passwd.push_str(&format!(
            "{name}:x:{id}:{id}::{}:/bin/bash\n",
            home.display()
        ));
    }
    passwd.push_str("sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n");
    fs::write(dir.join("passwd"), passwd).unwrap();
    let shadow = "root:*:19000:0:99999:7:::\nop:*:19000:0:99999:7:::\n";
    fs::write(dir.join("shadow"), shadow).unwrap();
    fs::write(dir.join("sudoers"), sudoers).unwrap();
    fs::set_permissions(dir.join("sudoers"), fs::Permissions::from_mode(0o440)).unwrap();
}
