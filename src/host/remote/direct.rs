//! Two agents meet: which of them does what for a data connection ([`crate::direct`]), and whether it
//! is there.
//!
//! The target listens and the source connects, whichever way mail goes: a new host is more likely to be
//! within reach, an old one sits behind an address translation, and no port is opened on the host that
//! serves.
//! Keys go through the agents' own lines, whose ends ssh has proven.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, Weak};

use super::RemoteHost;
use super::job::{self, Far};
use super::line::Line;
use super::message::{Outcome, Request};
use crate::error::{Error, Kind, Result};
use crate::host::tree::trees_of;
use crate::host::{ReadHost, TreeJob};

/// What happens when a data connection breaks under a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnLoss {
    /// The copy goes on through the operator's machine.
    Relay,
    /// It fails.
    Fail,
}

/// A host's data connection.
#[derive(Default)]
pub(super) enum Direct {
    /// There is none.
    #[default]
    None,
    /// To the host of this line.
    To(Weak<Line>, OnLoss),
    /// It broke, for this reason, which nobody was told yet.
    Lost(String),
}

impl RemoteHost {
    /// Makes a data connection to this host from another one; at which address of this host it ends.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if there is no way between them, with what a person can do about it.
    pub fn meet(&self, other: &Self, on_loss: OnLoss) -> Result<SocketAddr> {
        let Outcome::Key(key) = other.call(&Request::Introduce)? else {
            return Err(other.line.nonsense());
        };
        let Outcome::Port(port) = self.call(&Request::Listen(key))? else {
            return Err(self.line.nonsense());
        };
        let known = self.line.addresses().into_iter();
        let known = known.map(|address| SocketAddr::new(address, port.number));
        let to: BTreeSet<SocketAddr> = known.chain(port.addresses).collect();
        let request = Request::Connect {
            peer: port.key,
            to: to.into_iter().collect(),
        };
        match other.call(&request) {
            Ok(Outcome::Connected(address)) => {
                self.set_direct(Direct::To(Arc::downgrade(&other.line), on_loss));
                other.set_direct(Direct::To(Arc::downgrade(&self.line), on_loss));
                Ok(address)
            }
            Ok(_) => Err(other.line.nonsense()),
            Err(error) => {
                self.done(&Request::Unlisten)?;
                let (from, to) = (other.line.label(), self.line.label());
                let what = format!("{from} cannot connect to {to}");
                let number = port.number;
                Err(Error::caused(error.kind(), what, error).hint(format!(
                    "let {from} through to TCP port {number} of {to}, in the firewalls of both, or \
                     write `transfer: {{ path: auto }}`"
                )))
            }
        }
    }

    /// Why the data connection broke; told once.
    pub fn direct_loss(&self) -> Option<String> {
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *direct) {
            Direct::Lost(why) => Some(why),
            other => {
                *direct = other;
                None
            }
        }
    }

    fn set_direct(&self, now: Direct) {
        *self.direct.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Opens a session with the trees of a source to which there is a data connection. `None` if there is
    /// none.
    pub(super) fn open_direct(
        &self,
        jobs: &[TreeJob],
        source: &dyn ReadHost,
    ) -> Result<Option<Far>> {
        let Some(source) = source.remote() else {
            return Ok(None);
        };
        let is_there = match &*self.direct.lock().unwrap_or_else(PoisonError::into_inner) {
            Direct::To(line, _) => std::ptr::eq(line.as_ptr(), Arc::as_ptr(&source.line)),
            Direct::None | Direct::Lost(_) => false,
        };
        if !is_there {
            return Ok(None);
        }
        match job::direct_session(&source.line, trees_of(jobs))? {
            Ok(session) => Ok(Some(session)),
            Err(why) => self.lose(why).map(|()| None),
        }
    }

    /// The data connection broke. `Ok` if work goes on without it.
    pub(super) fn lose(&self, why: String) -> Result<()> {
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        match *direct {
            Direct::To(_, OnLoss::Relay) => {
                *direct = Direct::Lost(why);
                Ok(())
            }
            // Several copies lose it at once.
            Direct::None | Direct::Lost(_) => Ok(()),
            Direct::To(_, OnLoss::Fail) => {
                let what = format!("the connection between source and target broke: {why}");
                Err(Error::new(Kind::Host, what).hint(
                    "run `reconcile apply` again to go on; `transfer: { path: auto }` goes on by \
                     itself, through this machine",
                ))
            }
        }
    }
}
