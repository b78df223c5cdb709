//! Who may lock what, beside whom.

use common::path::RelPath;
use common::time::Timestamp;
use server_a::locks::{Force, LockError, LockTable, Locked, Whole, Wish};

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a valid path")
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

pub(crate) fn wish(name: &str, holder: &str) -> Wish {
    Wish { path: path(name), holder: holder.to_owned(), comment: None, ttl_s: None }
}

pub(crate) fn table(locks: &[(&str, &str)]) -> LockTable {
    let mut table = LockTable::default();
    for (name, holder) in locks {
        table.lock(wish(name, holder), at(0)).expect("granted");
    }
    table
}

fn holder_of_foreign(result: Result<Locked, LockError>) -> Option<String> {
    match result {
        Err(LockError::Foreign(lock)) => Some(lock.holder),
        _ => None,
    }
}

#[test]
fn a_lock_covers_its_path_and_everything_below_and_nothing_else() {
    let table = table(&[("d/e", "ann")]);
    for name in ["d/e", "d/e/f", "d/e/f/g"] {
        assert!(table.covering(&path(name)).is_some(), "{name}");
    }
    for name in ["d", "d/e.txt", "d/e0", "d/ef", "e", "d/f"] {
        assert!(table.covering(&path(name)).is_none(), "{name}");
    }
}

#[test]
fn the_nearest_lock_covers() {
    let table = table(&[("d", "ann"), ("d/e/f", "ann")]);
    assert_eq!(table.covering(&path("d/e/f/g")).map(|l| &l.path), Some(&path("d/e/f")));
    assert_eq!(table.covering(&path("d/e/x")).map(|l| &l.path), Some(&path("d")));
    assert_eq!(table.covering_all(&path("d/e/f")).count(), 2);
}

#[test]
fn a_foreign_lock_at_above_or_below_refuses_with_its_holder() {
    for (there, wanted) in [("f", "f"), ("d", "d/f"), ("d", "d/e/f"), ("d/f", "d"), ("d/e/f", "d")]
    {
        let mut table = table(&[(there, "ann")]);
        let before = table.clone();
        let result = table.lock(wish(wanted, "bob"), at(1));
        assert_eq!(holder_of_foreign(result).as_deref(), Some("ann"), "{wanted} beside {there}");
        assert_eq!(table, before, "a refusal changes nothing");
    }
}

#[test]
fn neighbours_of_different_holders_do_not_meet() {
    let mut table = table(&[("d/a", "ann"), ("d/b", "bob")]);
    assert!(matches!(table.lock(wish("d/a.txt", "bob"), at(1)), Ok(Locked::New(_))));
    assert!(matches!(table.lock(wish("d/ab", "cid"), at(1)), Ok(Locked::New(_))));
    assert_eq!(holder_of_foreign(table.lock(wish("d", "ann"), at(1))).as_deref(), Some("bob"));
}

#[test]
fn the_same_holder_may_lock_above_and_below_its_own_lock() {
    let mut table = table(&[("d/f", "ann")]);
    assert!(matches!(table.lock(wish("d", "ann"), at(1)), Ok(Locked::New(_))));
    assert!(matches!(table.lock(wish("d/e/g", "ann"), at(1)), Ok(Locked::New(_))));
    assert_eq!(table.below(&path("d")).count(), 3);
    assert_eq!(table.below(&path("d/e")).count(), 1);
}

#[test]
fn only_the_holder_unlocks_unless_by_force() {
    let table = table(&[("d/f", "ann")]);
    assert!(table.unlockable(&path("d/f"), "ann", Force::No).is_ok());
    let refused = table.unlockable(&path("d/f"), "bob", Force::No);
    assert!(matches!(refused, Err(LockError::Foreign(lock)) if lock.holder == "ann"));
    assert!(table.unlockable(&path("d/f"), "bob", Force::Yes).is_ok());
}

#[test]
fn unlocking_what_is_not_locked_names_the_lock_above() {
    let table = table(&[("d", "ann")]);
    match table.unlockable(&path("d/f"), "ann", Force::Yes) {
        Err(LockError::NotLocked { covered_by: Some(lock), .. }) => {
            assert_eq!(lock.path, path("d"));
        }
        other => panic!("{other:?}"),
    }
    let nowhere = table.unlockable(&path("x"), "ann", Force::No);
    assert!(matches!(nowhere, Err(LockError::NotLocked { covered_by: None, .. })));
}

#[test]
fn a_change_of_a_directory_meets_the_locks_below_it_only_when_it_takes_them_along() {
    let table = table(&[("d/e/f", "ann")]);
    assert!(table.meets(&path("d"), Whole::Yes).is_some());
    assert!(table.meets(&path("d"), Whole::No).is_none());
    assert!(table.meets(&path("d/e/f"), Whole::No).is_some());
    assert!(table.meets(&path("d/e/f0"), Whole::Yes).is_none());
}
