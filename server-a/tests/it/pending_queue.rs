//! The order of held edits, and what may be held.

use common::entry::Entry;
use common::wire::client::HeldOp;
use server_a::pending::queue::{HeldEdit, HeldLimits, PendingQueue};

use crate::locks_overlap::{at, path};
use crate::pending_directory::file;

fn edit(seq: u64, lock: u64, name: &str, size: usize) -> HeldEdit {
    let after = Some(file(&vec![b'x'; size]));
    HeldEdit { seq, lock, path: path(name), before: None, after, received: at(0) }
}

fn seqs<'a>(edits: impl IntoIterator<Item = &'a HeldEdit>) -> Vec<u64> {
    edits.into_iter().map(|edit| edit.seq).collect()
}

fn queue(edits: Vec<HeldEdit>) -> PendingQueue {
    PendingQueue::rebuild(edits, 1, HeldLimits::default())
}

#[test]
fn the_order_is_that_of_the_places_whatever_the_order_of_arrival() {
    let queue = queue(vec![edit(9, 1, "d/f", 1), edit(2, 1, "d/g", 1), edit(5, 2, "d/f", 1)]);
    assert_eq!(seqs(queue.iter()), [2, 5, 9]);
    assert_eq!(seqs(queue.of_lock(1)), [2, 9]);
    assert_eq!(seqs(queue.touching(&path("d"))), [2, 5, 9]);
    assert_eq!(seqs(queue.touching(&path("d/f"))), [5, 9]);
    assert_eq!(queue.last_of(&path("d/f")).map(|e| e.seq), Some(9));
    assert!(queue.last_of(&path("d")).is_none());
    assert_eq!(queue.count_touching(&path("d0")), 0);
}

#[test]
fn a_place_is_never_given_out_twice() {
    let mut queue = PendingQueue::rebuild([edit(4, 1, "f", 1)], 12, HeldLimits::default());
    assert_eq!((queue.take_seq(), queue.take_seq()), (12, 13));
    queue.insert(edit(20, 1, "f", 1));
    queue.remove(20);
    assert_eq!(queue.next_seq(), 21);
    assert_eq!(PendingQueue::rebuild([], 0, HeldLimits::default()).take_seq(), 1);
}

#[test]
fn what_is_taken_out_leaves_no_trace() {
    let mut queue = queue(vec![edit(1, 1, "f", 10), edit(2, 1, "f", 30)]);
    assert_eq!((queue.len(), queue.bytes()), (2, 40));
    assert_eq!(queue.remove(2).map(|e| e.seq), Some(2));
    assert_eq!(queue.last_of(&path("f")).map(|e| e.seq), Some(1));
    assert!(queue.remove(2).is_none());
    queue.remove(1);
    assert_eq!((queue.len(), queue.bytes(), queue.is_empty()), (0, 0, true));
    assert_eq!(queue.of_lock(1).count(), 0);
    let empty = PendingQueue::rebuild([], queue.next_seq(), HeldLimits::default());
    assert_eq!(queue, empty);
}

#[test]
fn the_limits_count_what_is_held_and_what_is_under_way() {
    let limits = HeldLimits { bytes_max: 100, edits_max: 3 };
    let mut queue = PendingQueue::rebuild([edit(1, 1, "f", 60)], 1, limits);
    assert!(!queue.would_exceed(40, 0));
    assert!(queue.would_exceed(41, 0));
    assert!(queue.would_exceed(40, 1));
    assert!(queue.would_exceed(u64::MAX, u64::MAX));
    queue.insert(edit(2, 1, "f", 0));
    queue.insert(edit(3, 1, "f", 0));
    assert!(queue.would_exceed(0, 0), "the number is bounded too");
}

#[test]
fn an_edit_is_named_by_what_it_does() {
    let chmod = match file(b"a") {
        Entry::File(file) => Entry::from(common::entry::File { mode: 0o600, ..*file }),
        other => other,
    };
    for (before, after, op) in [
        (None, Some(file(b"a")), HeldOp::Create),
        (Some(file(b"a")), Some(file(b"b")), HeldOp::Write),
        (Some(file(b"a")), Some(chmod), HeldOp::Metadata),
        (Some(file(b"a")), Some(Entry::Dir { mode: 0o755 }), HeldOp::Replace),
        (Some(file(b"a")), None, HeldOp::Delete),
    ] {
        let edit = HeldEdit { before, after, ..edit(3, 1, "f", 0) };
        assert_eq!(edit.row().op, op);
        assert_eq!(edit.row().size, u64::from(edit.after.as_ref().is_some_and(|e| !e.is_dir())));
    }
}
