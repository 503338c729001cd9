//! Whether it pays to compress what leaves a host: while the way is slower than the processor.
//!
//! One decision for all streams, for they share the way. What is known of each answer: how long we
//! worked on it, and how long the other end has waited for us. Where it waits a third of the time and we
//! have nothing to do half of the time, the way is what is slow, and some data is compressed to see what
//! comes of it. If that is less than twice as fast as the way, or does not shrink, it does not pay; if
//! ten times, it does; in between, the rates of two stretches are compared, one with and one without.
//! What did not pay is tried again after twice as long each time.

use std::time::{Duration, Instant};

/// What one answer cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// When it was through.
    pub(super) at: Instant,
    /// Since the last one of its stream was.
    pub(super) elapsed: Duration,
    /// Of that, work on this host, compressing included.
    pub(super) working: Duration,
    /// Of that, waiting of the other end for this one.
    pub(super) waited: Duration,
    /// Bytes before and after compressing.
    pub(super) plain: u64,
    pub(super) wire: u64,
    /// How long compressing took, if it was done.
    pub(super) packing: Option<Duration>,
}

/// A stretch that is measured: this many bytes and this long. On a slow way it is ended by time.
const BYTES: u64 = 4 << 20;
const TIME: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(3);
const FEWEST: u64 = 256 << 10;

/// What may be under way when the form changes: none of it tells of the new form.
const UNDER_WAY: u64 = 8 << 20;
const UNDER_WAY_FOR: Duration = Duration::from_secs(10);

/// So much is compressed to see how fast that is, and how much smaller it becomes.
const TASTE: u64 = 512 << 10;

/// Streams may pause between two trees: no more of a pause than this counts as time of the way.
const PAUSE: Duration = Duration::from_secs(1);

/// Compressing must be so many times faster than the way, and does not need to be proven from there.
const FASTER: f64 = 2.0;
const MUCH_FASTER: f64 = 10.0;
/// What is left of the data, at most.
const SHRUNK: f64 = 0.9;
/// By how much the rate must grow where it is not clear.
const GAIN: f64 = 1.1;

/// Stretches between two tries.
const PATIENCE: u32 = 2;
const MOST_PATIENCE: u32 = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Decision {
    mode: Mode,
    stretch: Stretch,
    last: Option<Instant>,
    patience: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    /// Not compressed, and not looked at for so many stretches.
    Plain { rest: u32 },
    /// Compressed, on a way that is this fast in bytes a second.
    Packing { way: f64, stage: Stage },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// How fast, and how small?
    Tasting,
    /// Waiting for what is under way.
    Settling,
    /// Measuring.
    Judging,
    /// It pays.
    Proven,
}

/// What was measured since some moment.
#[derive(Clone, Copy, Default, Debug)]
struct Stretch {
    wall: Duration,
    elapsed: Duration,
    working: Duration,
    waited: Duration,
    plain: u64,
    packed_plain: u64,
    packed_wire: u64,
    packing: Duration,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            // The first stretch fills what is on the way, and tells nothing.
            mode: Mode::Plain { rest: 1 },
            stretch: Stretch::default(),
            last: None,
            patience: PATIENCE,
        }
    }
}

impl Decision {
    /// Whether answers are compressed now.
    pub(super) fn packs(&self) -> bool {
        matches!(self.mode, Mode::Packing { .. })
    }

    /// Learns from an answer that was sent.
    pub(super) fn note(&mut self, note: &Note) {
        let gap = self
            .last
            .map_or(note.elapsed, |last| note.at.saturating_duration_since(last));
        self.last = Some(note.at);
        self.stretch.add(gap.min(PAUSE), note);
        let stretch = self.stretch;
        let next = match self.mode {
            Mode::Plain { rest: 0 } if stretch.is_whole() => Some(Self::after_plain(&stretch)),
            Mode::Plain { rest } if stretch.is_whole() => Some(Mode::Plain { rest: rest - 1 }),
            Mode::Plain { .. } => None,
            Mode::Packing { way, stage } => self.after_packing(&stretch, way, stage),
        };
        if let Some(next) = next {
            self.mode = next;
            self.stretch = Stretch::default();
        }
    }

    fn after_plain(stretch: &Stretch) -> Mode {
        if stretch.is_way_slow() {
            Mode::Packing {
                way: stretch.rate(),
                stage: Stage::Tasting,
            }
        } else {
            Mode::Plain { rest: 0 }
        }
    }

    fn after_packing(&mut self, stretch: &Stretch, way: f64, stage: Stage) -> Option<Mode> {
        let on = |stage| Some(Mode::Packing { way, stage });
        match stage {
            Stage::Tasting if stretch.packed_plain < TASTE => {
                // Nothing comes that could be compressed.
                stretch.is_over(UNDER_WAY).then(|| self.give_up())
            }
            Stage::Tasting => match stretch.speed() / way {
                _ if stretch.left() > SHRUNK => Some(self.give_up()),
                times if times < FASTER => Some(self.give_up()),
                times if times < MUCH_FASTER => on(Stage::Settling),
                _ => on(Stage::Proven),
            },
            Stage::Settling if stretch.is_over(UNDER_WAY) => on(Stage::Judging),
            Stage::Judging if stretch.is_whole() => {
                if stretch.rate() < way * GAIN {
                    return Some(self.give_up());
                }
                self.patience = PATIENCE;
                on(Stage::Proven)
            }
            Stage::Proven if stretch.is_whole() => {
                // We are what is slow now, for the compressing.
                if stretch.is_ours_slow() && stretch.rate() < way * GAIN {
                    return Some(self.give_up());
                }
                on(Stage::Proven)
            }
            Stage::Settling | Stage::Judging | Stage::Proven => None,
        }
    }

