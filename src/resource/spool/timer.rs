//! `spool/timer`: a timer of systemd on the target that measures the mail there (`reconcile spool --here`).
//!
//! It is there while the target's mail counts and `spool.timer` asks for it, and nothing of it otherwise.
//! All that it consists of are two units that say everything (`systemctl cat`), and a copy of this program
//! beside the receipt, where only root comes:
//!
//! ```text
//! /etc/systemd/system/reconcile-spool@NAME.service
//! /etc/systemd/system/reconcile-spool@NAME.timer
//! /var/lib/reconcile/NAME/reconcile-spool
//! ```
//!
//! Drop-ins of an admin's are left alone.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::{Command, HostState, Probe, ReadHost};
use crate::manifest::{Manifest, MetricsFile, MigrationName, Spool, Timer};
use crate::names::Side;
use crate::plan::render::{Row, Sign};
use crate::plan::timer::{TimerSetup, TimerState};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::raw::{HostPath, escape};
use crate::receipt::Receipt;
use crate::resource::edit;
use crate::resource::services::{Active, systemd};

/// What is there of a timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that have nothing to do with each other"
)]
pub struct Seen {
    /// Whether the target has systemd as process 1.
    pub systemd: bool,
    /// The service's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The timer's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer: Option<String>,
    /// The program.
    pub program: Program,
    /// Whether the timer starts at boot.
    pub enabled: bool,
    /// Whether it runs.
    pub active: bool,
    /// Whether the service's last run failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Whether the directory of `spool.timer.prometheus` is there; `None` without that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<bool>,
}

/// The program that the service runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// It is not there.
    #[default]
    Absent,
    /// It is another one, as of another version.
    Another,
    /// It is this one.
    This,
}

impl Seen {
    fn is_nothing(&self) -> bool {
        self.service.is_none() && self.timer.is_none() && self.program == Program::Absent
    }

    /// The file that the service writes for node exporter.
    fn metrics(&self) -> Option<HostPath> {
        let (_, rest) = self.service.as_deref()?.split_once("--prometheus ")?;
        let path = rest.split([' ', '\'', '\n']).next()?;
        // An admin may have changed the unit: what it names now is removed only if it can be ours.
        MetricsFile::check(path).ok()?;
        Some(HostPath::from(path))
    }
}

const UNITS: &str = "/etc/systemd/system";

/// `@` cannot be in a migration's name, so the unit is nobody else's.
fn unit(name: &MigrationName, kind: &str) -> String {
    format!("reconcile-spool@{name}.{kind}")
}

fn unit_file(name: &MigrationName, kind: &str) -> HostPath {
    HostPath::from(UNITS).join(unit(name, kind))
}

fn program_path(name: &MigrationName) -> HostPath {
    Receipt::directory(name).join("reconcile-spool")
}

fn asked(manifest: &Manifest) -> Option<(&Spool, &Timer)> {
    let spool = manifest.spool.as_ref()?;
    Some((spool, spool.timer.as_ref()?))
}

/// Looks for it; `None` where there is none and none is asked for, and where nothing runs.
pub fn observe(manifest: &Manifest, target: &dyn ReadHost) -> Result<Option<Seen>> {
    if target.state() == HostState::Offline {
        return Ok(None);
    }
    let name = &manifest.name;
    let asked = asked(manifest);
    let mut seen = Seen {
        service: edit::text(target, &unit_file(name, "service"))?,
        timer: edit::text(target, &unit_file(name, "timer"))?,
        program: match target.is_program(&program_path(name))? {
            None => Program::Absent,
            Some(false) => Program::Another,
            Some(true) => Program::This,
        },
        ..Seen::default()
    };
    if asked.is_none() && seen.is_nothing() {
        return Ok(None);
    }
    // `sd_booted(3)`.
    seen.systemd = target
        .stat(&HostPath::from("/run/systemd/system"))?
        .is_some();
    if let Some(file) = asked.and_then(|(_, timer)| timer.prometheus.as_deref()) {
        let directory = HostPath::from(file).parent();
        seen.directory = Some(target.stat(&directory)?.is_some());
    }
    if seen.systemd && !seen.is_nothing() {
        units(name, target, &mut seen)?;
    }
    Ok(Some(seen))
}

