//! The lock table against the plainest thing that could be right: a list of locks.

use common::path::RelPath;
use proptest::prelude::*;
use server_a::locks::{LockTable, Whole};

use crate::locks_overlap::{at, path, wish};

/// Names that share beginnings, so that byte order and directories disagree where they can.
const NAMES: [&str; 10] =
    ["a", "a.b", "a/b", "a/b.c", "a/b/c", "a/b0", "a0", "a/b/c/d", "b", "b/a"];

fn covers(lock: &RelPath, path: &RelPath) -> bool {
    lock == path || path.is_below(lock)
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_list(
        steps in prop::collection::vec((0..3_u8, 0..NAMES.len(), 0..2_usize), 0..40),
    ) {
        let holders = ["ann", "bob"];
        let mut table = LockTable::default();
        let mut list: Vec<(RelPath, &str)> = Vec::new();
        for (step, name, holder) in steps {
            let (name, holder) = (path(NAMES[name]), holders[holder]);
            if step == 0 {
                if let Some(id) = table.covering(&name).filter(|l| l.path == name).map(|l| l.id) {
                    table.remove(id);
                }
                list.retain(|(locked, _)| *locked != name);
            } else {
                let free = list.iter().all(|(locked, by)| !locked.touches(&name) || *by == holder);
                let granted = table.lock(wish(&name.to_string(), holder), at(0));
                prop_assert_eq!(granted.is_ok(), free);
                if free && !list.iter().any(|(locked, _)| *locked == name) {
                    list.push((name, holder));
                }
            }
            list.sort();
            let table_rows: Vec<_> = table.iter().map(|l| (l.path.clone(), &*l.holder)).collect();
            prop_assert_eq!(&table_rows, &list);
            for name in NAMES.map(path) {
                let nearest = list.iter().filter(|(l, _)| covers(l, &name)).map(|(l, _)| l).max();
                prop_assert_eq!(table.covering(&name).map(|l| &l.path), nearest);
                let below: Vec<_> = list.iter().filter(|(l, _)| covers(&name, l)).collect();
                prop_assert_eq!(table.below(&name).count(), below.len());
                let whole = nearest.is_some() || !below.is_empty();
                prop_assert_eq!(table.meets(&name, Whole::Yes).is_some(), whole);
                prop_assert_eq!(table.meets(&name, Whole::No).is_some(), nearest.is_some());
            }
            for lock in table.iter() {
                prop_assert_eq!(table.get(lock.id).map(|l| &l.path), Some(&lock.path));
            }
        }
    }
}
