//! The brake: a side that loses too much in too short a time is halted before it loses more.
//!
//! It counts what a side is about to have deleted or overwritten, over a sliding window. It knows
//! nothing of paths, and it does not halt anything itself: it refuses, until it is told to forget.

use std::collections::VecDeque;

use crate::side::{PerSide, Side};
use crate::time::Moment;

/// When it is too much. Both must be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many files are never too many.
    pub files_min: u64,
    /// So many of a hundred known files are never too many.
    pub share_percent: u64,
    /// Counted over this time, in milliseconds.
    pub window_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { files_min: 1000, share_percent: 50, window_ms: 10 * 60 * 1000 }
    }
}

/// Why a deletion or replacement may not be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{files} of {known} files at side {side} would be deleted or overwritten within {} minutes",
    window_ms.div_ceil(60_000)
)]
pub struct Refusal {
    /// The side that would lose them.
    pub side: Side,
    /// How many it would have lost, with those that it has lost already.
    pub files: u64,
    /// How many it has or had within the window.
    pub known: u64,
    /// The window, in milliseconds.
    pub window_ms: u64,
}

/// What each side lost lately.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    limits: Limits,
    lately: PerSide<VecDeque<Loss>>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    at: Moment,
    files: u64,
    /// Known before the loss.
    known: u64,
}

impl Guard {
    /// A guard that has seen nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Guard {
        Guard { limits, lately: PerSide::default() }
    }

    /// Counts files that a side is about to lose, of those that are known there now.
    ///
    /// What is refused is not counted: it is not going to happen.
    pub fn note(
        &mut self,
        now: Moment,
        side: Side,
        removed_or_overwritten: u64,
        known: u64,
    ) -> Result<(), Refusal> {
        if removed_or_overwritten == 0 {
            return Ok(());
        }
        let lately = &mut self.lately[side];
        while lately.front().is_some_and(|loss| now.ms_since(loss.at) >= self.limits.window_ms) {
            lately.pop_front();
        }
        // The share is of what there was when the window began: a tree that shrinks step by step
        // is measured by its former size.
        let known = lately.iter().map(|loss| loss.known).fold(known, u64::max);
        let before: u64 = lately.iter().map(|loss| loss.files).sum();
        let files = before.saturating_add(removed_or_overwritten);
        let share = u128::from(known) * u128::from(self.limits.share_percent);
        if files > self.limits.files_min && u128::from(files) * 100 > share {
            return Err(Refusal { side, files, known, window_ms: self.limits.window_ms });
        }
        match lately.back_mut() {
            // Steps of one moment are one entry, so that the window's length bounds the memory.
            Some(last) if last.at == now => {
                last.files += removed_or_overwritten;
                last.known = known;
            }
            _ => lately.push_back(Loss { at: now, files: removed_or_overwritten, known }),
        }
        Ok(())
    }

    /// Forgets what a side lost: it was approved.
    pub fn forget(&mut self, side: Side) {
        self.lately[side].clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn more_than_half_and_more_than_a_thousand_is_refused() {
        let mut guard = Guard::default();
        assert_eq!(guard.note(Moment(0), Side::A, 1000, 1000), Ok(()), "a small tree may go");
        assert_eq!(guard.note(Moment(0), Side::B, 5000, 10_000), Ok(()), "half may go");
        let refusal = guard.note(Moment(1), Side::B, 1, 5000).expect_err("more than half");
        assert_eq!((refusal.files, refusal.known), (5001, 10_000));
        assert_eq!(
            refusal.to_string(),
            "5001 of 10000 files at side B would be deleted or overwritten within 10 minutes"
        );
    }

    #[test]
    fn what_trickles_is_counted_together_within_the_window_only() {
        let mut guard = Guard::default();
        for minute in 0..5 {
            let known = 2000 - minute * 250;
            assert_eq!(guard.note(Moment(minute * MINUTE), Side::A, 200, known), Ok(()));
        }
        assert!(guard.note(Moment(5 * MINUTE), Side::A, 200, 1000).is_err());
        assert!(guard.note(Moment(5 * MINUTE), Side::A, 200, 1000).is_err(), "it stays refused");
        assert_eq!(guard.note(Moment(5 * MINUTE), Side::B, 200, 1000), Ok(()), "sides are apart");
        assert_eq!(guard.note(Moment(11 * MINUTE), Side::A, 200, 1000), Ok(()));
    }

    #[test]
    fn approval_starts_anew() {
        let mut guard = Guard::new(Limits { files_min: 1, share_percent: 50, window_ms: 1000 });
        assert_eq!(guard.note(Moment(0), Side::A, 2, 4), Ok(()));
        assert!(guard.note(Moment(0), Side::A, 1, 2).is_err());
        guard.forget(Side::A);
        assert_eq!(guard.note(Moment(0), Side::A, 1, 2), Ok(()));
    }
}
