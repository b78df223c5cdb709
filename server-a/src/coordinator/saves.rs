//! What is to be durable: sent to be saved, saved again when that failed, and known to be in the
//! store or not.

use std::collections::BTreeSet;

use common::entry::same;
use common::path::RelPath;
use common::side::Side;
use common::wire::client::Answer;

use super::action::{Action, ArchiveRow, Batch, Landed};
use super::event::{ClientId, SaveId};
use super::guarding::Halt;
use super::quiet::touched;
use super::{Coordinator, desk};
use crate::pending::queue::HeldEdit;
use crate::underway::Trail;

/// Saves under way at once: one that is written, and one that is next.
const SAVES_MAX: usize = 2;

/// How long to wait before saving again what could not be made durable, in milliseconds.
const PROVE_MS: u64 = 5_000;

/// What could not be saved is saved again after so long.
const SAVE_AGAIN_MS: u64 = 2_000;

/// A save under way.
pub(super) struct Saving {
    pub(super) batch: Batch,
    /// What clients hear when it is durable.
    pub(super) answers: Vec<(ClientId, Answer)>,
    /// What leaves the pending directory when it is durable.
    pub(super) declined: Vec<HeldEdit>,
}

impl Coordinator {
    /// Sends what has to be saved; answers that depend on it wait for `Event::Saved`.
    pub(super) fn flush(&mut self, out: &mut Vec<Action>) {
        let batch = &self.unsaved;
        let nothing = batch.archive.is_empty() && !batch.forget;
        let nothing = nothing && batch.locks.is_none() && batch.peer.is_none();
        let nothing = nothing && batch.broken.is_none();
        let nothing = nothing && self.declined.is_empty();
        // What could not be saved is kept for the next try, or until somebody needs it.
        let is_due = self.save_at.is_some_and(|at| at <= self.now.moment);
        let kept = (nothing || self.cannot_save()) && !is_due;
        if kept && !self.desk.has_unsaved() {
            return;
        }
        // What comes meanwhile leaves together when one of these is over.
        if self.saves.len() < SAVES_MAX {
            self.save(out);
        }
    }

    /// The server stops: what has been agreed on and not been sent is saved, too.
    pub fn end(&mut self, out: &mut Vec<Action>) {
        if !self.unsaved.archive.is_empty() {
            self.save(out);
        }
    }

    fn save(&mut self, out: &mut Vec<Action>) {
        self.save_at = None;
        let mut batch = std::mem::take(&mut self.unsaved);
        self.put_off(&mut batch);
        let declined = std::mem::take(&mut self.declined);
        batch.archive.extend(declined.iter().map(|edit| ArchiveRow {
            path: edit.path.clone(),
            entry: edit.after.clone(),
            source: Some(Side::A),
        }));
        self.next_id += 1;
        let id = SaveId(self.next_id);
        let answers = self.desk.take_unsaved();
        self.saves.insert(id, Saving { batch: batch.clone(), answers, declined });
        out.push(Action::Save(id, batch));
    }

    /// What comes after something that could not be made durable is saved together with it, never
    /// before: of a rename one name alone would be in the store.
    fn put_off(&mut self, batch: &mut Batch) {
        if self.unproven.is_empty() || batch.forget {
            return;
        }
        let rows = std::mem::take(&mut batch.archive);
        for row in rows {
            if touched(&self.unproven, &row.path) {
                self.unproven.insert(row.path);
                self.prove_later();
            } else {
                batch.archive.push(row);
            }
        }
    }

    /// If one of these paths has to wait for something that could not be made durable, all do.
    pub(super) fn put_off_as_one(&mut self, paths: &[&RelPath]) {
        if paths.iter().any(|path| touched(&self.unproven, path)) {
            self.unproven.extend(paths.iter().map(|&path| path.clone()));
        }
    }

    pub(super) fn saved(&mut self, id: SaveId, result: Result<(), String>, out: &mut Vec<Action>) {
        let Some(Saving { batch, answers, declined }) = self.saves.remove(&id) else { return };
        match result {
            Ok(()) => {
                self.can_save_again(out);
                self.note_stored(&batch);
                self.are_over(batch.over, out);
                self.stored_peer = batch.peer.or(self.stored_peer);
                out.extend(answers.into_iter().map(|(to, answer)| Action::Answer(to, answer)));
                let discard = |edit: HeldEdit| Action::Discard { seq: edit.seq, keep: true, edit };
                out.extend(declined.into_iter().map(discard));
            }
            Err(reason) => {
                self.declined.extend(declined);
                for (client, _) in answers {
                    out.push(Action::Answer(client, desk::cannot_save(&reason)));
                }
                self.save_again(batch);
                self.save_at = Some(self.now.moment.after_ms(SAVE_AGAIN_MS));
                self.halt_for(Halt::CannotSave(reason), out);
            }
        }
    }

