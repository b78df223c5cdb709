//! Writers that never pause against a committer: nothing that they were told is written is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::change::Outcome;
use common::digest::Digest;
use common::replica::commit::Durability;

use crate::replica_bench::{Bench, Shelf};

/// So many operations must find a moment between the writers, however busy the machine is.
const OPERATIONS: usize = 60;
const AT_MOST: Duration = Duration::from_secs(60);

/// Appends tokens until told to stop; answers those that were written and closed.
fn write_tokens(file: &Path, writer: usize, pause: Duration, stop: &AtomicBool) -> Vec<String> {
    let mut written = Vec::new();
    // Rests of changing length, so that the committer finds moments at which to begin.
    let mut rest = writer as u64 + 1;
    while !stop.load(Ordering::Relaxed) {
        let token = format!("<{writer}:{}>", written.len());
        let Ok(mut open) = fs::OpenOptions::new().append(true).open(file) else { continue };
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        if open.write_all(token.as_bytes()).is_ok() {
            written.push(token);
        }
        drop(open);
        rest = rest.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((rest >> 40) % 1500));
    }
    written
}

/// Every token in every file of the tree, our own place included.
fn tokens_below(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            tokens_below(&entry.path(), found);
        } else if entry.file_type().unwrap().is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            found.extend(text.split_inclusive('>').map(str::to_owned));
        }
    }
}

fn race(pause: Duration, act: impl Fn(&Bench, usize) -> Outcome) {
    let bench = Bench::with(tempfile::tempdir().unwrap(), Shelf::default(), Durability::Relaxed);
    bench.write("f", b"");
    let file = bench.tree.join("f");
    let stop = AtomicBool::new(false);
    let mut done = 0;
    let written: Vec<Vec<String>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (file, stop) = (&file, &stop);
                scope.spawn(move || write_tokens(file, writer, pause, stop))
            })
            .collect();
        let end = Instant::now() + AT_MOST;
        let mut round = 0;
        while done < OPERATIONS && Instant::now() < end {
            done += usize::from(matches!(act(&bench, round), Outcome::Done { .. }));
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let mut found = BTreeSet::new();
    tokens_below(&bench.tree, &mut found);
    let lost: Vec<_> = written.iter().flatten().filter(|t| !found.contains(*t)).collect();
    assert!(written.iter().all(|w| !w.is_empty()), "every writer wrote something");
    assert_eq!(lost, Vec::<&String>::new(), "of {}", written.iter().map(Vec::len).sum::<usize>());
    for trashed in bench.committer.publisher.trash.list().unwrap() {
        let content = fs::read(bench.tree.join(".lab3/trash").join(&trashed.id)).unwrap();
        let now = Digest::of(&content);
        assert_eq!(now, trashed.digest, "an unseen edit is kept in sight, not in the trash");
    }
    assert_eq!(done, OPERATIONS, "operations that found a moment");
    assert!(bench.staged().is_empty(), "{:?}", bench.staged());
}

fn replace(bench: &Bench, round: usize) -> Outcome {
    match bench.see("f") {
        Some(before) => bench.replace("f", &before, format!("[{round}]>").as_bytes()),
        None => Outcome::Busy,
    }
}

#[test]
fn no_append_is_lost_to_a_replacement() {
    race(Duration::ZERO, replace);
}

#[test]
fn no_slow_append_is_lost_to_a_replacement() {
    race(Duration::from_micros(400), replace);
}

#[test]
fn no_append_is_lost_to_a_deletion() {
    race(Duration::ZERO, |bench, round| {
        let deleted = bench.see("f").map(|before| bench.delete("f", &before));
        bench.create("f", format!("[{round}]>").as_bytes());
        deleted.unwrap_or(Outcome::Busy)
    });
}
