//! What happens when something fails in the middle of a run: a few cases in every test run, the whole
//! table by `tests/lab/faults --all`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::{Kind, Phase, Point, Stand, Way, points};

/// Where the whole table writes its rows, and which of them are wanted: words that all stand in it.
const REPORT: &str = "RECONCILE_FAULTS_REPORT";
const FILTER: &str = "RECONCILE_FAULTS";

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

/// The phases side by side: most of the time a case waits for somebody's patience to end.
#[test]
fn a_run_survives_each_kind_of_fault_in_each_phase() {
    const HAND_OVERS: [Way; 2] = [Way::Cutover, Way::Reverse];
    let phases: [(Phase, &[Way]); 4] = [
        // Most of what is done while the source serves is the same in all ways.
        (Phase::Before, &[Way::Stage, Way::Cutover, Way::Reverse]),
        (Phase::Frozen, &HAND_OVERS),
        (Phase::Moving, &HAND_OVERS),
        (Phase::HandedOver, &HAND_OVERS),
    ];
    let failed = std::thread::scope(|scope| {
        let running = phases.map(|(phase, ways)| {
            let run = move || each_kind_in(phase, ways);
            (phase, scope.spawn(run))
        });
        let failed = running
            .into_iter()
            .filter_map(|(phase, run)| run.join().is_err().then_some(phase));
        failed.collect::<Vec<Phase>>()
    });
    assert_eq!(failed, [], "what failed in these phases stands above");
}

/// Cases by the words of their names.
struct Table {
    wanted: Vec<String>,
    done: BTreeSet<String>,
    failed: usize,
}

impl Table {
    fn from_environment() -> Self {
        let filter = std::env::var(FILTER).unwrap_or_default();
        Self {
            wanted: filter.split_whitespace().map(str::to_owned).collect(),
            done: BTreeSet::new(),
            failed: 0,
        }
    }

    /// The next case of a way, in the order of the run's points.
    fn next(&mut self, way: Way, actions: &[String]) -> Option<(Point, Kind)> {
        for point in points(actions) {
            for kind in Kind::ALL {
                let name = format!("{way} {kind} {}", point.name);
                let wanted = self.wanted.iter().all(|word| name.contains(word.as_str()));
                if wanted && self.done.insert(name) {
                    return Some((point, kind));
                }
            }
        }
        None
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

#[test]
#[ignore = "takes hours: tests/lab/faults --all"]
fn the_whole_table() {
    let mut table = Table::from_environment();
    let mut exhausted = BTreeSet::new();
    let mut stand = None;
    let mut way = Way::Cutover;
    while exhausted.len() < 2 {
        let there = if let Some(stand) = stand.take() {
            stand
        } else {
            let Some(fresh) = Stand::start() else {
                return;
            };
            fresh.staged();
            way = Way::Cutover;
            fresh
        };
        let case = catch_unwind(AssertUnwindSafe(|| {
            there.wants(way);
            table.next(way, &there.actions())
        }));
        let name;
        let outcome = match case {
            Ok(Some((point, kind))) => {
                name = format!("{way:8} {kind:17} {:45}", point.name);
                let suffer = AssertUnwindSafe(|| there.suffers(way, &point, kind));
                catch_unwind(suffer).map(|row| Some(row.to_string()))
            }
            Ok(None) => {
                // The other way needs this one done.
                name = format!("{way:8} without a fault");
                exhausted.insert(way.to_string());
                let apply = || there.lab.reconcile(["apply", "--yes"]).exits(0).done();
                catch_unwind(AssertUnwindSafe(apply)).map(|()| None)
            }
            Err(panic) => {
                name = format!("{way:8} planned");
                Err(panic)
            }
        };
        match outcome {
            Ok(row) => {
                if let Some(row) = row {
                    Table::report(&row);
                }
                stand = Some(there);
                way = match way {
                    Way::Cutover => Way::Reverse,
                    Way::Stage | Way::Reverse => Way::Cutover,
                };
            }
            Err(panic) => {
                table.failed += 1;
                let why = panic
                    .downcast_ref::<String>()
                    .map_or("panicked", String::as_str);
                Table::report(&format!(
                    "{name} FAILED: {}",
                    why.lines().next().unwrap_or_default()
                ));
                assert!(table.failed < 20, "too many failures to go on");
            }
        }
    }
    let cases = table.done.len();
    Table::report(&format!("{cases} cases, {} failed", table.failed));
    assert_eq!(table.failed, 0);
}
