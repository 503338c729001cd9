//! What real hosts said (`tests/services/record`), and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use super::unit::{Active, Init, Load};
use super::*;
use crate::host::Command;
use crate::manifest::{self, Manifest, load};
use crate::plan::{Change, Draft, Fact};
use crate::receipt::Held;

macro_rules! recorded {
    ($name:literal, $part:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/services/",
            $name,
            ".",
            $part
        ))
    };
}

/// A host as it was recorded.
fn host(units: &str, processes: &str, listening: &str) -> HostServices {
    let mut programs = process::known(processes)
        .iter()
        .map(|p| p.program)
        .collect();
    process::forget_children(&mut programs);
    let mut open = BTreeMap::new();
    ports::listening(listening, &mut open);
    HostServices {
        units: systemd::shown(units).units,
        programs,
        ports: open,
        ..HostServices::default()
    }
}

macro_rules! host {
    ($name:literal) => {
        host(
            recorded!($name, "units"),
            recorded!($name, "ps"),
            recorded!($name, "tcp"),
        )
    };
}

fn manifest(serve_from: &str) -> Manifest {
    let text = format!(
        "version: 1\nname: office\nsource: {{ host: 'dir:/mnt/old' }}\n\
         target: {{ host: 'ssh://root@new' }}\nserve_from: {serve_from}\n"
    );
    load::parse_bytes("migration.yaml", text.as_bytes()).unwrap()
}

fn auto() -> manifest::Services {
    manifest::Services::default()
}

fn units(list: &[&str]) -> Vec<String> {
    list.iter().map(|&unit| unit.to_owned()).collect()
}

fn staged(target: HostServices) -> Draft {
    let target = Some(target);
    let source = None;
    diff(&manifest("source"), &Actual { source, target }, None)
}

fn commands(draft: &Draft) -> Vec<&Command> {
    let mut commands = Vec::new();
    for action in &draft.actions {
        match &action.change {
            Change::HoldService(hold) => commands.extend(&hold.commands),
            Change::ReleaseService(release) => commands.extend(&release.commands),
            other => panic!("{other:?}"),
        }
    }
    commands
}

fn names(role: Role, host: &HostServices) -> Vec<(String, Vec<&str>)> {
    services(&auto(), role, host)
        .iter()
        .map(|s| {
            (
                s.name.clone(),
                s.units.iter().map(|u| u.name.as_str()).collect(),
            )
        })
        .collect()
}

#[test]
fn debian_12_has_postfix_in_an_instance_and_debian_13_has_not() {
    let bookworm = host!("bookworm");
    assert_eq!(
        names(Role::Mta, &bookworm),
        [(
            "postfix".to_owned(),
            vec!["postfix.service", "postfix@-.service"]
        )]
    );
    let wrapper = bookworm
        .units
        .iter()
        .find(|u| u.name == "postfix.service")
        .unwrap();
    assert_eq!(
        (wrapper.active, wrapper.sub.as_str()),
        (Active::Active, "exited")
    );
    assert_eq!(
        names(Role::Mta, &host!("trixie")),
        [("postfix".to_owned(), vec!["postfix.service"])]
    );
}

#[test]
fn sendmail_is_a_unit_that_systemd_made_of_its_script() {
    let bullseye = host!("bullseye-sendmail");
    assert_eq!(
        names(Role::Mta, &bullseye),
        [("sendmail".to_owned(), vec!["sendmail.service"])]
    );
    assert_eq!(
        bullseye.programs,
        BTreeSet::from([Program::Dovecot, Program::Sendmail, Program::Cron])
    );
    // Debian's sendmail takes mail from the host itself until it is told otherwise.
    assert_eq!(bullseye.ports[&25], Reach::Loopback);
    assert_eq!(bullseye.ports[&110], Reach::Network);
}

#[test]
fn a_port_on_the_loopback_of_either_family_is_open_to_the_host_itself() {
    let exim = host!("bookworm-exim");
    assert_eq!(exim.ports[&25], Reach::Loopback);
    assert_eq!(exim.ports.len(), 5);
}

#[test]
fn sessions_are_no_news_while_their_master_runs() {
    for (host, mta) in [
        (host!("bookworm"), Program::Postfix),
        (host!("trixie"), Program::Postfix),
        (host!("bookworm-exim"), Program::Exim),
    ] {
        assert_eq!(
            host.programs,
            BTreeSet::from([Program::Dovecot, mta, Program::Cron])
        );
    }
    let mut left = BTreeSet::from([Program::DovecotWorker, Program::Cron]);
    process::forget_children(&mut left);
    assert!(left.contains(&Program::DovecotWorker));
}

#[test]
fn what_others_call_themselves_is_no_program_of_mail() {
    let text = "  1 0 /sbin/init\n 7 0 tail -f /var/log/dovecot.log\n 8 0 local --verbose\n\
                9 0 /usr/lib/jenkins/master -w\n 10 1000 /usr/sbin/sendmail -t -i\n\
                11 0 /usr/sbin/dovecot --version\n 12 0 dovecot -n\n";
    assert_eq!(process::known(text), []);
    // FC 13 and a session with verbose_proctitle; postfix's local(8) at work.
    let text =
        "  20 0 dovecot/imap [alice 192.0.2.7 IDLE]\n 21 0 local -t unix\n 22 8 procmail -f -\n";
    let programs: Vec<Program> = process::known(text).iter().map(|p| p.program).collect();
    assert_eq!(
        programs,
        [
            Program::DovecotWorker,
            Program::PostfixWorker,
            Program::Delivery
        ]
    );
}

