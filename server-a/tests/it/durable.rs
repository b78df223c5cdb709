//! What outlives server A's process in the tests.

use std::collections::BTreeMap;

use common::reconcile::safety::Limits;
use common::tree::Tree;
use common::wire::message::ReplicaId;
use server_a::coordinator::{Coordinator, Remembered};
use server_a::locks::LockTable;
use server_a::pending::queue::{HeldEdit, HeldLimits, PendingQueue};

/// What is on A's disk beside its tree.
#[derive(Default)]
pub(crate) struct Durable {
    pub(crate) archive: Tree,
    pub(crate) peer: Option<ReplicaId>,
    pub(crate) locks: LockTable,
    pub(crate) pending: BTreeMap<u64, HeldEdit>,
    pub(crate) next_seq: u64,
    pub(crate) epoch: u64,
}

impl Durable {
    /// The coordinator that starts with it.
    pub(crate) fn remembered(&self, limits: Limits) -> Coordinator {
        let edits = self.pending.values().cloned();
        Coordinator::new(Remembered {
            archive: self.archive.clone(),
            peer: self.peer,
            locks: self.locks.clone(),
            queue: PendingQueue::rebuild(edits, self.next_seq, HeldLimits::default()),
            epoch: self.epoch,
            limits,
        })
    }
}
