//! A running Dovecot: what doveconf and openssl say on a live host, and our drop-in tried, written,
//! taken back. The host is a Debian tree with its Dovecot started, in namespaces of its own; this same
//! program is run inside it ([`inside`]), as the agent will be.

#![expect(
    clippy::disallowed_methods,
    reason = "a test makes hosts and runs programs of its own"
)]
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test says why it is left out, and may die of what it did not expect"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{env, fs};

use reconcile::apply::{Outcome, Run, execute};
use reconcile::host::{DirHost, HostState};
use reconcile::manifest::{Manifest, load};
use reconcile::names::Side;
use reconcile::plan::{Action, Blocked, Change, Plan, Resource, render};
use reconcile::planner::{self, Hosts, Observation};
use reconcile::report::{Event, Reporter};
use reconcile::resource::dovecot::tls::{Issued, Key, Program};
use reconcile::resource::dovecot::{ReadBy, Running, drop_in};
use reconcile::resource::mail;

/// Names the scenario to the program inside.
const SCENARIO: &str = "RECONCILE_LIVE_SCENARIO";

/// Makes the tree a host that runs, and this program its guest. Everything ends with the namespaces.
/// Arguments: tree, this program.
const HOST: &str = r#"
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
touch test-program
mount --bind "$2" test-program
printf 'log_path = /var/log/dovecot.log\n' > etc/dovecot/conf.d/99-log.conf
exec chroot . /test-program inside --exact --ignored --nocapture
"#;

fn in_host(suite: &str, scenario: &str) {
    let missing = |what: &str| {
        assert!(
            env::var_os("CI").is_none(),
            "in CI nothing is left out: {what}"
        );
        eprintln!("left out: {what}");
    };
    if !rustix::process::geteuid().is_root() {
        return missing("this test needs root, to start a Dovecot");
    }
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees/build");
    let output = Command::new(build).arg(suite).output().unwrap();
    if !output.status.success() {
        return missing(&format!("this test needs the {suite} tree"));
    }
    let tree = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--net",
            "--ipc",
            "--",
        ])
        .args(["sh", "-c", HOST, "sh"])
        .args([tree, env::current_exe().unwrap()])
        .env(SCENARIO, scenario)
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
    assert!(said(&output.stdout).contains("1 passed"), "it ran nothing");
}

#[test]
fn a_format_that_works_is_in_force_at_once_on_2_3() {
    in_host("bookworm", "good");
}

#[test]
fn a_format_that_works_is_in_force_at_once_on_2_4() {
    in_host("trixie", "good");
}

#[test]
fn a_format_that_fails_in_sessions_only_leaves_nothing_behind_on_2_3() {
    in_host("bookworm", "fails in sessions");
}

#[test]
fn a_format_that_fails_in_sessions_only_leaves_nothing_behind_on_2_4() {
    in_host("trixie", "fails in sessions");
}

#[test]
fn a_missing_certificate_is_found_before_dovecot_is_told_on_2_3() {
    in_host("bookworm", "no certificate");
}

#[test]
fn a_missing_certificate_is_found_before_dovecot_is_told_on_2_4() {
    in_host("trixie", "no certificate");
}

#[test]
fn certificates_and_keys_are_told_without_reading_a_key() {
    in_host("trixie", "certificates");
}

/// Not a test of its own: the part of the others that runs inside the host.
#[test]
#[ignore = "runs inside a host that the other tests make"]
fn inside() {
    let scenario = env::var(SCENARIO).expect("one of the other tests runs this");
    match scenario.as_str() {
        "good" => good(),
        "fails in sessions" => fails_in_sessions(),
        "no certificate" => no_certificate(),
        "certificates" => certificates(),
        other => panic!("no such scenario: {other}"),
    }
}

struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &Event) {}
}

/// What the source serves; no TLS there.
const SOURCE: &str = "protocols = imap pop3\nmail_location = mbox:~/mail:INBOX=/var/mail/%u\n\
    mail_privileged_group = mail\nssl = no\npassdb {\n  driver = pam\n}\nuserdb {\n  driver = passwd\n}\n\
    protocol pop3 {\n  pop3_uidl_format = %v.%u\n}\n";

/// A source with alice in it, beside the live target at `/`.
struct Pair {
    source: DirHost,
    target: DirHost,
    manifest: Manifest,
}

