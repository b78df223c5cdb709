//! A disk in memory, behind the calls that a replica makes: it stops, fails and forgets where a
//! test wants it to, and users work on it between any two calls.

#![allow(dead_code, reason = "each package uses its own part")]

pub(crate) mod files;
pub(crate) mod node;
pub(crate) mod power;
pub(crate) mod side;
pub(crate) mod users;

use rustix::io::Errno;

#[allow(unused_imports, reason = "each package uses its own part")]
pub(crate) use files::{Features, Files};
pub(crate) use node::Disk;
pub(crate) use side::Place;
pub(crate) use users::{Account, Deed};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Go,
    /// It fails, and nothing happened.
    Fail(Errno),
    /// The process ends before it.
    Stop,
}

/// What unwinds when the process ends.
pub(crate) struct Killed;
