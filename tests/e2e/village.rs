//! Two small hosts with a handful of people: every kind of file once, and quick to make.

use crate::accounts::Account;
use crate::hashes;
use crate::home::{Home, mbox};
use crate::root::{MAIL_GID, Root};
use crate::sandbox::Sandbox;

/// Makes both hosts and a manifest that stages. Needs root.
pub(crate) fn village() -> Sandbox {
    let sandbox = Sandbox::small();
    populate(&sandbox);
    sandbox.manifest("source", "");
    sandbox
}

/// The people, in the order of their uids.
pub(crate) fn people() -> [Account; 4] {
    [
        Account::person("alice", 1000).gecos(b"Alice \xc4rger,,,"),
        Account::person("bob", 1001).password(hashes::YESCRYPT),
        Account::person("carol", 1002).password(&format!("!{}", hashes::MD5)),
        Account::person("dave", 1003)
            .password(hashes::DES)
            .ageing("19000::::::"),
    ]
}

fn populate(sandbox: &Sandbox) {
    let source = Root::debian(&sandbox.path("source"));
    source.with_dovecot_2_3("%v.%u");
    let [alice, bob, carol, dave] = people();
    for person in [&alice, &bob, &carol, &dave] {
        person.join(&source);
    }
    source.group("staff-mail", 1500, &["alice", "carol"]);
    let home = |of| Home {
        root: &source,
        of,
        mail_gid: MAIL_GID,
    };
    home(&alice)
        .dot_files()
        .mbox_folders()
        .spool(mbox(12, "hello"))
        .age(1);
    home(&bob).maildir().odd_names().age(2);
    home(&carol)
        .hard_links()
        .symlinks()
        .sparse()
        .attributes()
        .acl(1001, 1500)
        .modes();
    home(&carol).spool(mbox(2, "hello")).age(3);
    home(&dave).spool("").age(4);

    let target = Root::debian(&sandbox.path("target"));
    target.with_dovecot_2_4();
}
