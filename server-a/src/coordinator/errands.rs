//! What clients had done in the trees: one step after another, each an ordinary commit with its
//! expectation.
//!
//! A step does what the side's own user could have done, so what it leaves is decided like any
//! edit, and travels in the ordinary way. A step that does not find what it expects ends its task:
//! nothing is ever tried on a version that the client has not seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use common::change::{Change, Operation, Outcome};
use common::entry::Entry;
use common::limits::CHANGES_IN_FLIGHT_MAX;
use common::path::RelPath;
use common::side::Side;
use common::wire::client::{Refusal, RefusalKind};
use common::wire::message::Content;

use super::Coordinator;
use super::action::{Action, Note};
use super::event::ClientId;
use super::flights::{Flight, Purpose};
use super::renames::Hint;
use crate::locks::Whole;

/// Half of what may be under way is left for what users do.
const FLIGHTS_MAX: usize = CHANGES_IN_FLIGHT_MAX / 2;

/// One step, and where its content comes from.
pub(super) type Step = (Operation, Content);

/// One thing after another at one side.
#[derive(Debug)]
pub(super) struct Task {
    side: Side,
    steps: VecDeque<Step>,
    refusal: Option<Refusal>,
}

/// How a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is under way.
    Going,
    /// All its steps are done, durably.
    Done,
    /// A step could not be done.
    Failed(Refusal),
}

/// The tasks of all clients, by client and number.
#[derive(Debug, Default)]
pub(super) struct Errands {
    /// Those that are not done.
    tasks: BTreeMap<(ClientId, usize), Task>,
    /// Those that may take a step.
    ready: BTreeSet<(ClientId, usize)>,
}

impl Errands {
    pub(super) fn add(&mut self, client: ClientId, number: usize, side: Side, steps: Vec<Step>) {
        let task = Task { side, steps: steps.into(), refusal: None };
        if !task.steps.is_empty() {
            self.ready.insert((client, number));
            self.tasks.insert((client, number), task);
        }
    }

    /// Whether a task of the client is under way.
    pub(super) fn is_going(&self, client: ClientId) -> bool {
        let mut tasks = self.tasks.range((client, 0)..=(client, usize::MAX));
        tasks.any(|(_, task)| task.refusal.is_none())
    }

    /// Whether a task of anybody is under way.
    pub(super) fn are_going(&self) -> bool {
        self.tasks.values().any(|task| task.refusal.is_none())
    }

    /// How a task does; one that was never added is done.
    pub(super) fn progress(&self, client: ClientId, number: usize) -> Progress {
        match self.tasks.get(&(client, number)) {
            Some(Task { refusal: Some(refusal), .. }) => Progress::Failed(refusal.clone()),
            Some(_) => Progress::Going,
            None => Progress::Done,
        }
    }

    /// Forgets a client. A step that is under way ends by itself.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.tasks.retain(|(owner, _), _| *owner != client);
        self.ready.retain(|(owner, _)| *owner != client);
    }
}

impl Task {
    fn fail(&mut self, refusal: Refusal) {
        self.steps.clear();
        self.refusal.get_or_insert(refusal);
    }
}

/// It could not be done now, and may be later.
pub(super) fn not_now(message: impl Into<String>, hint: Option<&str>) -> Refusal {
    let hint = hint.map(str::to_string);
    Refusal { kind: RefusalKind::StillWaiting, message: message.into(), hint }
}

impl Coordinator {
    /// Starts the next step of every task that can take one.
    pub(super) fn step_errands(&mut self, out: &mut Vec<Action>) {
        if self.errands.ready.is_empty() || self.flights.len() >= FLIGHTS_MAX {
            return;
        }
        let ready: Vec<(ClientId, usize)> = self.errands.ready.iter().copied().collect();
        for key in ready {
            if self.flights.len() >= FLIGHTS_MAX {
                return;
            }
            let Some(task) = self.errands.tasks.get(&key) else { continue };
            let (side, Some((operation, content))) = (task.side, task.steps.front().cloned())
            else {
                continue;
            };
            let paths = operation.paths();
            if paths.iter().any(|path| self.flights.touching(path).is_some()) {
                continue;
            }
            let refusal = paths.iter().find_map(|path| self.unfit(side, path));
            self.errands.ready.remove(&key);
            let Some(task) = self.errands.tasks.get_mut(&key) else { continue };
            if let Some(refusal) = refusal {
                task.fail(refusal);
                continue;
            }
            let purpose = Purpose::Errand { client: key.0, number: key.1 };
            self.fly(side, operation, content, purpose, out);
        }
    }

    /// Why nothing may be done at a path now, whatever it is.
    pub(super) fn unfit(&self, side: Side, path: &RelPath) -> Option<Refusal> {
        if let Some(why) = self.halt_words() {
            return Some(not_now(format!("nothing moves: {why}"), Some("run `lab3 status`")));
        }
        if side == Side::B && !self.ready.b {
            return Some(not_now("server B is away", Some("try again when it is back")));
        }
        if let Some(lock) = self.locks.meets(path, Whole::Yes) {
            return Some(Refusal {
                kind: RefusalKind::LockedByAnother,
                message: format!("`{path}` is locked by {}", lock.holder),
                hint: Some(format!("unlock `{}` first", lock.path)),
            });
        }
        self.unknown_at(path).map(|reason| not_now(format!("`{path}`: {}", reason.words()), None))
    }

