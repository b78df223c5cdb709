//! What is told says how long ago its first hint came, and nothing that has no hint says so.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;
use std::time::Instant;

use common::replica::observer::{Command, Settings};
use common::time::Micros;

use crate::observed::{Side, Told, path};

/// How long ago the first hint of a path came, when it was told last.
fn seen(told: &Told, name: &str) -> Option<Option<Micros>> {
    told.seen.iter().rev().find(|(at, _)| *at == path(name)).map(|(_, seen)| *seen)
}

#[test]
fn an_edit_says_how_long_ago_its_own_first_hint_came() {
    let mut side = Side::with(Settings::default(), |dir| fs::write(dir.join("f"), "old").unwrap());
    for round in 0..20 {
        // A save has several events, and an edit may be told at the first of them.
        side.settle();
        let start = Instant::now();
        let content = format!("version {round}").into_bytes();
        side.write("f", &content);
        side.until("told", |told| told.contents.get(&path("f")) == Some(&content));
        let age = seen(&side.told, "f").unwrap().expect("a hint came");
        assert!(age <= Micros::from(start.elapsed()), "{age:?}: the hint of an earlier edit");
    }
}

#[test]
fn large_files_and_what_is_found_in_new_directories_have_hints_too() {
    let mut side = Side::with(Settings { large_bytes: 1000, ..Settings::default() }, |_| {});
    side.write("large", [b'x'; 5000]);
    fs::create_dir_all(side.at("d/e")).unwrap();
    side.write("d/e/f", "in it");
    for name in ["large", "d", "d/e", "d/e/f"] {
        side.until("told", |told| told.rows.contains_key(&path(name)));
        assert!(seen(&side.told, name).unwrap().is_some(), "{name}");
    }
}

#[test]
fn what_only_a_look_at_everything_found_has_no_hint() {
    let settings = Settings { watches_max: Some(0), poll_ms: 600_000, ..Settings::default() };
    let mut side = Side::with(settings, |_| {});
    side.write("f", "unseen");
    side.observer.send(Command::Scrub);
    side.until("told", |told| told.rows.contains_key(&path("f")));
    assert_eq!(seen(&side.told, "f"), Some(None));
}
