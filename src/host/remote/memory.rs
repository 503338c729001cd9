//! Facts about a host that are asked for all at once, before they are needed.
//!
//! An observation asks for a hundred small things, many only because of what another one was. To a distant
//! host each costs a round trip, so all that were asked for the last time are asked for in one question at
//! the beginning of the next. What comes is used while the observation lasts and forgotten with it, or with
//! the first change. Contents that not everybody may read are never among it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::message::{Request, encode};

/// What is known of a host for the moment.
#[derive(Default)]
pub(super) struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    /// Who needs it: `answers` are of use as long as there is anybody.
    users: usize,
    /// Replies to requests, both as they went over the wire.
    answers: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What was asked for while it was in use.
    asked: BTreeSet<Vec<u8>>,
}

/// Somebody who uses a memory.
pub(super) struct User(Arc<Memory>);

impl Drop for User {
    fn drop(&mut self) {
        let mut state = self.0.open();
        state.users -= 1;
        if state.users == 0 {
            state.answers.clear();
        }
    }
}

impl Memory {
    fn open(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to ask for: what is usual, and what was asked for so far.
    pub(super) fn questions(&self, usual: impl Iterator<Item = Request>) -> Vec<Vec<u8>> {
        let mut asked = self.open().asked.clone();
        asked.extend(usual.map(|request| encode(&request)));
        asked.into_iter().collect()
    }

    /// Takes in the answers to questions; one that is empty is none.
    pub(super) fn learn(self: &Arc<Self>, questions: Vec<Vec<u8>>, answers: Vec<Vec<u8>>) -> User {
        let mut state = self.open();
        state.users += 1;
        let known = questions.into_iter().zip(answers);
        state
            .answers
            .extend(known.filter(|(_, answer)| !answer.is_empty()));
        User(Arc::clone(self))
    }

    /// The reply to a request, if it is known.
    pub(super) fn recall(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut state = self.open();
        if state.users == 0 {
            return None;
        }
        let answer = state.answers.get(request).cloned();
        state.asked.insert(request.to_vec());
        answer
    }

    /// Something on the host changes.
    pub(super) fn forget(&self) {
        self.open().answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::HostPath;

    fn stat(path: &str) -> Request {
        Request::Stat(HostPath::from(path))
    }

    #[test]
    fn what_was_asked_for_is_asked_for_again_and_known_as_long_as_somebody_needs_it() {
        let memory = Arc::new(Memory::default());
        let [a, b] = [stat("/a"), stat("/b")].map(|request| encode(&request));
        assert_eq!(memory.recall(&a), None);
        assert_eq!(memory.questions([stat("/b")].into_iter()).len(), 1);
        let user = memory.learn(vec![b.clone()], vec![b"B".to_vec()]);
        assert_eq!(memory.recall(&a), None);
        assert_eq!(memory.recall(&b).unwrap(), b"B");
        let another = memory.learn(vec![], vec![]);
        drop(user);
        assert_eq!(memory.recall(&b).unwrap(), b"B");
        drop(another);
        assert_eq!(memory.recall(&b), None);
        assert_eq!(memory.questions(std::iter::empty()), [a.clone(), b.clone()]);
        let _user = memory.learn(vec![a.clone(), b.clone()], vec![b"A".to_vec(), vec![]]);
        assert_eq!(memory.recall(&b), None, "nothing is no answer");
        assert_eq!(memory.recall(&a).unwrap(), b"A");
        memory.forget();
        assert_eq!(memory.recall(&a), None);
    }
}
