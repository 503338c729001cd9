//! Walking the trees of users on both hosts, several lots of users at a time.

use super::look::Order;
use super::{Look, Problem, TreeState, UserMail};
use crate::error::Result;
use crate::host::{ReadHost, TreeJob, Watch};
use crate::names::UserName;
use crate::parallel;
use crate::replicate::{Progress, Report};

/// A look from one host at what differs on the other.
pub(super) struct Walk<'a> {
    pub(super) look: &'a Look<'a>,
    /// Whose mail counts.
    pub(super) from: &'a dyn ReadHost,
    pub(super) onto: &'a dyn ReadHost,
}

impl Walk<'_> {
    /// Walks the trees of users, and notes what was found.
    pub(super) fn over(
        &self,
        users: &mut [(&UserName, &mut UserMail)],
        job: impl Fn(&UserName, &UserMail, &TreeState) -> TreeJob + Sync,
    ) -> Result<()> {
        let threads = match self.look.order {
            Order::Any => parallel::abreast(self.from.round_trip().max(self.onto.round_trip())),
            Order::ByName => 1,
        };
        let lots = parallel::in_lots(threads, users, |_| 1, |lot| self.lot(lot, &job));
        let found: Result<Vec<_>> = lots.into_iter().map(|(_, reports)| reports).collect();
        let mut found = found?.into_iter().flatten();
        for (_, user) in users {
            let trees = user.trees.len();
            user.found(found.by_ref().take(trees));
        }
        Ok(())
    }

    /// What is found of the trees of some users.
    fn lot(
        &self,
        lot: &[(&UserName, &mut UserMail)],
        job: &impl Fn(&UserName, &UserMail, &TreeState) -> TreeJob,
    ) -> Result<Vec<Report>> {
        let (mut jobs, mut whose) = (Vec::new(), Vec::new());
        for (name, user) in lot {
            for tree in &user.trees {
                jobs.push(job(name, user, tree));
                whose.push((*name, tree.paths.kind));
            }
        }
        let mut told = Ok(());
        let mut tell = |number: usize, path: &[u8], difference| {
            if let (Some(listener), Ok(()), Some((user, kind))) =
                (self.look.listener, &told, whose.get(number))
            {
                told = listener(user, *kind, path, difference);
            }
        };
        let mut watch = Watch {
            progress: &Progress::default(),
            stop: self.look.stop,
            differences: self.look.listener.is_some().then_some(&mut tell),
        };
        let reports = self
            .onto
            .compare(&jobs, self.look.depth, self.from, &mut watch);
        told?;
        reports.into_iter().collect()
    }
}

impl UserMail {
    /// Notes what was found of the trees, in their order.
    fn found(&mut self, reports: impl Iterator<Item = Report>) {
        for (tree, report) in self.trees.iter_mut().zip(reports) {
            if report.failed > 0 {
                let first = report.failures.first();
                self.problems.push(Problem::Unreadable {
                    first: first.map_or(String::new(), ToString::to_string),
                    count: report.failed,
                });
            }
            tree.size = report.source;
            tree.delta = report.delta;
            tree.oddities = report.oddities;
        }
    }
}
