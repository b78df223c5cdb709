//! Nothing is told gone because the root is.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;

use common::replica::observer::{Command, Settings};

use crate::observed::Side;

fn quick() -> Settings {
    Settings { guard_ms: 100, ..Settings::default() }
}

fn filled(dir: &std::path::Path) {
    fs::create_dir(dir.join("d")).unwrap();
    for n in 0..30 {
        fs::write(dir.join(format!("d/f{n}")), "x").unwrap();
    }
}

fn assert_nothing_gone(side: &Side) {
    assert!(side.told.news.iter().all(|(_, there)| *there), "{:?}", side.told.news);
    assert_eq!(side.told.rows.len(), 31);
}

#[test]
fn a_root_that_was_replaced_halts_and_heals_when_it_is_back() {
    let mut side = Side::with(quick(), filled);
    let away = side.dir.with_extension("away");
    fs::rename(&side.dir, &away).unwrap();
    fs::create_dir(&side.dir).unwrap();
    side.until("halted", |t| t.condition.halted.is_some());
    fs::write(away.join("d/f1"), "edited where it is not ours").unwrap();
    side.settle();
    assert_nothing_gone(&side);
    fs::remove_dir(&side.dir).unwrap();
    fs::rename(&away, &side.dir).unwrap();
    side.until("healed", |t| t.condition.halted.is_none());
    side.assert_told();
    side.write("d/f2", "watched");
    side.assert_told();
}

#[test]
fn a_root_that_was_deleted_halts_and_deletes_nothing() {
    let mut side = Side::with(quick(), filled);
    let away = side.dir.with_extension("away");
    fs::rename(&side.dir, &away).unwrap();
    fs::remove_dir_all(&away).unwrap();
    side.until("halted", |t| t.condition.halted.is_some());
    side.settle();
    assert_nothing_gone(&side);
}

#[test]
fn a_root_whose_parent_was_renamed_halts_and_heals() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir_all(temp.path().join("parent/root")).unwrap();
    filled(&temp.path().join("parent/root"));
    let mut side = Side::start(&temp.path().join("parent/root"), quick(), Default::default());
    fs::rename(temp.path().join("parent"), temp.path().join("other")).unwrap();
    side.until("halted", |t| t.condition.halted.is_some());
    fs::rename(temp.path().join("other"), temp.path().join("parent")).unwrap();
    side.until("healed", |t| t.condition.halted.is_none());
    side.assert_told();
}

#[test]
fn a_root_that_lost_its_mark_halts() {
    let mut side = Side::with(quick(), filled);
    fs::rename(side.at(".lab3"), side.dir.with_extension("mark")).unwrap();
    side.until("halted", |t| t.condition.halted.is_some());
    fs::remove_dir_all(side.at("d")).unwrap();
    side.settle();
    assert_nothing_gone(&side);
}

#[test]
fn a_root_that_is_empty_at_the_start_halts_until_that_is_approved() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("root");
    fs::create_dir(&dir).unwrap();
    filled(&dir);
    let side = Side::start(&dir, quick(), Default::default());
    let rows = side.known.unsaved().into_iter().filter_map(|(p, r)| Some((p, r?))).collect();
    drop(side);
    fs::remove_dir_all(dir.join("d")).unwrap();
    let mut side = Side::start(&dir, quick(), rows);
    side.until("halted", |t| t.condition.halted.is_some());
    side.settle();
    assert_nothing_gone(&side);
    side.observer.send(Command::Approve);
    side.until("all gone", |t| t.condition.halted.is_none() && t.rows.is_empty());
}

#[test]
fn the_last_file_may_be_deleted() {
    let mut side = Side::new();
    side.write("only", "x");
    side.assert_told();
    fs::remove_file(side.at("only")).unwrap();
    side.assert_told();
    assert!(side.told.rows.is_empty() && side.told.condition.halted.is_none());
}

#[test]
fn a_root_that_is_empty_all_at_once_halts_until_that_is_approved() {
    let mut side = Side::with(quick(), filled);
    fs::rename(side.at("d"), side.dir.with_extension("away")).unwrap();
    side.until("halted", |t| t.condition.halted.is_some());
    assert_nothing_gone(&side);
    side.observer.send(Command::Approve);
    side.until("all gone", |t| t.rows.is_empty() && t.condition.halted.is_none());
    side.assert_told();
}
