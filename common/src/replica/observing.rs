//! The observing thread: takes hints and commands, looks, tells.
//!
//! Every turn takes all that has arrived, then looks once at everything that is due: a burst is
//! one look. The thread never waits for anything but its inbox, so what it says is never older
//! than the last turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::dirty::{Depth, Dirty, Mark, Place};
use crate::limits::{INLINE_BYTES_MAX, QUIET_MS};
use crate::path::RelPath;
use crate::replica::barrier::{Barrier, Stage, stamps_are_coarse};
use crate::replica::burst::Burst;
use crate::replica::guard::{self, Halt};
use crate::replica::hashing::{self, Bench, Wanted};
use crate::replica::hinted::Hinted;
use crate::replica::ignore::Patterns;
use crate::replica::known::{Finding, Known};
use crate::replica::observer::{Command, Input, ObserverError, Ready, Settings};
use crate::replica::root::Root;
use crate::replica::scan::{Follow, Ground, Manner, Seen, scan};
use crate::replica::watch::{Watch, Watched};
use crate::replica::{condition::Conditions, flush};
use crate::time::Moment;
use crate::wire::message::Report;

/// After so long a commit that was under way should be over.
const COMMIT_MS: u64 = 10;
/// What moved while it was looked at is looked at again after this.
const MOVED_MS: u64 = 20;
/// After so long a stamp is no longer young.
const YOUNG_MS: u64 = 25;
/// So many absences are believed without another look at the root.
const FEW: usize = 3;
/// So many bytes of content are kept in memory by one look.
const KEEP_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// So many unreadable paths are tried again at a time.
const RETRIES_MAX: usize = 1000;

/// The thread's state.
pub(super) struct Observing {
    pub(super) settings: Settings,
    pub(super) root: Arc<Root>,
    pub(super) known: Arc<Known>,
    inbox: Receiver<Input>,
    pub(super) watch: Watch,
    pub(super) patterns: Patterns,
    pub(super) dirty: Dirty,
    coarse: bool,
    start: Instant,
    pub(super) halt: Option<Halt>,
    /// The same, for the other thread.
    halted: Arc<AtomicBool>,
    /// Somebody said that the root may be empty.
    approved: bool,
    pub(super) hinted: Hinted,
    pub(super) burst: Burst,
    hash: Sender<Wanted>,
    flush: Sender<flush::Job>,
    /// Files that are being read elsewhere, and whether they were touched since.
    pub(super) hashing: BTreeMap<RelPath, bool>,
    pub(super) barriers: Vec<Barrier>,
    pub(super) cookies: u64,
    /// Renames of which only the first half has arrived.
    pub(super) halves: BTreeMap<usize, RelPath>,
    /// Renames of which both halves have.
    pub(super) renames: Vec<(RelPath, RelPath)>,
    conditions: Conditions,
    pub(super) next_guard: Moment,
    next_poll: Moment,
    next_scrub: Option<Moment>,
    is_first: bool,
    /// Whether a look found that files have other names that must be looked at.
    other_names: bool,
    /// Whether the last look left something to be looked at again.
    pub(super) unsettled: bool,
    stopping: bool,
}

impl Observing {
    pub(super) fn new(
        settings: Settings,
        root: Arc<Root>,
        known: Arc<Known>,
        outbox: Sender<Input>,
        inbox: Receiver<Input>,
    ) -> Result<Observing, ObserverError> {
        let hints = outbox.clone();
        let sink = Arc::new(move |hint| {
            let _ = hints.send(Input::Hint(hint, Instant::now()));
        });
        let watch = Watch::new(root.clone(), settings.watches_max, sink)?;
        let halted = Arc::new(AtomicBool::new(false));
        let bench = Bench {
            root: root.clone(),
            known: known.clone(),
            probe: settings.probe,
            halted: halted.clone(),
        };
        let done = move |hashed| {
            let _ = outbox.send(Input::Hashed(hashed));
        };
        let hash = hashing::start(bench, done).map_err(ObserverError::Thread)?;
        let flush = flush::start(root.clone(), known.clone()).map_err(ObserverError::Thread)?;
        Ok(Observing {
            coarse: stamps_are_coarse(&root),
            conditions: Conditions::new(settings.lacks.clone()),
            next_guard: Moment(settings.guard_ms),
            next_poll: Moment(settings.poll_ms),
            next_scrub: settings.scrub_ms.map(Moment),
            watch,
            patterns: Patterns::default(),
            dirty: Dirty::default(),
            hinted: Hinted::default(),
            burst: Burst::default(),
            start: Instant::now(),
            halt: None,
            halted,
            approved: false,
            hash,
            flush,
            hashing: BTreeMap::new(),
            barriers: Vec::new(),
            cookies: 0,
            halves: BTreeMap::new(),
            renames: Vec::new(),
            is_first: true,
            other_names: false,
            unsettled: false,
            stopping: false,
            settings,
            root,
            known,
            inbox,
        })
    }

