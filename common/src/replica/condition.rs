//! How a side does, said whenever it changes and not too often.

use std::sync::PoisonError;

use crate::replica::known::Known;
use crate::replica::watch::Watch;
use crate::time::Moment;
use crate::wire::message::{Condition, Report};

/// At most so many files with names outside the tree are named.
const LINKED_MAX: usize = 100;
/// Numbers are said at most this often.
const PAUSE_MS: u64 = 1000;

/// What was said last, and what will be said next.
pub(super) struct Conditions {
    now: Condition,
    said: Option<(Condition, Moment)>,
    links_may_differ: bool,
    links_looked: Option<Moment>,
}

impl Conditions {
    pub(super) fn new(lacks: Vec<String>) -> Conditions {
        let now = Condition { lacks, ..Condition::default() };
        Conditions { now, said: None, links_may_differ: false, links_looked: None }
    }

    /// A file with several names was seen.
    pub(super) fn links_may_differ(&mut self) {
        self.links_may_differ = true;
    }

    /// A scrub is over, and found so many changes that nothing else had.
    pub(super) fn scrubbed(&mut self, found: u64) {
        self.now.scrubs += 1;
        self.now.scrub_found += found;
    }

    pub(super) fn say(
        &mut self,
        now: Moment,
        halted: Option<String>,
        watch: &Watch,
        known: &Known,
    ) {
        self.now.halted = halted;
        let unsettled = known.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        self.now.unsettled = unsettled.clone();
        drop(unsettled);
        self.now.watched = watch.count() as u64;
        self.now.polled = watch.polled().len() as u64;
        let is_news = |said: &Condition, next: &Condition| said.halted != next.halted;
        if let Some((said, when)) = &self.said
            && now.ms_since(*when) < PAUSE_MS
            && !is_news(said, &self.now)
        {
            return;
        }
        if self.links_may_differ && self.links_looked.is_none_or(|w| now.ms_since(w) >= PAUSE_MS) {
            self.links_may_differ = false;
            self.links_looked = Some(now);
            self.now.linked_outside = known.linked_outside(LINKED_MAX);
        }
        self.now.watch_hint = watch.hint();
        if self.said.as_ref().is_none_or(|(said, _)| *said != self.now) {
            self.said = Some((self.now.clone(), now));
            known.say(Report::Condition(self.now.clone()));
        }
    }
}
