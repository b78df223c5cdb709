//! A run that did not do what was asked: what to say, what to hint at, how to exit.
//!
//! Every error of the crate ends here, once, with its chain of causes in one line.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use common::identity::key::IdentityError;
use common::wire::client::Refusal;

use crate::exit::Exit;
use crate::request::RequestError;
use crate::shown::ShownError;
use crate::words::safe;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How to exit.
    pub exit: Exit,
    /// What and why, in one line, safe for a terminal.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A refusal by this program itself.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { exit: Exit::Refused, message: message.into(), hint: Some(hint.into()) }
    }

    /// An answer that belongs to another question.
    #[must_use]
    pub fn unexpected() -> Failure {
        Failure {
            exit: Exit::Unreachable,
            message: "server A answered something else than was asked".to_owned(),
            hint: None,
        }
    }

    /// The word for this sort of failure in JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.exit {
            Exit::Done | Exit::Refused | Exit::Usage => "refused",
            Exit::Unreachable => "unreachable",
            Exit::LockedByAnother => "locked_by_another",
            Exit::StillWaiting => "still_waiting",
        }
    }

    /// The lines for stderr.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = format!("lab3: {}\n", self.message);
        if let Some(hint) = &self.hint {
            let _ = writeln!(lines, "hint: {hint}");
        }
        lines
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure {
            exit: refusal.kind.into(),
            message: safe(&refusal.message),
            hint: refusal.hint.as_deref().map(safe),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        let hint = error.hint();
        Failure { exit: error.exit(), message: chain(&error), hint: hint.map(str::to_owned) }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Failure {
        Failure { exit: Exit::Refused, message: chain(&error), hint: None }
    }
}

impl From<ShownError> for Failure {
    fn from(error: ShownError) -> Failure {
        Failure { exit: Exit::Refused, message: chain(&error), hint: Some(error.hint().to_owned()) }
    }
}

/// Output that cannot be written. A closed pipe never comes here.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let message = format!("cannot write the output: {}", cause(&error));
        Failure { exit: Exit::Refused, message, hint: None }
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), cause);
        let _ = write!(line, ": {text}");
        next = error.source();
    }
    safe(&line)
}

/// `connection refused`, of `Connection refused (os error 111)`.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_as_part_of_a_sentence() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(cause(&refused), "connection refused");
        assert_eq!(cause(&io::Error::other("TLS is needed")), "TLS is needed");
    }
}