    /// A step ended.
    pub(super) fn errand_went(
        &mut self,
        flight: &Flight,
        key: (ClientId, usize),
        outcome: &Outcome,
        out: &mut Vec<Action>,
    ) {
        match &flight.operation {
            Operation::Change(change) => self.put_by_errand(flight.side, change, outcome, out),
            Operation::Rename { from, to, .. } => {
                self.renamed_by_errand(flight.side, from, to, outcome);
            }
            Operation::Clear { .. } => {}
        }
        for path in flight.paths() {
            self.mark(path);
            self.wake_parked(path);
        }
        self.task_went(key, flight, outcome);
        if self.errands.is_going(key.0) {
            self.desk.take_time(key.0, self.now.moment);
        } else {
            self.desk.go_on(key.0, self.now.moment);
        }
    }

    fn task_went(&mut self, key: (ClientId, usize), flight: &Flight, outcome: &Outcome) {
        let Some(task) = self.errands.tasks.get_mut(&key) else { return };
        match outcome {
            Outcome::Done { .. } => {
                task.steps.pop_front();
                if task.steps.is_empty() {
                    self.errands.tasks.remove(&key);
                } else {
                    self.errands.ready.insert(key);
                }
            }
            other => {
                let refusal = failed(flight.operation.path(), other);
                task.fail(refusal);
            }
        }
    }

    fn put_by_errand(
        &mut self,
        side: Side,
        change: &Change,
        outcome: &Outcome,
        out: &mut Vec<Action>,
    ) {
        let Change { path, .. } = change;
        match outcome {
            Outcome::Done { now, aside } => {
                if let Some(copy) = aside {
                    let (path, copy) = (path.clone(), copy.clone());
                    out.push(Action::Note(Note::Conflict { path, loser: side, copy }));
                }
                let known = Side::BOTH.iter().any(|&s| self.seen[s].get(path).is_some());
                match now {
                    None => self.births.note(path, self.number),
                    Some(_) if !known => self.births.made(path, self.number),
                    Some(_) => {}
                }
                self.waits.clear(path);
                self.put_row(side, path, now.clone());
            }
            Outcome::Stale { now } => self.put_row(side, path, now.clone()),
            Outcome::Busy | Outcome::Moved | Outcome::Failed(_) => {}
        }
    }

    /// The other side repeats it, as if a user had renamed it at this one.
    fn renamed_by_errand(&mut self, side: Side, from: &RelPath, to: &RelPath, outcome: &Outcome) {
        match outcome {
            Outcome::Done { .. } => {
                self.births.moved(&[(from.clone(), to.clone())], self.number);
                self.seen[side].rename(from, to);
                let hint = Hint { side, from: from.clone(), to: to.clone() };
                self.take_hint(hint);
                self.mark_renamed(from, to);
            }
            Outcome::Stale { now } => self.put_row(side, from, now.clone()),
            Outcome::Busy | Outcome::Moved | Outcome::Failed(_) => {}
        }
    }

    /// The link to B broke while a step was under way there.
    pub(super) fn errand_unheard(&mut self, key: (ClientId, usize)) {
        if let Some(task) = self.errands.tasks.get_mut(&key) {
            let hint = "it may have been done; look when it is back";
            task.fail(not_now("server B went away", Some(hint)));
        }
    }

    /// The directories that must be made at a side before something can stand at a path, topmost
    /// first; or the one that cannot be made.
    pub(super) fn missing_parents(&self, side: Side, path: &RelPath) -> Result<Vec<Step>, RelPath> {
        let mut above: Vec<RelPath> = path.ancestors().collect();
        above.reverse();
        let mut steps = Vec::new();
        for directory in above {
            match self.seen[side].get(&directory) {
                Some(Entry::Dir { .. }) => continue,
                Some(_) => return Err(directory),
                None => {}
            }
            let theirs = self.seen[side.other()].get(&directory).filter(|entry| entry.is_dir());
            let after = theirs.cloned().unwrap_or(Entry::Dir { mode: 0o755 });
            steps.push(put(directory, None, Some(after), Content::None));
        }
        Ok(steps)
    }
}

/// A step that puts an entry, or nothing, at a path.
pub(super) fn put(
    path: RelPath,
    before: Option<Entry>,
    after: Option<Entry>,
    content: Content,
) -> Step {
    let is_file = after.as_ref().is_some_and(|entry| entry.as_file().is_some());
    let content = if is_file { content } else { Content::None };
    (Operation::Change(Change { path, before, after, copy: None }), content)
}

fn failed(path: &RelPath, outcome: &Outcome) -> Refusal {
    match outcome {
        Outcome::Busy => not_now(
            format!("somebody is writing to `{path}`"),
            Some("try again when they have finished"),
        ),
        Outcome::Failed(problem) => Refusal {
            kind: RefusalKind::Refused,
            message: format!("`{path}`: {}", problem.detail),
            hint: None,
        },
        Outcome::Done { .. } | Outcome::Stale { .. } | Outcome::Moved => Refusal {
            kind: RefusalKind::Refused,
            message: format!("`{path}` has just changed"),
            hint: Some("list again, and look at it first".to_string()),
        },
    }
}
