//! Changes that the kernel of a host tells of: what has not changed is passed over while users wait.

use crate::host::Host;
use crate::lab::Lab;

const NAMED: &str = "  hostname: mail.example.org\n  probe: { user: zita }\n";
const REST: &str = "dovecot: { accept: [userdb, tls] }\nfreeze: { budget: 90s }\n";

/// Files of an archive that nobody touches.
const ARCHIVED: u64 = 2000;

impl Host {
    /// Puts homes and mailboxes on an ext4 of their own: a host's root is an overlay, which tells of no
    /// changes.
    fn mail_on_a_disk(&self) -> &Self {
        self.run(
            "truncate -s 300M /root/disk.img && mkfs.ext4 -q /root/disk.img
             mknod -m 600 /dev/loop-control c 10 237
             for n in {0..63}; do mknod -m 600 /dev/loop$n b 7 $n; done
             mkdir /srv/disk && mount -o loop /root/disk.img /srv/disk
             for dir in /home /var/mail; do
                 mkdir -p /srv/disk$dir && cp -a $dir/. /srv/disk$dir/ && mount --bind /srv/disk$dir $dir
             done",
        );
        self
    }
}

/// The entries that a run says it looked at.
fn looked_at(said: &str) -> u64 {
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words
        .windows(4)
        .position(|words| words[1..] == ["entries", "looked", "at,"]);
    let at = at.unwrap_or_else(|| panic!("it does not say what it looked at: {said}"));
    words[at].parse().unwrap()
}

#[test]
fn the_last_delta_passes_over_what_has_not_changed() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.mail_on_a_disk();
    old.hold_service_address().users(["bela", "zita"]);
    new.run("sed -i '/example.org/!s/^mydestination = /&example.org, /' /etc/postfix/main.cf");
    old.run(format!(
        "runuser -u bela -- sh -c 'for n in $(seq {ARCHIVED}); do
             mkdir -p ~/archive/$((n % 10)) && echo $n >~/archive/$((n % 10))/$n; done'"
    ));
    lab.cutover_manifest("source", NAMED, REST);
    lab.reconcile(["apply", "--yes"]).exits(0).done();

    lab.cutover_manifest("target", NAMED, REST);
    let run = lab
        .reconcile(["apply", "--yes"])
        .exits(0)
        .says("tells from here on what changes");
    // Once by the first round, and never again.
    let looked_at = looked_at(&run.stderr);
    assert!(
        (ARCHIVED..ARCHIVED * 3 / 2).contains(&looked_at),
        "{looked_at}"
    );
    run.done();
    let archive = "cd /home/bela/archive && find . -type f | sort | xargs sha256sum | sha256sum";
    assert_eq!(old.run(archive), new.run(archive));
}

#[test]
fn where_the_kernel_tells_nothing_it_is_said_and_everything_is_looked_at() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.hold_service_address().users(["bela", "zita"]);
    new.run("sed -i '/example.org/!s/^mydestination = /&example.org, /' /etc/postfix/main.cf");
    lab.cutover_manifest("source", NAMED, REST);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.cutover_manifest("target", NAMED, REST);
    lab.reconcile(["apply", "--yes"])
        .exits(0)
        .says("tracking is for ext4 and XFS, and mail is on overlay on the source")
        .done();
}
