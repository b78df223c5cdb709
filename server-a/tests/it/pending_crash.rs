//! What put returned for outlives a kill; what discard returned for is gone; no place comes back.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use server_a::pending::directory::PendingError;

use crate::pending_directory::{edit, fresh, put, reopen};

const CHILD_ENV: &str = "LAB3_TEST_PENDING";
const FULL_ENV: &str = "LAB3_TEST_PENDING_FULL";

/// Puts three, discards two, and so on, until it is killed, as a child of the test below.
#[test]
fn child_that_holds_and_discards_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_ENV) else { return };
    let opened = reopen(Path::new(&dir));
    let mut live: BTreeSet<u64> = opened.edits.iter().map(|edit| edit.seq).collect();
    let mut out = std::io::stdout();
    let mut say = |word: &str, seq: u64| {
        writeln!(out, "{word} {seq}").expect("the parent reads");
        out.flush().expect("the parent reads");
    };
    for seq in opened.next_seq.. {
        put(&opened.directory, seq, &seq.to_be_bytes().repeat(100));
        say("held", seq);
        live.insert(seq);
        if seq % 3 == 0 {
            // Sometimes the highest goes first, sometimes all go.
            let mut gone: Vec<u64> = live.iter().copied().collect();
            if seq % 2 == 0 {
                gone.reverse();
            }
            for seq in gone {
                say("discarding", seq);
                opened.directory.discard(seq).expect("discarded");
                say("discarded", seq);
                live.remove(&seq);
            }
        }
    }
}

#[test]
fn held_edits_outlive_a_kill_and_discarded_ones_do_not() {
    let (_root, dir) = fresh();
    let (mut held, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..10_usize {
        let mut child = Command::new(std::env::current_exe().expect("this test binary"))
            .args(["--nocapture", "--exact"])
            .arg("pending_crash::child_that_holds_and_discards_until_it_is_killed")
            .env(CHILD_ENV, &dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut doubtful = BTreeSet::new();
        let mut count = 0;
        for line in lines {
            let line = line.expect("text");
            let Some((word, seq)) = line.rsplit_once(' ') else { continue };
            let Ok(seq) = seq.parse::<u64>() else { continue };
            match word.rsplit(' ').next() {
                Some("held") => assert!(held.insert(seq) && !gone.contains(&seq), "used twice"),
                Some("discarding") => drop(doubtful.insert(seq)),
                Some("discarded") => drop((held.remove(&seq), gone.insert(seq))),
                _ => continue,
            }
            count += 1;
            if count == 5 + round * 3 {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("waited");
        let opened = reopen(&dir);
        assert_eq!(opened.problems, []);
        let there: BTreeSet<u64> = opened.edits.iter().map(|edit| edit.seq).collect();
        assert!(held.difference(&there).all(|seq| doubtful.contains(seq)), "{held:?} {there:?}");
        assert!(there.is_disjoint(&gone));
        let highest = held.union(&gone).max().copied().unwrap_or(0);
        assert!(opened.next_seq > highest);
        held = there;
    }
}

/// Holds until the disk takes no more, as a child of the test below.
#[test]
fn child_that_holds_more_than_the_disk_takes() {
    let Some(dir) = std::env::var_os(FULL_ENV) else { return };
    let directory = reopen(Path::new(&dir)).directory;
    put(&directory, 1, b"small");
    let big = vec![7; 4 << 20];
    let result = directory.put(&edit(2, Some(&big)), &mut big.as_slice());
    assert!(matches!(result, Err(PendingError::Write { .. })), "{result:?}");
    put(&directory, 3, b"small again");
    directory.discard(3).expect("discarding works when nothing can be written");
}

#[test]
fn a_full_disk_holds_nothing_by_halves() {
    let (_root, dir) = fresh();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "pending_crash::child_that_holds_more_than_the_disk_takes"])
        .env(FULL_ENV, &dir)
        .output()
        .expect("a child runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let opened = reopen(&dir);
    let seqs: Vec<u64> = opened.edits.iter().map(|edit| edit.seq).collect();
    assert_eq!((seqs, opened.next_seq, opened.problems.len()), (vec![1], 4, 0));
}

#[test]
fn many_threads_may_hold_and_discard_at_once() {
    let (_root, dir) = fresh();
    let directory = reopen(&dir).directory;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let directory = &directory;
            scope.spawn(move || {
                for n in 0..20 {
                    let seq = 1 + n * 4 + thread;
                    put(directory, seq, &seq.to_be_bytes());
                    if n % 2 == 0 {
                        directory.discard(seq).expect("discarded");
                    }
                }
            });
        }
    });
    let opened = reopen(&dir);
    assert!(opened.edits.iter().map(|edit| edit.seq).eq((1..=80).filter(|s| (s - 1) / 4 % 2 == 1)));
    assert_eq!(opened.next_seq, 81);
}
