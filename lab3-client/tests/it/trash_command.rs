//! `lab3 trash`: what both sides have there, and bringing it back.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use common::side::Side;
use serde_json::Value;

use crate::system::System;
use crate::trees::{in_trash, link, put, remove, text};

/// What is in trash, at and below a path.
fn trash(system: &System, of: &[&str]) -> Vec<Value> {
    let trash = system.json(&[&["trash"], of].concat());
    trash["trash"].as_array().expect("an array").clone()
}

/// The id of the only version that was at this path.
#[track_caller]
fn id_of(system: &System, path: &str) -> String {
    let rows = trash(system, &[path]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["id"].as_str().expect("an id").to_owned()
}

/// A system in which these files were deleted: A's user deleted those that begin with `b`, so that
/// B has them in trash, and B's user the others.
fn deleted(names: &[&str]) -> System {
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    let system = System::holding(&files);
    for name in names {
        let of_b = name.rsplit('/').next().is_some_and(|last| last.starts_with('b'));
        remove(if of_b { &system.a } else { &system.b }, name);
    }
    system.agree();
    system
}

#[test]
fn both_sides_trash_is_listed_the_newest_first() {
    let system = deleted(&["a.txt", "b.txt", "d/a2"]);
    put(&system.b, "d/other", "1");
    system.wait();
    put(&system.b, "d/other", "22");
    system.wait();
    let rows = trash(&system, &[]);
    let newest = &rows[0];
    assert_eq!((&newest["path"], &newest["reason"]), (&"d/other".into(), &"replaced".into()));
    assert_eq!((&newest["side"], &newest["size"]), (&"A".into(), &1.into()), "{newest}");
    let at = |path: &str| rows.iter().find(|row| row["path"] == path).expect("it is there");
    assert_eq!((&at("a.txt")["side"], &at("b.txt")["side"]), (&"A".into(), &"B".into()));
    assert_eq!(at("b.txt")["reason"], "deleted");
    let times: Vec<&str> = rows.iter().map(|row| row["time"].as_str().expect("a time")).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let below: Vec<Value> = trash(&system, &["d"]).iter().map(|r| r["path"].clone()).collect();
    assert_eq!(below, ["d/other", "d/a2"]);
    let table = system.ok(&["trash", "list", "b.txt"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_eq!(system.lab3(&["trash", "../x"]).code, 1);
}

#[test]
fn a_version_of_either_side_comes_back_on_both() {
    let system = deleted(&["a.txt", "b.txt"]);
    let rows = trash(&system, &[]);
    for (name, side) in [("a.txt", "A"), ("b.txt", "B")] {
        let row = rows.iter().find(|row| row["path"] == name).expect("it is there");
        let index = row["index"].to_string();
        let said = system.ok(&["trash", "restore", &index]);
        assert_eq!(said, format!("restored `{name}` at {side}\nboth sides now agree\n"));
    }
    system.agree_on(&[("a.txt", "a.txt"), ("b.txt", "b.txt")]);
    assert!(in_trash(&system.a, "a.txt", "deleted", "a.txt"), "it stays in trash, too");
}

#[test]
fn what_is_there_now_is_not_replaced_unless_that_is_said() {
    let system = deleted(&["a", "b"]);
    put(&system.a, "a", "new a");
    put(&system.a, "b", "new b");
    system.wait();
    for name in ["a", "b"] {
        let id = id_of(&system, name);
        let refused = system.lab3(&["trash", "restore", &id]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("--over") && refused.err.contains("--to"), "{refused:?}");
        assert_eq!(text(&system.b, name), Some(format!("new {name}")));
        system.ok(&["trash", "restore", &id, "--over"]);
        assert_eq!(text(&system.a, name).as_deref(), Some(name));
        assert_eq!(text(&system.b, name).as_deref(), Some(name));
    }
    assert!(in_trash(&system.a, "a", "replaced", "new a"));
    assert!(in_trash(&system.b, "b", "replaced", "new b"));
}

#[test]
fn a_version_comes_back_under_another_name_and_parents_are_made() {
    let system = deleted(&["d/e/a", "d/e/b"]);
    remove(&system.a, "d");
    system.agree();
    system.ok(&["trash", "restore", &id_of(&system, "d/e/a")]);
    system.ok(&["trash", "restore", &id_of(&system, "d/e/b"), "--to", "new/place/b copy"]);
    system.agree_on(&[("d/e/a", "d/e/a"), ("new/place/b copy", "d/e/b")]);
}

#[test]
fn a_directory_in_the_way_is_left_alone() {
    let system = deleted(&["a", "b"]);
    put(&system.a, "a/child", "x");
    put(&system.a, "b", "now a file");
    system.wait();
    let id = id_of(&system, "a");
    for args in [&["trash", "restore", &id][..], &["trash", "restore", &id, "--over"]] {
        let refused = system.lab3(args);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("is a directory now"), "{refused:?}");
    }
    let below = system.lab3(&["trash", "restore", &id, "--to", "b/c"]);
    assert_eq!(below.code, 1, "a file is no directory: {below:?}");
    system.ok(&["trash", "restore", &id, "--to", "a/old"]);
    system.agree_on(&[("a/child", "x"), ("a/old", "a"), ("b", "now a file")]);
}

#[test]
fn an_unknown_id_is_refused() {
    let system = deleted(&["a"]);
    let known = id_of(&system, "a");
    for id in ["A-01795255800-0123456789abcdef-0", "B-1", "nonsense", "A-../id", "17"] {
        let refused = system.lab3(&["trash", "restore", id]);
        assert_eq!(refused.code, 1, "{id}: {refused:?}");
        assert!(refused.err.contains("hint: "), "{refused:?}");
    }
    system.ok(&["trash", "restore", &known]);
}

#[test]
fn without_b_only_its_trash_is_missing() {
    let mut system = deleted(&["a", "b"]);
    let (a, b) = (id_of(&system, "a"), id_of(&system, "b"));
    system.stop(&[Side::B]);
    system.b_is("away");
    let listed = system.lab3(&["trash"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.err.contains("server B is away"), "{listed:?}");
    let rows = trash(&system, &[]);
    assert!(rows.iter().all(|row| row["side"] == "A") && rows.len() == 1, "{rows:?}");
    let refused = system.lab3(&["trash", "restore", &b]);
    assert_eq!(refused.code, 5, "{refused:?}");
    let said = system.ok(&["trash", "restore", &a]);
    assert!(said.contains("do not agree yet") && said.contains("server B is away"), "{said}");
    system.restart(&[Side::B]);
    system.b_is("connected");
    system.ok(&["trash", "restore", &b]);
    system.agree_on(&[("a", "a"), ("b", "b")]);
}

/// After restarts of both, killed or not, an id means what it meant.
#[test]
fn an_id_outlives_restarts() {
    let mut system = deleted(&["a", "b"]);
    let (a, b) = (id_of(&system, "a"), id_of(&system, "b"));
    system.kill(Side::A);
    system.kill(Side::B);
    system.restart(&[Side::B, Side::A]);
    system.b_is("connected");
    system.ok(&["trash", "restore", &a]);
    system.ok(&["trash", "restore", &b]);
    system.agree_on(&[("a", "a"), ("b", "b")]);
}

#[test]
fn a_locked_name_is_refused_with_its_holder() {
    let system = deleted(&["a", "d/b"]);
    put(&system.a, "d/keep", "x");
    system.wait();
    system.lab3_as("bob@mill", &["lock", "d"]);
    let refused = system.lab3(&["trash", "restore", &id_of(&system, "d/b")]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("locked by bob@mill"), "{refused:?}");
    assert!(!system.b.join("d/b").exists());
}

/// A program that still has a replaced version open writes to it late: what comes back is what it
/// is now, whole.
#[test]
fn a_version_that_was_written_late_comes_back_as_it_is() {
    let system = System::holding(&[("a", "old")]);
    let open = std::fs::File::options().append(true).open(system.a.join("a")).expect("a file");
    drop(open);
    put(&system.b, "a", "new");
    system.wait();
    let id = id_of(&system, "a");
    let file = system.a.join(".lab3/trash").join(id.trim_start_matches("A-"));
    std::fs::write(file, "old and a late line").expect("written");
    system.ok(&["trash", "restore", &id, "--to", "late"]);
    system.agree_on(&[("a", "new"), ("late", "old and a late line")]);
}

/// Links, spaces, control characters, bytes that are no text; time and mode as they were.
#[test]
fn any_name_and_a_link_come_back_as_they_were() {
    let system = System::started();
    let names: [&[u8]; 3] = [b"two words", b"line\nfeed\\", b"\xff\xfe"];
    let path = |root: &Path, name: &[u8]| root.join(std::ffi::OsStr::from_bytes(name));
    for name in names {
        put(&system.a, std::ffi::OsStr::from_bytes(name), name);
    }
    link(&system.a, "somewhere else", "link");
    put(&system.a, "run.sh", "#!/bin/sh");
    crate::trees::chmod(&system.a, "run.sh", 0o755);
    crate::trees::put_at(&system.a, "old", "old", 1_000_000);
    let before = system.agree();
    for name in before.keys() {
        std::fs::remove_file(path(&system.b, name)).expect("removed");
    }
    system.agree_on(&[]);
    let rows = trash(&system, &[]);
    assert_eq!(rows.len(), before.len(), "{rows:?}");
    assert!(rows.iter().any(|row| row["path_bytes"].is_string()), "{rows:?}");
    for index in 0..rows.len() {
        system.ok(&["trash", "restore", &index.to_string()]);
    }
    assert_eq!(system.agree(), before);
}
