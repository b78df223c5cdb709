//! Who holds which path.
//!
//! A lock on a path covers it and everything below it. The table answers whether a path is covered
//! and whether somebody may lock or unlock; what is withheld because of it is decided elsewhere.
//! It is pure: the time comes with the call, and each change is a row for the caller to save.
//!
//! A lock follows its file when A's user renames it. Until B has the new name too, the lock covers
//! both: the old one, under which B's edits are held, and the new one.
//!
//! No two locks of different holders are granted that overlap. They may come to when a locked file
//! is moved below the other's directory; then the nearest lock counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use common::limits::LOCKS_MAX;
use common::path::RelPath;
use common::time::Timestamp;
use common::wire::client::{DrainMode, LockRow};
use serde::{Deserialize, Serialize};

/// Who holds a lock whose own record was lost. Anybody may open it by force.
pub const RECOVERED_HOLDER: &str = "recovered";

/// A lock, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its number; no other lock ever has it.
    pub id: u64,
    /// What it covers: this path and all below. B knows it by this name.
    pub path: RelPath,
    /// Who holds it.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, for others to read.
    pub comment: Option<String>,
    /// Until when, if not for ever.
    pub expires: Option<Timestamp>,
    /// Whether it still holds edits back.
    pub state: LockState,
    /// The name that A's user gave it since, which B has not taken over yet: it is covered too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<RelPath>,
}

/// Whether a lock still holds edits back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockState {
    /// It does.
    Held,
    /// It was unlocked; what it held is on its way.
    Draining(DrainMode),
}

impl Lock {
    /// The row that clients see, with the number of edits held under it.
    #[must_use]
    pub fn row(&self, held: u64) -> LockRow {
        LockRow {
            id: self.id,
            path: self.at_a().clone(),
            holder: self.holder.clone(),
            since: self.since,
            comment: self.comment.clone(),
            expires: self.expires,
            held,
            draining: self.state != LockState::Held,
        }
    }

    /// Whether a path is the locked one or below it.
    #[must_use]
    pub fn covers(&self, path: &RelPath) -> bool {
        self.names().any(|name| path == name || path.is_below(name))
    }

    /// Its name at A.
    #[must_use]
    pub fn at_a(&self) -> &RelPath {
        self.moved.as_ref().unwrap_or(&self.path)
    }

    /// Its name, and the new one that only A has.
    pub fn names(&self) -> impl Iterator<Item = &RelPath> {
        std::iter::once(&self.path).chain(&self.moved)
    }

    /// The name at A of what B knows by this path.
    #[must_use]
    pub fn place_at_a(&self, path: &RelPath) -> RelPath {
        let moved = self.moved.as_ref().and_then(|moved| rebased(path, &self.path, moved));
        moved.unwrap_or_else(|| path.clone())
    }
}

/// What somebody wants to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which path.
    pub path: RelPath,
    /// Who.
    pub holder: String,
    /// Why; the old comment stays when absent.
    pub comment: Option<String>,
    /// For how long, in seconds; for ever when absent, also for a lock that had an end.
    pub ttl_s: Option<u64>,
}

/// A wish that was granted. Its lock is to be saved before the holder hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// A new lock has this id.
    New(u64),
    /// The same holder had it already.
    Already(u64),
}

impl Locked {
    /// The lock's number.
    #[must_use]
    pub fn id(self) -> u64 {
        match self {
            Locked::New(id) | Locked::Already(id) => id,
        }
    }
}

