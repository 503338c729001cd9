//! What happens when something fails in the middle of a run: a few cases in every test run, the whole
//! table by `tests/lab/faults --all`.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::fault::{Kind, Phase, Point, Row, Stand, Way, points};

/// Where the whole table writes its rows, after those that it need not try again; and which are wanted:
/// words that all stand in it.
const REPORT: &str = "RECONCILE_FAULTS_REPORT";
const FILTER: &str = "RECONCILE_FAULTS";

const HAND_OVERS: [Way; 2] = [Way::Cutover, Way::Reverse];

/// One fault of each kind in a phase, at points from its first to its last. The ways take turns, so that
/// each case finds what the one before has left; which of them has which kind differs from phase to
/// phase.
fn each_kind_in(phase: Phase, ways: &[Way]) {
    let Some(stand) = Stand::start() else {
        return;
    };
    if !ways.contains(&Way::Stage) {
        stand.staged();
    }
    let mut kinds = Kind::ALL;
    kinds.rotate_left(phase as usize);
    for (number, (kind, &way)) in kinds.into_iter().zip(ways.iter().cycle()).enumerate() {
        stand.wants(way);
        let mut points = points(&stand.actions());
        points.retain(|point| point.phase == phase);
        assert!(!points.is_empty(), "a {way} has no points in {phase:?}");
        let point = &points[number * points.len() / Kind::ALL.len()];
        eprintln!("{}", stand.suffers(way, point, kind));
    }
}

/// Most of what is done while the source serves is the same in all ways.
#[test]
fn a_run_survives_each_kind_of_fault_while_mail_is_served() {
    each_kind_in(Phase::Before, &[Way::Stage, Way::Cutover, Way::Reverse]);
}

#[test]
fn a_hand_over_survives_each_kind_of_fault_while_mail_stands_still() {
    each_kind_in(Phase::Frozen, &HAND_OVERS);
}

#[test]
fn a_hand_over_survives_each_kind_of_fault_while_addresses_move() {
    each_kind_in(Phase::Moving, &HAND_OVERS);
}

#[test]
fn a_hand_over_survives_each_kind_of_fault_once_authority_has_changed_hands() {
    each_kind_in(Phase::HandedOver, &HAND_OVERS);
}

/// Cases by the words of their names, shared by those who try them.
struct Table {
    wanted: Vec<String>,
    /// Rows of an earlier run.
    rows: Vec<String>,
    begun: BTreeSet<String>,
    failed: usize,
}

/// More failures than that have one cause, and are not worth the hours.
const MOST_FAILURES: usize = 20;

impl Table {
    fn from_environment() -> Self {
        let filter = std::env::var(FILTER).unwrap_or_default();
        let report = std::env::var_os(REPORT);
        let rows = report.and_then(|report| fs::read_to_string(report).ok());
        Self {
            wanted: filter.split_whitespace().map(str::to_owned).collect(),
            rows: rows
                .iter()
                .flat_map(|rows| rows.lines())
                .map(str::to_owned)
                .collect(),
            begun: BTreeSet::new(),
            failed: 0,
        }
    }

    /// The next case of a way that nobody has begun, in the order of the run's points.
    fn next(&mut self, way: Way, actions: &[String]) -> Option<(Point, Kind)> {
        for point in points(actions) {
            for kind in Kind::ALL {
                let name = format!("{way} {kind} {}", point.name);
                let wanted = self.wanted.iter().all(|word| name.contains(word.as_str()));
                if !wanted || !self.begun.insert(name) {
                    continue;
                }
                let row = Row::name(way, kind, &point);
                if !self.rows.iter().any(|earlier| earlier.starts_with(&row)) {
                    return Some((point, kind));
                }
            }
        }
        None
    }

    fn failed(&mut self, name: &str, panic: &(dyn Any + Send)) {
        self.failed += 1;
        let why = panic.downcast_ref::<String>();
        let why = why.and_then(|why| why.lines().next());
        Self::report(&format!("{name}FAILED: {}", why.unwrap_or("panicked")));
    }

    fn report(row: &str) {
        eprintln!("{row}");
        let Some(file) = std::env::var_os(REPORT) else {
            return;
        };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .unwrap();
        writeln!(file, "{row}").unwrap();
    }
}

/// Tries cases on a stand of one's own until none is left, and on a new one after a failure.
fn try_cases(table: &Mutex<Table>) {
    let open = || table.lock().unwrap_or_else(PoisonError::into_inner);
    let mut exhausted = BTreeSet::new();
    let mut stand: Option<Stand> = None;
    let mut way = Way::Cutover;
    while exhausted.len() < 2 && open().failed < MOST_FAILURES {
        let mut name = format!("{way:8} planned ");
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            if stand.is_none() {
                way = Way::Cutover;
                stand = Some(Stand::start()?);
                stand.as_ref()?.staged();
            }
            let there = stand.as_ref()?;
            there.wants(way);
            let actions = there.actions();
            let case = open().next(way, &actions);
            if let Some((point, kind)) = case {
                name = Row::name(way, kind, &point);
                Table::report(&there.suffers(way, &point, kind).to_string());
            } else {
                // The other way needs this one done.
                name = format!("{way:8} without a fault ");
                exhausted.insert(way.to_string());
                there.lab.reconcile(["apply", "--yes"]).exits(0).done();
            }
            Some(())
        }));
        match attempt {
            Ok(Some(())) if way == Way::Cutover => way = Way::Reverse,
            Ok(Some(())) => way = Way::Cutover,
            // No hosts can be booted here.
            Ok(None) => return,
            Err(panic) => {
                open().failed(&name, &*panic);
                if let Some(stand) = &stand {
                    stand.tell();
                }
                stand = None;
            }
        }
    }
}

/// As in a test run, most of the time is spent waiting: several at once, each with hosts of its own.
#[test]
#[ignore = "takes an hour and more: tests/lab/faults --all"]
fn the_whole_table() {
    let table = Mutex::new(Table::from_environment());
    let stands = 2 * std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..stands {
            scope.spawn(|| try_cases(&table));
        }
    });
    let Table { begun, failed, .. } = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    Table::report(&format!("{} cases, {failed} failed", begun.len()));
    assert_eq!(failed, 0);
}
