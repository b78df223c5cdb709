//! Carrying out what the coordinator decided, and saying what became of it.
//!
//! Operations are carried out in groups, in phases: receive everything aside, flush, publish,
//! flush the directories, and only then say that it is done. So an outcome is never ahead of the
//! disk, and a thousand small files cost a few flushes. One operation that fails stops no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::change::{Operation, Outcome};
use crate::entry::Entry;
use crate::path::RelPath;
use crate::problem::{Problem, ProblemKind};
use crate::replica::apply::{Answer, Plan};
use crate::replica::begun::{Follow, Progress, witness};
use crate::replica::disk::Handle;
use crate::replica::known::{Known, Row};
use crate::replica::publish::Publisher;
use crate::replica::receive::NotReceived;
use crate::replica::source::Supplier;
use crate::replica::stage::{Flush, Staged, plain};
use crate::replica::step::{Step, StepError};
use crate::sys::ignore_sigio;
use crate::time::Micros;
use crate::wire::message::{Content, OrderId, Report, Spent};

/// More flushes than this are replaced by one of the whole file system.
const FLUSHES_MAX: usize = 16;

/// Whether what is said to be done survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Always.
    Strict,
    /// Not the last seconds: nothing is flushed.
    Relaxed,
}

/// One operation to carry out.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub id: OrderId,
    /// What to do.
    pub operation: Operation,
    /// Where the content is.
    pub content: Content,
    arrived: Instant,
}

impl Job {
    /// An order that has just arrived.
    pub fn new(id: OrderId, operation: Operation, content: Content) -> Job {
        Job { id, operation, content, arrived: Instant::now() }
    }
}

/// Called with a path that is to be looked at again.
pub type Dirty = Box<dyn Fn(RelPath) + Send + Sync>;

/// Carries out operations at one replica.
pub struct Committer {
    /// What moves things.
    pub publisher: Arc<Publisher>,
    /// What is known of the tree.
    pub known: Arc<Known>,
    /// Whether to flush.
    pub durability: Durability,
    /// Where content comes from that is not at hand.
    pub supplier: Arc<dyn Supplier>,
    /// Where to say that a path must be looked at again.
    pub dirty: Dirty,
    /// Where to say how operations come along.
    pub follow: Follow,
    /// Large groups take turns in all but waiting for the disk: they would only stand in each
    /// other's way in `stage/`.
    pub turn: Mutex<()>,
}

/// A job on its way through the phases.
enum State {
    /// Received, to be published.
    Ready(Plan, Option<Staged>),
    /// Nothing more to do.
    Over(Answer),
}

/// The directories to flush.
#[derive(Default)]
struct Touched {
    dirs: BTreeMap<(u64, u64), Handle>,
    /// Too many, or one that cannot be flushed by itself.
    all: bool,
}

impl Committer {
    /// Carries out operations that do not touch each other, and reports an outcome for each.
    pub fn commit_all(&self, jobs: Vec<Job>) {
        ignore_sigio();
        let paths: Vec<&RelPath> = jobs.iter().flat_map(|job| job.operation.paths()).collect();
        self.known.begin(&paths);
        let each = jobs.iter().filter(|job| job.content != Content::None).count() <= FLUSHES_MAX;
        let strict = self.durability == Durability::Strict;
        let flush = match self.durability {
            Durability::Strict if each => Flush::Now,
            Durability::Strict => Flush::Together,
            Durability::Relaxed => Flush::Begun,
        };
        let take_turn = || (flush == Flush::Together).then(|| self.turn.lock());
        let turn = take_turn();
        let mut states: Vec<State> = jobs.iter().map(|job| self.prepare(job, flush)).collect();
        drop(turn);
        if flush == Flush::Together
            && let Err(e) = self.flush_all()
        {
            // After a failed flush no page can be believed: what was staged is bad.
            states = states.into_iter().map(|state| self.abandon(state, &e)).collect();
        }
        for state in states.iter().filter(|_| !strict) {
            // After a power cut a name must not stand for zeros, which would pass for an edit.
            if let State::Ready(_, Some(staged)) = state {
                self.publisher.stage.written(staged);
            }
        }
        let staged = Instant::now();
        let turn = take_turn();
        self.begin(&jobs, &states);
        let mut touched = Touched::default();
        let answers: Vec<(Answer, Instant)> = jobs
            .iter()
            .zip(states)
            .map(|(job, state)| {
                let answer = self.publish(job, state, &mut touched);
                if matches!(answer.outcome, Outcome::Done { .. }) {
                    (self.follow)(Progress::Effected(job.id));
                }
                (answer, Instant::now())
            })
            .collect();
        drop(turn);
        let flushed = if strict { self.flush(touched) } else { Ok(()) };
        for (job, (answer, named)) in jobs.iter().zip(answers) {
            let spent = Spent {
                durable: Micros::from(staged.saturating_duration_since(job.arrived)),
                visible: Micros::from(named.saturating_duration_since(staged)),
                reported: Micros::from(named.elapsed()),
            };
            self.finish(job, answer, &flushed, spent);
        }
    }

