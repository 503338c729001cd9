//! Trees copied and compared for real, and checked by tools that are not ours.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make and inspect trees of their own"
)]

mod aside;
mod bench;
mod delta;
mod hostile;
#[cfg(feature = "failpoints")]
mod killed;
mod moved;
mod mutation;
mod pace;
pub(crate) mod programs;
mod random;
mod round_trip;
mod tracking;

use proptest::test_runner::Config;

/// So many cases in a usual run; `PROPTEST_CASES` tells otherwise.
fn cases(usual: u32) -> Config {
    let told = std::env::var_os("PROPTEST_CASES").is_some();
    let default = Config::default();
    Config {
        cases: if told { default.cases } else { usual },
        failure_persistence: None,
        ..default
    }
}