impl Pair {
    fn new(dovecot: &str) -> Self {
        for (path, content) in [
            ("etc/dovecot/dovecot.conf", SOURCE),
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
            ),
            ("etc/shadow", "root:*:1::::::\nalice:*:19000::::::\n"),
            ("etc/group", "root:x:0:\nmail:x:8:\nalice:x:1000:\n"),
            ("etc/gshadow", "root:*::\n"),
            (
                "etc/login.defs",
                "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n",
            ),
            (
                "var/mail/alice",
                "From a@example.org Thu Jan  1 00:00:00 2026\nFrom: a@example.org\n\
                 X-IMAPbase: 1234567890 0000000007\nX-UID: 7\nStatus: RO\n\nhello\n\n",
            ),
        ] {
            let path = Path::new("/source").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir_all("/source/home/alice/mail").unwrap();
        for path in ["home/alice", "home/alice/mail", "var/mail/alice"] {
            std::os::unix::fs::chown(Path::new("/source").join(path), Some(1000), Some(1000))
                .unwrap();
        }
        let text = format!(
            "version: 1\nname: live\nsource: {{ host: 'dir:/source' }}\n\
             target: {{ host: 'dir:/' }}\nserve_from: source\n{dovecot}"
        );
        let manifest = load::parse("live.yaml", &text)
            .unwrap_or_else(|invalid| panic!("{:?}", miette::Report::new(invalid)));
        Self {
            source: DirHost::open(Side::Source, Path::new("/source")).unwrap(),
            target: DirHost::live(Side::Target, "target".to_owned()).unwrap(),
            manifest,
        }
    }

    fn observe(&self) -> Observation {
        let hosts = Hosts {
            source: Some(&self.source),
            target: &self.target,
            changeable: false,
            third: None,
            backup: None,
            backup_missing: None,
        };
        let stop = AtomicBool::new(false);
        planner::observe(&self.manifest, hosts, &mail::Look::new(&stop)).unwrap()
    }

    fn plan(&self) -> Plan {
        planner::plan(&self.manifest, &self.observe()).unwrap()
    }

    /// Carries out what the plan does about the format, and nothing else.
    fn apply(&self, plan: &Plan) -> Outcome {
        let is_dovecot = |b: &&Blocked| matches!(b.resource, Resource::Dovecot(_));
        let in_the_way: Vec<_> = plan.blocked.iter().filter(is_dovecot).collect();
        assert!(in_the_way.is_empty(), "{in_the_way:#?}");
        let mut plan = plan.clone();
        plan.actions.retain(enforces);
        execute(&Run {
            plan: &plan,
            ids: Arc::new(plan.ids.clone()),
            source: Some(&self.source),
            change_source: None,
            third: None,
            backup: None,
            target: &self.target,
            reporter: &Silent,
            stop: &AtomicBool::new(false),
        })
        .unwrap()
    }
}

fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn start_dovecot() {
    shell(
        "dovecot >/dev/null 2>&1; for n in 1 2 3 4 5 6 7 8 9; do [ -S /run/dovecot/auth-userdb ] && [ -f /var/lib/dovecot/instances ] && break; sleep 0.2; done",
    );
}

/// Everything that a trial could leave: files, mounts, processes. (doveconf 2.4 makes and removes a
/// file in `/tmp`, whoever asks it.)
fn traces() -> String {
    shell(
        "find /etc/dovecot /var/lib/dovecot -printf '%p %m %s %T@\\n' | sort; find /tmp; mount; \
         ps -eo comm | grep -c '^dovecot$'",
    )
}

/// Alice, with the mailbox that she has on the source, asks the Dovecot that runs.
fn uidl_as_a_client_sees_it() -> String {
    shell(
        "id alice >/dev/null 2>&1 || { useradd -u 1000 -m alice; mkdir -p /home/alice/mail; \
         cp /source/var/mail/alice /var/mail/alice; chown -R alice:mail /home/alice /var/mail/alice; }",
    );
    let mut answer = String::new();
    for _ in 0..20 {
        answer = shell("printf 'UIDL\\r\\nQUIT\\r\\n' | doveadm exec pop3 -u alice | tr -d '\\r'");
        // Seen once of 2.4 on a busy machine, just after it was told to read its settings again.
        if !answer.starts_with("-ERR [SYS/TEMP]") {
            break;
        }
        eprintln!("{answer}");
        std::thread::sleep(Duration::from_millis(250));
    }
    answer
}

/// The only failure of a run.
fn failure(outcome: &Outcome) -> String {
    let [(id, error)] = &outcome.failed[..] else {
        panic!("one failure is expected: {outcome:?}");
    };
    assert_eq!(id.0, "dovecot/uidl_format/enforce");
    reconcile::error::chain(error)
}

