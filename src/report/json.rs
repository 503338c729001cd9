//! Events as JSON, one per line on stdout, for other programs.

use std::io::Write as _;

use super::{Event, Reporter};

/// Writes each event as one line of JSON.
#[derive(Debug, Clone, Copy)]
pub struct JsonLines;

impl Reporter for JsonLines {
    fn event(&self, event: &Event) {
        let mut line = serde_json::to_string(event).expect("an event is plain data with text keys");
        line.push('\n');
        // A reader that went away must not stop a migration half-way.
        std::io::stdout().lock().write_all(line.as_bytes()).ok();
    }
}
