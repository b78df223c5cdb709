//! Programs that write as they do for years: logs that are rotated, editors with an old buffer,
//! databases; and how rarely those who pause between two saves find a conflict copy.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use common::side::Side;

use crate::real::{Dice, done, has};
use crate::server::until;
use crate::system::{System, skip};
use crate::torture::{full, number};
use crate::torture_check::verdict;
use crate::torture_hand::Hand;
use crate::torture_token::line;
use crate::torture_ways as ways;
use crate::trees::{self, in_trash, put, text};

/// A log that is rotated while its writer goes on, by renaming it and by copying and emptying it:
/// the other side has every line that this one has, in order, in the same files (E15).
#[test]
fn a_rotated_log_has_every_line_on_both_sides() {
    for copies in [false, true] {
        let system = System::started();
        for side in Side::BOTH {
            rotate(system.root(side), side, copies);
        }
        let nodes = system.agree();
        for side in Side::BOTH {
            let log: String = ["3", "2", "1"]
                .map(|number| text(&system.a, &format!("{side}.log.{number}")))
                .into_iter()
                .chain([text(&system.b, &format!("{side}.log"))])
                .map(|text| text.expect("a log"))
                .collect();
            let numbers: Vec<usize> = log.lines().map(|line| line[5..].parse().unwrap()).collect();
            assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "{side}, copied: {copies}");
        }
        assert_eq!(nodes.len(), 8, "{:?}", nodes.keys());
    }
}

/// Writes a log, and rotates it three times: each old log gets the next number.
fn rotate(root: &Path, side: Side, copies: bool) {
    let name = |number: usize| match number {
        0 => root.join(format!("{side}.log")),
        _ => root.join(format!("{side}.log.{number}")),
    };
    let open = || OpenOptions::new().append(true).create(true).open(name(0)).expect("a log");
    let mut log = open();
    for number in 0..200 {
        if number % 50 == 40 && number < 150 {
            for old in (1..3).rev().filter(|old| name(*old).exists()) {
                fs::rename(name(old), name(old + 1)).expect("renamed");
            }
            if copies {
                fs::copy(name(0), name(1)).expect("copied");
                File::options().write(true).open(name(0)).expect("a log").set_len(0).expect("cut");
            } else {
                fs::rename(name(0), name(1)).expect("renamed");
            }
        }
        if !copies && number % 50 == 45 {
            // Until now its writer did not know, and wrote to the renamed one.
            log = open();
        }
        writeln!(log, "line {number}").expect("written");
        sleep(Duration::from_millis(3));
    }
}

/// An editor that loaded version 1, and saves its buffer after version 2 arrived: its save is what
/// both sides have, and version 2 is in the trash of the other side (E17).
#[test]
fn a_save_of_an_old_buffer_leaves_what_it_went_over_in_the_trash() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        for in_place in [true, false] {
            let system = System::holding(&[("f", "version 1\n")]);
            let (editor, other) = (system.root(here), system.root(there));
            let buffer = text(editor, "f").expect("a file") + "edited\n";
            put(other, "f", "version 2\n");
            until("version 2 arrives", || text(editor, "f").as_deref() == Some("version 2\n"));
            system.wait();
            if in_place {
                put(editor, "f", &buffer);
            } else {
                put(editor, ".f.tmp", &buffer);
                trees::rename(editor, ".f.tmp", "f");
            }
            system.agree_on(&[("f", &buffer)]);
            assert!(in_trash(other, "f", "replaced", "version 2\n"), "{:?}", trees::trash(other));
        }
    }
}

/// A database that each side's program writes in turn and closes is sound on the other side, with
/// a rollback journal and with a write-ahead log (E13, E14).
#[test]
fn a_database_is_sound_on_both_sides_when_its_writer_closed_it() {
    if !has("sqlite3") {
        let test = "a_database_is_sound_on_both_sides_when_its_writer_closed_it";
        return skip(test, "sqlite3 is not installed");
    }
    for journal in ["DELETE", "WAL"] {
        let system = System::started();
        let sql = |side: Side, program: &str| {
            let db = system.root(side).join("app.db");
            done(Command::new("sqlite3").arg(db).arg(program)).trim().to_owned()
        };
        let tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT, filling BLOB)";
        sql(Side::A, &format!("PRAGMA journal_mode={journal}; {tables};"));
        system.agree();
        let rows = if full() { 2000 } else { 60 };
        for (round, side) in [Side::A, Side::B, Side::A, Side::B].into_iter().enumerate() {
            let insert =
                format!("INSERT INTO t (who, filling) VALUES ('{side}', randomblob(3000));");
            sql(side, &insert.repeat(rows));
            system.agree();
            let there = side.other();
            assert_eq!(sql(there, "PRAGMA integrity_check"), "ok", "{journal}, {side}");
            let count = sql(there, "SELECT count(*) FROM t");
            assert_eq!(count, ((round + 1) * rows).to_string(), "{journal}, {side}");
            system.agree();
        }
        assert!(!system.server(Side::A).said().contains("conflict"), "{journal}");
    }
}

