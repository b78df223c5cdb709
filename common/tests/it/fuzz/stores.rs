//! Stores: whatever became of the file, opening answers, only rows that were saved come back, and
//! what is saved afterwards is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::digest::Digest;
use common::entry::{Entry, File};
use common::path::RelPath;
use common::store::{Batch, Durability, StoreError, open};
use common::time::Timestamp;

use crate::fuzzing::{Target, byte, directory, number};

/// Damage to an honest store; or any file.
pub(crate) const TARGET: Target = Target { name: "stores", run, seeds, mutants: 60 };

const ROWS: u64 = 40;

fn rows() -> BTreeMap<RelPath, Entry> {
    let entry = |n: u64| {
        let digest = Digest::of(&n.to_be_bytes());
        Entry::from(File { digest, size: n, mode: 0o644, modified: Timestamp::default() })
    };
    let path = |n| RelPath::new(format!("some/dir/file-{n}")).expect("a path");
    (0..ROWS).map(|n| (path(n), entry(n))).collect()
}

/// An honest store, after it was closed and as a kill leaves it.
fn honest() -> &'static [Vec<u8>; 2] {
    static HONEST: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let dir = directory();
        let name = dir.path().join("store");
        let store = open(&name, Durability::Strict).expect("a new store").store;
        let mut batch = Batch::default();
        for (path, entry) in rows() {
            batch.archive(&path, Some(&entry));
        }
        (0..5_u64).for_each(|id| batch.lock(id, Some(&format!("lock {id}"))));
        batch.doc("peer", Some(&7_u64));
        store.save(&batch).expect("saved");
        store.put_doc("last", &1_u64).expect("saved");
        let killed = fs::read(&name).expect("its bytes");
        drop(store);
        [fs::read(&name).expect("its bytes"), killed]
    })
}

fn run(mut bytes: &[u8]) -> bool {
    let dir = directory();
    let name = dir.path().join("store");
    match byte(&mut bytes) % 3 {
        2 => fs::write(&name, bytes).expect("written"),
        which => {
            let mut file = honest()[usize::from(which)].clone();
            damage(&mut file, bytes);
            fs::write(&name, file).expect("written");
        }
    }
    let found = fs::read(&name).expect("its bytes");
    if !is_right(&name, &found) {
        return false;
    }
    let opened = open(&name, Durability::Strict).expect("it can be opened again");
    assert_eq!(opened.set_aside, None, "it was mended");
    assert_eq!(opened.store.get_doc::<u64>("peer").expect("read"), Some(8), "what was saved");
    true
}

/// Opens it and saves something. Answers whether it could be opened.
fn is_right(name: &Path, found: &[u8]) -> bool {
    let opened = match open(name, Durability::Strict) {
        Ok(opened) => opened,
        Err(StoreError::Newer { .. }) => {
            assert_eq!(fs::read(name).expect("its bytes"), found, "it was not touched");
            return false;
        }
        Err(error) => panic!("{error:?}"),
    };
    let expected = rows();
    let archive = opened.store.load_archive().expect("loaded");
    for (path, entry) in archive.rows.iter() {
        assert_eq!(expected.get(path), Some(entry), "{path}");
    }
    for (id, lock) in opened.store.load_locks::<String>().expect("loaded").rows {
        assert_eq!(lock, format!("lock {id}"));
    }
    assert!(matches!(opened.store.get_doc::<u64>("peer").expect("read"), None | Some(7)));
    opened.store.put_doc("peer", &8_u64).expect("it can be written");
    if let Some(aside) = &opened.set_aside {
        assert_eq!(fs::read(aside).expect("it is kept"), found, "as it was found");
    }
    true
}

/// Bytes that are otherwise, and perhaps an end that is missing.
fn damage(file: &mut Vec<u8>, mut bytes: &[u8]) {
    for _ in 0..byte(&mut bytes) % 8 {
        // A large part of a small store is never written.
        let at = number(&mut bytes) as usize % file.len();
        for _ in 0..1 + byte(&mut bytes) % 16 {
            if let Some(place) = file.get_mut(at) {
                *place ^= byte(&mut bytes);
            }
        }
    }
    if byte(&mut bytes) == 1 {
        file.truncate(number(&mut bytes) as usize % file.len());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let flip = |which: u8, at: u64| [&[which, 1], at.to_be_bytes().as_slice(), &[0, 1]].concat();
    let cut = |which: u8, at: u64| [&[which, 0, 1], at.to_be_bytes().as_slice()].concat();
    let mut seeds = vec![vec![0, 0], vec![1, 0], vec![2], b"\x02no store".to_vec()];
    seeds.extend([9, 20, 64, 128, 5000].map(|at| flip(0, at)));
    seeds.extend([9, 64, 200].map(|at| flip(1, at)));
    seeds.extend([cut(0, 100), cut(1, 5000), cut(0, 0)]);
    seeds
}
