//! Freezing a host, and starting the services of another.

use super::*;
use crate::host::Step;
use crate::names::Side;
use crate::plan::hand_over::{Freeze, Start};
use crate::raw::HostPath;

fn frozen(host: &HostServices) -> Result<Freeze, Vec<Problem>> {
    freeze(
        &manifest("target"),
        Side::Source,
        host,
        vec!["/home/alice".into()],
    )
}

fn started(host: &HostServices, records: &BTreeMap<String, Held>) -> Result<Start, Vec<Problem>> {
    start(&manifest("target"), Side::Target, host, records)
}

/// As a person would type it.
fn typed(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

/// A delivery that is killed half-way comes twice.
const PAUSE: &str = "let Postfix end the deliveries that it began";
const RESUME: &str = "let Postfix deliver again";

/// In the order in which it is undone.
fn undone(steps: &[Step]) -> Vec<String> {
    let mut typed = typed(steps);
    typed.reverse();
    typed
}

/// What the receipt says of a freeze.
fn records(freeze: &Freeze) -> BTreeMap<String, Held> {
    let held = |hold: &crate::plan::hand_over::Hold| Held {
        masks: hold.masks.clone(),
        running: hold.running.clone(),
    };
    let holds = freeze.holds.iter();
    holds
        .map(|(name, hold)| (name.clone(), held(hold)))
        .collect()
}

fn unit_of<'a>(host: &'a mut HostServices, name: &str) -> &'a mut Unit {
    host.units
        .iter_mut()
        .find(|unit| unit.name == name)
        .unwrap()
}

/// Debian 12 with atd, anacron and a Postfix of two instances; Dovecot is started by its socket.
fn busy() -> HostServices {
    host!("bookworm-busy")
}

#[test]
fn everything_that_writes_mail_is_stopped_at_once_and_masked() {
    let host = busy();
    let freeze = frozen(&host).unwrap();
    let running = "cron.service atd.service anacron.timer postfix.service postfix@-.service \
                   postfix@postfix-out.service dovecot.service dovecot.socket";
    let masks = "anacron.service anacron.timer atd.service cron.service dovecot.service \
                 dovecot.socket postfix.service postfix@.service";
    assert_eq!(
        typed(&freeze.change.steps),
        [
            PAUSE.to_owned(),
            format!("systemctl stop {running}"),
            format!("systemctl mask {masks}"),
            format!("systemctl stop {running}"),
        ]
    );
    // A thaw starts exactly what ran: first who serves people, a socket before its service.
    assert_eq!(
        undone(&freeze.change.undo),
        [
            format!("systemctl unmask {masks}"),
            "systemctl start dovecot.socket".to_owned(),
            "systemctl start postfix.service postfix@-.service postfix@postfix-out.service \
             dovecot.service"
                .to_owned(),
            "systemctl start anacron.timer".to_owned(),
            "systemctl start cron.service atd.service".to_owned(),
            RESUME.to_owned(),
        ]
    );
    let names: Vec<&str> = freeze.holds.keys().map(String::as_str).collect();
    assert_eq!(names, ["anacron", "atd", "cron", "dovecot", "postfix"]);
    assert_eq!(freeze.ports, ports::MAIL.into_iter().collect());
}

#[test]
fn a_host_is_quiet_when_nothing_runs_can_be_started_or_listens() {
    let mut host = busy();
    let freeze = frozen(&host).unwrap();
    let why = unquiet(&auto(), &host, &freeze);
    for reason in [
        "anacron.timer runs",
        "anacron.service is not masked",
        "postfix@postfix-out.service runs",
        "dovecot runs",
        "something listens on 25, 110, 143, 993 and 995",
    ] {
        assert!(why.iter().any(|why| why == reason), "{reason}: {why:?}");
    }
    predict_freeze(&mut host, &freeze);
    assert_eq!(unquiet(&auto(), &host, &freeze), [""; 0]);
    // What a stop left behind: a session, a job that cron started, a listener.
    host.programs = BTreeSet::from([Program::DovecotWorker, Program::CronJob]);
    host.ports.insert(143, Reach::Network);
    assert_eq!(
        unquiet(&auto(), &host, &freeze),
        [
            "a process of dovecot without its master runs",
            "a job of cron runs",
            "something listens on 143"
        ]
    );
    // A frozen host is frozen by doing nothing.
    host.programs.clear();
    host.ports.clear();
    let again = frozen(&host).unwrap();
    assert!(again.change.steps.is_empty() && again.holds.is_empty());
}

