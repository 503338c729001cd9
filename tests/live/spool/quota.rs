//! Dovecot's quota, and messages that are copied before they leave the INBOX.

use std::collections::BTreeMap;

use super::{HOUSEKEEPING, OLD, Seen, USERS, nothing_is_lost, seen, served};
use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;
use crate::server::Dialect;

/// A quota of so many kilobytes for everybody, counted over all folders.
fn limit(host: &Host, kilobytes: u32) {
    let settings = match host.dialect() {
        Dialect::Dovecot2_4 => format!(
            "mail_plugins {{\n  quota = yes\n}}\nquota user {{\n  driver = count\n  \
             quota_storage_size = {kilobytes}K\n}}\n"
        ),
        Dialect::Dovecot2_3 => format!(
            "mail_plugins = $mail_plugins quota\nplugin {{\n  quota = count:user\n  \
             quota_rule = *:storage={kilobytes}K\n  quota_vsizes = yes\n  quota_grace = 0\n}}\n"
        ),
    };
    host.dovecot(&settings);
}

fn try_it(lab: &Lab, host: &Host) {
    served(lab, host, HOUSEKEEPING);
    let mut imap = host.imap("vera");
    for number in 1..=5 {
        let text = letter(
            "vera",
            &format!("q old {number}"),
            &"A line of text.\n".repeat(2000),
        );
        imap.append_dated("INBOX", "\\Seen", Some(OLD), &text);
    }
    imap.logout();
    let before: BTreeMap<&str, (u32, Seen)> =
        USERS.map(|user| (user, seen(host, user, "INBOX"))).into();

    // Five letters of 32 kB; for copies of them there is no room.
    limit(host, 250);
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .shows("the quota has")
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(before["vera"], seen(host, "vera", "INBOX"));

    // The plan finds room, and it is gone when the move begins: for two copies there is some.
    limit(host, 1000);
    let apply = lab.apply_until("housekeeping:begun");
    limit(host, 250);
    apply.fails();
    nothing_is_lost(host, &before);
    assert_eq!(before["vera"], seen(host, "vera", "INBOX"));
    // What was copied is found and goes, once there is room.
    lab.reconcile(["apply", "--yes"])
        .exits(1)
        .says("vera")
        .says("uota")
        .done();
    assert_eq!(before["vera"], seen(host, "vera", "INBOX"));
    limit(host, 1000);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    nothing_is_lost(host, &before);
    let (_, archive) = seen(host, "vera", "Archive");
    assert_eq!(archive.len(), 5, "{archive:?}");
    let (_, inbox) = seen(host, "vera", "INBOX");
    assert!(inbox.is_empty(), "{inbox:?}");
}

#[test]
fn a_quota_without_room_keeps_messages_where_they_are() {
    let Some(lab) = Lab::start(["new=trixie", "twelve=bookworm"]) else {
        return;
    };
    for name in ["new", "twelve"] {
        try_it(&lab, lab.host(name));
    }
}