    fn give_up(&mut self) -> Mode {
        let rest = self.patience;
        self.patience = (self.patience * 2).min(MOST_PATIENCE);
        Mode::Plain { rest }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates need not be exact")]
impl Stretch {
    fn add(&mut self, wall: Duration, note: &Note) {
        self.wall += wall;
        self.elapsed += note.elapsed;
        self.working += note.working;
        self.waited += note.waited;
        self.plain += note.plain;
        if let Some(packing) = note.packing {
            self.packed_plain += note.plain;
            self.packed_wire += note.wire;
            self.packing += packing;
        }
    }

    fn is_whole(&self) -> bool {
        (self.plain >= BYTES && self.wall >= TIME) || (self.plain >= FEWEST && self.wall >= LONGEST)
    }

    fn is_over(&self, bytes: u64) -> bool {
        self.plain >= bytes || self.wall >= UNDER_WAY_FOR
    }

    /// The other end waits for us, and we do not work.
    fn is_way_slow(&self) -> bool {
        self.waited * 3 >= self.elapsed && self.working * 2 <= self.elapsed
    }

    /// We work nearly all the time.
    fn is_ours_slow(&self) -> bool {
        self.working * 5 >= self.elapsed * 4
    }

    /// Bytes of answers a second.
    fn rate(&self) -> f64 {
        self.plain as f64 / self.wall.as_secs_f64().max(1e-6)
    }

    /// Bytes compressed a second of one processor.
    fn speed(&self) -> f64 {
        self.packed_plain as f64 / self.packing.as_secs_f64().max(1e-6)
    }

    /// What compressing leaves of the data.
    fn left(&self) -> f64 {
        self.packed_wire as f64 / self.packed_plain.max(1) as f64
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "bytes of a simulation"
)]
mod tests {
    use super::*;

    const MB: f64 = 1e6;
    const FRAME: u64 = 256 << 10;

    /// One stream over a way, in time of its own.
    struct Simulated {
        /// Bytes a second: of the way, of reading, of compressing, of the other end.
        way: f64,
        reading: f64,
        packing: f64,
        writing: f64,
        /// What compressing leaves.
        left: f64,
        processors: Processors,
        now: Instant,
        decision: Decision,
    }

    #[derive(PartialEq)]
    enum Processors {
        Enough,
        /// The way and we share one.
        One,
    }

    impl Simulated {
        fn new(way: f64, left: f64) -> Self {
            Self {
                way: way * MB,
                reading: 2000.0 * MB,
                packing: 300.0 * MB,
                writing: 1000.0 * MB,
                left,
                processors: Processors::Enough,
                now: Instant::now(),
                decision: Decision::default(),
            }
        }

        /// Sends so many MB; how many of them compressed.
        fn send(&mut self, megabytes: u32) -> f64 {
            let frame = FRAME as f64;
            let (mut sent, mut packed) = (0.0, 0.0);
            while sent < f64::from(megabytes) * MB {
                let packs = self.decision.packs();
                let (wire, packing) = if packs {
                    (frame * self.left, frame / self.packing)
                } else {
                    (frame, 0.0)
                };
                let working = frame / self.reading + packing;
                let cycle = match self.processors {
                    // The slowest of three that work side by side.
                    Processors::Enough => working.max(wire / self.way).max(frame / self.writing),
                    Processors::One => working + wire / self.way,
                };
                let [elapsed, working, waited, packing] =
                    [cycle, working, cycle - frame / self.writing, packing]
                        .map(Duration::from_secs_f64);
                self.now += elapsed;
                self.decision.note(&Note {
                    at: self.now,
                    elapsed,
                    working,
                    waited,
                    plain: FRAME,
                    wire: wire as u64,
                    packing: packs.then_some(packing),
                });
                sent += frame;
                if packs {
                    packed += frame;
                }
            }
            packed / sent
        }
    }

    #[test]
    fn a_slow_way_is_compressed_for_soon_and_for_good() {
        let mut slow = Simulated::new(10.0, 0.4);
        slow.send(10);
        assert!((slow.send(500) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_way_of_half_the_speed_of_compressing_is_compressed_for_when_that_is_faster() {
        let mut middling = Simulated::new(100.0, 0.4);
        middling.send(80);
        assert!((middling.send(500) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_fast_way_is_left_alone() {
        let mut fast = Simulated::new(400.0, 0.4);
        assert!(fast.send(2000) < 0.01);
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        let mut noise = Simulated::new(10.0, 1.0);
        assert!(noise.send(1000) < 0.02);
    }

    #[test]
    fn nothing_is_compressed_for_an_end_that_is_slow_itself() {
        for (reading, writing) in [(2000.0, 20.0), (20.0, 1000.0)] {
            let mut slow_end = Simulated::new(100.0, 0.4);
            (slow_end.reading, slow_end.writing) = (reading * MB, writing * MB);
            assert!(slow_end.send(500) == 0.0, "{reading} {writing}");
        }
    }

    #[test]
    fn what_does_not_pay_is_tried_less_and_less_often() {
        // Compressing looks fast enough and is not.
        let mut slow = Simulated::new(100.0, 0.89);
        slow.packing = 250.0 * MB;
        slow.processors = Processors::One;
        let first = slow.send(300);
        assert!(slow.send(3000) <= first, "{first}");
    }
}