fn units(name: &MigrationName, target: &dyn ReadHost, seen: &mut Seen) -> Result<()> {
    let names = ["service", "timer"].map(|kind| unit(name, kind));
    let cannot = || format!("cannot ask systemd of {} for {}", target.label(), names[1]);
    let answer = target
        .probe(&Probe::Units(names.to_vec()))?
        .ok_or_else(|| Error::new(Kind::Host, cannot()))?;
    if answer.status != Some(0) {
        return Err(answer.refusal("`systemctl show`", &target.label()));
    }
    let shown = systemd::shown(&String::from_utf8_lossy(&answer.stdout));
    for unit in shown.units {
        if unit.name == names[1] {
            seen.enabled = unit.enabled == "enabled";
            seen.active = unit.active == Active::Active;
        } else if unit.name == names[0] {
            seen.failed = unit.active == Active::Failed;
        }
    }
    Ok(())
}

/// What is done about it.
pub fn diff(manifest: &Manifest, seen: Option<&Seen>, authority: Side) -> Draft {
    let mut draft = Draft::default();
    let serves = manifest.serve_from == Side::Target;
    match (asked(manifest), seen) {
        (Some(_), _) if !manifest.target.host.is_live() => note(
            &mut draft,
            Level::Info,
            "nothing runs on a directory root, so nothing is measured there",
        ),
        (Some(asked), Some(seen)) if serves => set_up(manifest, asked, seen, authority, &mut draft),
        (Some(_), None) if serves => note(
            &mut draft,
            Level::Warning,
            "it was not looked at: plan without --observation, or observe again",
        ),
        (asked, seen) => {
            if let Some(seen) = seen.filter(|seen| !seen.is_nothing()) {
                draft.actions.push(removal(manifest, seen));
            } else if asked.is_some() {
                let text = "it is set up at the hand-over to the target: until then the source's mail counts";
                note(&mut draft, Level::Info, text);
            }
        }
    }
    draft
}

fn note(draft: &mut Draft, level: Level, text: impl Into<String>) {
    draft.note(Resource::SpoolTimer, level, text);
}

fn set_up(
    manifest: &Manifest,
    (spool, timer): (&Spool, &Timer),
    seen: &Seen,
    authority: Side,
    draft: &mut Draft,
) {
    let name = &manifest.name;
    let mut block = |problem: String| {
        draft.block(Resource::SpoolTimer, Obstacle::Migration { problem });
    };
    if !seen.systemd {
        block(format!(
            "the target has no systemd: take spool.timer out, and have cron run `{}`",
            command(name, spool, timer)
        ));
        return;
    }
    if let (Some(file), Some(false)) = (&timer.prometheus, seen.directory) {
        let directory = HostPath::from(file.as_str()).parent();
        block(format!(
            "{directory} of spool.timer.prometheus is not there: install prometheus-node-exporter on the \
             target, make the directory, or name that of its --collector.textfile.directory"
        ));
        return;
    }
    if seen.failed && authority == Side::Target {
        let service = unit(name, "service");
        let text = format!(
            "the last run of {service} failed, or found somebody above a threshold: \
             `journalctl -u {service}` says which"
        );
        note(draft, Level::Warning, text);
    }
    let texts = [
        ("service", &seen.service, service_text(name, spool, timer)),
        ("timer", &seen.timer, timer_text(name, timer)),
    ];
    let differs = texts.into_iter().filter_map(|(kind, before, after)| {
        let before = before.as_deref();
        let edit = || edit::between(&unit_file(name, kind), before, &after, 0o644);
        (before != Some(after.as_str())).then(edit)
    });
    let units: Vec<_> = differs.collect();
    let program = (seen.program != Program::This).then(|| program_path(name));
    if units.is_empty() && program.is_none() && seen.enabled && seen.active {
        return;
    }
    let wanted = timer.prometheus.as_deref().map(HostPath::from);
    let former = seen
        .metrics()
        .filter(|former| Some(former) != wanted.as_ref());
    let timer_unit = || vec![unit(name, "timer")];
    let setup = TimerSetup {
        to: TimerState::SetUp,
        before: Vec::new(),
        program,
        units,
        remove: former.into_iter().collect(),
        then: vec![
            Command::ReloadUnits,
            Command::EnableUnits(timer_unit()),
            Command::RestartUnits(timer_unit()),
            Command::TrySpoolService(unit(name, "service")),
        ],
    };
    draft.actions.push(Action {
        id: ActionId("spool/timer/set-up".to_owned()),
        change: Change::SetUpTimer(setup),
        because: Reason::TimerDiffers,
        needs: [Fact::Authority(Side::Target)].into(),
        gives: [].into(),
        risk: Risk::Safe,
        undo: Undo::Manual("take spool.timer out of the manifest and apply".to_owned()),
    });
}