/// Why a lock was not granted, or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds the path, one above it or one below it.
    #[error("`{}` is locked by {}", .0.path, .0.holder)]
    Foreign(Box<Lock>),
    /// A lock there is being drained.
    #[error("`{}` is being unlocked", .0.path)]
    Draining(Box<Lock>),
    /// The same holder has a lock there, of a file that has one name at A and another at B.
    #[error("`{}` is locked under two names: `{}` at B", .0.at_a(), .0.path)]
    TwoNames(Box<Lock>),
    /// There are as many locks as there may be.
    #[error("there are {0} locks already")]
    Full(usize),
    /// There is no lock of this very path. Holds the one that covers it, if any.
    #[error("`{path}` is not locked")]
    NotLocked {
        /// The path.
        path: RelPath,
        /// The lock of a directory above it.
        covered_by: Option<Box<Lock>>,
    },
}

/// All locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTable {
    by_path: BTreeMap<RelPath, Lock>,
    by_id: BTreeMap<u64, RelPath>,
    /// The paths of locks by the names that only A has for them.
    by_moved: BTreeMap<RelPath, RelPath>,
    next_id: u64,
    /// So many are granted.
    most: usize,
}

impl Default for LockTable {
    fn default() -> Self {
        LockTable::of_at_most(LOCKS_MAX)
    }
}

impl LockTable {
    /// An empty table, in which there may be so many locks.
    #[must_use]
    pub fn of_at_most(most: usize) -> LockTable {
        let (by_path, by_moved) = (BTreeMap::new(), BTreeMap::new());
        LockTable { by_path, by_id: BTreeMap::new(), by_moved, next_id: 1, most }
    }

    /// The table of these rows. Ids start at `next_id`, or after the highest one that is known.
    #[must_use]
    pub fn restore(rows: impl IntoIterator<Item = Lock>, next_id: u64) -> LockTable {
        let mut table = LockTable::default();
        for lock in rows {
            table.next_id = table.next_id.max(lock.id.saturating_add(1));
            table.put(lock);
        }
        table.next_id = table.next_id.max(next_id);
        table
    }

    /// The id that the next new lock will have; to be saved with it.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Locks a path, unless somebody else holds it, a part of it, or what it is a part of.
    pub fn lock(&mut self, wish: Wish, now: Timestamp) -> Result<Locked, LockError> {
        let overlapping = self.covering_all(&wish.path).chain(self.strictly_below(&wish.path));
        for lock in overlapping {
            if lock.holder != wish.holder {
                return Err(LockError::Foreign(Box::new(lock.clone())));
            }
            if lock.state != LockState::Held {
                return Err(LockError::Draining(Box::new(lock.clone())));
            }
            if lock.moved.is_some() && !lock.names().any(|name| *name == wish.path) {
                return Err(LockError::TwoNames(Box::new(lock.clone())));
            }
        }
        let expires = wish.ttl_s.map(|ttl_s| after(now, ttl_s));
        let known = self.at(&wish.path).map(|lock| lock.path.clone());
        if let Some(lock) = known.and_then(|path| self.by_path.get_mut(&path)) {
            lock.comment = wish.comment.or(lock.comment.take());
            lock.expires = expires;
            return Ok(Locked::Already(lock.id));
        }
        if self.by_path.len() >= self.most {
            return Err(LockError::Full(self.most));
        }
        let id = self.next_id;
        self.next_id += 1;
        let Wish { path, holder, comment, .. } = wish;
        let state = LockState::Held;
        self.put(Lock { id, path, holder, since: now, comment, expires, state, moved: None });
        Ok(Locked::New(id))
    }

    /// The lock of this very path, if this holder may open it. One that is being drained is given
    /// too: its unlocking goes on.
    pub fn unlockable(
        &self,
        path: &RelPath,
        holder: &str,
        force: Force,
    ) -> Result<&Lock, LockError> {
        let Some(lock) = self.at(path) else {
            let covered_by = self.covering(path).cloned().map(Box::new);
            return Err(LockError::NotLocked { path: path.clone(), covered_by });
        };
        if lock.holder != holder && force == Force::No {
            return Err(LockError::Foreign(Box::new(lock.clone())));
        }
        Ok(lock)
    }

