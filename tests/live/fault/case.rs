//! One case: the fault, and what must be true afterwards.

use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::holders::{holders, servers, watch};
use super::stand::Stand;
use super::{DEAD_MAN, Kind, Point, Way};
use crate::address::SERVICES;
use crate::load::{Load, Pace, Protocol, Settled};

/// A run gets to its points by then, or has ended.
const APPROACH: Duration = Duration::from_mins(3);

/// By then a run to which something happened has noticed, and ended.
const NOTICE: Duration = Duration::from_mins(3);

/// As often `apply` is run until everything is as wanted: the first run may only end what was left.
const RUNS: usize = 3;

/// How a case went.
#[derive(Debug)]
pub(crate) struct Row {
    way: Way,
    point: Point,
    kind: Kind,
    /// How the run ended.
    ended: ExitStatus,
    /// Time until exactly one host served, without anybody's doing; `None` if that took an `apply`.
    by_itself: Option<Duration>,
    /// How often `apply` was run afterwards.
    runs: usize,
    letters: usize,
    downtime: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            way, point, kind, ..
        } = self;
        let ended = match (self.ended.code(), self.ended.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let healed = match self.by_itself {
            Some(time) => format!("one host serves after {time:.0?}"),
            None => "one host serves after the next apply".to_owned(),
        };
        write!(
            f,
            "{}{ended:9} {healed}; {} more; {} letters, none lost; downtime {:.1?}",
            Self::name(*way, *kind, point),
            self.runs,
            self.letters,
            self.downtime
        )
    }
}

impl Row {
    /// What a row begins with, and no other does.
    pub(crate) fn name(way: Way, kind: Kind, point: &Point) -> String {
        format!("{way:8} {kind:17} {:45} ", point.name)
    }
}

impl Stand {
    /// Lets it happen at this point of a run, with mail coming in; panics unless, afterwards, one host
    /// serves, never two had an address, nothing is lost, and a following `apply` gets to its end. The
    /// manifest must ask for the way already.
    #[track_caller]
    pub(crate) fn suffers(&self, way: Way, point: &Point, kind: Kind) -> Row {
        eprintln!("=== {way}: {kind} at {}", point.name);
        let load = Load::start(&self.clients, &SERVICES, Self::people(kind), Pace::Gentle);
        load.await_service();
        let enough = AtomicBool::new(false);
        let (ended, by_itself, runs) = std::thread::scope(|scope| {
            // Also when this panics the watch must end, or the scope never does.
            let _end = SetOnDrop(&enough);
            let watch = watch(scope, &self.lab, &enough);
            let ended = self.strike(&point.name, kind, &load);
            let by_itself = self.await_one_server(way);
            let runs = self.mend(way);
            enough.store(true, Ordering::Relaxed);
            assert_eq!(watch.join().unwrap(), [""; 0]);
            (ended, by_itself, runs)
        });
        let settled = self.check(way, load);
        let downtime = Protocol::ALL.map(|protocol| settled.downtime(protocol));
        Row {
            way,
            point: point.clone(),
            kind,
            ended,
            by_itself,
            runs,
            letters: settled.letters(),
            downtime: downtime.into_iter().max().unwrap_or_default(),
        }
    }

