//! An old server with sendmail hands over and switches itself off, and whatever becomes of it, or of its
//! name, afterwards, it is not mistaken; weeks later it takes everything back.

use std::fs;
use std::time::Duration;

use crate::address::SERVICES;
use crate::cached::Watch;
use crate::colleague::Colleague;
use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;
use crate::operator::Run;

const REST: &str = "dovecot: { accept: [tls] }\nfreeze: { budget: 90s }\n";

/// Keys of `cutover`.
const KEYS: &str = "  hostname: mail.example.org\n  source_after: power_off\n  confirm: person\n  \
     confirm_within: 240s\n  probe: { user: zita, from: { host: ssh://root@third } }\n";

/// What of the old server's services runs, and what starts at a boot.
const SERVICES_ARE: &str =
    "for unit in dovecot.service dovecot.socket sendmail.service cron.service; do
    echo $unit $(systemctl is-active $unit) $(systemctl is-enabled $unit)
done 2>&1";

/// Puts an old server with sendmail into service, on systemd-networkd; the new one is on ifupdown.
fn move_in(old: &Host, new: &Host) {
    old.use_networkd().hold_service_address();
    // Debian's sendmail listens in IPv4 only; this is both. With this machine's load it would take nothing, or leave it
    // in its queue.
    old.run(
        "sed -i 's/^O DaemonPortOptions=Family=inet,/O DaemonPortOptions=Family=inet6,/' /etc/mail/sendmail.cf
         sed -i 's/^#O \\(Queue\\|Refuse\\)LA=.*/O \\1LA=1000/' /etc/mail/sendmail.cf
         systemctl restart sendmail",
    );
    old.await_that(
        "for address in 127.0.0.1 ::1; do
             exec 3<>/dev/tcp/$address/25; read -r -t 9 line <&3; [[ $line == 220* ]]
         done",
    );
    old.users(["anna", "zita"]);
    old.deliver("anna", &letter("anna", "before", "A line.\n"));
    // Debian's sendmail takes mail at 587 as well, and for the host's other name; it has no TLS, and what
    // the new server offers the old one has to offer again.
    new.run(
        "postconf -M 'submission/inet=submission inet n - y - - smtpd'
         postconf -e 'mydestination = $mydomain, mail.example.org, $myhostname, localhost' \\
             smtpd_tls_security_level=none
         postfix reload",
    );
    put_off(old, "waits");
}

/// Hands in a letter that cannot leave: nobody resolves names in the lab.
fn put_off(host: &Host, subject: &str) {
    host.run(format!(
        "printf 'Subject: {subject}\\n\\nA line.\\n' | /usr/sbin/sendmail -i -f anna@example.org -- \
         {subject}@nowhere.example"
    ));
    host.await_that(&format!("mailq | grep -c {subject}@nowhere.example"));
}

/// Anna gets a letter by SMTP; others may wait in the queue.
#[track_caller]
fn gets(host: &Host, subject: &str) {
    let text = letter("anna", subject, "A line.\n");
    host.smtp().send("sender@example.com", "anna", &text).quit();
    host.await_that(&format!("grep -c '^Subject: {subject}$' /var/mail/anna"));
}

/// How often each of these waits in a host's queues.
#[track_caller]
fn assert_waiting(host: &Host, subjects: &[&str]) {
    let queue = host.run("mailq");
    for subject in subjects {
        let address = format!("{subject}@nowhere.example");
        assert_eq!(queue.matches(&address).count(), 1, "{address}: {queue}");
    }
}

/// Who has the service's addresses.
#[track_caller]
fn assert_holds(holder: &Host, other: &Host) {
    for address in SERVICES {
        assert!(holder.has(address), "{} lacks {address}", holder.name());
        assert!(!other.has(address), "{} has {address}", other.name());
    }
}

/// Runs something that waits for a person, until it has ended well: once a colleague is told so, this looks
/// at what the colleague sees, and the colleague confirms.
#[track_caller]
fn confirmed(
    lab: &Lab,
    colleague: &Colleague<'_>,
    arguments: [&str; 2],
    look: impl FnOnce(Run),
) -> Run {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lab.reconcile(arguments));
        let status = loop {
            let status = colleague.status();
            if status.stdout.contains("reconcile confirm") {
                break status;
            }
            assert!(
                !waiting.is_finished(),
                "{}",
                waiting.join().unwrap().describe()
            );
        };
        look(status);
        let confirmed = colleague.reconcile(["confirm", "--yes"]).exits(0);
        waiting.join().unwrap().exits(0).done();
        confirmed
    })
}

