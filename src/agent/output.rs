//! Programs that are heard from afar.

use std::io::Read as _;
use std::sync::mpsc::Receiver;

use super::Agent;
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::remote::message::{Event, Outcome, encode};
use crate::host::{Probe, ReadHost as _};
use crate::wire;

/// How much of an answer is sent at once.
const PIECE: usize = 64 * 1024;

impl Agent {
    /// Sends what a program says, a piece for each time that more is asked for.
    pub(super) fn hear(&self, channel: u32, probe: &Probe, more: &Receiver<()>) -> Result<Outcome> {
        let what = || format!("cannot hear {}", probe.argv()[0]);
        let Some(mut hearing) = self.host.ask(probe)? else {
            return Ok(Outcome::Ended(None));
        };
        let mut piece = vec![0; PIECE];
        loop {
            let read = hearing.read(&mut piece).doing(Kind::Host, what)?;
            if read == 0 {
                return hearing.end().map(|ended| Outcome::Ended(Some(ended)));
            }
            let nobody = |_| Error::new(Kind::Interrupted, "nobody hears it any more");
            more.recv().map_err(nobody)?;
            let event = encode(&Event::Output(piece[..read].to_vec()));
            self.out
                .send(wire::Kind::Event, channel, &event)
                .doing(Kind::Host, what)?;
        }
    }
}
