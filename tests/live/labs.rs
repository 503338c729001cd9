//! The lab itself: hosts that boot in seconds, reach each other and the operator, and leave nothing.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::lab::Lab;

/// Far more than a boot takes on two busy cores, far less than a person waits.
const SECONDS_TO_BOOT: Duration = Duration::from_secs(40);

#[test]
fn hosts_boot_in_seconds_and_answer_by_ssh() {
    let Some(lab) = Lab::start(["old=bullseye", "mid=bookworm", "new=trixie"]) else {
        return;
    };
    let took = lab.boot_time();
    eprintln!("three hosts booted after {took:?}");
    assert!(took < SECONDS_TO_BOOT, "{took:?}");
    for (host, debian) in [("old", "11."), ("mid", "12."), ("new", "13.")] {
        let version = lab.operate("ssh", [host, "cat /etc/debian_version"]);
        assert!(version.exits(0).stdout.starts_with(debian), "{host}");
    }
    // The other login becomes root by sudo.
    lab.operate("ssh", ["admin@new", "sudo -n id -un"])
        .exits(0)
        .shows("root")
        .done();
    // Each host has keys and an identity of its own, and knows the others.
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    for file in ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"] {
        assert_ne!(old.read(file), new.read(file), "{file}");
    }
    old.run("ping -c 1 -W 2 new.example.org");
    old.run(format!("ping -c 1 -W 2 {}", new.management_address()));
}

#[test]
fn the_operator_knows_the_hosts_by_their_keys() {
    let Some(lab) = Lab::start(["old=bookworm", "new=bookworm"]) else {
        return;
    };
    lab.manifest("source", "")
        .reconcile(["validate"])
        .exits(0)
        .done();
    let known_hosts = lab.ssh_file("known_hosts");
    let known = std::fs::read_to_string(&known_hosts).unwrap();
    std::fs::write(&known_hosts, known.replace("new,", "another,")).unwrap();
    let known = lab.operate("ssh", ["old", "true"]).exits(0);
    assert!(known.took < SECONDS_TO_BOOT, "{:?}", known.took);
    lab.operate("ssh", ["-o", "BatchMode=yes", "new", "true"])
        .exits(255)
        .says("Host key verification failed")
        .done();
}

#[test]
fn the_operator_reaches_the_lab_and_nothing_else() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    // An address for documentation (RFC 5737) that is not the lab's: there is no way out.
    let beyond = "exec 3<>/dev/tcp/203.0.113.1/22";
    lab.operate("bash", ["-c", beyond])
        .exits(1)
        .says("Network is unreachable")
        .done();
    lab.operate("ssh", ["nobody-by-this-name", "true"])
        .exits(255)
        .says("Name or service not known")
        .done();
    // The home is the operator's, also for ssh, which does not ask HOME.
    let home = lab.operate("sh", ["-c", "getent passwd root | cut -d: -f6; echo $HOME"]);
    let home = home.exits(0).stdout;
    let expected = lab.dir().join("operator/home");
    assert!(
        home.lines().all(|line| Path::new(line) == expected),
        "{home}"
    );
}

#[test]
fn hosts_are_switched_off_and_on() {
    let Some(lab) = Lab::start(["old=bullseye", "new=trixie"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    old.file("/root/kept", "kept").reboot();
    new.file("/root/kept", "kept").power_off().power_on();
    for host in [old, new] {
        assert_eq!(host.run("cat /root/kept"), "kept");
        lab.operate("ssh", [host.name(), "true"]).exits(0).done();
        host.cut_power();
    }
    lab.operate("ssh", ["-o", "ConnectTimeout=2", "old", "true"])
        .exits(255)
        .done();
    old.power_on();
    lab.operate("ssh", ["old", "true"]).exits(0).done();
}

#[test]
fn an_overlay_with_its_changes_in_memory_can_be_mounted_in_a_host() {
    let Some(lab) = Lab::start(["old=trixie"]) else {
        return;
    };
    let host = lab.host("old");
    host.run(
        "mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work /mnt/all
         mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/all
         echo changed >/mnt/all/etc/hostname
         echo new >/mnt/all/var/mail/somebody",
    );
    assert_eq!(host.run("cat /etc/hostname; ls /var/mail"), "old\n");
}

#[test]
fn two_labs_run_side_by_side() {
    let Some(one) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let Some(two) = Lab::start(["old=bookworm"]) else {
        return;
    };
    // The same name and address, and not the same host.
    for (lab, mark) in [(&one, "one"), (&two, "two")] {
        lab.host("old").file("/root/mark", mark);
    }
    for (lab, mark) in [(&one, "one"), (&two, "two")] {
        lab.operate("ssh", ["old", "cat /root/mark"])
            .exits(0)
            .shows(mark)
            .done();
    }
    let gone = one.dir().to_owned();
    drop(one);
    assert!(!gone.exists());
    two.operate("ssh", ["old", "true"]).exits(0).done();
}

#[test]
fn a_killed_lab_is_swept_by_the_next_start() {
    let Some(dead) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let dir = dead.dir().to_owned();
    let mut forgotten = dead
        .operator("sh", ["-c", "echo runs; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 5];
    let output = forgotten.stdout.as_mut().unwrap();
    output.read_exact(&mut said).unwrap();
    kill_process(dead.owner(), Signal::KILL).unwrap();
    let next = Lab::start(["old=bookworm"]);
    assert!(!dir.exists(), "{}", dir.display());
    let ended = forgotten.wait().unwrap();
    assert_eq!(ended.code(), None, "the sweep kills what the operator left");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(dir.to_str().unwrap()), "{mounts}");
    let left = Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "2", "-name"])
        .arg(format!("*{}*", dir.file_name().unwrap().display()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    drop(next);
}
