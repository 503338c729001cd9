//! Counting: every difference goes into the delta, its fingerprint and the sample.

use super::report::{At, Failure, NAMED, Oddity, Report};
use super::scan::Look;
use crate::names::Side;
use crate::plan::change::{Count, Difference, Sample};

/// Sees every difference, one by one.
pub(super) type OnDifference<'d> = dyn FnMut(&[u8], Difference) + 'd;

/// A report in the making.
pub(super) struct Tally<'d> {
    pub(super) report: Report,
    sample: usize,
    fingerprint: blake3::Hasher,
    on_difference: &'d mut OnDifference<'d>,
}

impl<'d> Tally<'d> {
    pub(super) fn new(sample: usize, on_difference: &'d mut OnDifference<'d>) -> Self {
        Self {
            report: Report::default(),
            sample,
            fingerprint: blake3::Hasher::new(),
            on_difference,
        }
    }

    /// An entry of the source takes part.
    pub(super) fn source(&mut self, bytes: u64) {
        add(&mut self.report.source, bytes);
    }

    /// An entry differs in these ways, the gravest first. `look` is at the source, or at what the
    /// source does not have; `bytes` are those that are to be written or go.
    pub(super) fn differ(
        &mut self,
        at: At<'_>,
        differences: &[Difference],
        look: &Look,
        bytes: u64,
    ) {
        let Some(&gravest) = differences.first() else {
            return;
        };
        let delta = &mut self.report.delta;
        let count = match gravest {
            Difference::Missing => &mut delta.create,
            Difference::Extraneous => &mut delta.remove,
            Difference::Kind | Difference::Content | Difference::HardLinks => &mut delta.update,
            Difference::Owner | Difference::Mode | Difference::Mtime | Difference::Xattrs => {
                &mut delta.touch
            }
        };
        add(count, bytes);
        if gravest != Difference::Extraneous {
            delta.largest = delta.largest.max(bytes);
        }
        let path = at.shown();
        for &differs in differences {
            self.hash(at, differs, look);
            (self.on_difference)(path.as_bytes(), differs);
        }
        if self.report.delta.sample.len() < self.sample {
            self.report.delta.sample.push(Sample {
                tree: at.tree,
                path,
                differs: gravest,
            });
        }
    }

    fn hash(&mut self, at: At<'_>, differs: Difference, look: &Look) {
        let stamp = &look.stamp;
        let mut line = format!("{:?} {differs:?} {stamp:?} ", at.tree).into_bytes();
        line.extend_from_slice(at.path);
        line.push(0);
        self.fingerprint.update(&line);
    }

    pub(super) fn oddity(&mut self, at: At<'_>, oddity: Oddity) {
        self.report.oddities.add(oddity, at.shown().as_bytes());
    }

    /// Something that should have been read was not.
    pub(super) fn fail(&mut self, side: Side, at: At<'_>, what: String) {
        self.report.failed += 1;
        if self.report.failures.len() < NAMED {
            self.report.failures.push(Failure {
                side,
                tree: at.tree,
                path: at.shown(),
                what,
            });
        }
    }

    pub(super) fn finish(mut self) -> Report {
        self.report.delta.fingerprint = self.fingerprint.finalize().to_hex().to_string();
        self.report
    }
}

fn add(count: &mut Count, bytes: u64) {
    count.files += 1;
    count.bytes += bytes;
}
