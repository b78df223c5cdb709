//! Ignored paths are not told; that something is ignored now is never a deletion.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;

use common::problem::ProblemKind;
use common::replica::observer::Settings;

use crate::observed::Side;

#[test]
fn what_is_ignored_from_the_start_is_not_told_and_not_watched() {
    let mut side = Side::with(Settings::default(), |dir| {
        fs::write(dir.join(".lab3ignore"), "target/\n*.o\n").unwrap();
        fs::create_dir_all(dir.join("target/deep/er")).unwrap();
        fs::create_dir_all(dir.join("src")).unwrap();
        fs::write(dir.join("src/a.c"), "x").unwrap();
        fs::write(dir.join("src/a.o"), "x").unwrap();
    });
    side.until("two watches", |t| t.condition.watched == 2);
    side.write("target/deep/f", "x");
    side.write("src/b.o", "x");
    side.write("src/b.c", "x");
    side.settle();
    let told: Vec<String> = side.told.rows.keys().map(|p| format!("{p}")).collect();
    assert_eq!(told, [".lab3ignore", "src", "src/a.c", "src/b.c"]);
    assert!(side.told.problems.is_empty());
}

#[test]
fn what_becomes_ignored_is_kept_and_what_is_no_longer_is_told_again() {
    let mut side = Side::with(Settings::default(), |dir| {
        fs::create_dir_all(dir.join("d/sub")).unwrap();
        fs::write(dir.join("d/sub/f"), "x").unwrap();
        fs::write(dir.join("d/x.log"), "x").unwrap();
    });
    side.write("d/.lab3ignore", "/sub\n*.log\n");
    side.settle();
    assert_eq!(side.problem("d/sub"), Some(ProblemKind::Ignored));
    assert_eq!(side.problem("d/x.log"), Some(ProblemKind::Ignored));
    assert!(side.has("d/sub/f") && side.has("d/x.log"));
    // What is done to them meanwhile is nobody's business, not even a deletion.
    let news = side.told.news.len();
    fs::remove_file(side.at("d/x.log")).unwrap();
    side.write("d/sub/g", "x");
    fs::remove_file(side.at("d/sub/f")).unwrap();
    side.settle();
    assert_eq!(side.told.news.len(), news);
    fs::remove_file(side.at("d/.lab3ignore")).unwrap();
    side.assert_told();
    assert!(side.told.problems.is_empty());
    side.write("d/sub/h", "watched again");
    side.assert_told();
}

#[test]
fn patterns_that_change_are_obeyed_at_once() {
    let mut side = Side::new();
    fs::create_dir(side.at("d")).unwrap();
    side.write("d/a.x", "x");
    side.write("d/b.y", "y");
    side.write(".lab3ignore", "*.x\n");
    side.write("d/c.x", "x");
    side.settle();
    assert!(!side.has("d/c.x"));
    fs::write(side.at("next"), "*.y\n").unwrap();
    fs::rename(side.at("next"), side.at(".lab3ignore")).unwrap();
    side.settle();
    assert!(side.has("d/c.x") && side.has("d/a.x"));
    side.write("d/d.y", "y");
    side.settle();
    assert!(!side.has("d/d.y"));
    // A directory with patterns of its own takes them along when it moves.
    side.write("d/.lab3ignore", "!*.y\nonly\n");
    side.settle();
    fs::rename(side.at("d"), side.at("e")).unwrap();
    side.write("e/only", "x");
    side.settle();
    assert!(side.has("e/d.y") && !side.has("e/only"));
}

#[test]
fn patterns_that_were_written_before_a_file_always_cover_it() {
    let mut side = Side::new();
    for n in 0..100 {
        // The directory is new and being looked at while the patterns arrive.
        fs::create_dir_all(side.at(format!("d{n}/e"))).unwrap();
        for busy in 0..n % 7 {
            side.write(format!("d{n}/e/{busy}"), "x");
        }
        side.write(format!("d{n}/.lab3ignore"), "*.secret\n");
        side.write(format!("d{n}/e/f.secret"), "x");
    }
    side.settle();
    let told = side.told.news.iter().filter(|(p, _)| p.as_bytes().ends_with(b".secret")).count();
    assert_eq!(told, 0);
}
