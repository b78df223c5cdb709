//! Why a path waits, since when, and when it is tried again. Locked, unreadable, still being
//! written, refused by the disk: one mechanism, *withheld*, each with its reason.

use std::collections::{BTreeMap, BTreeSet};

use common::path::{RelPath, rows_below};
use common::side::Side;
use common::time::{Moment, Timestamp};
use common::wire::client::WaitingRow;

use super::event::Now;

/// How long the name of a locked file must be gone before its lock goes with it, in milliseconds:
/// many programs save by renaming the old version away for a moment.
const RENAMED_MS: u64 = 1_000;

/// Why a path waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A lock holds B's edits of it.
    Locked {
        /// Who holds the lock.
        holder: String,
    },
    /// Somebody has it open for writing, at this side.
    Busy(Side),
    /// It keeps moving while it is worked on.
    Restless,
    /// It is locked, and A's user has just given it another name, perhaps for a moment only.
    Renamed,
    /// Its state at a side is unknown.
    Unknown(Side, String),
    /// Somebody asked for it to be ignored after it had been synchronized.
    Ignored(Side),
    /// A step failed at a side.
    Failed(Side, String),
    /// The pending directory took no more.
    PendingRefused(String),
}

impl Reason {
    /// Whether it passes by itself soon, so that a caller may as well wait for it.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Reason::Busy(_) | Reason::Restless | Reason::Renamed)
    }

    /// How long to leave it alone, in milliseconds; `None` until something moves.
    fn pause_ms(&self, attempts: u32) -> Option<u64> {
        let doubled = |first: u64, most: u64| Some((first << attempts.min(16)).min(most));
        match self {
            Reason::Locked { .. } | Reason::Unknown(..) | Reason::Ignored(_) => None,
            Reason::Busy(_) => doubled(20, 1_000),
            Reason::Restless => doubled(5, 2_000),
            Reason::Renamed => Some(RENAMED_MS),
            Reason::Failed(..) | Reason::PendingRefused(_) => doubled(500, 30_000),
        }
    }

    pub(super) fn side(&self) -> Option<Side> {
        match self {
            Reason::Busy(side)
            | Reason::Unknown(side, _)
            | Reason::Ignored(side)
            | Reason::Failed(side, _) => Some(*side),
            Reason::Locked { .. } | Reason::PendingRefused(_) => Some(Side::A),
            Reason::Renamed => Some(Side::A),
            Reason::Restless => None,
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Reason::Locked { holder } => format!("locked by {holder}: B's edits are held"),
            Reason::Busy(side) => format!("somebody has it open for writing at {side}"),
            Reason::Restless => "it keeps changing while it is worked on".into(),
            Reason::Renamed => "it is locked and was just renamed at A".into(),
            Reason::Unknown(side, detail) => format!("its state at {side} is unknown: {detail}"),
            Reason::Ignored(side) => format!("an ignore pattern covers it at {side}"),
            Reason::Failed(side, detail) => format!("failed at {side}: {detail}"),
            Reason::PendingRefused(detail) => format!("cannot be held at A: {detail}"),
        }
    }
}

#[derive(Clone, Debug)]
struct Wait {
    reason: Reason,
    since: Timestamp,
    next: Option<Moment>,
    attempts: u32,
}

/// All paths that wait.
#[derive(Default)]
pub(super) struct Waits {
    at: BTreeMap<RelPath, Wait>,
    due: BTreeSet<(Moment, RelPath)>,
}

impl Waits {
    /// Lets a path wait; the pause grows with every attempt that ends for the same sort of reason.
    /// Answers whether the reason is a new one, to be told to people.
    pub(super) fn set(&mut self, path: &RelPath, reason: Reason, now: Now) -> bool {
        let old = self.at.remove(path);
        if let Some(next) = old.as_ref().and_then(|w| w.next) {
            self.due.remove(&(next, path.clone()));
        }
        let news = old.as_ref().is_none_or(|w| w.reason != reason);
        let attempts = old.as_ref().map_or(0, |w| w.attempts.saturating_add(1));
        let since = old.map_or(now.wall, |w| w.since);
        let next = reason.pause_ms(attempts).map(|ms| now.moment.after_ms(ms));
        if let Some(next) = next {
            self.due.insert((next, path.clone()));
        }
        self.at.insert(path.clone(), Wait { reason, since, next, attempts });
        news
    }

    /// The path waits no more.
    pub(super) fn clear(&mut self, path: &RelPath) {
        if let Some(wait) = self.at.remove(path)
            && let Some(next) = wait.next
        {
            self.due.remove(&(next, path.clone()));
        }
    }

    /// Whether the path is to be left alone until a later moment.
    pub(super) fn not_yet(&self, path: &RelPath, now: Moment) -> bool {
        self.at.get(path).is_some_and(|w| w.next.is_some_and(|next| next > now))
    }

    /// Something was seen at the path: it may be tried at once.
    pub(super) fn hasten(&mut self, path: &RelPath) {
        if let Some(wait) = self.at.get_mut(path)
            && let Some(next) = wait.next.take()
        {
            self.due.remove(&(next, path.clone()));
        }
    }

    /// Takes the paths whose pause is over.
    pub(super) fn take_due(&mut self, now: Moment) -> Vec<RelPath> {
        let mut due = Vec::new();
        while let Some((next, path)) = self.due.first().cloned() {
            if next > now {
                break;
            }
            self.due.remove(&(next, path.clone()));
            if let Some(wait) = self.at.get_mut(&path) {
                wait.next = None;
            }
            due.push(path);
        }
        due
    }

    /// When the next pause is over.
    pub(super) fn next(&self) -> Option<Moment> {
        self.due.first().map(|(next, _)| *next)
    }

    /// The paths below a path that wait.
    pub(super) fn below(&self, path: &RelPath) -> Vec<RelPath> {
        rows_below(&self.at, path).map(|(p, _)| p.clone()).collect()
    }

    /// Whether a path below a path waits.
    pub(super) fn any_below(&self, path: &RelPath) -> bool {
        rows_below(&self.at, path).next().is_some()
    }

    pub(super) fn reason(&self, path: &RelPath) -> Option<&Reason> {
        self.at.get(path).map(|w| &w.reason)
    }

    /// Reasons in order of paths, with their paths.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&RelPath, &Reason)> {
        self.at.iter().map(|(path, wait)| (path, &wait.reason))
    }

    /// Rows for people, at and below a path or of everything, at most `limit`.
    pub(super) fn rows(&self, path: Option<&RelPath>, now: Now, limit: usize) -> Vec<WaitingRow> {
        let rows: Box<dyn Iterator<Item = (&RelPath, &Wait)>> = match path {
            Some(path) => {
                Box::new(self.at.get_key_value(path).into_iter().chain(rows_below(&self.at, path)))
            }
            None => Box::new(self.at.iter()),
        };
        rows.filter(|(_, wait)| !matches!(wait.reason, Reason::Ignored(_)))
            .take(limit)
            .map(|(path, wait)| WaitingRow {
                path: path.clone(),
                side: wait.reason.side(),
                reason: wait.reason.words(),
                since: wait.since,
                next_try: wait.next.map(|next| later(now, next)),
            })
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.at.values().filter(|w| !matches!(w.reason, Reason::Ignored(_))).count()
    }
}

fn later(now: Now, then: Moment) -> Timestamp {
    let ms = i64::try_from(then.ms_since(now.moment)).unwrap_or(i64::MAX);
    Timestamp { seconds: now.wall.seconds.saturating_add(ms / 1000), nanos: now.wall.nanos }
}