fn removal(manifest: &Manifest, seen: &Seen) -> Action {
    let name = &manifest.name;
    let (timer, service) = (unit(name, "timer"), unit(name, "service"));
    let mut before = Vec::new();
    let mut then = Vec::new();
    if seen.systemd {
        if seen.timer.is_some() {
            before.push(Command::DisableUnits(vec![timer.clone()]));
        }
        if seen.service.is_some() {
            before.push(Command::StopUnits(vec![service.clone()]));
        }
        then.push(Command::ReloadUnits);
        then.push(Command::ForgetUnits(vec![service]));
    }
    let mut remove = vec![unit_file(name, "timer")];
    // What systemd remembers of a timer with `Persistent=`.
    let stamps = HostPath::from("/var/lib/systemd/timers");
    remove.push(stamps.join(format!("stamp-{timer}")));
    remove.extend(seen.metrics());
    remove.push(unit_file(name, "service"));
    remove.push(program_path(name));
    let setup = TimerSetup {
        to: TimerState::Removed,
        before,
        program: None,
        units: Vec::new(),
        remove,
        then,
    };
    // On a way back the target's mail counts, and is measured, until the source takes over.
    let needs = match manifest.serve_from {
        Side::Source => [Fact::Authority(Side::Source)].into(),
        Side::Target => [].into(),
    };
    Action {
        id: ActionId("spool/timer/remove".to_owned()),
        change: Change::SetUpTimer(setup),
        because: Reason::TimerUnwanted,
        needs,
        gives: [].into(),
        risk: Risk::Safe,
        undo: Undo::Manual(
            "write spool.timer in the manifest and apply while the target serves".to_owned(),
        ),
    }
}

/// What is run. None of its words means anything to a shell or to systemd.
fn command(name: &MigrationName, spool: &Spool, timer: &Timer) -> String {
    let mut text = format!(
        "{} spool --here {name} --record --detailed-exitcode",
        program_path(name)
    );
    for (option, size) in [("warn", spool.warn), ("limit", spool.limit)] {
        if let Some(size) = size {
            write!(text, " --{option} {}B", size.bytes).expect("writing to a String cannot fail");
        }
    }
    if let Some(file) = &timer.prometheus {
        write!(text, " --prometheus {file}").expect("writing to a String cannot fail");
    }
    text
}

const HEAD: &str = "# By reconcile, which writes it anew: see spool.timer in the manifest of";

/// Through a shell, because with `SELinux` what systemd starts itself may not be of `/var/lib`.
fn service_text(name: &MigrationName, spool: &Spool, timer: &Timer) -> String {
    format!(
        "{HEAD} {name}.\n\
         [Unit]\n\
         Description=reconcile: measures the mail, for the migration {name}\n\
         After=dovecot.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh -c 'exec {}'\n\
         Nice=19\n\
         IOSchedulingClass=idle\n\
         TimeoutStartSec=1h\n",
        command(name, spool, timer)
    )
}

fn timer_text(name: &MigrationName, timer: &Timer) -> String {
    format!(
        "{HEAD} {name}.\n\
         [Unit]\n\
         Description=reconcile: measures the mail, for the migration {name}\n\
         \n\
         [Timer]\n\
         OnCalendar={}\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        timer.every.calendar()
    )
}

/// A change of the timer for people.
pub fn row(setup: &TimerSetup) -> Row {
    let fresh = setup.units.iter().all(|edit| edit.before.is_none()) && !setup.units.is_empty();
    let (sign, title) = match setup.to {
        TimerState::SetUp if fresh => (Sign::Create, "measures the mail on the target, by systemd"),
        TimerState::SetUp => (Sign::Update, "measures the mail on the target, by systemd"),
        TimerState::Removed => (Sign::Remove, "measures the mail no more"),
    };
    let mut details: Vec<String> = setup.before.iter().map(ToString::to_string).collect();
    if let Some(program) = &setup.program {
        details.push(format!("put this program at {program}"));
    }
    let diffs = setup.units.iter().flat_map(|edit| edit.diff.lines());
    details.extend(diffs.map(str::to_owned));
    let gone = setup.remove.iter();
    details.extend(gone.map(|path| format!("rm -f {}", escape(path.as_bytes()))));
    details.extend(setup.then.iter().map(ToString::to_string));
    Row {
        sign,
        resource: Resource::SpoolTimer,
        title: title.to_owned(),
        details,
    }
}

/// What will be there.
pub fn predict(seen: &mut Option<Seen>, setup: &TimerSetup) -> Result<()> {
    if setup.to == TimerState::Removed {
        *seen = None;
        return Ok(());
    }
    let seen = seen.get_or_insert_default();
    for edit in &setup.units {
        let text = if edit.path.as_bytes().ends_with(b".timer") {
            &mut seen.timer
        } else {
            &mut seen.service
        };
        *text = Some(edit::apply(edit, text.as_deref())?);
    }
    seen.program = Program::This;
    (seen.enabled, seen.active) = (true, true);
    Ok(())
}
