//! Orders of which nobody told us what became of them: the link broke, or we were killed.
//!
//! What is found at a side as it was ordered was carried out: it is no edit of that side's user,
//! and both sides had agreed on it, whatever the other one's user has made of it since.

use std::collections::BTreeSet;

use common::change::Operation;
use common::entry::{Entry, same};
use common::path::RelPath;
use common::side::Side;
use common::tree::Tree;
use common::wire::message::OrderId;

use super::Coordinator;
use super::action::{Action, Landed};
use crate::underway::{Open, Ordered, Trail};

impl Coordinator {
    /// A has told everything: a held edit that was applied is not applied once more, also when A's
    /// user went on from there.
    pub(super) fn learn_drained(&mut self, out: &mut Vec<Action>) {
        let mut over = Vec::new();
        for Open { ordered, done, .. } in self.unheard.iter().cloned().collect::<Vec<_>>() {
            let Some((path, after)) = &ordered.held else { continue };
            let Operation::Change(change) = &ordered.operation else { continue };
            self.unheard.note(Trail::Over(vec![ordered.id]));
            if done || same(self.seen.a.get(&change.path), change.after.as_ref()) {
                self.record_agreed(path, after.as_ref(), out);
                self.learn(path, after.clone(), Some(Side::B));
                out.push(Action::Trail(Trail::Done(ordered.id)));
                self.unsaved.over.push(Landed { id: ordered.id, at: vec![path.clone()] });
            } else {
                over.push(ordered.id);
            }
        }
        self.forget_orders(over, out);
    }

    /// Both sides have told everything: the archive learns what was carried out unheard.
    pub(super) fn learn_unheard(&mut self, out: &mut Vec<Action>) {
        let unheard = std::mem::take(&mut self.unheard);
        let mut over = Vec::new();
        let mut learned = BTreeSet::new();
        for Open { ordered, done, .. } in unheard.iter() {
            let Ordered { id, side, run, operation, .. } = ordered;
            // What A has of B counts for both only if B cannot have lost it: its user flushed
            // nothing.
            let believed = *side == Side::B || run.is_some() && *run == self.run;
            match believed.then(|| self.learn_order(*side, operation, *done, out)).flatten() {
                Some(path) => {
                    // What we have seen of it now is gone when its side goes on.
                    out.push(Action::Trail(Trail::Done(*id)));
                    let at = operation.paths().into_iter().cloned().collect();
                    self.unsaved.over.push(Landed { id: *id, at });
                    learned.insert(path);
                }
                None => over.push(*id),
            }
        }
        self.forget_orders(over, out);
        if !learned.is_empty() {
            self.guard_learned(&learned, out);
        }
    }

    /// Nothing that was under way counts any more.
    pub(super) fn forget_unheard(&mut self, out: &mut Vec<Action>) {
        let ids = self.unheard.iter().map(|open| open.ordered.id).collect();
        self.unheard = Default::default();
        self.forget_orders(ids, out);
    }

    /// Where a side has now what was at a path before a rename that it carried out unheard.
    pub(super) fn moved_unheard(&self, side: Side, path: &RelPath) -> RelPath {
        let mut renames = self.unheard.iter().filter_map(|open| match &open.ordered.operation {
            Operation::Rename { from, to, before } if open.ordered.side == side => {
                let is_below = path == from || path.is_below(from);
                let moved = is_below && self.took_the_name(side, from, to, before);
                moved.then(|| path.rebase(from, to).ok()).flatten()
            }
            _ => None,
        });
        renames.next().unwrap_or_else(|| path.clone())
    }

    /// Whether a side has, at its new name only, what was to be renamed.
    fn took_the_name(&self, side: Side, from: &RelPath, to: &RelPath, before: &Entry) -> bool {
        let seen = &self.seen[side];
        let stands = |entry: &Entry| entry.kind() == before.kind();
        seen.get(from).is_none() && seen.get(to).is_some_and(stands)
    }

    fn forget_orders(&self, ids: Vec<OrderId>, out: &mut Vec<Action>) {
        if !ids.is_empty() {
            out.push(Action::Trail(Trail::Over(ids)));
        }
    }

    /// Learns what an order brought about, if it did; answers where.
    fn learn_order(
        &mut self,
        side: Side,
        operation: &Operation,
        done: bool,
        out: &mut Vec<Action>,
    ) -> Option<RelPath> {
        let seen = &self.seen[side];
        match operation {
            Operation::Change(change) => {
                let (path, after) = (&change.path, &change.after);
                let done = done || same(seen.get(path), after.as_ref());
                let news = !same(self.archive.get(path), after.as_ref());
                (done && news).then(|| {
                    self.record_agreed(path, after.as_ref(), out);
                    self.learn(path, after.clone(), None);
                    path.clone()
                })
            }
            Operation::Rename { from, to, before } => {
                let done = done || self.took_the_name(side, from, to, before);
                let news = self.archive.get(to).is_none();
                (done && news).then(|| {
                    self.record_rename(side, (from, to), before, out);
                    match self.archive.get(from) {
                        Some(_) => self.learn_rename(from, to),
                        // The store knows what came later at the old name, or a part of this.
                        None => self.learn(to, Some(before.clone()), None),
                    }
                    to.clone()
                })
            }
            Operation::Clear { path, .. } => {
                let is_gone =
                    |tree: &Tree| tree.get(path).is_none() && tree.below(path).next().is_none();
                let news = !is_gone(&self.archive);
                ((done || is_gone(seen)) && news).then(|| {
                    self.learn_cleared_unheard(path, out);
                    path.clone()
                })
            }
        }
    }

    /// What one side lost of what was just learned is as much a loss as any other.
    fn guard_learned(&mut self, learned: &BTreeSet<RelPath>, out: &mut Vec<Action>) {
        for side in Side::BOTH {
            let mut lost = self.lost_at(&self.seen[side], &self.problems[side]);
            lost.retain(|(path, _)| learned.iter().any(|at| at.touches(path)));
            self.guard_against(side, lost, out);
        }
    }
}
