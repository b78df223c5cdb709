//! Directories that come, go and move while they are filled: nothing in them is missed.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;
use std::path::Path;

use common::replica::observer::Settings;

use crate::observed::{Side, exchange, path};

#[test]
fn a_file_in_directories_that_were_made_just_before_is_told() {
    let mut side = Side::new();
    for n in 0..20 {
        let deep = side.at(format!("{n}/b/c/d/e/f/g/h"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("leaf"), "leaf").unwrap();
    }
    side.assert_told();
    side.write("7/b/c/d/e/f/g/h/leaf", "edited");
    side.assert_told();
}

#[test]
fn five_hundred_new_directories_with_a_file_each_are_all_told() {
    let mut side = Side::new();
    for n in 0..500 {
        fs::create_dir(side.at(format!("d{n}"))).unwrap();
        side.write(format!("d{n}/f"), "x");
    }
    side.assert_told();
    assert_eq!(side.told.rows.len(), 1000);
}

#[test]
fn a_populated_directory_that_is_moved_in_is_told() {
    let mut side = Side::new();
    let outside = side.dir.parent().unwrap().join("outside");
    populate(&outside, 10, 10);
    fs::rename(&outside, side.at("in")).unwrap();
    side.assert_told();
    side.write("in/d3/f3", "edited");
    side.assert_told();
}

#[test]
fn edits_during_start_and_during_every_rescan_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("root");
    populate(&dir, 40, 10);
    let writer = std::thread::spawn({
        let dir = dir.clone();
        move || {
            for n in 0..400 {
                let name = format!("d{}/f{}", n % 40, n / 40);
                fs::write(dir.join(name), format!("edit {n}")).unwrap();
                fs::create_dir_all(dir.join(format!("new{n}/x"))).unwrap();
                fs::write(dir.join(format!("new{n}/x/f")), "x").unwrap();
            }
        }
    });
    let mut side = Side::start(&dir, Settings::default(), Default::default());
    while !writer.is_finished() {
        side.observer.send(common::replica::observer::Command::Rescan(None));
        side.settle();
    }
    writer.join().unwrap();
    side.assert_told();
}

#[test]
fn a_burst_of_many_files_is_told_whole() {
    let mut side = Side::new();
    fs::create_dir(side.at("d")).unwrap();
    for n in 0..20_000 {
        side.write(format!("d/f{n}"), "");
        if n % 5 == 4 {
            fs::remove_file(side.at(format!("d/f{}", n - 2))).unwrap();
        }
    }
    side.assert_told();
    assert_eq!(side.told.rows.len(), 16_001);
}

#[test]
fn a_directory_that_left_and_came_back_changed_is_told() {
    let mut side = Side::with(Settings::default(), |dir| {
        populate(&dir.join("d"), 3, 3);
        fs::write(dir.join("stays"), "x").unwrap();
    });
    let outside = side.dir.parent().unwrap().join("outside");
    fs::rename(side.at("d"), &outside).unwrap();
    side.settle();
    fs::write(outside.join("d1/f1"), "edited outside").unwrap();
    fs::rename(&outside, side.at("d")).unwrap();
    side.assert_told();
    side.write("d/d1/f1", "and inside");
    side.assert_told();
}

#[test]
fn an_edit_right_after_a_rename_of_its_directory_is_told() {
    let mut side = Side::with(Settings::default(), |dir| populate(&dir.join("d0"), 3, 3));
    for n in 0..100 {
        fs::rename(side.at(format!("d{n}")), side.at(format!("d{}", n + 1))).unwrap();
        side.write(format!("d{}/d1/f1", n + 1), format!("edit {n}"));
        if n % 10 == 0 {
            side.assert_told();
        }
    }
    side.assert_told();
}

#[test]
fn a_directory_that_was_made_again_and_again_is_still_watched() {
    let mut side = Side::new();
    for _ in 0..100 {
        let _ = fs::remove_dir(side.at("d"));
        fs::create_dir(side.at("d")).unwrap();
    }
    side.write("d/f", "x");
    side.assert_told();
    side.write("d/g", "y");
    side.assert_told();
    for _ in 0..200 {
        fs::remove_dir_all(side.at("d")).unwrap();
        fs::create_dir(side.at("d")).unwrap();
        side.write("d/f", "z");
    }
    side.assert_told();
    side.write("d/f", "last");
    side.assert_told();
}