    /// The run up to the point, the fault, and the end of the run. Then the fault is mended.
    #[track_caller]
    fn strike(&self, point: &str, kind: Kind, load: &Load) -> ExitStatus {
        if kind == Kind::OperatorKilled {
            let mut run = self.apply_with(point);
            let ended = self.end_of(&mut run, APPROACH);
            assert_eq!(
                ended.signal(),
                Some(9),
                "{point} did not come: {}",
                self.said()
            );
            return ended;
        }
        let pause = self.lab.work("pause");
        let go = self.lab.work("pause.go");
        for file in [&pause, &go] {
            // Of an earlier case.
            fs::remove_file(file).ok();
        }
        let mut run = self.apply_with(&format!("{point}!pause={}", pause.display()));
        let began = Instant::now();
        while !pause.exists() {
            let ended = run.try_wait().unwrap();
            assert_eq!(ended, None, "{point} did not come: {}", self.said());
            if began.elapsed() > APPROACH {
                run.kill().unwrap();
                panic!("{point} did not come after {APPROACH:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.harm(kind, load);
        fs::write(go, "").unwrap();
        let ended = self.end_of(&mut run, NOTICE);
        self.repair(kind);
        ended
    }

    fn harm(&self, kind: Kind, load: &Load) {
        let (old, new) = (self.lab.host("old"), self.lab.host("new"));
        match kind {
            Kind::OperatorKilled => {}
            // Nothing that is sent arrives, and nobody says so.
            Kind::OperatorCut => self.link("down"),
            Kind::SourcePowerCut => {
                old.cut_power();
                load.power_was_cut();
            }
            Kind::TargetPowerCut => {
                new.cut_power();
                load.power_was_cut();
            }
            Kind::TargetDiskFull => {
                // The last blocks too, which fallocate leaves.
                new.run(
                    "fallocate -l $(df --output=avail -B1 / | tail -n 1) /full 2>/dev/null || true
                     if cat /dev/zero >/full.rest 2>/dev/null; then exit 1; fi",
                );
            }
        }
    }

    fn repair(&self, kind: Kind) {
        let (old, new) = (self.lab.host("old"), self.lab.host("new"));
        match kind {
            Kind::OperatorKilled => {}
            Kind::OperatorCut => self.link("up"),
            Kind::SourcePowerCut => {
                old.power_on();
            }
            Kind::TargetPowerCut => {
                new.power_on();
            }
            Kind::TargetDiskFull => {
                new.run("rm -f /full /full.rest");
            }
        }
    }

    /// The operator's link to the hosts.
    fn link(&self, state: &str) {
        self.lab
            .operate("ip", ["link", "set", "mgmt", state])
            .exits(0)
            .done();
    }

    #[track_caller]
    fn end_of(&self, run: &mut Child, patience: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(ended) = run.try_wait().unwrap() {
                return ended;
            }
            if began.elapsed() > patience {
                run.kill().unwrap();
                run.wait().unwrap();
                panic!("the run has not ended after {patience:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for the dead man's switches; how long that took, if exactly one host serves then.
    fn await_one_server(&self, way: Way) -> Option<Duration> {
        let began = Instant::now();
        while began.elapsed() < DEAD_MAN {
            let served = match way {
                // Before its first run the other host serves whatever it has served before.
                Way::Stage => {
                    holders(&self.lab).1 == ["old"] && servers(&self.lab).1.contains(&"old")
                }
                Way::Cutover | Way::Reverse => self.one_serves().is_ok(),
            };
            if served {
                return Some(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        None
    }

    /// The one host that has the addresses, all of them, and serves mail, all of it.
    fn one_serves(&self) -> Result<&'static str, String> {
        let (holders, servers) = (holders(&self.lab), servers(&self.lab));
        match (
            &holders.0[..],
            &holders.1[..],
            &servers.0[..],
            &servers.1[..],
        ) {
            ([one], [all], [serves], [serves_all])
                if one == all && one == serves && one == serves_all =>
            {
                Ok(one)
            }
            _ => Err(format!(
                "addresses (some, all): {holders:?}; mail (some, all): {servers:?}"
            )),
        }
    }

    /// Runs `apply` until the wanted host serves; how often. It may say that the run before has not
    /// ended on a host, which may not have noticed yet that nobody is there any more.
    #[track_caller]
    fn mend(&self, way: Way) -> usize {
        let began = Instant::now();
        let mut runs = 0;
        let mut last = String::new();
        while runs < RUNS {
            let run = self.lab.reconcile(["apply", "--yes"]);
            let told = run.describe();
            if told.contains("another run is at work") && began.elapsed() < DEAD_MAN {
                std::thread::sleep(Duration::from_secs(2));
                continue;
            }
            runs += 1;
            if run.code() == Some(0) && self.one_serves().as_deref() == Ok(way.ends().1) {
                return runs;
            }
            // 3: blocked, 5: taken back; anything else is a defect.
            assert!(matches!(run.code(), Some(0 | 3 | 5)), "{told}");
            last = told;
        }
        panic!(
            "{} does not serve after {RUNS} runs: {:?}\n{last}",
            way.ends().1,
            self.one_serves()
        );
    }

    #[track_caller]
    fn check(&self, way: Way, load: Load) -> Settled {
        load.await_service();
        let settled = load.settle();
        assert_eq!(self.one_serves().as_deref(), Ok(way.ends().1));
        settled.assert_nothing_lost(&self.clients, self.lab.host(way.ends().1));
        settled
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