    fn prepare(&self, job: &Job, flush: Flush) -> State {
        let change = match &job.operation {
            Operation::Change(change) => change,
            Operation::Rename { .. } => return State::Ready(Plan::Rename, None),
            Operation::Clear { path, before, below } => {
                return match self.plan_clear(path, before, below) {
                    Ok(Plan::Over(answer)) => State::Over(answer),
                    Ok(plan) => State::Ready(plan, None),
                    Err(e) => State::Over(Answer::failed(&e)),
                };
            }
        };
        let after = change.after.as_ref().map(plain);
        let plan = match self.plan(&change.path, change.before.as_ref(), after.as_ref()) {
            Ok(Plan::Over(answer)) => return State::Over(answer),
            Ok(plan) => plan,
            Err(e) => return State::Over(Answer::failed(&e)),
        };
        let (true, Some(after)) = (plan.publishes(), &after) else {
            return State::Ready(plan, None);
        };
        match self.receive(change, after, &job.content, flush) {
            Ok(staged) => State::Ready(plan, Some(staged)),
            Err(NotReceived::Moved) => State::Over(Answer::of(Outcome::Moved)),
            Err(NotReceived::Failed(e)) => State::Over(Answer::failed(&e)),
        }
    }

    /// Says for all at once what will tell after a kill which of them took effect.
    fn begin(&self, jobs: &[Job], states: &[State]) {
        let begun = |(job, state): (&Job, &State)| match state {
            State::Ready(plan, staged) => Some((job.id, witness(plan, staged.as_ref())?)),
            State::Over(_) => None,
        };
        let begun: Vec<_> = jobs.iter().zip(states).filter_map(begun).collect();
        if !begun.is_empty() {
            (self.follow)(Progress::Begun(begun));
        }
    }

    fn abandon(&self, state: State, error: &StepError) -> State {
        match state {
            State::Ready(_, Some(staged)) => {
                self.publisher.discard(&staged);
                State::Over(Answer::failed(error))
            }
            other => other,
        }
    }

    fn publish(&self, job: &Job, state: State, touched: &mut Touched) -> Answer {
        let (plan, staged) = match state {
            State::Ready(plan, staged) => (plan, staged),
            State::Over(answer) => return answer,
        };
        let answer = match (&job.operation, plan) {
            (Operation::Change(change), plan) => self.apply(change, plan, staged.as_ref()),
            (Operation::Rename { from, to, before }, _) => self.rename(from, to, before),
            (Operation::Clear { path, .. }, Plan::Clear(rows)) => self.clear(path, rows),
            (Operation::Clear { .. }, _) => Ok(Answer::of(Outcome::Busy)),
        };
        let mut answer = answer.unwrap_or_else(|e| Answer::failed(&e));
        if let Some(staged) = staged.filter(|_| !answer.published) {
            let done = matches!(answer.outcome, Outcome::Done { .. });
            if !done && self.publisher.is_unpublished(&staged) {
                (self.follow)(Progress::Missed(job.id));
            }
            self.publisher.discard(&staged);
        }
        for dir in answer.touched.drain(..) {
            touched.add(dir);
        }
        answer
    }

    fn finish(&self, job: &Job, answer: Answer, flushed: &Result<(), StepError>, spent: Spent) {
        let Answer { mut outcome, mut left, mut renamed, mut again, .. } = answer;
        if let (Err(e), Outcome::Done { .. }) = (flushed, &outcome) {
            // It happened, and may be undone by a power cut: let it be seen, not believed.
            outcome = Outcome::Failed(e.problem());
            left.clear();
            renamed = false;
            again.extend(job.operation.paths().into_iter().cloned());
        }
        let renamed = match &job.operation {
            Operation::Rename { from, to, .. } if renamed => Some((from, to)),
            _ => None,
        };
        let report = Report::Outcome { id: job.id, outcome, spent: Some(spent) };
        self.known.finish(&job.operation.paths(), renamed, left, report);
        again.into_iter().for_each(|path| (self.dirty)(path));
    }

    fn flush(&self, touched: Touched) -> Result<(), StepError> {
        if touched.all {
            return self.flush_all();
        }
        for dir in touched.dirs.values() {
            if dir.sync().is_err() {
                return self.flush_all();
            }
        }
        Ok(())
    }

    fn flush_all(&self) -> Result<(), StepError> {
        self.publisher.root.handle().sync_all().step("flush the file system")
    }
}

impl Touched {
    fn add(&mut self, dir: Handle) {
        match dir.stat() {
            Ok(stamp) if self.dirs.len() < FLUSHES_MAX => {
                self.dirs.insert((stamp.dev, stamp.ino), dir);
            }
            Ok(stamp) => {
                self.all |= !self.dirs.contains_key(&(stamp.dev, stamp.ino));
            }
            Err(_) => self.all = true,
        }
    }
}

impl Answer {
    pub(super) fn of(outcome: Outcome) -> Answer {
        let (left, touched, again) = (Vec::new(), Vec::new(), Vec::new());
        Answer { outcome, left, renamed: false, published: false, touched, again }
    }

    pub(super) fn failed(error: &StepError) -> Answer {
        Answer::of(Outcome::Failed(error.problem()))
    }

    pub(super) fn refused(detail: &str) -> Answer {
        let problem = Problem { kind: ProblemKind::Refused, detail: detail.to_owned() };
        Answer::of(Outcome::Failed(problem))
    }

    pub(super) fn stale(now: Option<Entry>) -> Answer {
        Answer::of(Outcome::Stale { now })
    }

    pub(super) fn done(path: &RelPath, row: Option<Row>, aside: Option<RelPath>) -> Answer {
        let now = row.as_ref().map(|row| row.entry.clone());
        let left = vec![(path.clone(), row)];
        Answer { left, ..Answer::of(Outcome::Done { now, aside }) }
    }

    pub(super) fn again(mut self, path: &RelPath) -> Answer {
        self.again.push(path.clone());
        self
    }

    pub(super) fn touching(mut self, dir: Handle) -> Answer {
        self.touched.push(dir);
        self
    }
}
