//! An error that names the step which failed. The path is known to whoever asked for the step.

use std::io;

use crate::problem::{Problem, ProblemKind};

/// A step of work on disk that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub struct StepError {
    /// What was attempted.
    pub step: &'static str,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl StepError {
    /// The problem as it is listed: the step and its cause.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { kind: ProblemKind::Refused, detail: format!("{self}: {}", self.source) }
    }
}

/// Names the step of a result.
pub trait Step<T> {
    /// Turns the error into one that names `step`.
    fn step(self, step: &'static str) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, StepError> {
        self.map_err(|e| StepError { step, source: e.into() })
    }
}