#[test]
fn jobs_of_cron_are_seen_once_cron_is_stopped() {
    // Debian 12 and Rocky 9, and the same with their daemons stopped.
    let jobs = "31 0 /usr/sbin/CRON -f\n 41 0 /usr/sbin/CROND -n\n";
    let seen = |text: &str| {
        let mut programs = process::known(text).iter().map(|p| p.program).collect();
        process::forget_children(&mut programs);
        programs
    };
    assert_eq!(seen(jobs), BTreeSet::from([Program::CronJob]));
    let all = format!("{jobs} 1 0 /usr/sbin/cron -f\n");
    assert_eq!(seen(&all), BTreeSet::from([Program::Cron]));
    assert_eq!(
        seen("7 1 /usr/sbin/atd -f\n8 0 /usr/sbin/anacron -d -q -s\n"),
        BTreeSet::from([Program::Atd, Program::Anacron])
    );
}

#[test]
fn sendmail_is_frozen_by_its_script_under_systemd() {
    let freeze = frozen(&host!("bullseye-sendmail")).unwrap();
    assert_eq!(
        undone(&freeze.change.undo),
        [
            "systemctl unmask cron.service dovecot.service dovecot.socket sendmail.service",
            "systemctl start sendmail.service dovecot.service",
            "systemctl start cron.service",
        ]
    );
}

#[test]
fn init_scripts_are_frozen_in_the_same_way() {
    let starting = BTreeSet::from(["cron", "dovecot", "postfix"].map(str::to_owned));
    let mut host = host(
        "",
        recorded!("bullseye-sysvinit", "ps"),
        recorded!("bullseye-sysvinit", "tcp"),
    );
    host.init = Init::UpdateRcD;
    host.units = ["cron", "dovecot", "postfix"]
        .map(|name| sysv::unit(name, &starting, Active::Active))
        .to_vec();
    host.programs.insert(Program::Cron);
    let freeze = frozen(&host).unwrap();
    assert_eq!(
        typed(&freeze.change.steps),
        [
            PAUSE,
            "/etc/init.d/cron stop",
            "/etc/init.d/postfix stop",
            "/etc/init.d/dovecot stop",
            "update-rc.d cron disable",
            "update-rc.d dovecot disable",
            "update-rc.d postfix disable",
        ]
    );
    assert_eq!(
        undone(&freeze.change.undo),
        [
            "update-rc.d cron enable",
            "update-rc.d dovecot enable",
            "update-rc.d postfix enable",
            "/etc/init.d/postfix start",
            "/etc/init.d/dovecot start",
            "/etc/init.d/cron start",
            RESUME,
        ]
    );
}

#[test]
fn what_could_not_be_taken_back_is_not_frozen() {
    let side = Side::Source;
    let by_hand = frozen(&host!("bookworm-by-hand")).unwrap_err();
    let expected = [Program::Postfix, Program::Dovecot];
    assert_eq!(
        by_hand,
        expected.map(|program| Problem::ByHand { side, program })
    );
    let exim = frozen(&host!("bookworm-exim")).unwrap_err();
    let unit = "exim4.service".to_owned();
    assert_eq!(exim, [Problem::EximDelivers { side, unit }]);

    let mut host = busy();
    unit_of(&mut host, "anacron.service").active = Active::Active;
    host.programs.insert(Program::Getmail);
    unit_of(&mut host, "atd.service").file =
        Some(HostPath::from("/etc/systemd/system/atd.service"));
    let problems = frozen(&host).unwrap_err();
    let unit = "anacron.service".to_owned();
    assert!(problems.contains(&Problem::AtWork { side, unit }));
    let programs = vec![Program::Getmail];
    assert!(problems.contains(&Problem::Strays { side, programs }));
    assert!(matches!(&problems[0], Problem::CannotMask { unit, .. } if unit == "atd.service"));
    assert_eq!(problems.len(), 3, "{problems:?}");

    host.init = Init::Other;
    let problems = frozen(&host).unwrap_err();
    assert_eq!(problems, [Problem::CannotFreeze { side }]);
}

