//! What becomes of a lock in time, and across restarts.

use common::wire::client::DrainMode;
use server_a::locks::{Force, Lock, LockError, LockState, LockTable, Locked, Wish};

use crate::locks_overlap::{at, path, table, wish};

#[test]
fn locking_again_is_the_same_lock_with_the_new_terms() {
    let mut table = LockTable::default();
    let first = Wish { comment: Some("why".to_owned()), ttl_s: Some(60), ..wish("f", "ann") };
    let id = table.lock(first, at(100)).expect("granted").id();
    assert_eq!(table.get(id).expect("there").expires, Some(at(160)));

    assert_eq!(table.lock(wish("f", "ann"), at(200)), Ok(Locked::Already(id)));
    let lock = table.get(id).expect("there");
    assert_eq!((lock.since, lock.expires), (at(100), None), "held since the first, now for ever");
    assert_eq!(lock.comment.as_deref(), Some("why"), "no comment leaves the old one");

    let again = Wish { comment: Some("new".to_owned()), ..wish("f", "ann") };
    assert_eq!(table.lock(again, at(300)), Ok(Locked::Already(id)));
    assert_eq!(table.get(id).expect("there").comment.as_deref(), Some("new"));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_lock_expires_only_when_it_was_given_a_time_and_at_that_time() {
    let mut table = LockTable::default();
    table.lock(wish("for-ever", "ann"), at(0)).expect("granted");
    let late = table.lock(Wish { ttl_s: Some(20), ..wish("late", "ann") }, at(0)).expect("ok").id();
    let soon = table.lock(Wish { ttl_s: Some(10), ..wish("soon", "ann") }, at(0)).expect("ok").id();
    let long = Wish { ttl_s: Some(u64::MAX), ..wish("long", "ann") };
    table.lock(long, at(5)).expect("granted");
    assert_eq!(table.next_expiry(), Some(at(10)));
    assert_eq!(table.expired(at(9)), Vec::<u64>::new());
    assert_eq!(table.expired(at(10)), [soon]);
    assert_eq!(table.expired(at(i64::MAX - 1)), [late, soon], "by path");
    table.begin_drain(soon, DrainMode::Apply);
    assert_eq!(table.expired(at(15)), Vec::<u64>::new(), "it is being unlocked already");
    assert_eq!(table.next_expiry(), Some(at(20)));
}

#[test]
fn a_drain_keeps_its_course_and_nothing_is_locked_across_it() {
    let mut table = table(&[("d/f", "ann")]);
    let id = table.covering(&path("d/f")).expect("locked").id;
    assert_eq!(table.begin_drain(id, DrainMode::KeepA), Some(DrainMode::KeepA));
    assert_eq!(table.begin_drain(id, DrainMode::Discard), Some(DrainMode::KeepA));
    assert_eq!(table.begin_drain(id + 1, DrainMode::Apply), None);
    for name in ["d", "d/f", "d/f/g"] {
        let refused = table.lock(wish(name, "ann"), at(1));
        assert!(matches!(refused, Err(LockError::Draining(_))), "{name}");
    }
    let lock = table.unlockable(&path("d/f"), "ann", Force::No).expect("the drain goes on");
    assert!(lock.row(3).draining);
    assert_eq!(table.remove(id).map(|lock| lock.path), Some(path("d/f")));
    assert!(table.lock(wish("d", "bob"), at(2)).is_ok());
    assert!(table.remove(id).is_none());
}

#[test]
fn ids_are_never_used_again_not_even_after_a_restart() {
    let mut table = table(&[("a", "ann"), ("b", "ann")]);
    let b = table.covering(&path("b")).expect("locked").id;
    table.remove(b);
    let mut again = LockTable::restore(table.iter().cloned(), table.next_id());
    let id = again.lock(wish("b", "ann"), at(1)).expect("granted").id();
    assert!(id > b);
    let mut lost = LockTable::restore(again.iter().cloned(), 0);
    assert!(lost.lock(wish("c", "ann"), at(1)).expect("granted").id() > id);
}

#[test]
fn a_lock_follows_its_file_and_the_locks_below_follow_their_directory() {
    let mut table = table(&[("d/f", "ann"), ("d/e/g", "ann"), ("d0", "bob")]);
    let mut ids = table.moved_at_a(&path("d"), &path("k/new"), |_| true);
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    assert!(table.moved_at_a(&path("d0"), &path("x"), |_| false).is_empty(), "nothing was there");
    for name in ["d/f", "k/new/f"] {
        assert_eq!(table.covering(&path(name)).map(|l| l.id), Some(1), "until B has the name, too");
        assert_eq!(table.at(&path(name)).map(|l| l.id), Some(1));
    }
    assert_eq!(table.below(&path("k")).count(), 2);
    assert!(table.moved_at_b(&path("d"), &path("k/new")));
    assert!(table.covering(&path("d/f")).is_none());
    assert_eq!(table.covering(&path("k/new/f")).map(|l| l.id), Some(1));
    assert_eq!(table.get(2).map(|l| &l.path), Some(&path("k/new/e/g")));
    assert_eq!(table.covering(&path("d0")).map(|l| l.id), Some(3));
    assert_eq!(
        table.moved_at_a(&path("k/new/f"), &path("d0"), |_| true),
        [] as [u64; 0],
        "taken by bob's"
    );
    assert_eq!(table.len(), 3);
}

#[test]
fn a_lock_stays_where_its_file_comes_back() {
    let mut table = table(&[("f", "ann")]);
    table.moved_at_a(&path("f"), &path("f~"), |_| true);
    assert_eq!(table.stays(&path("f"), false), None);
    assert_eq!(table.stays(&path("f~"), true), None);
    assert_eq!(
        table.stays(&path("f"), true),
        Some(path("f~")),
        "a save that renames the old version away"
    );
    assert!(table.covering(&path("f~")).is_none() && table.covering(&path("f")).is_some());
    table.moved_at_a(&path("f"), &path("g"), |_| true);
    table.moved_at_a(&path("g"), &path("h"), |_| true);
    assert!(table.covering(&path("g")).is_none() && table.covering(&path("h")).is_some());
    assert_eq!(table.stays(&path("h"), false), Some(path("h")), "the file is gone");
    table.moved_at_a(&path("f"), &path("g"), |_| true);
    table.moved_at_a(&path("g"), &path("f"), |_| true);
    assert_eq!(table.at(&path("f")).map(|lock| lock.moved.clone()), Some(None));
    table.remove(1);
    assert!(table.is_empty() && table.covering(&path("g")).is_none());
}

#[test]
fn the_bytes_of_a_lock_are_frozen() {
    let lock = Lock {
        id: 7,
        path: path("d/f"),
        holder: "ann@host".to_owned(),
        since: at(1_700_000_000),
        comment: Some("editing".to_owned()),
        expires: None,
        state: LockState::Draining(DrainMode::KeepA),
        moved: None,
    };
    let bytes = common::wire::cbor::to_vec(&lock).expect("written");
    crate::pending_directory::golden("lock", &bytes);
    assert_eq!(common::wire::cbor::from_slice::<Lock>(&bytes).expect("read"), lock);
}
