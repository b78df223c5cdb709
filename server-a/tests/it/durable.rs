//! What server A has on its disk beside its tree, in memory; and the coordinator that it starts
//! again with.

use std::collections::BTreeMap;

use common::path::RelPath;
use common::reconcile::safety::Limits;
use common::tree::Tree;
use common::wire::message::Peer;
use server_a::broken::Broken;
use server_a::coordinator::action::Batch;
use server_a::coordinator::{Coordinator, Remembered};
use server_a::locks::LockTable;
use server_a::pending::queue::{HeldEdit, HeldLimits, PendingQueue};
use server_a::underway::Underway;

#[derive(Default)]
pub(crate) struct Durable {
    pub(crate) archive: Tree,
    pub(crate) peer: Option<Peer>,
    pub(crate) locks: LockTable,
    pub(crate) broken: Broken,
    pub(crate) pending: BTreeMap<u64, HeldEdit>,
    pub(crate) next_seq: u64,
    /// As long as no power cut comes.
    pub(crate) underway: Underway,
    /// Whether also small directories go as one.
    pub(crate) clears: bool,
    epoch: u64,
}

impl Durable {
    /// Saves a batch, but for the rows that could not be made durable.
    pub(crate) fn save(&mut self, batch: Batch, unproven: &[RelPath]) {
        if batch.forget {
            self.archive = Tree::default();
        }
        for row in batch.archive.into_iter().filter(|row| !unproven.contains(&row.path)) {
            self.archive.set(&row.path, row.entry);
        }
        self.locks = batch.locks.unwrap_or_else(|| self.locks.clone());
        self.broken = batch.broken.unwrap_or_else(|| self.broken.clone());
        self.peer = batch.peer.or(self.peer);
    }

    /// Server A starts with it.
    pub(crate) fn coordinator(&mut self, limits: Limits) -> Coordinator {
        self.epoch += 1;
        let edits = self.pending.values().cloned();
        let mut coordinator = Coordinator::new(Remembered {
            archive: self.archive.clone(),
            peer: self.peer,
            locks: self.locks.clone(),
            broken: self.broken.clone(),
            queue: PendingQueue::rebuild(edits, self.next_seq, HeldLimits::default()),
            underway: self.underway.clone(),
            epoch: self.epoch,
            limits,
        });
        if self.clears {
            coordinator.clear_from(1);
        }
        coordinator
    }
}
