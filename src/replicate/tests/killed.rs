//! A run that dies at a named place, in a process of its own.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::bench::{Bench, Way};
use crate::plan::change::{Extraneous, IdMap};

const RUN: &str = "RECONCILE_TEST_RUN";
const CHILD: &str = "replicate::tests::killed::a_run_in_a_process_of_its_own";

/// What the process needs to know.
#[derive(Serialize, Deserialize)]
struct Run {
    dir: PathBuf,
    way: Way,
    ids: IdMap,
    extraneous: Extraneous,
    failpoint: String,
}

/// Whether a run survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Died,
    /// It was done before it came to the place.
    Done,
}

/// Copies what the bench has until it comes to a failpoint.
#[track_caller]
pub(super) fn copy(bench: &Bench, failpoint: &str) -> Outcome {
    let run = Run {
        dir: bench.dir.path().to_owned(),
        way: bench.way,
        ids: bench.ids.clone(),
        extraneous: bench.extraneous.clone(),
        failpoint: failpoint.to_owned(),
    };
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD])
        .env(RUN, serde_json::to_string(&run).unwrap())
        // What it leaves goes with the bench.
        .env("TMPDIR", &run.dir)
        .output()
        .unwrap();
    if out.status.signal() == Some(9) {
        return Outcome::Died;
    }
    assert!(out.status.success(), "{failpoint}: {out:?}");
    Outcome::Done
}

/// Not a test of its own: what [`copy`] starts.
#[test]
fn a_run_in_a_process_of_its_own() {
    let Ok(run) = std::env::var(RUN) else {
        return;
    };
    let run: Run = serde_json::from_str(&run).unwrap();
    crate::failpoint::arm(&run.failpoint);
    let bench = Bench {
        way: run.way,
        ids: run.ids,
        extraneous: run.extraneous,
        ..Bench::new()
    };
    bench.at(&run.dir).copy();
}
