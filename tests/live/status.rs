//! What somebody is told who was not there, at each stage of a migration; and what a host that serves
//! loses by hand afterwards, seen and given back.

use crate::address::{INTERFACE, SERVICE, SERVICE_6, SERVICES};
use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

const KEYS: &str = "  hostname: mail.example.org\n  probe: { user: zita }\n";

const REST: &str = "dovecot: { accept: [tls] }\nfreeze: { budget: 90s }\n";

/// What a host says of itself that serves.
const SERVES: &str = "serves at ports 25, 110, 143, 993, 995; has 198.51.100.25, 2001:db8:51::25";

/// Our file that keeps the UIDLs as clients know them.
const UIDL: &str = "/etc/dovecot/conf.d/zz-reconcile-uidl.conf";

#[test]
fn anybody_is_told_how_things_are_and_what_the_target_loses_is_given_back() {
    if !cfg!(feature = "failpoints") {
        eprintln!("left out: this test needs `--features failpoints`");
        return;
    }
    let Some(lab) = Lab::start(["old=bullseye", "new=trixie"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    new.use_networkd();
    new.run("sed -i '/example.org/!s/^mydestination = /&example.org, /' /etc/postfix/main.cf");
    old.hold_service_address().users(["anna", "zita"]);
    old.dovecot("pop3_uidl_format = %v.%u");
    old.deliver("anna", &letter("anna", "hello", "A line.\n"));
    let known = old.pop3("anna").uidl();
    is_told_on_the_way(&lab);
    assert_eq!(new.pop3("anna").uidl(), known);

    is_told_that_both_serve(&lab);

    // What the target owns is taken from it, in two ways, and each time it is given back.
    old.power_off();
    new.run(format!(
        "rm {UIDL} && systemctl stop dovecot postfix
         ip addr del {SERVICE}/32 dev {INTERFACE}; ip addr del {SERVICE_6}/128 dev {INTERFACE}
         sed -i 's/^{SERVICE}\\b.*/198.51.100.77 mail.example.org/' /etc/hosts"
    ));
    let plan = lab.reconcile(["plan", "--detailed-exitcode"]).exits(2);
    let plan = plan
        .shows("dovecot/uidl_format")
        .shows("hostname/mail.example.org");
    let plan = plan
        .shows("service/target/dovecot")
        .shows("service/target/postfix");
    plan.shows("ip addr add 198.51.100.25/32")
        .shows("ip addr add 2001:db8:51::25/128")
        .done();
    gives_back(&lab, new, &known);

    new.run(format!(
        "sed -i 's/pop3_uidl_format = .*/pop3_uidl_format = %{{uid}}/' {UIDL} && systemctl reload dovecot
         sed -i '/{SERVICE}/d; /{SERVICE_6}/d' $(grep -rl {SERVICE} /etc/systemd/network)
         networkctl reload && networkctl reconfigure {INTERFACE}
         sed -i '/mail.example.org/d' /etc/hosts
         systemctl mask --now postfix.service"
    ));
    let plan = lab.reconcile(["plan"]).exits(3);
    plan.shows("`systemctl unmask postfix.service`").done();
    new.run("systemctl unmask postfix.service");
    let plan = lab.reconcile(["plan", "--detailed-exitcode"]).exits(2);
    let plan = plan
        .shows("dovecot/uidl_format")
        .shows("hostname/mail.example.org");
    let plan = plan
        .shows("service/target/postfix")
        .shows("/etc/systemd/network");
    plan.shows("address/198.51.100.25")
        .shows("address/2001:db8:51::25")
        .done();
    gives_back(&lab, new, &known);
}

/// From the first copy to the hand-over, as it looks from elsewhere: from the new host.
fn is_told_on_the_way(lab: &Lab) {
    lab.cutover_manifest("source", KEYS, REST);
    let run = lab.apply_until("mail:written");
    let elsewhere = lab.colleague("new");
    let told = elsewhere
        .status()
        .shows("mail counts on the source (since ");
    let told = told.shows(&format!("source      {SERVES}\n"));
    let told = told.shows("target      no port of mail is open; holds dovecot, postfix stopped\n");
    let told = told
        .shows("running     process ")
        .shows("at mail/")
        .shows("none has ended");
    told.shows("next        wait for the run that is at work")
        .done();
    run.ends_well();
    let told = elsewhere.status().shows("last run    ended well at ");
    told.shows("next        run `reconcile apply` to bring the copy up to date")
        .done();

    lab.cutover_manifest("target", KEYS, REST);
    elsewhere.reads_manifest_of(lab);
    let run = lab.apply_until("journal:begin:hand-over/last-delta");
    let told = elsewhere
        .status()
        .shows("mail counts on the source (since ");
    let told =
        told.shows("source      no port of mail is open; has 198.51.100.25, 2001:db8:51::25\n");
    let told = told.shows("armed       on the source: takes back ");
    let told = told
        .shows("at hand-over/last-delta since ")
        .shows(" actions done before");
    told.shows("last run    ended well at ").done();
    run.dies();
    let told = elsewhere.status().shows("last run    died after ");
    let told = told
        .shows("during hand-over/last-delta\n")
        .shows("armed       on the source");
    told.shows("or run `reconcile apply`, which ends it at once")
        .done();

    // The next run ends that, and begins anew.
    let run = lab.apply_until("journal:begin:migration/hand-over");
    let told = elsewhere
        .status()
        .shows("mail counts on the source (since ");
    let told = told.shows(&format!("target      {SERVES}, which only the probes and "));
    let told = told
        .shows("armed       on the source")
        .shows("armed       on the target");
    told.shows("at migration/hand-over since ").done();
    run.ends_well();
    let told = elsewhere
        .status()
        .shows("mail counts on the target (since ");
    let told = told.shows(&format!("target      {SERVES}\n"));
    let told =
        told.shows("source      no port of mail is open; holds cron, dovecot, postfix stopped\n");
    told.shows("next        nothing; `reconcile plan` shows drift, if any")
        .done();
}

/// Somebody starts Dovecot on the old host again, and stops it as he is told.
fn is_told_that_both_serve(lab: &Lab) {
    let old = lab.host("old");
    old.run("systemctl unmask dovecot.service dovecot.socket && systemctl start dovecot.service");
    let plan = lab.reconcile(["plan"]).exits(3);
    let plan = plan.shows("both hosts serve, and the target's mail counts");
    let stop = "systemctl mask --now dovecot.service";
    plan.shows(stop).done();
    old.run(stop);
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

/// Applies, and all is as it was.
#[track_caller]
fn gives_back(lab: &Lab, new: &Host, known: &[(u32, String)]) {
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    for address in SERVICES {
        assert!(new.has(address), "{address}");
        let names = format!("grep -E '^{address}[[:space:]]+mail.example.org$' /etc/hosts");
        new.run(names);
    }
    assert!(!new.run("cat /etc/hosts").contains("198.51.100.77"));
    assert_eq!(new.pop3("anna").uidl(), known);
    new.deliver("zita", &letter("zita", "hello", "A line.\n"));
}
