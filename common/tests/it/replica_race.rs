//! Writers that hardly pause against a committer: nothing that they were told is written is lost.
//!
//! The experiment at the end runs for seconds, and for a minute by
//! `LAB3_FULL=1 cargo test --release -p common --test it replica_race:: -- --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::change::Outcome;
use common::digest::Digest;
use common::replica::commit::Durability;

use crate::replica_bench::{Bench, Shelf};

/// So many operations must find a moment between the writers, however busy the machine is.
const OPERATIONS: usize = 60;
const AT_MOST: Duration = Duration::from_secs(60);

/// How writers write, and for how long somebody replaces their file.
struct Race {
    writers: usize,
    /// For how long each holds the file open before it writes.
    hold: Duration,
    /// Its rests are below this many microseconds.
    rest: u64,
    /// It is over after so many operations that were carried out, or so long.
    operations: usize,
    at_most: Duration,
}

/// How it went.
#[derive(Default)]
struct Tally {
    writes: usize,
    /// Writers that never came to write.
    idle: usize,
    done: usize,
    /// Carried out, with an edit that nobody had seen beside it.
    aside: usize,
    deferred: usize,
    stale: usize,
}

/// Appends tokens until told to stop; answers those that were written and closed.
fn write_tokens(
    file: &Path,
    writer: usize,
    race: &Race,
    begun: &AtomicUsize,
    stop: &AtomicBool,
) -> Vec<String> {
    let mut written = Vec::new();
    // Rests of changing length, so that the committer finds moments at which to begin.
    let mut rest = writer as u64 + 1;
    while !stop.load(Ordering::Relaxed) {
        let token = format!("<{writer}:{}>", written.len());
        let Ok(mut open) = fs::OpenOptions::new().append(true).open(file) else { continue };
        if !race.hold.is_zero() {
            std::thread::sleep(race.hold);
        }
        if open.write_all(token.as_bytes()).is_ok() {
            begun.fetch_add(usize::from(written.is_empty()), Ordering::Relaxed);
            written.push(token);
        }
        drop(open);
        rest = rest.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if race.rest > 0 {
            std::thread::sleep(Duration::from_micros((rest >> 40) % race.rest));
        }
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

/// Lets writers and one committer race for a file, and requires that nothing is lost.
fn run(race: &Race, act: impl Fn(&Bench, usize) -> Outcome) -> Tally {
    let bench = Bench::with(tempfile::tempdir().unwrap(), Shelf::default(), Durability::Relaxed);
    bench.write("f", b"");
    let file = bench.tree.join("f");
    let (begun, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut tally = Tally::default();
    let written: Vec<Vec<String>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..race.writers)
            .map(|writer| {
                let (file, begun, stop) = (&file, &begun, &stop);
                scope.spawn(move || write_tokens(file, writer, race, begun, stop))
            })
            .collect();
        let end = Instant::now() + race.at_most;
        let mut round = 0;
        // On a busy machine a writer may come late.
        let all = || begun.load(Ordering::Relaxed) == race.writers;
        while (tally.done < race.operations || !all()) && Instant::now() < end {
            tally.count(&act(&bench, round));
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let mut found = BTreeSet::new();
    tokens_below(&bench.tree, &mut found);
    let lost: Vec<_> = written.iter().flatten().filter(|t| !found.contains(*t)).collect();
    tally.writes = written.iter().map(Vec::len).sum();
    tally.idle = written.iter().filter(|w| w.is_empty()).count();
    assert_eq!(lost, Vec::<&String>::new(), "of {}", tally.writes);
    for trashed in bench.committer.publisher.trash.list().unwrap() {
        let content = fs::read(bench.tree.join(".lab3/trash").join(&trashed.id)).unwrap();
        let now = Digest::of(&content);
        assert_eq!(now, trashed.digest, "an unseen edit is kept in sight, not in the trash");
    }
    assert!(bench.staged().is_empty(), "{:?}", bench.staged());
    tally
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done { aside, .. } => {
                self.done += 1;
                self.aside += usize::from(aside.is_some());
            }
            Outcome::Busy => self.deferred += 1,
            _ => self.stale += 1,
        }
    }
}

/// Three writers that rest now and then.
fn race(hold: Duration, act: impl Fn(&Bench, usize) -> Outcome) {
    let race = Race { writers: 3, hold, rest: 1500, operations: OPERATIONS, at_most: AT_MOST };
    let tally = run(&race, act);
    assert_eq!(tally.idle, 0, "every writer wrote something");
    assert!(tally.done >= OPERATIONS, "{} operations found a moment", tally.done);
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

/// Four writers against one who replaces their file, for all the times that a file is held open:
/// none of their writes is lost. Writers that never rest are waited for; of those that rest few
/// are displaced.
#[test]
fn who_holds_a_file_open_is_waited_for_and_loses_nothing() {
    let full = std::env::var_os("LAB3_FULL").is_some_and(|value| value == "1");
    let (operations, seconds) = if full { (100_000, 10) } else { (200, 1) };
    let at_most = Duration::from_secs(seconds);
    for hold in [0, 400, 5000] {
        for rest in [0, 20_000] {
            let hold = Duration::from_micros(hold);
            let tally = run(&Race { writers: 4, hold, rest, operations, at_most }, replace);
            let Tally { writes, done, aside, deferred, stale, .. } = tally;
            eprintln!(
                "race, held for {hold:?}, rests below {rest} us: {writes} writes, 0 lost; {done} \
                 replacements, {aside} of them with a conflict copy; {deferred} deferred, {stale} \
                 found another version"
            );
        }
    }
}