    /// Marks a lock as being drained. A mode that was set before stays: a drain does not change its
    /// course half way. Answers the mode, or `None` when there is no such lock.
    pub fn begin_drain(&mut self, id: u64, mode: DrainMode) -> Option<DrainMode> {
        let lock = self.by_path.get_mut(self.by_id.get(&id)?)?;
        match lock.state {
            LockState::Draining(mode) => Some(mode),
            LockState::Held => {
                lock.state = LockState::Draining(mode);
                Some(mode)
            }
        }
    }

    /// Takes a lock out of the table.
    pub fn remove(&mut self, id: u64) -> Option<Lock> {
        let path = self.by_id.remove(&id)?;
        let lock = self.by_path.remove(&path)?;
        if let Some(moved) = &lock.moved {
            self.by_moved.remove(moved);
        }
        Some(lock)
    }

    /// Makes a lock for a held edit that no lock covers, which only a lost store can bring about:
    /// what was held stays held until somebody unlocks it. Answers the id of the lock it made.
    pub fn recover(&mut self, lock: u64, path: &RelPath, since: Timestamp) -> Option<u64> {
        if self.covering(path).is_some() {
            return None;
        }
        let id = if self.by_id.contains_key(&lock) { self.next_id } else { lock };
        self.next_id = self.next_id.max(id.saturating_add(1));
        self.put(Lock {
            id,
            path: path.clone(),
            holder: RECOVERED_HOLDER.to_owned(),
            since,
            comment: Some("made again for edits that were held under a lost lock".to_owned()),
            expires: None,
            state: LockState::Held,
            moved: None,
        });
        Some(id)
    }

    /// A's user renamed something: its lock, and those below, cover the new name too. Answers them.
    /// A lock that another one covers, here or there, stays where it is, and so does one of
    /// something that was not there.
    pub fn moved_at_a(
        &mut self,
        from: &RelPath,
        to: &RelPath,
        was_there: impl Fn(&RelPath) -> bool,
    ) -> Vec<u64> {
        let moved = self.below(from).filter(|lock| was_there(lock.at_a()));
        let moved: Vec<Lock> = moved.cloned().collect();
        let along: BTreeSet<u64> = moved.iter().map(|lock| lock.id).collect();
        let mut ids = Vec::new();
        for mut lock in moved {
            let Some(new) = rebased(lock.at_a(), from, to) else { continue };
            let old = self.covering_all(&lock.path);
            let mut met = self.covering_all(&new).chain(self.strictly_below(&new)).chain(old);
            if met.any(|other| !along.contains(&other.id)) {
                continue;
            }
            drop(met);
            ids.push(lock.id);
            self.remove(lock.id);
            lock.moved = (new != lock.path).then_some(new);
            self.put(lock);
        }
        ids
    }

    /// Something stands at the old name again, or nothing any more at the new one: the lock is of
    /// its old name, as if nothing had moved. Answers the name that it covers no more.
    pub fn stays(&mut self, path: &RelPath, there: bool) -> Option<RelPath> {
        let lock = if there { self.by_path.get(path) } else { self.at(path) };
        let renamed = |lock: &&Lock| lock.moved.is_some() && (there || lock.path != *path);
        let mut lock = lock.filter(renamed)?.clone();
        self.remove(lock.id);
        let moved = lock.moved.take();
        self.put(lock);
        moved
    }

    /// B has the new name of something: so have its lock and those below. Answers whether there
    /// were any.
    pub fn moved_at_b(&mut self, from: &RelPath, to: &RelPath) -> bool {
        let moved: Vec<Lock> = self.below(from).cloned().collect();
        let mut any = false;
        for mut lock in moved {
            let Some(new) = rebased(&lock.path, from, to) else { continue };
            if self.at(&new).is_some_and(|other| other.id != lock.id) {
                continue;
            }
            any = true;
            self.remove(lock.id);
            lock.moved = lock.moved.filter(|moved| *moved != new);
            lock.path = new;
            self.put(lock);
        }
        any
    }

