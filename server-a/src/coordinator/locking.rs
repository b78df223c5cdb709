//! The desk's work on locks: locking, and unlocking with its receipt.
//!
//! A lock comes wholly before or wholly after every edit, so it waits until its path is at rest.

use common::limits::{COMMENT_BYTES_MAX, HOLDER_BYTES_MAX};
use common::path::RelPath;
use common::time::Timestamp;
use common::wire::client::{Answer, DrainMode, Receipt, Refusal, RefusalKind, Request, Target};
use common::wire::log::Happened;

use super::Coordinator;
use super::action::{Action, Note};
use super::desk::{Ask, UNLOCK_MS, refusal, target_path};
use super::event::ClientId;
use crate::locks::{Force, LockError, LockState, Wish};

impl Coordinator {
    /// Serves a wish for a lock.
    pub(super) fn lock(
        &mut self,
        client: ClientId,
        target: &Target,
        holder: &str,
        comment: Option<&String>,
        ttl_s: Option<u64>,
        out: &mut Vec<Action>,
    ) {
        let resolved =
            self.resolve(target).and_then(|path| too_long(holder, comment).map_or(Ok(path), Err));
        let path = match resolved {
            Ok(path) => path,
            Err(refusal) => {
                out.push(Action::Answer(client, Answer::Refused(refusal)));
                return;
            }
        };
        let (holder, comment) = (holder.to_string(), comment.cloned());
        let wish = Wish { path: path.clone(), holder: holder.clone(), comment, ttl_s };
        match self.locks.lock(wish, self.now.wall) {
            Ok(locked) => {
                self.unsaved.locks = Some(self.locks.clone());
                self.hand_over_held();
                let detail = self.locks.get(locked.id()).and_then(|lock| lock.comment.clone());
                self.record_word(Happened::Locked, Some(&path), Some(holder.clone()), detail, out);
                out.push(Action::Note(Note::Locked(path, holder)));
                if let Some(row) = self.lock_row(locked.id()) {
                    self.desk.unsaved.push((client, Answer::Locked(row)));
                }
            }
            Err(error) => {
                out.push(Action::Answer(client, Answer::Refused(lock_refused(&error))));
            }
        }
    }

    /// Serves an unlock; says whether it was answered.
    pub(super) fn unlock(
        &mut self,
        client: ClientId,
        ask: &Ask,
        late: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let Request::Unlock { target, holder, force, mode, dry_run } = &ask.request else {
            return true;
        };
        if let Some(lock) = ask.draining {
            return self.unlocking(client, lock, target, *mode, late);
        }
        if !late && !self.is_quiet_at(target_path(target)) {
            return false;
        }
        let force = if *force { Force::Yes } else { Force::No };
        let found = self.resolve(target).and_then(|path| {
            self.locks.unlockable(&path, holder, force).cloned().map_err(|e| lock_refused(&e))
        });
        let lock = match found {
            Ok(lock) => lock,
            Err(refusal) => {
                out.push(Action::Answer(client, Answer::Refused(refusal)));
                return true;
            }
        };
        if *dry_run {
            let applied = self.queue.of_lock(lock.id).map(|edit| edit.row()).collect();
            let mut receipt = receipt(lock.at_a().clone(), *mode);
            receipt.dry_run = true;
            receipt.applied = applied;
            out.push(Action::Answer(client, Answer::Unlocked(receipt)));
            return true;
        }
        // A lock that its holder has unlocked already is broken by nobody.
        if lock.holder != *holder && lock.state == LockState::Held {
            self.desk.forced.insert(lock.id, holder.clone());
            self.broken.add(&lock.holder, &lock.path, holder, self.now.wall);
            self.unsaved.broken = Some(self.broken.clone());
        }
        self.begin_drain(lock.id, *mode);
        let deadline = self.now.moment.after_ms(UNLOCK_MS);
        if let Some(ask) = self.desk.asks.get_mut(&client) {
            ask.draining = Some(lock.id);
            ask.deadline = deadline;
        }
        // The drain begins now, not with the next event.
        self.cycle(out);
        false
    }

    /// Answers an unlock when its drain is over and both sides agree, or when that takes too long.
    fn unlocking(
        &mut self,
        client: ClientId,
        lock: u64,
        target: &Target,
        mode: DrainMode,
        late: bool,
    ) -> bool {
        let path = target_path(target).clone();
        let over = self.desk.receipts.contains_key(&lock);
        let agreed = over && self.ready.b && self.agreed_below(&path);
        let hopeless = over && !self.ready.b;
        if !agreed && !hopeless && !late {
            return false;
        }
        let done = match self.desk.receipt(client, lock) {
            Some(done) => done,
            None => self.drains.get(&lock).map(|drain| drain.done.clone()).unwrap_or_default(),
        };
        let mut receipt = receipt(path.clone(), mode);
        receipt.applied = done.applied;
        receipt.discarded = done.discarded;
        receipt.conflicts = done.conflicts;
        receipt.agreed = agreed;
        receipt.waiting = self.waits.rows(Some(&path), self.now, 100);
        if !agreed && receipt.waiting.is_empty() {
            receipt.waiting.push(self.why_not_agreed(path));
        }
        self.desk.unsaved.push((client, Answer::Unlocked(receipt)));
        true
    }
}

fn receipt(path: RelPath, mode: DrainMode) -> Receipt {
    Receipt {
        path,
        dry_run: false,
        mode,
        applied: Vec::new(),
        discarded: 0,
        conflicts: Vec::new(),
        agreed: false,
        waiting: Vec::new(),
    }
}

fn lock_refused(error: &LockError) -> Refusal {
    let (kind, hint) = match error {
        LockError::Foreign(lock) => {
            let mut hint = format!("locked since {}", whole_seconds(lock.since));
            if let Some(comment) = &lock.comment {
                hint.push_str(&format!(", saying {comment:?}"));
            }
            hint.push_str("; `lab3 unlock --force` breaks a lock");
            (RefusalKind::LockedByAnother, Some(hint))
        }
        LockError::Draining(_) => (RefusalKind::StillWaiting, None),
        LockError::TwoNames(_) => (
            RefusalKind::Refused,
            Some("unlock it first: then B has the new name, too".to_string()),
        ),
        LockError::Full(_) => (
            RefusalKind::Refused,
            Some("unlock what nobody needs: `lab3 locks` names all".to_string()),
        ),
        LockError::NotLocked { covered_by: Some(lock), .. } => {
            (RefusalKind::Refused, Some(format!("the lock is on `{}`", lock.path)))
        }
        LockError::NotLocked { covered_by: None, .. } => {
            (RefusalKind::Refused, Some("run `lab3 locks` to see all locks".to_string()))
        }
    };
    Refusal { kind, message: error.to_string(), hint }
}

/// Why the words of a lock are more than is kept, when they are.
fn too_long(holder: &str, comment: Option<&String>) -> Option<Refusal> {
    let long = |what: &str, max| Some(refusal(format!("{what} is longer than {max} bytes"), None));
    if holder.len() > HOLDER_BYTES_MAX {
        return long("the holder's name", HOLDER_BYTES_MAX);
    }
    if comment.is_some_and(|comment| comment.len() > COMMENT_BYTES_MAX) {
        return long("the comment", COMMENT_BYTES_MAX);
    }
    None
}

/// A time as people read it.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp { nanos: 0, ..time }.rfc3339()
}
