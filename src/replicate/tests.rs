//! Trees copied and compared for real, and checked by tools that are not ours.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make and inspect trees of their own"
)]

mod aside;
mod bench;
mod delta;
mod hostile;
mod moved;
mod pace;
pub(crate) mod programs;
mod random;
mod round_trip;
mod tracking;
