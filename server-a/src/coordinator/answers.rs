//! What clients are told: the listing in parts, locks, held edits, and how things stand.

use common::entry::{Entry, Kind, same};
use common::limits::ROWS_PER_MESSAGE_MAX;
use common::path::RelPath;
use common::problem::ProblemKind;
use common::side::Side;
use common::wire::client::{
    Answer, Generation, HeldRow, ListingPart, ListingRow, LockRow, PathStatus, ProblemRow, State,
    Status, Target, WaitingRow,
};

use super::Coordinator;
use super::action::Action;
use super::desk::Cursor;
use super::event::ClientId;

/// Rows of reasons and problems that one answer carries.
const ROWS_MAX: usize = 100;

impl Coordinator {
    /// Sends the next part of a listing.
    pub(super) fn more(&mut self, client: ClientId, out: &mut Vec<Action>) {
        let Some(Cursor { number, after }) = self.desk.cursors.remove(&client) else { return };
        let mut rows = Vec::new();
        let mut last_path = after.clone();
        let mut last = true;
        let mut a = self.seen.a.after(after.as_ref()).peekable();
        let mut b = self.seen.b.after(after.as_ref()).peekable();
        loop {
            let next = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some((p, _)), None) | (None, Some((p, _))) => (*p).clone(),
                (Some((p, _)), Some((q, _))) => (*p).min(*q).clone(),
            };
            if rows.len() == ROWS_PER_MESSAGE_MAX {
                last = false;
                break;
            }
            let at_a = a.next_if(|(p, _)| **p == next).map(|(_, e)| e);
            let at_b = b.next_if(|(p, _)| **p == next).map(|(_, e)| e);
            rows.extend(self.listing_row(&next, at_a, at_b));
            last_path = Some(next);
        }
        let generation = Generation { epoch: self.epoch, number };
        let part = ListingPart { generation, b: self.link.clone(), rows, last };
        if !last {
            self.desk.cursors.insert(client, Cursor { number, after: last_path });
        }
        out.push(Action::Answer(client, Answer::Listing(part)));
    }

    fn listing_row(
        &self,
        path: &RelPath,
        a: Option<&Entry>,
        b: Option<&Entry>,
    ) -> Option<ListingRow> {
        let (at_a, at_b) = (a.filter(|e| !e.is_dir()), b.filter(|e| !e.is_dir()));
        // What was just done at B is shown, even before it is at A; what is held is not at A.
        let from_b = same(a, self.archive.get(path)) && self.queue.last_of(path).is_none();
        let shown = if from_b { at_b.or(at_a) } else { at_a.or(at_b) }?;
        let lock = self.locks.covering(path).and_then(|lock| self.lock_row(lock.id));
        Some(ListingRow {
            path: path.clone(),
            kind: shown.kind(),
            size: shown.size(),
            modified: shown.modified().unwrap_or_default(),
            state: self.state(path, a, b),
            lock,
            held: self.queue.count_touching(path),
        })
    }

    fn state(&self, path: &RelPath, a: Option<&Entry>, b: Option<&Entry>) -> State {
        let troubled = Side::BOTH.iter().any(|&side| {
            self.problems[side].get(path).is_some_and(|problem| problem.kind.is_trouble())
        });
        match (a, b) {
            _ if troubled => State::Problem,
            _ if self.queue.last_of(path).is_some() => State::Held,
            _ if same(a, b) => State::Agreed,
            (Some(_), None) => State::OnlyA,
            (None, Some(_)) => State::OnlyB,
            _ => State::Differs,
        }
    }

    /// The lock with this number, as clients see it.
    pub(super) fn lock_row(&self, id: u64) -> Option<LockRow> {
        self.locks.get(id).map(|lock| lock.row(self.queue.of_lock(id).count() as u64))
    }

    pub(super) fn lock_rows(&self) -> Vec<LockRow> {
        self.locks.iter().filter_map(|lock| self.lock_row(lock.id)).collect()
    }

    pub(super) fn held_rows(&self, target: Option<&Target>) -> Answer {
        let rows: Vec<HeldRow> = match target {
            None => self.queue.iter().map(|edit| edit.row()).collect(),
            Some(target) => match self.resolve(target) {
                Ok(path) => self.queue.touching(&path).iter().map(|edit| edit.row()).collect(),
                Err(refusal) => return Answer::Refused(refusal),
            },
        };
        Answer::Held(rows)
    }

    pub(super) fn status(&self) -> Status {
        let problems = self.problem_rows(None);
        Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            halted: self.halt_words(),
            b: self.link.clone(),
            side_a: self.conditions.a.clone(),
            side_b: self.conditions.b.clone(),
            known: (self.seen.a.len() as u64, self.seen.b.len() as u64),
            agreed: self.archive.len() as u64,
            in_flight: self.flights.len() as u64,
            waiting_count: self.waits.len() as u64,
            waiting: self.waits.rows(None, self.now, ROWS_MAX),
            problem_count: problems.len() as u64,
            problems: problems.into_iter().take(ROWS_MAX).collect(),
            locks: self.locks.len() as u64,
            held: (self.queue.len(), self.queue.bytes()),
            checked: self.checks.last().cloned(),
            journal: self.journal.clone(),
            // Whoever measures adds it.
            speed: Vec::new(),
        }
    }

    pub(super) fn path_status(&self, path: &RelPath) -> PathStatus {
        let seen = |side: Side| self.seen[side].get(path);
        let (a, b) = (seen(Side::A), seen(Side::B));
        let known = a.is_some() || b.is_some();
        let lock = self.locks.covering(path).and_then(|lock| self.lock_row(lock.id));
        PathStatus {
            path: path.clone(),
            at: [words(a), words(b), words(self.archive.get(path))],
            state: known.then(|| self.state(path, a, b)),
            lock,
            held: self.queue.count_touching(path),
            waiting: self.waits.rows(Some(path), self.now, ROWS_MAX),
            problems: self.problem_rows(Some(path)),
            last_edit: None,
        }
    }

    /// What could not be read, and so may hold something that the other side lacks.
    pub(super) fn unread_rows(&self) -> Vec<WaitingRow> {
        let unread = |side: Side| {
            let problems = self.problems[side].iter();
            problems.filter(|(_, p)| p.kind == ProblemKind::Unreadable).map(move |row| (side, row))
        };
        let named = |path: &RelPath| self.waits.reason(path).is_some();
        unread(Side::A)
            .chain(unread(Side::B))
            .filter(|(_, (path, _))| !named(path))
            .take(ROWS_MAX)
            .map(|(side, (path, problem))| WaitingRow {
                path: path.clone(),
                side: Some(side),
                reason: problem.detail.clone(),
                since: self.now.wall,
                next_try: None,
            })
            .collect()
    }

    fn problem_rows(&self, path: Option<&RelPath>) -> Vec<ProblemRow> {
        let wanted = |at: &RelPath| path.is_none_or(|path| at.touches(path));
        Side::BOTH
            .into_iter()
            .flat_map(|side| self.problems[side].iter().map(move |row| (side, row)))
            .filter(|(_, (at, problem))| problem.kind.is_trouble() && wanted(at))
            .map(|(side, (path, problem))| {
                let detail = problem.detail.clone();
                ProblemRow { path: path.clone(), side, detail }
            })
            .collect()
    }
}

/// An entry in a few words.
pub(super) fn words(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else { return "nothing".to_string() };
    let modified = entry.modified().map(|time| time.rfc3339()).unwrap_or_default();
    match entry {
        Entry::File(f) => {
            let digest = f.digest.short();
            format!(
                "file, {} bytes, mode {:04o}, modified {modified}, digest {digest}",
                f.size, f.mode
            )
        }
        Entry::Link(link) => {
            format!("link to `{}`", common::path::escape(&link.target))
        }
        Entry::Dir { mode } => {
            debug_assert_eq!(entry.kind(), Kind::Dir);
            format!("directory, mode {mode:04o}")
        }
    }
}
