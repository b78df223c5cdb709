//! A damaged store never panics, never shows a row that was not saved, and is never deleted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::entry::Entry;
use common::path::RelPath;
use common::store::{Batch, Durability, FORMAT, StoreError, open};

use crate::store::{file, path, reopen};

const ROWS: u64 = 400;

fn rows() -> BTreeMap<RelPath, Entry> {
    (0..ROWS).map(|n| (path(&format!("some/dir/file-{n}")), file(n))).collect()
}

/// A store with rows, locks and a document; its bytes after closing and while it was open.
fn whole() -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    let store = reopen(&name);
    // Two generations, so that pages of old versions lie about.
    for (path, _) in rows() {
        store.save_archive(&[(path, Some(file(1_000_000)))]).expect("saved");
    }
    let mut batch = Batch::default();
    for (path, entry) in rows() {
        batch.archive(&path, Some(&entry));
    }
    for id in 0..20_u64 {
        batch.lock(id, Some(&format!("lock {id}")));
    }
    batch.doc("peer", Some(&7_u64));
    store.save(&batch).expect("saved");
    // Of a store that was not closed, damage may cost the last save: as if a kill had come first.
    store.put_doc("last", &1_u64).expect("saved");
    let open = fs::read(&name).expect("its bytes");
    drop(store);
    (fs::read(&name).expect("its bytes"), open)
}

/// How many rows and locks are there, all of them right.
fn right(name: &Path) -> (usize, usize, Option<PathBuf>) {
    let opened = match open(name, Durability::Strict) {
        Ok(opened) => opened,
        Err(error @ StoreError::Newer { .. }) => panic!("{error}"),
        Err(error) => panic!("{error:?}"),
    };
    let store = opened.store;
    let expected = rows();
    let archive = store.load_archive().expect("loaded");
    for (path, entry) in archive.rows.iter() {
        assert_eq!(expected.get(path), Some(entry), "{path}");
    }
    let locks = store.load_locks::<String>().expect("loaded");
    for (id, lock) in &locks.rows {
        assert_eq!(lock, &format!("lock {id}"));
    }
    assert!(matches!(store.get_doc::<u64>("peer").expect("read"), None | Some(7)));
    store.put_doc("peer", &8_u64).expect("it can be written");
    if let Some(aside) = &opened.set_aside {
        assert!(fs::exists(aside).expect("looked"), "the damaged one is kept");
    }
    (archive.rows.len(), locks.rows.len(), opened.set_aside)
}

/// Numbers that look random, the same in every run.
fn scattered(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    })
}

/// Flips one bit in each of many places, and opens. Answers how many stores that were, the rows
/// that they kept, and how many kept all locks.
fn flip(bytes: &[u8]) -> (usize, usize, usize) {
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let header = 0..320;
    let body = scattered(0x1ab3).take(200).map(|x| used[x as usize % used.len()]);
    let (mut tried, mut kept, mut with_locks) = (0, 0, 0);
    for (n, at) in header.step_by(3).chain(body).enumerate() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let name = dir.path().join("store");
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (n % 8);
        fs::write(&name, &damaged).expect("written");
        let (rows, locks, aside) = right(&name);
        if let Some(aside) = aside {
            assert!(fs::read(aside).expect("kept") == damaged, "byte {at}: as it was found");
        }
        tried += 1;
        kept += rows;
        with_locks += usize::from(locks == 20);
    }
    (tried, kept, with_locks)
}

#[test]
fn one_flipped_bit_anywhere_costs_little_and_invents_nothing() {
    let (closed, _) = whole();
    let (tried, kept, with_locks) = flip(&closed);
    assert!(kept > tried * ROWS as usize * 8 / 10, "{kept} rows of {tried} stores were kept");
    assert!(with_locks > tried * 8 / 10, "{with_locks} of {tried} kept all locks");
}

#[test]
fn one_flipped_bit_in_a_store_that_was_not_closed_invents_nothing() {
    let (_, open) = whole();
    let (tried, kept, _) = flip(&open);
    assert!(kept > tried * ROWS as usize / 2, "{kept} rows of {tried} stores were kept");
}

#[test]
fn a_flipped_bit_in_a_row_costs_that_row_and_never_a_lock() {
    let (bytes, _) = whole();
    let needle = b"some/dir/file-77";
    let places = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle));
    let mut costs = Vec::new();
    for at in places {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let name = dir.path().join("store");
        let mut damaged = bytes.clone();
        damaged[at + needle.len() - 1] ^= 0x80;
        fs::write(&name, damaged).expect("written");
        let (rows, locks, _) = right(&name);
        assert_eq!(locks, 20);
        costs.push(ROWS as usize - rows);
    }
    assert!(costs.contains(&1), "the live row was hit: {costs:?}");
    assert!(costs.iter().all(|cost| *cost <= 1), "{costs:?}");
}

#[test]
fn a_truncated_store_is_set_aside() {
    let (bytes, _) = whole();
    let cuts = [0, 1, 9, 100, 4095, 4096, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1];
    for cut in cuts {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let name = dir.path().join("store");
        fs::write(&name, &bytes[..cut]).expect("written");
        let (.., aside) = right(&name);
        let aside = aside.unwrap_or_else(|| panic!("cut at {cut} is damage"));
        assert!(fs::read(aside).expect("kept") == bytes[..cut], "cut at {cut}");
    }
}

#[test]
fn a_foreign_file_is_set_aside_and_each_one_keeps_its_own_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    let mut asides = Vec::new();
    for text in ["first", "second", "third"] {
        fs::write(&name, text).expect("written");
        let (rows, _, aside) = right(&name);
        assert_eq!(rows, 0);
        asides.push((aside.expect("set aside"), text));
    }
    for (aside, text) in asides {
        assert_eq!(fs::read_to_string(&aside).expect("kept"), text);
        let aside = aside.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(aside.starts_with("store.corrupt-2"), "{aside}");
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    reopen(&name).put_doc("key", &1_u64).expect("saved");
    let db = redb::Database::open(&name).expect("opened");
    let txn = db.begin_write().expect("begun");
    let meta = redb::TableDefinition::<&str, u64>::new("lab3");
    txn.open_table(meta).expect("there").insert("format", FORMAT + 1).expect("written");
    txn.commit().expect("committed");
    drop(db);
    let before = fs::read(&name).expect("its bytes");
    match open(&name, Durability::Strict) {
        Err(StoreError::Newer { found, .. }) => assert_eq!(found, FORMAT + 1),
        other => panic!("{other:?}"),
    }
    assert!(fs::read(&name).expect("its bytes") == before, "nothing was touched");
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
}

#[test]
fn a_store_that_cannot_be_reached_is_an_error_and_not_an_empty_store() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let missing = dir.path().join("no/such/dir/store");
    assert!(matches!(open(&missing, Durability::Strict), Err(StoreError::Place { .. })));
    let is_dir = dir.path().join("store");
    fs::create_dir(&is_dir).expect("made");
    assert!(matches!(open(&is_dir, Durability::Strict), Err(StoreError::Place { .. })));
    assert!(is_dir.is_dir(), "it was not renamed");
}