fn enforces(action: &Action) -> bool {
    matches!(action.change, Change::EnforceUidl(_))
}

fn good() {
    start_dovecot();
    let pair = Pair::new("");
    let observation = pair.observe();
    let target = &observation.dovecot.target;
    assert_eq!(target.state, HostState::Live);
    assert_eq!(
        (target.read_by, target.running),
        (ReadBy::Doveconf, Running::Yes)
    );
    let plan = pair.plan();
    assert!(plan.actions.iter().any(enforces), "{}", shown(&plan));
    let outcome = pair.apply(&plan);
    assert!(outcome.failed.is_empty(), "{outcome:?}");
    assert_eq!(
        uidl_as_a_client_sees_it(),
        "+OK\n1 1234567890.7\n.\n+OK Logging out.\n"
    );
    // The session left an index, but the format is settled.
    let again = pair.plan();
    assert!(!again.actions.iter().any(enforces), "{}", shown(&again));
    // Again, from the beginning: nothing is written a second time.
    let before = fs::metadata(drop_in::PATH).unwrap().modified().unwrap();
    let outcome = pair.apply(&plan);
    assert!(outcome.failed.is_empty(), "{outcome:?}");
    assert_eq!(
        fs::metadata(drop_in::PATH).unwrap().modified().unwrap(),
        before
    );
}

fn fails_in_sessions() {
    start_dovecot();
    // doveconf accepts it, and no message of an mbox has a file name.
    let pair = Pair::new("dovecot: { uidl_format: '%f' }\n");
    let before = traces();
    let outcome = pair.apply(&pair.plan());
    let said = failure(&outcome);
    assert!(
        said.contains("its trial failed: a POP3 session answers"),
        "{said}"
    );
    assert!(said.contains("File name not found"), "{said}");
    let after = traces();
    let changed = similar::TextDiff::from_lines(&before, &after)
        .unified_diff()
        .to_string();
    assert_eq!(before, after, "{changed}");
    let seen = uidl_as_a_client_sees_it();
    assert!(seen.contains("\n1 00000007499602d2\n"), "{seen}");
}

fn no_certificate() {
    // It runs with the certificate that is gone at its next start.
    start_dovecot();
    shell("rm /etc/dovecot/private/dovecot.pem");
    let pair = Pair::new("");
    let outcome = pair.apply(&pair.plan());
    let said = failure(&outcome);
    assert!(said.contains("/etc/dovecot/private/dovecot.pem"), "{said}");
    assert!(!Path::new(drop_in::PATH).exists());
}

fn certificates() {
    let shown = |pair: &Pair| pair.observe().dovecot.target.certificates;
    let pair = Pair::new("");
    let [ours] = &shown(&pair)[..] else {
        panic!("Debian's is the only one: {:?}", shown(&pair));
    };
    let certificate = ours.certificate().unwrap();
    assert_eq!((ours.by, &ours.key), (Program::Dovecot, &Key::Fits));
    assert_eq!(certificate.issued, Issued::BySelf);
    let names = shell(
        "openssl x509 -in /etc/ssl/certs/ssl-cert-snakeoil.pem -noout -ext subjectAltName \
         | sed -n 's/.*DNS://p'",
    );
    assert!(
        certificate.names.contains(names.trim()),
        "{names}{certificate:?}"
    );
    let key = "/etc/ssl/private/ssl-cert-snakeoil.key";
    for (script, expected) in [
        (
            format!("openssl genpkey -algorithm ed25519 -out {key}"),
            Key::Other,
        ),
        (format!("rm {key}"), Key::Missing),
    ] {
        shell(&script);
        assert_eq!(shown(&pair)[0].key, expected, "{script}");
    }
    // A key with a passphrase, in the certificate's own file: the certificate is told, and no more.
    shell(&format!(
        "openssl genpkey -algorithm ed25519 -aes256 -pass pass:secret >> /etc/ssl/certs/ssl-cert-snakeoil.pem \
         && openssl genpkey -algorithm ed25519 -aes256 -pass pass:secret > {key}"
    ));
    let now = &shown(&pair)[0];
    assert_eq!(now.certificate(), Some(certificate));
    assert!(
        matches!(&now.key, Key::Unknown(why) if why.contains("passphrase")),
        "{:?}",
        now.key
    );
    let whole = serde_json::to_string(&pair.observe()).unwrap();
    assert!(!whole.contains("PRIVATE KEY"));
}

fn shown(plan: &Plan) -> String {
    render::text(plan, render::Paint::Plain)
}