    pub(super) fn run(mut self, ready: &Ready) {
        if let Err(halt) = guard::identity(&self.root) {
            self.halt(halt);
        } else {
            self.dirty.all(self.now());
            self.look(false, false);
        }
        self.is_first = false;
        self.conditions.links_may_differ();
        self.say_condition();
        ready.set();
        while !self.stopping {
            match self.inbox.recv_timeout(self.patience()) {
                Ok(input) => {
                    self.take(input);
                    self.drain();
                    self.gather();
                    self.carry();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tick();
            self.look(false, self.is_barrier_looking());
            self.advance_barriers();
            self.say_condition();
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// How long nothing needs to be done if nothing arrives.
    fn patience(&self) -> Duration {
        let deadlines = self.barriers.iter().map(|barrier| match &barrier.stage {
            Stage::Cookie(_, deadline) => *deadline,
            Stage::Looking(_) => self.now().after_ms(COMMIT_MS),
            Stage::Reading(_) => self.next_guard,
        });
        // While it is halted nothing is looked at, however long it has been due.
        let looks = match self.halt {
            None => [Some(self.next_poll), self.next_scrub],
            Some(_) => [None, None],
        };
        let next = [Some(self.next_guard)]
            .into_iter()
            .chain(looks)
            .flatten()
            .chain(self.dirty.next_due())
            .chain(deadlines)
            .min();
        Duration::from_millis(next.map_or(1000, |next| next.ms_since(self.now())))
    }

    pub(super) fn drain(&mut self) {
        while let Ok(input) = self.inbox.try_recv() {
            self.take(input);
        }
        if !self.halves.is_empty() {
            // The other half is on its way, or there is none: then the tree was left. Both must
            // be seen in one look to be one rename.
            self.watch.barrier();
            while let Ok(input) = self.inbox.try_recv() {
                self.take(input);
            }
            self.halves.clear();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.obey(command),
            Input::Hint(hint, at) => self.hint(hint, at),
            Input::Hashed(hashed) => self.hashed(&hashed),
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Counted(command, _place) => self.obey(*command),
            Command::Settle(id) => self.settle(id),
            // Somebody found that it is not what was told of it, so its stamp is not believed.
            Command::Rescan(Some(path)) => {
                self.dirty.mark_read(path.clone(), now);
                self.dirty.mark(Some(path), Depth::Deep, now);
            }
            Command::Rescan(None) => self.dirty.all(now),
            Command::MarkDirty(path) => self.dirty.mark(Some(path), Depth::Entry, now),
            Command::Sync(id, paths) => {
                if self.flush.send((id, paths)).is_err() {
                    self.known.say(Report::Synced { id, durable: false });
                }
            }
            Command::Scrub => self.next_scrub = Some(now),
            Command::Approve => {
                self.approved = true;
                if matches!(self.halt, Some(Halt::Emptied(_))) {
                    self.resume();
                }
                self.next_guard = now;
            }
            Command::Stop => self.stopping = true,
        }
    }

    /// Hints were lost: everything is watched anew and looked at.
    pub(super) fn renew(&mut self) {
        if let Err(error) = self.watch.renew() {
            tracing::error!(%error, "the watches cannot be made anew");
        }
        self.dirty.all(self.now());
    }

    fn tick(&mut self) {
        let now = self.now();
        if now >= self.next_guard {
            self.next_guard = now.after_ms(self.settings.guard_ms);
            match (guard::identity(&self.root), &self.halt) {
                (Err(halt), Some(Halt::Lost(_)) | None) => self.halt(halt),
                (Ok(()), Some(Halt::Lost(_))) => self.resume(),
                _ => {}
            }
        }
        if self.halt.is_some() {
            return;
        }
        if now >= self.next_poll {
            self.next_poll = now.after_ms(self.settings.poll_ms);
            self.poll();
        }
        if self.next_scrub.is_some_and(|next| now >= next) {
            self.next_scrub = self.settings.scrub_ms.map(|ms| now.after_ms(ms));
            self.look(true, true);
        }
    }

    /// Marks what no event tells of.
    fn poll(&mut self) {
        let now = self.now();
        for place in self.watch.polled().clone() {
            let depth = match self.watch.add(&place) {
                Watched::Fresh => Depth::Deep,
                _ => Depth::Listing,
            };
            self.dirty.mark(place, depth, now);
        }
        for path in self.known.unreadable(RETRIES_MAX) {
            self.dirty.mark(Some(path), Depth::Deep, now);
        }
    }

    /// Looks at what is due, or at everything that is marked; for a scrub at the whole tree.
    fn look(&mut self, scrub: bool, everything: bool) {
        if self.halt.is_some() {
            return self.dirty.clear();
        }
        let mut marks = self.dirty.take(self.now(), everything);
        let marked = if scrub { marks.clone() } else { BTreeMap::new() };
        if scrub {
            let mut whole = Dirty::default();
            whole.all(self.now());
            marks.extend(whole.take(self.now(), true));
        }
        self.unsettled = self.defer(&mut marks);
        if marks.is_empty() {
            return;
        }
        let ticket = self.known.look();
        let whole = marks.contains_key(&None);
        let mut seen = self.scan(&marks, whole, everything);
        if let Err(halt) = self.believe(&mut seen, whole) {
            self.halt(halt);
            seen = Seen::default();
        }
        if scrub {
            self.drain();
            self.count_missed(&seen, &marked);
        }
        if seen.findings.values().any(|f| matches!(f, Finding::Present(r, _) if r.stamp.links > 1))
        {
            self.conditions.links_may_differ();
        }
        if !whole {
            self.mark_other_names(&seen);
        }
        self.left_behind(&mut seen);
        let findings = std::mem::take(&mut seen.findings);
        let mut told = self.hinted.among(&findings);
        let age = |path: &RelPath| self.hinted.age(path).filter(|_| !whole);
        let touched = self.known.tell_aged(ticket, findings, &age);
        told.retain(|path| !touched.contains(path));
        self.mark_again(touched, seen);
        self.hinted.looked(&told, &self.dirty);
        if whole {
            self.conditions.links_may_differ();
        }
    }

    /// Leaves for later what a commit is just changing: it would be read in vain. Answers whether
    /// there was any.
    fn defer(&mut self, marks: &mut BTreeMap<Place, Mark>) -> bool {
        let now = self.now();
        let before = marks.len();
        marks.retain(|place, mark| {
            let busy = place.as_ref().is_some_and(|path| self.known.is_committing(path));
            if busy {
                self.dirty.again(place.clone(), mark.depth, mark.read, now, COMMIT_MS);
            }
            !busy
        });
        marks.len() < before
    }

    fn scan(&mut self, marks: &BTreeMap<Place, Mark>, whole: bool, now: bool) -> Seen {
        let manner = Manner {
            keep_bytes: if whole { 0 } else { INLINE_BYTES_MAX },
            keep_bytes_together: KEEP_BYTES_MAX,
            // Before the first look is over nobody waits for a small edit.
            postpone_bytes: if self.is_first { u64::MAX } else { self.settings.large_bytes },
            probe: self.settings.probe,
            coarse: self.coarse,
            patient: !whole && !now,
        };
        let ground = Ground {
            root: &self.root,
            known: &self.known,
            patterns: &mut self.patterns,
            follow: &mut Watching(&mut self.watch),
            manner,
        };
        scan(ground, marks)
    }

    /// Whether what was seen can be the truth.
    fn believe(&mut self, seen: &mut Seen, whole: bool) -> Result<(), Halt> {
        if let Some(error) = seen.root_error.take() {
            let path = self.root.path().display();
            return Err(Halt::Lost(format!("cannot list `{path}`: {error}")));
        }
        guard::ours(&self.root, &seen.findings)?;
        let absent = |(path, finding): &(&RelPath, &Finding)| {
            **finding == Finding::Absent && self.known.row(path).is_some()
        };
        let absences = seen.findings.iter().filter(absent).count();
        if absences > FEW {
            guard::identity(&self.root)?;
        }
        let known = self.known.len();
        let few = if whole { 1 } else { self.settings.emptied_min };
        if absences >= few && absences == known && !self.approved {
            guard::emptied(&self.root, known)?;
        }
        self.approved &= !whole;
        Ok(())
    }

    fn count_missed(&mut self, seen: &Seen, marked: &BTreeMap<Place, Mark>) {
        let was_marked = |path: &RelPath| {
            let deep = |p: &Place| marked.get(p).is_some_and(|m| m.depth == Depth::Deep);
            marked.contains_key(&Some(path.clone()))
                || deep(&None)
                || path.ancestors().any(|above| deep(&Some(above)))
        };
        let mut missed = 0;
        for (path, finding) in &seen.findings {
            let known = self.known.row(path).map(|row| row.entry);
            let differs = match finding {
                Finding::Present(row, _) => !crate::entry::same(known.as_ref(), Some(&row.entry)),
                Finding::Absent => known.is_some(),
                Finding::Unknown(_) => false,
            };
            if differs && !was_marked(path) && !self.dirty.covers(path) {
                missed += 1;
            }
        }
        self.conditions.scrubbed(missed);
    }

    /// A write through one name of a file has no event for its other names.
    fn mark_other_names(&mut self, seen: &Seen) {
        if seen.linked.is_empty() {
            return;
        }
        let now = self.now();
        for path in self.known.names_of(&seen.linked) {
            if !seen.findings.contains_key(&path) {
                self.other_names = true;
                self.dirty.mark(Some(path), Depth::Entry, now);
            }
        }
    }

    fn mark_again(&mut self, touched: BTreeSet<RelPath>, seen: Seen) {
        let now = self.now();
        let other_names = std::mem::take(&mut self.other_names);
        self.unsettled |= other_names || !touched.is_empty() || !seen.again.is_empty();
        for path in touched {
            // What was found in a directory, or kept us from listing it, was not told either.
            self.dirty.again(Some(path), Depth::Listing, false, now, COMMIT_MS);
        }
        for (place, (depth, read)) in seen.again {
            let after = if read { QUIET_MS } else { MOVED_MS };
            self.dirty.again(place, depth, read, now, after);
        }
        for path in seen.young {
            self.dirty.again(Some(path), Depth::Entry, true, now, YOUNG_MS);
        }
        for path in seen.postponed.into_keys() {
            if let Some(touched) = self.hashing.get_mut(&path) {
                *touched = true;
            } else {
                let wanted = Wanted { path: path.clone(), since: self.hinted.since(&path) };
                if self.hash.send(wanted).is_ok() {
                    self.hashing.insert(path, false);
                }
            }
        }
    }

    fn halt(&mut self, halt: Halt) {
        if self.halt.as_ref() != Some(&halt) {
            tracing::error!(reason = halt.reason(), "halted");
        }
        self.halted.store(true, Ordering::SeqCst);
        self.dirty.clear();
        self.halt = Some(halt);
    }

    fn resume(&mut self) {
        tracing::info!("the root is itself again");
        self.halt = None;
        self.halted.store(false, Ordering::SeqCst);
        self.renew();
    }

    fn say_condition(&mut self) {
        let halted = self.halt.as_ref().map(|halt| halt.reason().to_owned());
        self.conditions.say(self.now(), halted, &self.watch, &self.known);
    }
}

/// Every directory that is listed has a watch before.
struct Watching<'w>(&'w mut Watch);

impl Follow for Watching<'_> {
    fn follows(&self, directory: &Place) -> bool {
        self.0.has(directory)
    }

    fn enter(&mut self, directory: &Place) {
        self.0.add(directory);
    }

    fn leave(&mut self, path: &RelPath) {
        self.0.remove(path);
    }
}
