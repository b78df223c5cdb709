//! What was saved is there again.

use std::path::{Path, PathBuf};

use common::digest::Digest;
use common::entry::{Entry, File, Link};
use common::path::RelPath;
use common::store::{Batch, Durability, Store, StoreError, open};
use common::time::Timestamp;
use tempfile::TempDir;

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a valid path")
}

pub(crate) fn file(n: u64) -> Entry {
    Entry::from(File {
        digest: Digest::of(&n.to_le_bytes()),
        size: n,
        mode: 0o644,
        modified: Timestamp { seconds: n as i64, nanos: 5 },
    })
}

pub(crate) fn reopen(name: &Path) -> Store {
    let opened = open(name, Durability::Strict).expect("the store opens");
    assert_eq!(opened.set_aside, None);
    opened.store
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    (dir, name)
}

#[test]
fn everything_that_was_saved_is_there_after_closing() {
    let (_dir, name) = place();
    let store = reopen(&name);
    let odd = RelPath::new(b"d/\xff\n name").expect("a valid path");
    let mut batch = Batch::default();
    batch.archive(&path("d"), Some(&Entry::Dir { mode: 0o755 }));
    batch.archive(&odd, Some(&file(7)));
    batch.scan(&odd, Some(&(1_u64, "stamp".to_owned())));
    batch.doc("peer", Some(&42_u128));
    batch.lock(9, Some(&"a lock".to_owned()));
    batch.lock(10, Some(&"another".to_owned()));
    store.save(&batch).expect("saved");
    store.save_archive(&[(path("gone"), Some(file(1)))]).expect("saved");
    store.save_archive(&[(path("gone"), None), (path("never"), None)]).expect("saved");
    drop(store);

    let store = reopen(&name);
    let archive = store.load_archive().expect("loaded");
    let rows: Vec<_> = archive.rows.iter().map(|(p, e)| (p.clone(), e.clone())).collect();
    assert_eq!(rows, [(path("d"), Entry::Dir { mode: 0o755 }), (odd.clone(), file(7))]);
    assert!(archive.dropped.is_empty());
    let scan = store.load_scan::<(u64, String)>().expect("loaded").rows;
    assert_eq!(scan.into_iter().collect::<Vec<_>>(), [(odd, (1, "stamp".to_owned()))]);
    let locks = store.load_locks::<String>().expect("loaded").rows;
    assert_eq!(
        locks.into_iter().collect::<Vec<_>>(),
        [(9, "a lock".to_owned()), (10, "another".to_owned())]
    );
    assert_eq!(store.get_doc::<u128>("peer").expect("read"), Some(42));
    assert_eq!(store.get_doc::<u128>("nobody").expect("read"), None);
}

#[test]
fn a_new_store_is_empty_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, name) = place();
    let store = reopen(&name);
    assert!(store.load_archive().expect("loaded").rows.is_empty());
    assert!(store.load_locks::<u8>().expect("loaded").rows.is_empty());
    let mode = std::fs::metadata(&name).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("listed").collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}

#[test]
fn an_open_store_is_refused_to_others() {
    let (_dir, name) = place();
    let store = reopen(&name);
    assert!(matches!(open(&name, Durability::Strict), Err(StoreError::InUse { .. })));
    store.put_doc("still", &1_u8).expect("the first one goes on");
}

#[test]
fn a_document_of_another_type_is_not_there() {
    let (_dir, name) = place();
    let store = reopen(&name);
    store.put_doc("key", &"text").expect("saved");
    assert_eq!(store.get_doc::<u64>("key").expect("read"), None);
    let mut batch = Batch::default();
    batch.lock(3, Some(&"text"));
    store.save(&batch).expect("saved");
    let locks = store.load_locks::<u64>().expect("loaded");
    assert_eq!((locks.rows.len(), locks.dropped), (0, vec![3_u64.to_be_bytes().to_vec()]));
}

#[test]
fn relaxed_rows_are_readable_at_once_and_on_disk_after_closing() {
    let (_dir, name) = place();
    let store = open(&name, Durability::Relaxed).expect("the store opens").store;
    for n in 0..600 {
        store.save_archive(&[(path(&format!("f{n}")), Some(file(n)))]).expect("saved");
    }
    assert_eq!(store.load_archive().expect("loaded").rows.len(), 600);
    drop(store);
    assert_eq!(reopen(&name).load_archive().expect("loaded").rows.len(), 600);
}

#[test]
fn a_hundred_thousand_rows_come_back() {
    let (_dir, name) = place();
    let rows: Vec<_> =
        (0..100_000).map(|n| (path(&format!("d{}/f{n}", n % 100)), Some(file(n)))).collect();
    reopen(&name).save_archive(&rows).expect("saved");
    let archive = reopen(&name).load_archive().expect("loaded").rows;
    assert_eq!(archive.len(), rows.len());
    assert!(rows.iter().all(|(path, entry)| archive.get(path) == entry.as_ref()));
}

/// Compares bytes with a fixture; `LAB3_BLESS=1` writes it.
fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/state/{name}.hex"));
    let line = |chunk: &[u8]| chunk.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
    let hex: String = bytes.chunks(32).map(line).collect();
    if std::env::var_os("LAB3_BLESS").is_some() {
        std::fs::write(&path, &hex).expect("written");
    }
    let frozen = std::fs::read_to_string(&path).expect("the fixture is there");
    assert_eq!(hex, frozen, "the bytes on disk of `{name}` have changed: raise the format number");
}

#[test]
fn the_bytes_of_rows_are_frozen() {
    let (_dir, name) = place();
    let store = reopen(&name);
    let link = Entry::from(Link { target: (*b"away").into(), modified: Timestamp::default() });
    let rows = [
        (path("d"), Some(Entry::Dir { mode: 0o755 })),
        (path("d/f"), Some(file(7))),
        (path("d/l"), Some(link)),
    ];
    store.save_archive(&rows).expect("saved");
    store.put_doc("peer", &42_u64).expect("saved");
    drop(store);
    let db = redb::Database::open(&name).expect("opened");
    let txn = redb::ReadableDatabase::begin_read(&db).expect("begun");
    let mut bytes = Vec::new();
    for table in ["archive", "docs"] {
        let table = redb::TableDefinition::<&[u8], &[u8]>::new(table);
        let table = txn.open_table(table).expect("there");
        for row in redb::ReadableTable::iter(&table).expect("listed") {
            let (key, value) = row.expect("a row");
            bytes.extend_from_slice(key.value());
            bytes.extend_from_slice(value.value());
        }
    }
    golden("store-rows", &bytes);
}