/// Who has a file open for writing is waited for: the other side's edit comes when he is done, and
/// if he wrote nothing there is no conflict.
#[test]
fn an_edit_of_a_file_that_is_held_open_waits_and_makes_no_copy() {
    for side in Side::BOTH {
        let system = System::holding(&[("f", "old\n")]);
        let (here, there) = (system.root(side), system.root(side.other()));
        let open = OpenOptions::new().append(true).open(here.join("f")).expect("a file");
        put(there, "f", "edited\n");
        let reason = format!("somebody has it open for writing at {side}");
        until("it waits", || system.lab3(&["status", "f"]).out.contains(&reason));
        assert_eq!(text(here, "f").as_deref(), Some("old\n"));
        drop(open);
        until("it arrives", || text(here, "f").as_deref() == Some("edited\n"));
        system.agree_on(&[("f", "edited\n")]);
    }
}

/// Users who pause between two saves: a log that grows, editors that save every 50 to 500
/// milliseconds. Whose files nobody else writes finds no conflict copy at all; how many those find
/// who edit one file on both sides at once is said. Nothing is lost.
#[test]
fn who_pauses_between_saves_finds_hardly_any_conflict_copy() {
    let seed = number("LAB3_SEED").unwrap_or(1);
    let system = System::started();
    let logs = system.dir.path().join("written");
    fs::create_dir(&logs).expect("a directory");
    let hand = |side: Side, id: u64| {
        let log = logs.join(format!("{side}{id}"));
        Hand::new(system.root(side), side, id, seed, &log)
    };
    let mut first = hand(Side::A, 99);
    for name in ["own/A", "own/B", "both/text"] {
        let token = first.begin("start", name);
        put(&system.a, name, line(&token));
        first.acknowledged(&token);
    }
    system.agree();
    let (saves, over) = (if full() { 300 } else { 15 }, AtomicBool::new(false));
    thread::scope(|scope| {
        for side in Side::BOTH {
            let (mut log, over) = (hand(side, 3), &over);
            scope.spawn(move || {
                let (path, mut open) = (format!("own/{side}.log"), ways::Logs::default());
                while !over.load(Ordering::Relaxed) {
                    ways::log(&mut log, &mut open, &path, true);
                    sleep(Duration::from_millis(10));
                }
            });
        }
        let editors: Vec<_> = Side::BOTH
            .into_iter()
            .flat_map(|side| {
                let paths = [format!("own/{side}"), "both/text".to_owned()];
                [(hand(side, 1), paths[0].clone()), (hand(side, 2), paths[1].clone())]
            })
            .map(|(mut hand, path)| {
                scope.spawn(move || {
                    let mut dice = Dice(seed * 4 + hand.id * 2 + u64::from(hand.side == Side::A));
                    for _ in 0..saves {
                        sleep(Duration::from_millis(50 + dice.below(450)));
                        ways::edit(&mut hand, &path);
                    }
                })
            })
            .collect();
        editors.into_iter().for_each(|editor| editor.join().expect("it saved"));
        over.store(true, Ordering::Relaxed);
    });
    let nodes = system.agree();
    let found = verdict(&system, &nodes, &logs, true);
    let (own, shared) = (found.copies_own.len(), found.copies_shared);
    eprintln!(
        "pausing writers, seed {seed}: {own} conflict copies of what one side writes; {shared} in \
         {} saves of one text on both sides; {}",
        2 * saves,
        found.line
    );
    assert_eq!(found.complaints, Vec::<String>::new());
    assert_eq!(found.copies_own, Vec::<String>::new());
}
