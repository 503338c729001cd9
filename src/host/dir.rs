//! stub
use rustix::fd::OwnedFd;
#[derive(Debug)]
pub struct DirHost {
    _root: OwnedFd,
}
#[derive(Debug)]
pub struct AccountLock<'a> {
    _h: &'a DirHost,
}
