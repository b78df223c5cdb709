//! What the client's exit code says. It is a contract with scripts.

use std::process::ExitCode;

use common::wire::client::RefusalKind;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused: no such file, nothing locked there, a stale index.
    Refused = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// Server A cannot be reached, or is not server A.
    Unreachable = 3,
    /// Another holds the lock.
    LockedByAnother = 4,
    /// The time is over, or something still waits.
    StillWaiting = 5,
}

impl From<RefusalKind> for Exit {
    fn from(kind: RefusalKind) -> Exit {
        match kind {
            RefusalKind::Refused => Exit::Refused,
            RefusalKind::LockedByAnother => Exit::LockedByAnother,
            RefusalKind::StillWaiting => Exit::StillWaiting,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
