//! A session in this process, for trees that cannot be opened but asked about.

use std::collections::VecDeque;

use super::{Pipe, Session};
use crate::error::{Error, Kind, Result};

/// Puts each question to a session when its answer is wanted; the questions behind it are known by
/// then.
#[derive(Debug)]
pub struct Beside<'a> {
    session: Session<'a>,
    asked: VecDeque<Vec<u8>>,
}

impl<'a> From<Session<'a>> for Beside<'a> {
    fn from(session: Session<'a>) -> Self {
        Self {
            session,
            asked: VecDeque::new(),
        }
    }
}

impl Pipe for Beside<'_> {
    fn send(&mut self, question: Vec<u8>) -> Result<()> {
        self.session.hear(&question);
        self.asked.push_back(question);
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let question = self.asked.pop_front();
        let question = question.ok_or_else(|| Error::new(Kind::Internal, "nothing was asked"))?;
        Ok(self.session.answer(&question))
    }
}
