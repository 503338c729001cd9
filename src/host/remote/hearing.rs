//! A program's answer from the far end, piece by piece.

use std::io::{self, Read};
use std::sync::Arc;

use super::line::{Channel, Line, outcome};
use super::message::{Event, Outcome, Request, decode, encode};
use crate::error::Result;
use crate::host::{Ended, Hearing, Probe};
use crate::wire;

/// Pieces that may be under way.
const AHEAD: usize = 4;

pub(super) fn ask(line: &Arc<Line>, probe: &Probe) -> Result<Option<Box<dyn Hearing>>> {
    let channel = line.channel()?;
    let request = encode(&Request::Ask(probe.clone()));
    line.send(wire::Kind::Call, channel.number, &request)?;
    for _ in 0..AHEAD {
        line.send(wire::Kind::More, channel.number, &[])?;
    }
    let mut far = Far {
        line: Arc::clone(line),
        channel,
        piece: io::Cursor::new(Vec::new()),
        end: None,
    };
    far.advance()?;
    // What could not even be started says so before anything else.
    match far.end {
        Some(End::NotThere) => Ok(None),
        _ => Ok(Some(Box::new(far))),
    }
}

struct Far {
    line: Arc<Line>,
    channel: Channel,
    piece: io::Cursor<Vec<u8>>,
    end: Option<End>,
}

#[derive(Clone)]
enum End {
    Ended(Ended),
    /// There is no such program.
    NotThere,
}

impl Far {
    /// Waits for the next piece, or the end.
    fn advance(&mut self) -> Result<()> {
        let frame = self.channel.frames.recv().map_err(|_| self.line.lost())?;
        match frame.kind {
            wire::Kind::Reply => {
                self.end = Some(match outcome(&frame.body)? {
                    Outcome::Ended(Some(ended)) => End::Ended(ended),
                    Outcome::Ended(None) => End::NotThere,
                    _ => return Err(self.line.nonsense()),
                });
                Ok(())
            }
            wire::Kind::Event => {
                let Event::Output(bytes) = decode(&frame.body)? else {
                    return Err(self.line.nonsense());
                };
                self.piece = io::Cursor::new(bytes);
                self.line.send(wire::Kind::More, self.channel.number, &[])
            }
            _ => Err(self.line.nonsense()),
        }
    }
}

impl Read for Far {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.end.is_some() {
                return Ok(read);
            }
            self.advance().map_err(io::Error::other)?;
        }
    }
}

impl Hearing for Far {
    fn end(mut self: Box<Self>) -> Result<Ended> {
        loop {
            match self.end.take() {
                Some(End::Ended(ended)) => return Ok(ended),
                Some(End::NotThere) => return Ok(Ended::NotRun),
                None => self.advance()?,
            }
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if self.end.is_none() {
            // A line that is dead has no program at its end.
            self.line
                .send(wire::Kind::Cancel, self.channel.number, &[])
                .ok();
        }
    }
}
