//! A directory that was renamed is told in one word, and what else happened in it is told after.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;
use std::path::Path;

use common::replica::observer::Settings;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::observed::{Side, path};

/// A directory `d` with directories and files in it.
fn filled(dir: &Path) {
    for below in ["d", "d/x", "d/y"] {
        fs::create_dir(dir.join(below)).unwrap();
        for number in 0..50 {
            let name = format!("{below}/f{number}");
            fs::write(dir.join(&name), &name).unwrap();
        }
    }
}

#[test]
fn a_renamed_directory_is_told_in_one_word() {
    let mut side = Side::with(Settings::default(), filled);
    side.settle();
    fs::rename(side.at("d"), side.at("e")).unwrap();
    side.assert_told();
    assert_eq!(side.told.carried, [(path("d"), path("e"))]);
    let names: Vec<String> = side.told.news.iter().map(|(at, _)| at.to_string()).collect();
    assert_eq!(names, ["d", "e"], "nothing is told of what is in it");
    assert!(side.has("e/x/f7") && !side.has("d/x/f7"));
}

#[test]
fn what_happens_in_it_at_once_is_told_after() {
    let mut side = Side::with(Settings::default(), filled);
    side.settle();
    fs::rename(side.at("d"), side.at("e")).unwrap();
    side.write("e/x/f3", "edited");
    side.write("e/new", "made");
    fs::remove_file(side.at("e/y/f4")).unwrap();
    fs::rename(side.at("e/y"), side.at("y")).unwrap();
    fs::create_dir(side.at("d")).unwrap();
    side.write("d/f1", "another");
    side.assert_told();
}

#[test]
fn directories_that_are_renamed_to_and_fro_are_told_as_they_are() {
    let mut side = Side::with(Settings::default(), filled);
    for round in 0..60 {
        let (from, to) = if round % 2 == 0 { ("d", "e") } else { ("e", "d") };
        side.write(format!("{from}/f{}", round % 50), format!("round {round}"));
        fs::rename(side.at(from), side.at(to)).unwrap();
        side.write(format!("{to}/y/f{}", round % 50), format!("then {round}"));
        match round % 5 {
            0 => side.settle(),
            1 => {
                let (one, other) = (side.at(format!("{to}/x")), side.at(format!("{to}/y")));
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
            }
            2 => fs::rename(side.at(format!("{to}/x")), side.at("away")).unwrap(),
            3 => fs::rename(side.at("away"), side.at(format!("{to}/x"))).unwrap(),
            _ => side.take(),
        }
    }
    side.assert_told();
}

#[test]
fn where_something_is_ignored_the_name_decides_and_every_row_is_told() {
    let mut side = Side::with(Settings::default(), |dir| {
        filled(dir);
        fs::write(dir.join(".lab3ignore"), "/d/y\n/e/x\n").unwrap();
    });
    side.settle();
    assert!(side.has("d/x/f1") && !side.has("d/y/f1"));
    fs::rename(side.at("d"), side.at("e")).unwrap();
    side.until("what was ignored is told", |told| told.rows.contains_key(&path("e/y/f1")));
    side.settle();
    assert_eq!(side.told.carried, []);
    assert!(!side.has("e/x/f1") && !side.has("d/x/f1"));
}