/// The cutover, confirmed by a colleague. The old server is off afterwards, and not before.
fn cut_over(lab: &Lab, colleague: &Colleague<'_>) {
    let (old, new) = (lab.host("old"), lab.host("new"));
    let watches = SERVICES.map(|address| Watch::begin(lab, address, 25, old, new));
    confirmed(lab, colleague, ["apply", "--yes"], |status| {
        status
            .shows("mail counts on the source")
            .shows("which only the probes and cutover.try_from reach yet")
            .shows("armed       on the source")
            .shows("armed       on the target")
            .done();
        assert!(
            old.attempt("true").status.success(),
            "it stays up until then"
        );
    })
    .says("the target serves")
    .done();
    for (address, watch) in SERVICES.into_iter().zip(watches) {
        let lag = watch.reached(Duration::from_secs(10)).lag();
        eprintln!("{address}: a cached entry cost {lag:?}");
        assert!(lag < Duration::from_secs(1), "{address}: {lag:?}");
    }
    old.await_off();
}

/// Nothing is left to do, and nothing is done.
#[track_caller]
fn assert_settled(lab: &Lab) {
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    let new = lab.host("new");
    let mail = "cat /var/mail/* | sha256sum";
    let before = new.run(mail);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(new.run(mail), before);
}

#[test]
fn an_old_server_switches_itself_off_is_never_mistaken_and_takes_the_mail_back() {
    let Some(lab) = Lab::start(["old=bookworm-sendmail", "new=trixie", "third=bookworm"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    move_in(old, new);
    let services = old.run(SERVICES_ARE);
    let known = old.pop3("anna").uidl();
    lab.cutover_manifest("source", KEYS, REST);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.cutover_manifest("target", KEYS, REST);
    lab.reconcile(["plan"]).exits(0).done();
    let colleague = lab.colleague("third");
    cut_over(&lab, &colleague);
    assert_holds(new, old);
    assert_waiting(new, &["waits"]);
    gets(new, "after");
    assert_settled(&lab);
    let serves = "target      serves at ports 25, 110, 143, 587, 993, 995; has 198.51.100.25, 2001:db8:51::25\n";
    let status = colleague.status();
    let status = status.shows("mail counts on the target").shows(serves);
    status
        .shows("not there")
        .shows("it is not needed any more")
        .done();

    // Its name leads to the new server: first known by the old key, then by the new one.
    let config = fs::read_to_string(lab.ssh_file("config")).unwrap();
    let old_is_new = config.replace("192.0.2.10", "192.0.2.11");
    for config in [
        old_is_new.clone(),
        old_is_new.replace("HostKeyAlias old", "HostKeyAlias new"),
    ] {
        fs::write(lab.ssh_file("config"), config).unwrap();
        assert_settled(&lab);
        let status = lab.reconcile(["status"]).exits(0);
        status
            .shows("mail counts on the target")
            .shows(serves)
            .done();
        let refused = lab.reconcile(["rollback", "--yes"]).exits(3);
        refused
            .says("Going on without the source: ")
            .shows("is out of reach")
            .done();
    }
    fs::write(lab.ssh_file("config"), config).unwrap();

    // It is switched on again: it serves nobody, and delivers nothing.
    old.power_on();
    assert_holds(new, old);
    let now = old.run(SERVICES_ARE);
    for line in now.lines() {
        assert!(
            line.ends_with(" masked") && !line.contains(" active"),
            "{now}"
        );
    }
    old.run("for port in 25 110 143 587 993 995; do ! (exec 3<>/dev/tcp/127.0.0.1/$port); done 2>/dev/null");
    let inbox = old.read("/var/mail/anna");
    // To a name alone: nobody resolves names in the lab, and sendmail puts off what it cannot look up.
    old.run("printf 'Subject: local\\n\\nA line.\\n' | sendmail -i anna");
    assert_settled(&lab);
    assert_eq!(old.read("/var/mail/anna"), inbox);

    // Weeks later everything goes back.
    put_off(new, "later");
    confirmed(&lab, &colleague, ["rollback", "--yes"], |status| {
        status.shows("mail counts on the target").done();
    })
    .says("the source serves")
    .done();
    assert_holds(old, new);
    assert_eq!(old.run(SERVICES_ARE), services);
    assert_waiting(old, &["waits", "later"]);
    assert_eq!(&old.pop3("anna").uidl()[..1], known);
    old.await_that("grep -c '^Subject: local$' /var/mail/anna");
    let inbox = String::from_utf8(old.read("/var/mail/anna")).unwrap();
    for subject in ["before", "after", "local"] {
        let line = format!("Subject: {subject}\n");
        assert_eq!(inbox.matches(&line).count(), 1, "{subject}: {inbox}");
    }
    gets(old, "home again");
    let status = colleague.status().shows("mail counts on the source");
    let serves = serves.replace("target", "source");
    status.shows(&serves).done();
    // It knows that by itself.
    new.cut_power();
    let status = colleague.status().shows("mail counts on the source");
    let status = status.shows(&serves).shows("target      not there: ");
    status.shows("last run    known to the target only").done();
}
