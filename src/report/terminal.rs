//! Events for people, on stderr: a progress bar on a terminal, plain lines elsewhere.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Event, Reporter, counted, size};
use crate::replicate::HeldBy;

/// Plain lines come no more often than this.
const QUIET: Duration = Duration::from_secs(10);

/// A progress bar with bytes, files, rate and time left; messages scroll above it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar that is not drawn yet.
    pub fn new() -> Self {
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
        }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Reporter for Bar {
    fn event(&self, event: &Event) {
        match event {
            Event::RunStarted { bytes, .. } => {
                let style = ProgressStyle::with_template(
                    "{bar:30} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {msg}  left {eta}",
                )
                .expect("the template is a constant that parses");
                self.bar.set_style(style);
                self.bar.set_length(*bytes);
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            Event::Progress {
                files,
                bytes,
                held_by,
                ..
            } => {
                self.bar.set_position(*bytes);
                self.bar
                    .set_message(format!("{files} files{}", held(*held_by)));
            }
            Event::RunEnded { .. } => {
                self.bar.finish_and_clear();
                tell_event(event);
            }
            Event::ActionFailed { .. }
            | Event::ActionSkipped { .. }
            | Event::Direct { .. }
            | Event::Relayed { .. }
            | Event::Moving { .. }
            | Event::Tracked { .. }
            | Event::Untracked { .. }
            | Event::Round { .. }
            | Event::Forecast { .. }
            | Event::Frozen { .. }
            | Event::Queue { .. }
            | Event::Drained { .. }
            | Event::Waiting { .. }
            | Event::TakingBack { .. }
            | Event::TakenBack { .. }
            | Event::Warning { .. } => {
                self.bar.suspend(|| tell_event(event));
            }
            Event::Observing { .. } => {
                tell_event(event);
            }
            Event::ActionStarted { .. } | Event::ActionDone { .. } => {}
        }
    }
}

/// One line per event that a person wants to find in a log.
#[derive(Debug, Default)]
pub struct Plain {
    last_progress: Mutex<Option<Instant>>,
}

impl Reporter for Plain {
    fn event(&self, event: &Event) {
        if let Event::Progress { .. } = event {
            let mut last = self
                .last_progress
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            if now.duration_since(*last.get_or_insert(now)) < QUIET {
                return;
            }
            *last = Some(now);
        }
        tell_event(event);
    }
}

/// Says something to people, on stderr. That nobody can hear it must not stop a migration half-way.
pub(crate) fn tell(text: &str) {
    anstream::stderr().lock().write_all(text.as_bytes()).ok();
}

fn tell_event(event: &Event) {
    if let Some(line) = sentence(event) {
        tell(&format!("{line}\n"));
    }
}

/// What holds the copying back, to be appended.
fn held(by: Option<HeldBy>) -> String {
    by.map_or(String::new(), |by| format!(", held back by {}", by.name()))
}

fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::Observing { what } => format!("{what} ..."),
        Event::RunStarted { actions, bytes, .. } => {
            let actions = counted(*actions as u64, "action", "actions");
            format!("Applying {actions}, {} to copy.", size(*bytes))
        }
        Event::Direct { address } => {
            format!("  mail goes straight from host to host, to {address}")
        }
        Event::Relayed { why } => format!("  mail goes through this machine: {why}"),
        Event::ActionStarted { .. } => return None,
        Event::ActionDone { action } => format!("  done {action}"),
        Event::Moving { action, what } => {
            format!(
                "  {action}: still changing on the source ({what}); the next run brings the rest"
            )
        }
        Event::Tracked { host } => {
            format!("  {host} tells from here on what changes; the rest is passed over")
        }
        Event::Untracked { why } => {
            format!("  where nothing tells what changes, every file is looked at: {why}")
        }
        Event::Round {
            number,
            users,
            bytes,
            seconds,
        } => {
            let users = counted(*users, "user", "users");
            let bytes = size(*bytes);
            format!(
                "  round {number}: mail of {users} had changed, {bytes} copied in {seconds:.1} s"
            )
        }
        Event::Forecast { seconds, budget } => {
            format!("  the freeze will take about {seconds} s, and may take {budget} s")
        }
        Event::Frozen { host } => format!("  the mail on {host} stands still"),
        Event::Queue { waiting, carried } => {
            let waiting = counted(*waiting, "message", "messages");
            format!("  {waiting} in the queue, {carried} carried over")
        }
        Event::Drained { waiting, left } => {
            let waiting = counted(*waiting, "message", "messages");
            format!("  {waiting} waited on the backup, {left} left")
        }
        Event::Waiting { until, how } => format!("  waiting until {until}: {how}"),
        Event::TakingBack { host, why } => format!("  taking back what was done on {host}: {why}"),
        Event::TakenBack { host, left } if left.is_empty() => format!("  {host} is as before"),
        Event::TakenBack { host, left } => format!("  {host} is not as before yet: {left}"),
        Event::Warning { text } => format!("  warning: {text}"),
        Event::ActionFailed { action, error } => format!("  failed {action}: {error}"),
        Event::ActionSkipped { action, waits_on } => {
            format!("  left out {action}: it needs {waits_on}")
        }
        Event::Progress {
            files,
            bytes,
            total_bytes,
            rate,
            eta_seconds,
            held_by,
        } => {
            let eta = eta_seconds.map_or(String::new(), |s| format!(", {s} s left"));
            let (done, total) = (size(*bytes), size(*total_bytes));
            let (rate, held) = (size(*rate), held(*held_by));
            format!("  {files} files, {done} of {total}, {rate}/s{held}{eta}")
        }
        Event::RunEnded {
            done,
            failed,
            skipped,
            files,
            bytes,
        } => {
            let copied = format!("{files} entries looked at, {} copied", size(*bytes));
            match (failed, skipped) {
                (0, 0) => {
                    let actions = counted(*done as u64, "action", "actions");
                    format!("Applied {actions}; {copied}.")
                }
                _ => format!("{done} actions done, {failed} failed, {skipped} left out; {copied}."),
            }
        }
    })
}
