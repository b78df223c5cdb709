//! Receiving aside, and keeping what was replaced.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use common::digest::Digest;
use common::entry::{Entry, File};
use common::replica::disk::Handle;
use common::replica::note;
use common::replica::stage::{Flush, Stage, StageError};
use common::replica::trash::{Keep, Reason, Trash};
use common::side::Side;
use common::time::Timestamp;
use tempfile::{TempDir, tempdir};

use crate::replica_bench::{file, path};

fn stage() -> (TempDir, Stage) {
    let dir = tempdir().unwrap();
    let fd = fs::File::open(dir.path()).unwrap().into();
    (dir, Stage::new(fd, 7))
}

fn entry_of(content: &[u8]) -> File {
    let Entry::File(file) = file(content) else { unreachable!() };
    (*file).clone()
}

#[test]
fn a_sparse_file_stays_sparse() {
    let (dir, stage) = stage();
    let mut content = vec![0u8; 8 << 20];
    content[5_000_000..5_000_010].copy_from_slice(b"0123456789");
    let mut staged = stage.file(content.len() as u64).unwrap();
    for (i, piece) in content.chunks(100_000).enumerate() {
        staged.write(i as u64 * 100_000, piece).unwrap();
    }
    let staged = staged.finish(&entry_of(&content), Flush::Now).unwrap();
    let at = dir.path().join(String::from_utf8(staged.name).unwrap());
    assert!(fs::read(&at).unwrap() == content);
    assert!(fs::metadata(&at).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn pieces_may_come_in_any_order_and_twice() {
    let (_dir, stage) = stage();
    let content: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let mut staged = stage.file(content.len() as u64).unwrap();
    let zeros = vec![0; 8192];
    for offset in (0..content.len()).step_by(8192).rev() {
        let piece = &content[offset..(offset + 8192).min(content.len())];
        staged.write(offset as u64, &zeros[..piece.len()]).unwrap();
        staged.write(offset as u64, piece).unwrap();
    }
    assert!(staged.finish(&entry_of(&content), Flush::Begun).is_ok());
}

#[test]
fn what_is_not_what_was_announced_is_refused() {
    let (_dir, stage) = stage();
    let mut staged = stage.file(4).unwrap();
    assert!(staged.write(0, b"12345").is_err());
    assert!(staged.write(u64::MAX, b"1").is_err());
    staged.write(0, b"1234").unwrap();
    assert!(matches!(staged.finish(&entry_of(b"4321"), Flush::Begun), Err(StageError::Other)));
    let short = stage.file(4).unwrap();
    assert!(matches!(short.finish(&entry_of(b"123"), Flush::Begun), Err(StageError::Other)));
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let (dir, stage) = stage();
    let decoy = dir.path().join("decoy");
    fs::write(&decoy, "untouched").unwrap();
    let next = Stage::new(fs::File::open(dir.path()).unwrap().into(), 7).new_name();
    std::os::unix::fs::symlink(&decoy, dir.path().join(String::from_utf8(next).unwrap())).unwrap();
    assert!(stage.file(0).is_err());
    assert_eq!(fs::read(&decoy).unwrap(), b"untouched");
}

#[test]
fn a_record_of_any_length_comes_back_as_it_was() {
    let (_dir, stage) = stage();
    for length in [1, 4094, 4095, 4096, 60_000] {
        let record: Vec<u8> = (0..length).map(|i| (i % 255) as u8 + 1).collect();
        note::write(stage.handle(), b"note", &record).unwrap();
        assert!(note::read(stage.handle(), b"note").unwrap() == record);
        assert!(note::write(stage.handle(), b"note", b"second").is_err());
        note::remove(stage.handle(), b"note").unwrap();
    }
}

#[test]
fn the_trash_forgets_the_oldest_first_and_nothing_young() {
    let dir = tempdir().unwrap();
    let open = || -> Handle { fs::File::open(dir.path()).unwrap().into() };
    let keep = Keep { age: Duration::from_secs(10_000), bytes: 10 };
    let trash = Trash::new(open(), Side::A, keep, 1);
    let from = open();
    for name in ["one", "two", "three"] {
        fs::write(dir.path().join(name), name).unwrap();
        let subject = (&from, name.as_bytes());
        trash.put(subject, &path(name), Reason::Replaced, Digest::of(name.as_bytes())).unwrap();
    }
    let now = Timestamp::now();
    let later = |seconds| Timestamp { seconds: now.seconds + seconds, ..now };
    assert_eq!(trash.prune(later(3000)).unwrap(), 0, "nothing below an hour, however full");
    assert_eq!(trash.prune(later(4000)).unwrap(), 1, "eleven bytes are more than ten");
    let left: Vec<_> = trash.list().unwrap().into_iter().map(|t| t.path).collect();
    assert_eq!(left, [path("two"), path("three")]);
    assert_eq!(trash.prune(later(20_000)).unwrap(), 2);
    assert!(crate::replica_bench::names(dir.path()).is_empty());
}