#[test]
fn an_unknown_server_on_a_port_of_mail_is_in_the_way() {
    let mut host = host!("bookworm");
    host.units.retain(|unit| !unit.name.starts_with("postfix"));
    host.programs.remove(&Program::Postfix);
    let problem = Problem::PortsTaken {
        side: Side::Source,
        ports: vec![25],
    };
    assert_eq!(frozen(&host).unwrap_err(), [problem]);
}

#[test]
fn what_was_held_while_staging_is_started_and_can_be_held_again() {
    let host = host!("bookworm-held");
    let held = |masks: &[&str], running: &[&str]| Held {
        masks: units(masks).into_iter().collect(),
        running: units(running).into_iter().collect(),
    };
    let records = BTreeMap::from([
        (
            "dovecot".to_owned(),
            held(&["dovecot.service", "dovecot.socket"], &["dovecot.service"]),
        ),
        (
            "postfix".to_owned(),
            held(
                &["postfix.service", "postfix@.service"],
                &["postfix.service", "postfix@-.service"],
            ),
        ),
    ]);
    let start = started(&host, &records).unwrap();
    let masks = "dovecot.service dovecot.socket postfix.service postfix@.service";
    assert_eq!(
        typed(&start.change.steps),
        [
            format!("systemctl unmask {masks}"),
            "systemctl start postfix.service postfix@-.service dovecot.service".to_owned(),
        ]
    );
    let stop = "systemctl stop postfix.service postfix@-.service dovecot.service dovecot.socket";
    assert_eq!(
        undone(&start.change.undo),
        [stop, &format!("systemctl mask {masks}"), stop]
    );
    let ports = [("dovecot", Role::Imap), ("postfix", Role::Mta)];
    let ports = ports.map(|(name, role)| (name.to_owned(), role.ports().iter().copied().collect()));
    assert_eq!(start.ports, BTreeMap::from(ports));

    let why = unstarted(&auto(), &host, &start);
    assert!(
        why.contains(&"no process of dovecot runs".to_owned()),
        "{why:?}"
    );
    assert_eq!(unstarted(&auto(), &host!("bookworm"), &start), [""; 0]);
    // One port of a service that is closed is as good as all of them.
    let mut silent = host!("bookworm");
    silent.ports.remove(&25);
    let why = "none of the ports 25, 465 and 587 of postfix is open";
    assert_eq!(unstarted(&auto(), &silent, &start), [why]);
}

#[test]
fn a_frozen_host_that_takes_over_again_runs_all_that_it_ran() {
    let mut host = busy();
    let freeze = frozen(&host).unwrap();
    predict_freeze(&mut host, &freeze);
    // systemd forgets an instance that does not run.
    host.units.retain(|unit| !unit.name.contains("postfix-out"));
    let start = started(&host, &records(&freeze)).unwrap();
    let mut thaw = undone(&freeze.change.undo);
    assert_eq!(thaw.pop().as_deref(), Some(RESUME));
    assert_eq!(typed(&start.change.steps), thaw);
    predict_start(&mut host, &start);
    assert!(host.units.iter().all(|unit| unit.load == Load::Loaded));
    let job = "anacron.service";
    assert!(
        host.units
            .iter()
            .all(|unit| unit.runs() != (unit.name == job))
    );
}

#[test]
fn nothing_is_started_that_was_not_stopped_by_this_migration() {
    let host = busy();
    // It serves already, and cron is none of ours.
    let start = started(&host, &BTreeMap::new()).unwrap();
    assert!(start.change.steps.is_empty() && start.change.undo.is_empty());
    assert_eq!(unstarted(&auto(), &host, &start), [""; 0]);
    // What an admin masked stays masked, and is said.
    let held = host!("bookworm-held");
    let problems = started(&held, &BTreeMap::new()).unwrap_err();
    let masked = |problem: &&Problem| matches!(problem, Problem::MaskedByOthers { .. });
    assert_eq!(problems.iter().filter(masked).count(), 2, "{problems:?}");
}
