//! Whether others wait for the disks of a host that is read.
//!
//! At the processors a low priority is enough, which the kernel enforces. At the disks it often is not:
//! most of their schedulers know none. So the rule: every 2 seconds in which streams were there, and less
//! often while nobody is in need of it, at last every 16, all streams pause for a seventh of a second. In
//! that pause it is looked a few times how many threads of the host wait for a disk (`procs_blocked` in
//! `/proc/stat`, in every Linux since 2.6). If it is one on average, or more, the share of the time that
//! streams take is halved, down to a quarter. If not, it is doubled again, up to all of it.
//!
//! The pause is what tells the others' load from ours.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Weak;
use std::time::Duration;

use super::{MOST_HALVINGS, Outflow};

/// How long streams work between two looks.
const OFTEN: Duration = Duration::from_secs(2);
const SELDOM: Duration = Duration::from_secs(16);

/// How often it is asked whether it is time.
const TICK: Duration = Duration::from_millis(500);

/// What is under way comes to an end, and whoever worked for us.
const SETTLE: Duration = Duration::from_millis(50);

const LOOKS: usize = 8;
const BETWEEN: Duration = Duration::from_millis(12);

/// Looks at the load for as long as there is an outflow, in a thread of its own. A host that does not
/// tell its load has none.
pub(crate) fn watch(outflow: &Weak<Outflow>) {
    let (mut worked, mut often) = (Duration::ZERO, OFTEN);
    loop {
        std::thread::sleep(TICK);
        let Some(outflow) = outflow.upgrade() else {
            return;
        };
        {
            let gate = outflow.gate();
            if gate.streams == 0 || !outflow.gives_way(&gate) {
                continue;
            }
        }
        worked += TICK;
        if worked < often {
            continue;
        }
        worked = Duration::ZERO;
        outflow.listen(true);
        std::thread::sleep(SETTLE);
        let load = load();
        outflow.listen(false);
        often = match outflow.judge(load.unwrap_or(Load::Light)) {
            0 => (often * 2).min(SELDOM),
            _ => OFTEN,
        };
    }
}

impl Outflow {
    fn listen(&self, listening: bool) {
        self.gate().listening = listening;
        self.changed.notify_all();
    }

    /// How often the streams' share is halved from now on.
    fn judge(&self, load: Load) -> u32 {
        let mut gate = self.gate();
        gate.halvings = match load {
            _ if !self.gives_way(&gate) => 0,
            Load::Heavy => (gate.halvings + 1).min(MOST_HALVINGS),
            Load::Light => gate.halvings.saturating_sub(1),
        };
        gate.halvings
    }
}

/// What others make of the host's disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Load {
    Heavy,
    Light,
}

impl Load {
    /// From how many waited at each look.
    fn of(waiting: &[u64]) -> Self {
        if waiting.iter().sum::<u64>() >= waiting.len() as u64 {
            Self::Heavy
        } else {
            Self::Light
        }
    }
}

fn load() -> io::Result<Load> {
    let mut waiting = [0; LOOKS];
    for one in &mut waiting {
        let mut text = String::new();
        File::open("/proc/stat")?.read_to_string(&mut text)?;
        *one = blocked(&text).ok_or(io::ErrorKind::InvalidData)?;
        std::thread::sleep(BETWEEN);
    }
    Ok(Load::of(&waiting))
}

/// Threads that wait for a disk, `proc_stat(5)`.
fn blocked(stat: &str) -> Option<u64> {
    let mut lines = stat.lines();
    lines.find_map(|line| line.strip_prefix("procs_blocked ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    #[test]
    fn a_host_is_busy_when_somebody_always_waits_for_its_disks() {
        assert_eq!(Load::of(&[0, 0, 1, 0]), Load::Light);
        assert_eq!(Load::of(&[1, 1, 1, 1]), Load::Heavy);
        assert_eq!(Load::of(&[4, 0, 0, 0]), Load::Heavy);
    }

    #[test]
    fn the_kernel_tells_who_waits() {
        // Of Debian 12, shortened.
        let stat = "cpu  10132153 290696 3084719 46828483 16683 0 25195 0 175628 0\n\
                    intr 199292 0 9 0 0\nctxt 22848043\nbtime 1462898400\nprocesses 16433\n\
                    procs_running 2\nprocs_blocked 3\nsoftirq 229 0 1\n";
        assert_eq!(blocked(stat), Some(3));
        assert_eq!(blocked("procs_running 1\n"), None);
        load().unwrap();
    }

    #[test]
    fn the_share_has_a_floor_comes_back_and_is_whole_in_a_freeze() {
        let outflow = Outflow::of_live_host();
        let halvings: Vec<_> = (0..4).map(|_| outflow.judge(Load::Heavy)).collect();
        assert_eq!(halvings, [1, 2, 2, 2]);
        assert_eq!(outflow.judge(Load::Light), 1);
        outflow.set_pace(Pace::URGENT);
        assert_eq!(outflow.judge(Load::Heavy), 0);
        // A directory root has nobody to give way to.
        assert_eq!(Outflow::default().judge(Load::Heavy), 0);
    }
}
