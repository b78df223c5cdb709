//! The FIFO of held edits, in memory.
//!
//! Pure: it knows order, paths, locks and bytes, and nothing of the files. An edit is in the queue
//! once its file is durable, and leaves it when its file is discarded. Order is `seq` alone: the
//! order in which B's edits were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use common::entry::Entry;
use common::path::RelPath;
use common::time::Timestamp;
use common::wire::client::{HeldOp, HeldRow};
use serde::{Deserialize, Serialize};

/// An edit of B that waits for an unlock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEdit {
    /// Its place in the queue; no other edit ever has it.
    pub seq: u64,
    /// The lock that held it back.
    pub lock: u64,
    /// Where.
    pub path: RelPath,
    /// What B had before: the last held edit's `after`, or what both sides agreed on.
    pub before: Option<Entry>,
    /// What B has.
    pub after: Option<Entry>,
    /// When it arrived at A.
    pub received: Timestamp,
}

impl HeldEdit {
    /// What it does.
    #[must_use]
    pub fn op(&self) -> HeldOp {
        match (&self.before, &self.after) {
            (_, None) => HeldOp::Delete,
            (None, Some(_)) => HeldOp::Create,
            (Some(before), Some(after)) if before.kind() != after.kind() => HeldOp::Replace,
            (Some(before), Some(after)) if before.same_content(after) => HeldOp::Metadata,
            (Some(_), Some(_)) => HeldOp::Write,
        }
    }

    /// The row that clients see.
    #[must_use]
    pub fn row(&self) -> HeldRow {
        HeldRow {
            seq: self.seq,
            path: self.path.clone(),
            op: self.op(),
            size: self.after.as_ref().map_or(0, Entry::size),
            time: self.received,
        }
    }

    /// Bytes of content that are kept with it.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.after.as_ref().and_then(Entry::as_file).map_or(0, |file| file.size)
    }
}

/// What may be held. Beyond it the newest edit waits at B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLimits {
    /// Bytes of content.
    pub bytes_max: u64,
    /// Edits.
    pub edits_max: u64,
}

impl Default for HeldLimits {
    fn default() -> Self {
        HeldLimits { bytes_max: 10 * 1024 * 1024 * 1024, edits_max: 100_000 }
    }
}

/// The held edits in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingQueue {
    edits: BTreeMap<u64, HeldEdit>,
    by_path: BTreeMap<RelPath, BTreeSet<u64>>,
    by_lock: BTreeMap<u64, BTreeSet<u64>>,
    bytes: u64,
    next_seq: u64,
    limits: HeldLimits,
}

impl PendingQueue {
    /// The queue of what the directory holds; `next_seq` is what the directory says.
    #[must_use]
    pub fn rebuild(
        edits: impl IntoIterator<Item = HeldEdit>,
        next_seq: u64,
        limits: HeldLimits,
    ) -> PendingQueue {
        let mut queue = PendingQueue {
            edits: BTreeMap::new(),
            by_path: BTreeMap::new(),
            by_lock: BTreeMap::new(),
            bytes: 0,
            next_seq: next_seq.max(1),
            limits,
        };
        for edit in edits {
            queue.insert(edit);
        }
        queue
    }

    /// Takes the next place. A place that is given up again stays empty.
    pub fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// The next place.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Adds an edit whose file is durable; answers one that had its place.
    pub fn insert(&mut self, edit: HeldEdit) -> Option<HeldEdit> {
        let old = self.remove(edit.seq);
        self.next_seq = self.next_seq.max(edit.seq.saturating_add(1));
        self.by_path.entry(edit.path.clone()).or_default().insert(edit.seq);
        self.by_lock.entry(edit.lock).or_default().insert(edit.seq);
        self.bytes = self.bytes.saturating_add(edit.content_bytes());
        self.edits.insert(edit.seq, edit);
        old
    }

    /// Takes out an edit whose file was discarded.
    pub fn remove(&mut self, seq: u64) -> Option<HeldEdit> {
        let edit = self.edits.remove(&seq)?;
        self.bytes = self.bytes.saturating_sub(edit.content_bytes());
        forget(&mut self.by_path, &edit.path, seq);
        forget(&mut self.by_lock, &edit.lock, seq);
        Some(edit)
    }

    /// The edit at a place.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<&HeldEdit> {
        self.edits.get(&seq)
    }

    /// All edits, the first received first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &HeldEdit> {
        self.edits.values()
    }

    /// The edits that a lock held back, in order.
    pub fn of_lock(&self, lock: u64) -> impl DoubleEndedIterator<Item = &HeldEdit> {
        self.by_lock.get(&lock).into_iter().flatten().filter_map(|seq| self.edits.get(seq))
    }

    /// The newest edit of this very path: what B has there, as far as A holds it.
    #[must_use]
    pub fn last_of(&self, path: &RelPath) -> Option<&HeldEdit> {
        self.edits.get(self.by_path.get(path)?.last()?)
    }

    /// The edits at a path and below it, in order.
    #[must_use]
    pub fn touching(&self, path: &RelPath) -> Vec<&HeldEdit> {
        let mut seqs: Vec<u64> = self.seqs_touching(path).copied().collect();
        seqs.sort_unstable();
        seqs.iter().filter_map(|seq| self.edits.get(seq)).collect()
    }

    /// How many edits there are at a path and below it.
    #[must_use]
    pub fn count_touching(&self, path: &RelPath) -> u64 {
        self.seqs_touching(path).count() as u64
    }

    /// How many edits there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.edits.len() as u64
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Bytes of content that are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether one more edit with so many bytes, beside `under_way` bytes that are being fetched,
    /// is more than may be held.
    #[must_use]
    pub fn would_exceed(&self, bytes: u64, under_way: u64) -> bool {
        let total = self.bytes.saturating_add(under_way).saturating_add(bytes);
        total > self.limits.bytes_max || self.len() >= self.limits.edits_max
    }

    fn seqs_touching(&self, path: &RelPath) -> impl Iterator<Item = &u64> {
        let (low, high) = path.bounds_below();
        let bounds = (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice()));
        let below = self.by_path.range::<[u8], _>(bounds).map(|(_, seqs)| seqs);
        self.by_path.get(path).into_iter().chain(below).flatten()
    }
}

fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, seq: u64) {
    if let Some(seqs) = index.get_mut(key) {
        seqs.remove(&seq);
        if seqs.is_empty() {
            index.remove(key);
        }
    }
}
