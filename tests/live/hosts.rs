//! Hosts of other ages, and hosts that nobody has a manifest for yet.

use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

fn with_two_users(old: &Host) {
    old.users(["anna", "bela"]);
    for user in ["anna", "bela"] {
        old.deliver(user, &letter(user, "hello", "A line.\n"));
        let mut imap = old.imap(user);
        imap.create("nest/sub");
        imap.append("nest/sub", "\\Seen", &letter(user, "sent", "A line.\n"));
        imap.logout();
    }
}

#[test]
fn a_manifest_is_drafted_from_two_live_hosts() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    with_two_users(lab.host("old"));
    lab.reconcile(["init", "ssh://root@old", "ssh://root@new"])
        .exits(0)
        .done();
    lab.reconcile(["validate"]).exits(0).done();
    lab.reconcile(["plan"]).exits(0).shows("mail/anna").done();
}

#[test]
fn a_login_that_may_become_root_is_enough() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    with_two_users(lab.host("old"));
    let text = "version: 1\nname: sudo\nsource: { host: ssh://admin@old, become: sudo }\n\
                target: { host: ssh://admin@new, become: sudo }\nserve_from: source\n\
                users: { exclude: [admin] }\n";
    std::fs::write(lab.work("migration.yaml"), text).unwrap();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["verify"]).exits(0).done();
    // Nothing of the program stays on the source.
    lab.host("old").run("test ! -e /var/lib/reconcile");
}

/// Kernels before 5.6 lack openat2, those before 4.11 statx: whatever sshd starts is told so.
#[test]
fn a_source_with_an_old_kernel_is_copied_all_the_same() {
    let Some(lab) = Lab::start(["old=bullseye", "new=bookworm"]) else {
        return;
    };
    let old = lab.host("old");
    with_two_users(old);
    old.run(
        "mkdir -p /etc/systemd/system/ssh.service.d
         printf '[Service]\\nSystemCallFilter=~openat2 statx\\nSystemCallErrorNumber=ENOSYS\\n' \
             >/etc/systemd/system/ssh.service.d/old-kernel.conf
         systemctl daemon-reload && systemctl restart ssh",
    );
    lab.manifest("source", "");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    lab.reconcile(["verify", "--deep"]).exits(0).done();
}