    /// A batch is saved, and with it what these orders brought about; but for what could not be
    /// made durable, which is saved another time. Nor is an order over before an earlier one at the
    /// same path: after a kill that one alone would take the archive back.
    fn are_over(&mut self, mut orders: Vec<Landed>, out: &mut Vec<Action>) {
        orders.sort_by_key(|order| order.id);
        let newest = orders.last().map(|order| order.id);
        let saving = self.saves.values().flat_map(|saving| &saving.batch.over);
        let earlier = saving.chain(&self.unsaved.over).filter(|order| Some(order.id) < newest);
        let mut open: BTreeSet<RelPath> = earlier.flat_map(|order| order.at.clone()).collect();
        let (mut late, mut over) = (Vec::new(), Vec::new());
        for order in orders {
            let mut at = order.at.iter();
            if at.any(|path| touched(&self.unproven, path) || touched(&open, path)) {
                open.extend(order.at.iter().cloned());
                late.push(order);
            } else {
                over.push(order.id);
            }
        }
        self.unsaved.over.extend(late);
        if !over.is_empty() {
            out.push(Action::Trail(Trail::Over(over)));
        }
    }

    /// What was saved is what the archive says, unless that has gone on.
    pub(super) fn note_stored(&mut self, batch: &Batch) {
        for ArchiveRow { path, entry, .. } in &batch.archive {
            if self.unproven.contains(path) {
                continue;
            }
            if same(self.archive.get(path), entry.as_ref()) {
                self.stored.remove(path);
            } else {
                self.stored.insert(path.clone(), entry.clone());
            }
        }
    }

    /// Another run of B has told what it has. Where that is not what the archive says, and B never
    /// said that it was flushed, B has lost it: the two sides never agreed on it. What B was told
    /// to rename is looked for at its new name.
    pub(super) fn forget_what_b_lost(&mut self) {
        if !std::mem::take(&mut self.restarted) {
            return;
        }
        let lost = self.stored.iter().filter(|(path, stored)| {
            let agreed = self.archive.get(path);
            let at = self.moved_unheard(Side::B, path);
            !same(self.seen.b.get(&at), agreed) && !same(stored.as_ref(), agreed)
        });
        let lost: Vec<_> = lost.map(|(path, stored)| (path.clone(), stored.clone())).collect();
        for (path, stored) in lost {
            self.learn(&path, stored, Some(Side::A));
        }
    }

    /// What a batch was about is saved once more, as it is now: a later batch may have been saved.
    pub(super) fn save_again(&mut self, batch: Batch) {
        let unsaved = &mut self.unsaved;
        let archive = &self.archive;
        unsaved.over.extend(batch.over);
        if batch.forget {
            unsaved.forget = true;
            let all = archive.iter().map(|(path, entry)| (path.clone(), Some(entry.clone())));
            unsaved.archive =
                all.map(|(path, entry)| ArchiveRow { path, entry, source: None }).collect();
        }
        unsaved.archive.extend(
            batch
                .archive
                .into_iter()
                .map(|row| ArchiveRow { entry: archive.get(&row.path).cloned(), ..row }),
        );
        if batch.locks.is_some() {
            unsaved.locks = Some(self.locks.clone());
        }
        if batch.broken.is_some() {
            unsaved.broken = Some(self.broken.clone());
        }
        unsaved.peer = batch.peer.and(self.peer).or(unsaved.peer);
    }

    /// A source could not be made durable before the archive said so: agree on it again later.
    pub(super) fn not_durable(&mut self, paths: Vec<RelPath>) {
        self.unproven.extend(paths);
        self.prove_later();
    }

    /// Both sides have the same at a path; if it could not be made durable, it may be now.
    pub(super) fn is_same_again(&mut self, path: &RelPath) {
        if self.unproven.contains(path) {
            self.prove_later();
        }
    }

    fn prove_later(&mut self) {
        self.prove_at = self.prove_at.or(Some(self.now.moment.after_ms(PROVE_MS)));
    }

    /// Tries again to save what could not be made durable.
    pub(super) fn prove(&mut self) {
        if !self.ready.b || self.prove_at.is_none_or(|at| at > self.now.moment) {
            return;
        }
        self.prove_at = None;
        // What is on its way is saved when it has arrived, and what comes after it then, too.
        let unproven = std::mem::take(&mut self.unproven);
        let (mut same, mut moving): (BTreeSet<RelPath>, BTreeSet<RelPath>) =
            unproven.into_iter().partition(|path| self.all_same(path));
        while !moving.is_empty() {
            self.unproven.append(&mut moving);
            (moving, same) = same.into_iter().partition(|path| touched(&self.unproven, path));
        }
        for path in same {
            let entry = self.seen.a.get(&path).cloned();
            self.learn(&path, entry, None);
        }
    }
}
