//! A thousand users with two hundred messages each. Not part of a normal run, for its time:
//!
//!     cargo nextest run --release --test identity --run-ignored only --no-capture thousand

use std::time::Instant;

use reconcile::names::Side;

use crate::machine::Machine;
use crate::real::compare;
use crate::requirement;

/// Users u0001 to u1000 with 200 messages each, opened once.
const MAKE: &str = r#"
set -eu
awk 'BEGIN {
    for (u = 1; u <= 1000; u++) {
        name = sprintf("u%04d", u); id = 2000 + u
        printf "%s:x:%d:%d::/home/%s:/bin/sh\n", name, id, id, name >> "/etc/passwd"
        printf "%s:x:%d:\n", name, id >> "/etc/group"
    }
}'
awk 'BEGIN {
    for (i = 1; i <= 200; i++) {
        printf "From sender@example.org Mon Nov 23 10:%02d:00 2026\n", i % 60
        printf "From: sender@example.org\nSubject: message %d\nMessage-ID: <%d@example.org>\n\n", i, i
        for (k = 0; k < 40; k++) print "a line of a message of two kilobytes and a half, line " k
        print ""
    }
}' >/tmp/mbox
[ "$1" = make ] || exit 0
printf 'ssl = no\n' >/etc/dovecot/local.conf
dovecot
u=1
while [ $u -le 1000 ]; do
    name=$(printf 'u%04d' $u)
    mkdir "/home/$name"
    cp /tmp/mbox "/var/mail/$name"
    chown $((2000 + u)):$((2000 + u)) "/home/$name"
    chown $((2000 + u)):mail "/var/mail/$name"
    chmod 0660 "/var/mail/$name"
    printf '1 SELECT INBOX\r\n2 STORE 1:100 +FLAGS (\\Seen)\r\n3 LOGOUT\r\n' |
        /usr/lib/dovecot/imap -u "$name" >/dev/null 2>&1
    u=$((u + 1))
done
doveadm stop
sleep 2
"#;

#[test]
#[ignore = "takes minutes"]
fn a_thousand_users_are_compared_and_the_time_is_told() {
    if !requirement::root() || !requirement::mounts() {
        return;
    }
    let (Some(old), Some(new)) = (requirement::tree("bookworm"), requirement::tree("trixie"))
    else {
        return;
    };
    let source = Machine::new(Side::Source, &old);
    source.run(&MAKE.replace("$1", "make"));
    let target = Machine::new(Side::Target, &new);
    target.run(&MAKE.replace("$1", "accounts only"));
    std::fs::write(target.own("etc/dovecot/local.conf"), "ssl = no\n").unwrap();
    target.copy_mail(&source);
    let names: Vec<_> = (1..=1000).map(|u| format!("u{u:04}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let started = Instant::now();
    let (verdicts, summary) = compare(&source, &target, &names);
    let took = started.elapsed();
    let differing = verdicts.iter().find(|verdict| !verdict.identical());
    eprintln!("{took:?}: {summary:?} {differing:?}");
    assert_eq!((summary.users, summary.differing), (1000, 0));
    assert_eq!(
        (summary.pop3_messages, summary.imap_messages),
        (200_000, 200_000)
    );
}
