//! How long the way to the other end and back takes, as the heartbeat shows.
//!
//! Both times are read at this end: the other one's clock is never asked.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a clock, and two tasks")]

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So often it is measured while there is something to say.
const EVERY: Duration = Duration::from_secs(1);
/// Signs of life that may be awaited. With more of them the other end is not one of ours.
const AWAITED_MAX: usize = 16;

/// The signs of life that were asked for, and how long the last one took.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Answers come in the order of the questions.
    asked: VecDeque<Instant>,
    last_asked: Option<Instant>,
    took: Option<Duration>,
    least: Option<Duration>,
}

impl Rounds {
    /// A sign of life is asked for.
    pub(super) fn asked(&self) {
        self.lock().ask(Instant::now());
    }

    /// The same, unless one is awaited, or was a moment ago.
    pub(super) fn ask_again(&self) -> bool {
        let (mut inner, now) = (self.lock(), Instant::now());
        let recent = |at: Instant| now.saturating_duration_since(at) < EVERY;
        let is_due = inner.asked.is_empty() && !inner.last_asked.is_some_and(recent);
        if is_due {
            inner.ask(now);
        }
        is_due
    }

    /// One came.
    pub(super) fn answered(&self) {
        let mut inner = self.lock();
        if let Some(asked) = inner.asked.pop_front() {
            let took = asked.elapsed();
            inner.took = Some(took);
            inner.least = Some(inner.least.map_or(took, |least| least.min(took)));
        }
    }

    /// How long the last one took.
    pub(super) fn last(&self) -> Option<Duration> {
        self.lock().took
    }

    /// How long the shortest one took: a way seems longer while there is much to do at its ends,
    /// and never shorter.
    pub(super) fn least(&self) -> Option<Duration> {
        self.lock().least
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn ask(&mut self, now: Instant) {
        self.last_asked = Some(now);
        self.asked.push_back(now);
        if self.asked.len() > AWAITED_MAX {
            self.asked.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_belongs_to_the_oldest_question() {
        let rounds = Rounds::default();
        rounds.answered();
        assert_eq!(rounds.last(), None, "nobody asked");
        assert!(rounds.ask_again() && !rounds.ask_again(), "one is awaited");
        rounds.asked();
        rounds.answered();
        assert!(rounds.last().is_some());
        rounds.answered();
        rounds.answered();
        assert!(!rounds.ask_again(), "one was asked for a moment ago");
        (0..100).for_each(|_| rounds.asked());
        assert_eq!(rounds.lock().asked.len(), AWAITED_MAX);
    }

    #[test]
    fn who_is_slow_to_answer_makes_the_way_no_longer() {
        let rounds = Rounds::default();
        rounds.asked();
        rounds.answered();
        let short = rounds.last();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).expect("an uptime");
        rounds.lock().ask(long_ago);
        rounds.answered();
        assert!(rounds.last() > short);
        assert_eq!(rounds.least(), short);
    }
}