#[test]
fn a_directory_that_was_exchanged_with_one_outside_is_still_watched() {
    let mut side = Side::with(Settings::default(), |dir| populate(&dir.join("d"), 2, 2));
    let outside = side.dir.parent().unwrap().join("outside");
    populate(&outside, 4, 1);
    for round in 0..10 {
        exchange(&side.at("d"), &outside);
        if round % 2 == 0 {
            side.assert_told();
        }
        side.write("d/d0/f0", format!("round {round}"));
        side.write("d/new", format!("round {round}"));
        side.assert_told();
    }
    // Two inside.
    populate(&side.at("e"), 3, 3);
    side.settle();
    exchange(&side.at("d"), &side.at("e"));
    side.write("d/d0/f0", "after");
    side.write("e/d0/f0", "after");
    side.assert_told();
    side.write("d/d0/f0", "later");
    side.write("e/d0/f0", "later");
    side.assert_told();
}

#[test]
fn a_moved_directory_is_one_move_and_is_not_read_again() {
    let mut side = Side::with(Settings::default(), |dir| populate(&dir.join("d"), 10, 100));
    side.settle();
    let (news, contents) = (side.told.news.len(), side.told.contents.len());
    fs::create_dir(side.at("e")).unwrap();
    fs::rename(side.at("d"), side.at("e/d")).unwrap();
    side.assert_told();
    assert_eq!(side.told.moved, [(path("d"), path("e/d"))]);
    // If the look found its new directory together with it, every row is told.
    let rows = if side.told.carried.is_empty() { 2 * 1011 } else { 2 };
    assert_eq!(side.told.news.len() - news, 1 + rows);
    // What is read is handed on with its content: nothing was.
    assert_eq!(side.told.contents.len(), contents);
}

#[test]
fn a_removed_tree_is_told_and_made_again_with_other_contents() {
    let mut side = Side::with(Settings::default(), |dir| {
        populate(&dir.join("d"), 20, 50);
        fs::write(dir.join("stays"), "x").unwrap();
    });
    fs::remove_dir_all(side.at("d")).unwrap();
    populate(&side.at("d"), 20, 49);
    side.assert_told();
    fs::remove_dir_all(side.at("d")).unwrap();
    side.assert_told();
    assert_eq!(side.told.rows.len(), 1);
}

#[test]
fn names_change_kind_in_one_burst() {
    let mut side = Side::new();
    for _ in 0..20 {
        side.write("x", "file");
        fs::remove_file(side.at("x")).unwrap();
        populate(&side.at("x"), 2, 2);
        side.settle();
        fs::remove_dir_all(side.at("x")).unwrap();
        std::os::unix::fs::symlink("nowhere", side.at("x")).unwrap();
        side.assert_told();
        fs::remove_file(side.at("x")).unwrap();
    }
    side.assert_told();
}

#[test]
fn nothing_is_told_gone_that_was_there_all_the_time() {
    let mut side = Side::with(Settings::default(), |dir| populate(&dir.join("d"), 1, 1000));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let noise = std::thread::spawn({
        let (dir, stop) = (side.at("d/d0"), stop.clone());
        move || {
            let mut n = 0u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let (from, to) = if n.is_multiple_of(2) { ("f0", "g0") } else { ("g0", "f0") };
                fs::rename(dir.join(from), dir.join(to)).unwrap();
                n += 1;
            }
        }
    });
    for _ in 0..30 {
        side.observer.send(common::replica::observer::Command::Rescan(None));
        side.settle();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    noise.join().unwrap();
    let moving = [path("d/d0/f0"), path("d/d0/g0")];
    let gone = side.told.news.iter().filter(|(p, there)| !there && !moving.contains(p)).count();
    assert_eq!(gone, 0);
    side.assert_told();
}

fn populate(dir: &Path, directories: usize, files: usize) {
    for d in 0..directories {
        let inner = dir.join(format!("d{d}"));
        fs::create_dir_all(&inner).unwrap();
        for f in 0..files {
            fs::write(inner.join(format!("f{f}")), format!("{d} {f}")).unwrap();
        }
    }
}