    /// The lock of this very name.
    #[must_use]
    pub fn at(&self, path: &RelPath) -> Option<&Lock> {
        self.by_path.get(path).or_else(|| self.by_path.get(self.by_moved.get(path)?))
    }

    /// The lock with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Lock> {
        self.by_path.get(self.by_id.get(&id)?)
    }

    /// The nearest lock that covers a path: its own, or that of a directory above it.
    #[must_use]
    pub fn covering(&self, path: &RelPath) -> Option<&Lock> {
        self.covering_all(path).next()
    }

    /// All locks that cover a path, the nearest first.
    pub fn covering_all(&self, path: &RelPath) -> impl Iterator<Item = &Lock> {
        std::iter::successors(Some(path.clone()), RelPath::parent).filter_map(|path| self.at(&path))
    }

    /// The locks at a path and below it, by path.
    pub fn below(&self, path: &RelPath) -> impl Iterator<Item = &Lock> {
        let at = self.at(path);
        let id = at.map(|lock| lock.id);
        at.into_iter().chain(self.strictly_below(path).filter(move |lock| Some(lock.id) != id))
    }

    /// The lock that a change at this path meets: one that covers it or, when the change takes
    /// everything below along, one below it. A lock that is being drained counts too: nothing may
    /// overtake what it held.
    #[must_use]
    pub fn meets(&self, path: &RelPath, whole: Whole) -> Option<&Lock> {
        let below = (whole == Whole::Yes).then(|| self.strictly_below(path));
        self.covering_all(path).chain(below.into_iter().flatten()).next()
    }

    /// Held locks whose time is over.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Vec<u64> {
        let over = |lock: &&Lock| lock.expires.is_some_and(|expires| expires <= now);
        self.held().filter(over).map(|lock| lock.id).collect()
    }

    /// When the next lock expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.held().filter_map(|lock| lock.expires).min()
    }

    /// All locks, by path.
    pub fn iter(&self) -> impl Iterator<Item = &Lock> {
        self.by_path.values()
    }

    /// How many locks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    fn held(&self) -> impl Iterator<Item = &Lock> {
        self.iter().filter(|lock| lock.state == LockState::Held)
    }

    fn strictly_below(&self, path: &RelPath) -> impl Iterator<Item = &Lock> {
        let (low, high) = path.bounds_below();
        let bounds = || (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice()));
        let moved = self.by_moved.range::<[u8], _>(bounds()).map(|(_, path)| path);
        // One with both names below is there once.
        let moved = moved.filter(|old| !old.is_below(path)).collect::<Vec<_>>();
        let moved = moved.into_iter().filter_map(|old| self.by_path.get(old));
        self.by_path.range::<[u8], _>(bounds()).map(|(_, lock)| lock).chain(moved)
    }

    fn put(&mut self, lock: Lock) {
        if let Some(old) = self.by_path.get(&lock.path).map(|old| old.id) {
            self.remove(old);
        }
        self.by_id.insert(lock.id, lock.path.clone());
        if let Some(moved) = &lock.moved {
            self.by_moved.insert(moved.clone(), lock.path.clone());
        }
        self.by_path.insert(lock.path.clone(), lock);
    }
}

/// Whether a foreign lock is opened all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether a change takes along everything below its path: a removal, a rename, another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// It does.
    Yes,
    /// It concerns the path itself only.
    No,
}

/// The new name of a path that a rename took along.
pub(crate) fn rebased(path: &RelPath, from: &RelPath, to: &RelPath) -> Option<RelPath> {
    let along = path == from || path.is_below(from);
    along.then(|| path.rebase(from, to).ok()).flatten()
}

fn after(now: Timestamp, ttl_s: u64) -> Timestamp {
    let seconds = now.seconds.saturating_add(i64::try_from(ttl_s).unwrap_or(i64::MAX));
    Timestamp { seconds, nanos: now.nanos }
}
