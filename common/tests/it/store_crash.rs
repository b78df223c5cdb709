//! A batch is wholly there or not at all, whenever the process is killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::store::{Batch, Durability, StoreError, open};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::store::{file, path, reopen};

const ROWS: u64 = 40;
const CHILD_ENV: &str = "LAB3_TEST_STORE";
const RELAXED_ENV: &str = "LAB3_TEST_STORE_RELAXED";
const FULL_ENV: &str = "LAB3_TEST_STORE_FULL";

/// Saves batch after batch until it is killed, when it is run as a child of the tests below.
#[test]
fn child_that_saves_until_it_is_killed() {
    let Some(name) = std::env::var_os(CHILD_ENV) else { return };
    let durability = match std::env::var_os(RELAXED_ENV) {
        Some(_) => Durability::Relaxed,
        None => Durability::Strict,
    };
    let store = open(Path::new(&name), durability).expect("the store opens").store;
    let first = store.get_doc::<u64>("last").expect("read").unwrap_or(0);
    for n in first + 1.. {
        let mut batch = Batch::default();
        for row in 0..ROWS {
            // Rows come and go, so that pages split, merge and are used again.
            let entry = (!(n + row).is_multiple_of(5)).then(|| file(n));
            batch.archive(&path(&format!("dir/file-{row}")), entry.as_ref());
        }
        if durability == Durability::Strict || n.is_multiple_of(50) {
            batch.doc("last", Some(&n));
        }
        store.save(&batch).expect("saved");
        let mut out = std::io::stdout();
        writeln!(out, "saved {n} {}", u8::from(n.is_multiple_of(50))).expect("the parent reads");
        out.flush().expect("the parent reads");
    }
}

/// Runs the child until it has saved `saves` batches, kills it; answers the last lines read.
fn run_and_kill(name: &Path, saves: usize, relaxed: bool) -> (u64, u64) {
    let mut command = Command::new(std::env::current_exe().expect("this test binary"));
    command
        .args(["--exact", "store_crash::child_that_saves_until_it_is_killed", "--nocapture"])
        .env(CHILD_ENV, name)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if relaxed {
        command.env(RELAXED_ENV, "1");
    }
    let mut child = command.spawn().expect("a child runs");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut last, mut last_doc, mut count) = (0, 0, 0);
    for line in lines {
        let line = line.expect("text");
        let Some((_, rest)) = line.split_once("saved ") else { continue };
        let mut words = rest.split(' ');
        last = words.next().and_then(|w| w.parse().ok()).expect("a number");
        if words.next() == Some("1") {
            last_doc = last;
        }
        count += 1;
        if count == saves {
            child.kill().expect("killed");
        }
    }
    assert!(!child.wait().expect("waited").success(), "it was killed");
    (last, last_doc)
}

#[test]
fn what_save_returned_for_outlives_a_kill_and_no_batch_is_torn() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    for round in 0..12 {
        let (last, _) = run_and_kill(&name, 1 + round * 7, false);
        let store = reopen(&name);
        let saved = store.get_doc::<u64>("last").expect("read").expect("it is there");
        assert!(saved >= last, "{last} was saved, {saved} is there");
        let archive = store.load_archive().expect("loaded");
        assert!(archive.dropped.is_empty());
        for row in 0..ROWS {
            let expected = (!(saved + row).is_multiple_of(5)).then(|| file(saved));
            assert_eq!(archive.rows.get(&path(&format!("dir/file-{row}"))), expected.as_ref());
        }
    }
}

#[test]
fn relaxed_rows_may_be_lost_by_a_kill_but_documents_are_not_and_no_batch_is_torn() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    for round in 0..4 {
        let (_, last_doc) = run_and_kill(&name, 60 + round * 101, true);
        let store = reopen(&name);
        let saved = store.get_doc::<u64>("last").expect("read").expect("it is there");
        assert!(saved >= last_doc && last_doc > 0);
        let archive = store.load_archive().expect("loaded").rows;
        let sizes: Vec<u64> = archive.iter().map(|(_, entry)| entry.size()).collect();
        let version = sizes[0];
        assert!(version >= saved && sizes.iter().all(|size| *size == version));
    }
}

/// Saves until the disk takes no more, and again when there is room, when it is run as a child of
/// the test below.
#[test]
fn child_that_saves_until_the_disk_is_full() {
    let Some(name) = std::env::var_os(FULL_ENV) else { return };
    let store = open(Path::new(&name), Durability::Strict).expect("the store opens").store;
    let mut out = std::io::stdout();
    for n in 1.. {
        let mut batch = Batch::default();
        for row in 0..500 {
            batch.archive(&path(&format!("dir-{n}/file-{row}")), Some(&file(n)));
        }
        batch.doc("last", Some(&n));
        match store.save(&batch) {
            Ok(()) => writeln!(out, "saved {n}").expect("the parent reads"),
            Err(error) => {
                assert!(matches!(error, StoreError::Write { .. }), "{error:?}");
                writeln!(out, "full").expect("the parent reads");
                assert!(store.save(&batch).is_err(), "it is still full");
                let limit = Rlimit { current: None, maximum: None };
                setrlimit(Resource::Fsize, limit).expect("there is room");
                store.save(&batch).expect("an earlier error is forgotten");
                writeln!(out, "saved {n}").expect("the parent reads");
                return;
            }
        }
        assert!(n < 10_000, "the limit is reached long before");
    }
}

#[test]
fn a_full_disk_is_an_error_until_there_is_room_and_what_was_saved_before_stays() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().join("store");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 16000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "store_crash::child_that_saves_until_the_disk_is_full", "--nocapture"])
        .env(FULL_ENV, &name)
        .output()
        .expect("a child runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("full"), "{said}");
    let last = said.lines().filter_map(|line| line.split_once("saved ")?.1.parse().ok()).max();
    let store = reopen(&name);
    assert_eq!(store.get_doc::<u64>("last").expect("read"), last);
    let archive = store.load_archive().expect("loaded").rows;
    assert_eq!(archive.len() as u64, last.expect("some were saved") * 500);
}
