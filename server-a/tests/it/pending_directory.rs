//! Held edits on disk: all there after a restart, in order, whole.

use std::fs;
use std::io::Read;
use std::path::Path;

use common::digest::Digest;
use common::entry::{Entry, File};
use server_a::pending::directory::{OpenedPending, PendingDirectory, PendingError};
use server_a::pending::queue::HeldEdit;
use tempfile::TempDir;

use crate::locks_overlap::{at, path};

pub(crate) fn file(content: &[u8]) -> Entry {
    Entry::from(File {
        digest: Digest::of(content),
        size: content.len() as u64,
        mode: 0o644,
        modified: at(1_700_000_000),
    })
}

pub(crate) fn edit(seq: u64, content: Option<&[u8]>) -> HeldEdit {
    let after = content.map(file);
    HeldEdit { seq, lock: 3, path: path("d/f"), before: None, after, received: at(seq as i64) }
}

pub(crate) fn fresh() -> (TempDir, std::path::PathBuf) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("pending");
    PendingDirectory::create(&dir).expect("made");
    (root, dir)
}

pub(crate) fn reopen(dir: &Path) -> OpenedPending {
    PendingDirectory::open(dir, 0).expect("opened")
}

pub(crate) fn put(directory: &PendingDirectory, seq: u64, mut content: &[u8]) {
    let edit = edit(seq, Some(content));
    directory.put(&edit, &mut content).expect("held");
}

fn content(directory: &PendingDirectory, seq: u64) -> Vec<u8> {
    let (file, length) = directory.open_content(seq).expect("there");
    let mut bytes = Vec::new();
    file.take(length + 1).read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes.len() as u64, length);
    bytes
}

/// Compares bytes with a fixture; `LAB3_BLESS=1` writes it.
pub(crate) fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/state/{name}.hex"));
    let line = |chunk: &[u8]| chunk.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
    let hex: String = bytes.chunks(32).map(line).collect();
    if std::env::var_os("LAB3_BLESS").is_some() {
        fs::write(&path, &hex).expect("written");
    }
    let frozen = fs::read_to_string(&path).expect("the fixture is there");
    assert_eq!(hex, frozen, "the bytes on disk of `{name}` have changed: raise the format number");
}

#[test]
fn edits_come_back_in_order_with_their_content() {
    let (_root, dir) = fresh();
    let directory = reopen(&dir).directory;
    let big: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    for (seq, content) in [(10, b"ten".as_slice()), (2, b"two"), (9, b""), (1, &big)] {
        put(&directory, seq, content);
    }
    directory.put(&edit(11, None), &mut std::io::empty()).expect("a deletion is held");
    let link = Entry::from(common::entry::Link { target: (*b"away").into(), modified: at(0) });
    let change = HeldEdit { before: Some(link.clone()), after: Some(link), ..edit(12, None) };
    directory.put(&change, &mut std::io::empty()).expect("a link is held");
    drop(directory);

    let opened = reopen(&dir);
    let seqs: Vec<u64> = opened.edits.iter().map(|edit| edit.seq).collect();
    assert_eq!(seqs, [1, 2, 9, 10, 11, 12]);
    assert_eq!(opened.problems, []);
    assert_eq!(opened.next_seq, 13);
    assert_eq!(opened.edits[1], edit(2, Some(b"two")));
    assert_eq!(opened.edits[4], edit(11, None));
    assert_eq!(opened.edits[5], change);
    assert_eq!(content(&opened.directory, 10), b"ten");
    assert_eq!(content(&opened.directory, 9), b"");
    assert_eq!(content(&opened.directory, 1), big);
    assert_eq!(content(&opened.directory, 11), b"");
}

#[test]
fn a_discarded_edit_stays_away_and_its_place_is_not_used_again() {
    let (_root, dir) = fresh();
    let mut next = 1;
    for _ in 0..3 {
        let opened = reopen(&dir);
        assert_eq!((opened.edits.len(), opened.next_seq), (0, next));
        for seq in next..next + 3 {
            put(&opened.directory, seq, b"x");
        }
        // First, last and middle: the highest goes while others are still there.
        for seq in [next, next + 2, next + 1] {
            opened.directory.discard(seq).expect("discarded");
            opened.directory.discard(seq).expect("twice is once");
        }
        next += 3;
    }
    assert_eq!(reopen(&dir).next_seq, next);
    assert_eq!(fs::read_dir(&dir).expect("listed").count(), 1, "one marker is left");
    let floor = PendingDirectory::open(&dir, 100).expect("opened");
    assert_eq!(floor.next_seq, 100);
    drop(floor);
    assert_eq!(reopen(&dir).next_seq, 100, "the floor is remembered");
}

#[test]
fn the_wrong_content_is_not_held() {
    let (_root, dir) = fresh();
    let directory = reopen(&dir).directory;
    let expected = edit(1, Some(b"expected"));
    for wrong in [b"another!".as_slice(), b"expecte", b"expected and more", b""] {
        let result = directory.put(&expected, &mut &*wrong);
        assert!(matches!(result, Err(PendingError::OtherContent { seq: 1 })), "{result:?}");
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the link is gone"))
        }
    }
    let broken = directory.put(&expected, &mut Broken);
    assert!(matches!(broken, Err(PendingError::Content { seq: 1, .. })));
    assert!(reopen(&dir).edits.is_empty());
    assert!(
        fs::read_dir(&dir).expect("listed").all(|item| {
            item.expect("an item").file_name().to_string_lossy().ends_with(".next")
        })
    );
    directory.put(&expected, &mut &b"expected"[..]).expect("the right one is");
    let again = directory.put(&expected, &mut &b"expected"[..]);
    assert!(matches!(again, Err(PendingError::Taken { seq: 1 })));
}

#[test]
fn many_edits_keep_their_order() {
    let (_root, dir) = fresh();
    let directory = reopen(&dir).directory;
    // Ten thousand files; all but a few are copies made aside, so that the test does not flush
    // ten thousand times.
    let golden = edit(1, Some(b"content"));
    directory.put(&golden, &mut &b"content"[..]).expect("held");
    for seq in 2..=10_000_u64 {
        let edit = HeldEdit { seq, ..golden.clone() };
        let mut bytes = server_a::pending::header::bytes(&edit);
        bytes.extend_from_slice(b"content");
        fs::write(directory.path_of_content(seq), bytes).expect("written");
    }
    let opened = reopen(&dir);
    assert!(opened.edits.iter().map(|edit| edit.seq).eq(1..=10_000));
    assert_eq!(opened.next_seq, 10_001);
    assert_eq!(content(&opened.directory, 10_000), b"content");
}

#[test]
fn the_bytes_of_a_held_edit_are_frozen() {
    let (_root, dir) = fresh();
    let directory = reopen(&dir).directory;
    let edit = HeldEdit { before: Some(file(b"old")), ..edit(42, Some(b"new content")) };
    directory.put(&edit, &mut &b"new content"[..]).expect("held");
    let name = directory.path_of_content(42);
    assert!(name.ends_with("00000000000000000042.held"));
    golden("held-edit", &fs::read(name).expect("read"));
}