#[test]
fn a_hold_stops_masks_and_stops_what_a_socket_revived() {
    let draft = staged(host!("bookworm"));
    let postfix = units(&["postfix.service", "postfix@-.service"]);
    assert_eq!(
        commands(&draft),
        [
            &Command::StopUnits(units(&["dovecot.service"])),
            &Command::MaskUnits(units(&["dovecot.service", "dovecot.socket"])),
            &Command::StopUnits(units(&["dovecot.service"])),
            &Command::StopUnits(postfix.clone()),
            &Command::MaskUnits(units(&["postfix.service", "postfix@.service"])),
            &Command::StopUnits(postfix),
        ]
    );
    assert!(draft.blocked.is_empty() && !draft.settled.contains(&Fact::TargetQuiet));
}

#[test]
fn held_hosts_are_left_alone() {
    for host in [host!("bookworm-held"), host!("trixie-held")] {
        assert!(host.units.iter().any(|unit| unit.load == Load::Masked));
        let draft = staged(host);
        assert!(draft.actions.is_empty() && draft.blocked.is_empty());
        assert!(draft.settled.contains(&Fact::TargetQuiet));
    }
}

#[test]
fn what_was_started_by_hand_is_stopped_by_its_own_program() {
    let draft = staged(host!("bookworm-by-hand"));
    assert_eq!(
        commands(&draft),
        [&Command::StopDovecot, &Command::StopPostfix]
    );
}

#[test]
fn init_scripts_are_stopped_and_disabled() {
    let starting = BTreeSet::from(["dovecot", "postfix"].map(str::to_owned));
    let mut host = host(
        "",
        recorded!("bullseye-sysvinit", "ps"),
        recorded!("bullseye-sysvinit", "tcp"),
    );
    host.init = Init::UpdateRcD;
    host.units = ["dovecot", "postfix"]
        .map(|name| sysv::unit(name, &starting, Active::Active))
        .to_vec();
    assert_eq!(
        commands(&staged(host)),
        [
            &Command::StopScript("dovecot".to_owned()),
            &Command::UpdateRcDisable("dovecot".to_owned()),
            &Command::StopScript("postfix".to_owned()),
            &Command::UpdateRcDisable("postfix".to_owned()),
        ]
    );
}

#[test]
fn a_release_undoes_what_the_receipt_says_and_no_more() {
    let mut actual = Actual {
        source: None,
        target: Some(host!("bookworm-held")),
    };
    let held = |masks: &[&str], running: &[&str]| Held {
        masks: units(masks).into_iter().collect(),
        running: units(running).into_iter().collect(),
    };
    let mut receipt =
        crate::receipt::Receipt::new("office".parse().unwrap(), jiff::Timestamp::UNIX_EPOCH);
    receipt.authority = crate::names::Side::Target;
    receipt.services = BTreeMap::from([
        // The socket was masked by an admin before.
        (
            "dovecot".to_owned(),
            held(&["dovecot.service"], &["dovecot.service"]),
        ),
        (
            "postfix".to_owned(),
            held(
                &["postfix.service", "postfix@.service"],
                &["postfix.service", "postfix@-.service"],
            ),
        ),
    ]);
    let draft = diff(&manifest("target"), &actual, Some(&receipt));
    assert_eq!(
        commands(&draft),
        [
            &Command::UnmaskUnits(units(&["dovecot.service"])),
            &Command::StartUnits(units(&["dovecot.service"])),
            &Command::UnmaskUnits(units(&["postfix.service", "postfix@.service"])),
            &Command::StartUnits(units(&["postfix.service", "postfix@-.service"])),
        ]
    );
    // Once it serves there is nothing to do, whoever started it.
    actual.target = Some(host!("bookworm"));
    receipt.services.clear();
    let draft = diff(&manifest("target"), &actual, Some(&receipt));
    assert!(draft.actions.is_empty() && draft.blocked.is_empty());
}

#[test]
fn a_wrapper_that_is_active_is_no_postfix() {
    // `systemctl stop postfix@-.service` on Debian 12.
    let mut host = host!("bookworm");
    host.programs.remove(&Program::Postfix);
    let instance = host
        .units
        .iter_mut()
        .find(|u| u.name == "postfix@-.service");
    instance.unwrap().active = Active::Inactive;
    let services = services(&auto(), Role::Mta, &host);
    assert!(!services[0].serves());
}

#[test]
fn names_of_units_are_as_systemctl_takes_them() {
    let host = host!("bookworm");
    let named = |text: &str| manifest::Services {
        mta: manifest::Units::from(text.to_owned()),
        ..auto()
    };
    for (text, expected) in [
        ("postfix", vec!["postfix.service"]),
        (
            "postfix.service postfix@.service",
            vec!["postfix.service", "postfix@-.service"],
        ),
        (
            "sendmail.service postfix@-.service",
            vec!["postfix@-.service"],
        ),
        ("sendmail", vec![]),
    ] {
        let services = services(&named(text), Role::Mta, &host);
        let units: Vec<&str> = services
            .iter()
            .flat_map(|s| &s.units)
            .map(|u| u.name.as_str())
            .collect();
        assert_eq!(units, expected, "{text}");
    }
}

mod freeze;
