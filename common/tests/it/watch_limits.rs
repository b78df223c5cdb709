//! More directories than may be watched, paths that no watch can name, changes without an event.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use common::replica::observer::{Command, Settings};

use crate::observed::{Side, path};

fn few_watches(most: usize, poll_ms: u64) -> Settings {
    Settings { watches_max: Some(most), poll_ms, ..Settings::default() }
}

#[test]
fn what_cannot_be_watched_is_polled_and_said() {
    let mut side = Side::with(few_watches(4, 300), |dir| {
        for n in 0..10 {
            fs::create_dir(dir.join(format!("d{n}"))).unwrap();
            fs::write(dir.join(format!("d{n}/f")), "x").unwrap();
        }
    });
    side.until("the condition", |t| t.condition.watched == 4 && t.condition.polled == 7);
    let hint = side.told.condition.watch_hint.clone().unwrap();
    assert!(hint.contains("11 directories need a watch, 4 have one"), "{hint}");
    assert!(hint.contains("sysctl fs.inotify.max_user_watches="), "{hint}");
    for n in 0..10 {
        side.write(format!("d{n}/f"), "edited");
        let edited = path(format!("d{n}/f"));
        side.until("the edit", |t| t.contents.get(&edited).is_some_and(|c| c == b"edited"));
    }
    fs::create_dir_all(side.at("d9/new/deeper")).unwrap();
    side.write("d9/new/deeper/f", "x");
    side.until("new below polled", |t| t.rows.contains_key(&path("d9/new/deeper/f")));
}

#[test]
fn a_barrier_looks_into_what_is_not_watched() {
    let mut side = Side::with(few_watches(1, 600_000), |dir| {
        fs::create_dir_all(dir.join("d/e")).unwrap();
    });
    for n in 0..10 {
        side.write("d/e/f", format!("{n}"));
        fs::create_dir(side.at(format!("d/e/new{n}"))).unwrap();
        side.write(format!("d/e/new{n}/f"), "x");
        side.assert_told();
    }
}

#[test]
fn a_limit_that_is_met_later_is_said_and_over_when_there_is_room() {
    let mut side = Side::with(few_watches(5, 200), |_| {});
    for n in 0..10 {
        fs::create_dir(side.at(format!("d{n}"))).unwrap();
    }
    side.until("polled", |t| t.condition.polled == 6 && t.condition.watch_hint.is_some());
    for n in 0..8 {
        fs::remove_dir(side.at(format!("d{n}"))).unwrap();
    }
    side.until("all watched", |t| t.condition.polled == 0 && t.condition.watched == 3);
    assert_eq!(side.told.condition.watch_hint, None);
    side.write("d9/f", "x");
    side.assert_told();
}

#[test]
fn a_path_that_is_too_long_for_the_kernel_is_told() {
    let mut side = Side::with(Settings { poll_ms: 300, ..Settings::default() }, |_| {});
    let name = "n".repeat(200);
    let mut handle = fs::File::open(&side.dir).unwrap();
    let mut whole = String::new();
    for _ in 0..100 {
        rustix::fs::mkdirat(&handle, &name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        let next = rustix::fs::openat(&handle, &name, flags, rustix::fs::Mode::empty()).unwrap();
        handle = fs::File::from(next);
        whole = if whole.is_empty() { name.clone() } else { format!("{whole}/{name}") };
    }
    let leaf = path(format!("{whole}/f"));
    assert!(leaf.as_bytes().len() > 20_000);
    for text in ["one", "other"] {
        let flags =
            rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::TRUNC;
        let file = rustix::fs::openat(&handle, "f", flags, rustix::fs::Mode::RWXU).unwrap();
        rustix::io::write(&file, text.as_bytes()).unwrap();
        drop(file);
        side.settle();
        assert_eq!(side.told.rows[&leaf].size(), text.len() as u64);
    }
    rustix::fs::unlinkat(&handle, "f", rustix::fs::AtFlags::empty()).unwrap();
    side.until("the deletion", |t| !t.rows.contains_key(&leaf));
    assert!(side.told.rows.len() == 100 && side.told.problems.is_empty());
    // Library calls cannot remove it by its path: it is taken apart from the top.
    drop(handle);
    while fs::read_dir(side.at(&name)).unwrap().next().is_some() {
        fs::rename(side.at(&name).join(&name), side.at("rest")).unwrap();
        fs::remove_dir(side.at(&name)).unwrap();
        fs::rename(side.at("rest"), side.at(&name)).unwrap();
    }
}

#[test]
fn a_write_through_a_name_outside_is_found_by_a_scrub_and_such_files_are_named() {
    let mut side = Side::with(Settings::default(), |dir| {
        fs::write(dir.join("f"), "one").unwrap();
        fs::hard_link(dir.join("f"), dir.parent().unwrap().join("outside")).unwrap();
        fs::write(dir.join("g"), "two").unwrap();
        fs::hard_link(dir.join("g"), dir.join("h")).unwrap();
    });
    side.until("the name", |t| t.condition.linked_outside == [path("f")]);
    fs::write(side.dir.parent().unwrap().join("outside"), "written from outside").unwrap();
    side.observer.send(Command::Scrub);
    side.until("the scrub", |t| t.condition.scrubs == 1 && t.condition.scrub_found == 1);
    side.assert_told();
    // Of two names inside, the event tells one; both are told.
    side.write("g", "watched");
    side.assert_told();
    side.observer.send(Command::Scrub);
    side.until("the scrub", |t| t.condition.scrubs == 2);
    side.assert_told();
    assert_eq!(side.told.condition.scrub_found, 1);
}

#[test]
fn a_link_to_a_directory_is_a_link_and_nothing_behind_it_is_watched() {
    let mut side = Side::new();
    side.until("the condition", |t| t.condition.watched == 1);
    let outside = side.dir.parent().unwrap().join("outside");
    fs::create_dir_all(outside.join("below")).unwrap();
    for n in 0..100 {
        fs::write(outside.join(format!("f{n}")), "x").unwrap();
    }
    for (target, name) in [("..", "up"), ("loop", "loop"), ("/", "top"), ("none", "none")] {
        std::os::unix::fs::symlink(target, side.at(name)).unwrap();
    }
    std::os::unix::fs::symlink(&outside, side.at("out")).unwrap();
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    std::os::unix::fs::symlink(bytes, side.at("odd")).unwrap();
    std::os::unix::fs::symlink("t".repeat(4095), side.at("long")).unwrap();
    side.assert_told();
    assert_eq!(side.told.rows.len(), 7);
    // A real directory in its place, and a link again.
    fs::remove_file(side.at("out")).unwrap();
    fs::create_dir(side.at("out")).unwrap();
    side.write("out/f", "x");
    side.assert_told();
    fs::remove_dir_all(side.at("out")).unwrap();
    std::os::unix::fs::symlink(&outside, side.at("out")).unwrap();
    side.assert_told();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 101);
    side.until("one watch", |t| t.condition.watched == 1);
}
