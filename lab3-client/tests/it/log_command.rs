//! `lab3 log`: who did what, when, at which side, and where it was carried; whatever is restarted
//! or killed meanwhile.

use std::fs;

use common::side::Side;
use serde_json::Value;

use crate::server::until;
use crate::system::System;
use crate::trees::{chmod, put, remove, rename, text};

/// The rows about a path or everything, as `what by→carried`.
fn rows(system: &System, of: &[&str]) -> Vec<Value> {
    let log = system.json(&[&["log", "--limit", "1000"], of].concat());
    log["log"].as_array().expect("an array").clone()
}

fn story(system: &System, of: &str) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| {
        format!("{} {} {}", word(&row["what"]), word(&row["by"]), word(&row["carried"]))
    };
    rows(system, &[of]).iter().map(line).collect()
}

#[test]
fn each_operation_is_written_down_with_its_side_and_where_it_went() {
    for (side, other) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = System::started();
        let root = system.root(side);
        let way = format!("{side} {other}");
        put(root, "f", "one");
        system.agree();
        put(root, "f", "longer");
        system.agree();
        chmod(root, "f", 0o600);
        system.agree();
        rename(root, "f", "g");
        system.agree();
        remove(root, "g");
        system.agree();
        let wanted = ["created", "written", "metadata", "renamed", "deleted"];
        let wanted: Vec<String> = wanted.iter().map(|what| format!("{what} {way}")).collect();
        assert_eq!(story(&system, "g"), wanted);
        let gone = rows(&system, &["g"]).pop().expect("a row");
        assert_eq!(gone["before"]["size"], 6);
        assert_eq!(gone["trash"], other.to_string());
        assert_eq!(gone["before"]["digest"].as_str().map(str::len), Some(8));
        assert_eq!(gone["after"], Value::Null);
        let renamed = &rows(&system, &["f"])[3];
        assert_eq!((&renamed["path"], &renamed["to"]["path"]), (&"f".into(), &"g".into()));
    }
}

#[test]
fn who_deleted_what_is_known_after_every_restart() {
    let mut system = System::holding(&[("by-a", "1"), ("by-b", "22"), ("d/moved", "3")]);
    remove(&system.a, "by-a");
    system.agree();
    remove(&system.b, "by-b");
    system.agree();
    rename(&system.b, "d", "e");
    system.agree();
    let before = rows(&system, &[]);
    system.stop(&[Side::A, Side::B]);
    system.restart(&[Side::B, Side::A]);
    system.agree();
    system.kill(Side::A);
    system.kill(Side::B);
    system.restart(&[Side::B, Side::A]);
    system.agree();
    assert_eq!(rows(&system, &[]), before);
    assert_eq!(story(&system, "by-a").last().map(String::as_str), Some("deleted A B"));
    assert_eq!(story(&system, "by-b").last().map(String::as_str), Some("deleted B A"));
    assert_eq!(story(&system, "d/moved").last().map(String::as_str), Some("renamed B A"));
    assert!(story(&system, "e/moved").iter().any(|row| row.starts_with("created")));
    let text = system.ok(&["log", "by-b"]);
    assert!(text.contains("B→A  deleted  by-b"), "{text}");
}

/// Whatever moment A is killed at, no deletion is missing, and no row is torn or out of order.
#[test]
fn no_deletion_is_missing_though_a_is_killed() {
    let names: Vec<String> = (0..150).map(|n| format!("d/{n:03}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let mut system = System::holding(&files);
    for part in names.chunks(50) {
        for name in part {
            remove(&system.b, name);
        }
        until("some are gone", || part.iter().any(|name| text(&system.a, name).is_none()));
        system.kill(Side::A);
        system.restart(&[Side::A]);
    }
    system.agree();
    let all = rows(&system, &[]);
    let seqs: Vec<u64> = all.iter().map(|row| row["seq"].as_u64().expect("a seq")).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    for name in &names {
        let told = all.iter().any(|row| {
            row["path"] == *name
                && (row["what"] == "deleted" || row["what"] == "agreed" && row["after"].is_null())
        });
        assert!(told, "who deleted `{name}`?");
    }
}

#[test]
fn locks_and_held_edits_are_written_down_with_their_holders() {
    let system = System::holding(&[("f", "old")]);
    system.ok(&["-lock", "f", "-m", "mine"]);
    put(&system.b, "f", "held at b");
    until("it is held", || !system.held(&[]).is_empty());
    let forced = system.lab3_as("bob@mill", &["-unlock", "f", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    system.ok(&["-lock", "f"]);
    put(&system.b, "f", "discarded");
    until("it is held", || !system.held(&[]).is_empty());
    system.ok(&["-unlock", "f", "--discard"]);
    system.agree();
    let wanted = [
        "created A B",
        "locked - -",
        "held B -",
        "drained B A",
        "forced_unlock - -",
        "locked - -",
        "held B -",
        "discarded B -",
        "unlocked - -",
        "written A B",
    ];
    assert_eq!(story(&system, "f"), wanted);
    let rows = rows(&system, &["f"]);
    assert_eq!((&rows[1]["who"], &rows[1]["detail"]), (&"ann@mill".into(), &"mine".into()));
    assert_eq!((&rows[4]["who"], &rows[4]["detail"]), (&"ann@mill".into(), &"by bob@mill".into()));
}

#[test]
fn a_conflict_is_written_down_with_its_copy() {
    let mut system = System::holding(&[("f", "old")]);
    system.stop(&[Side::A]);
    put(&system.a, "f", "a's edit");
    put(&system.b, "f", "b's later edit");
    system.restart(&[Side::A]);
    system.agree();
    let rows = rows(&system, &["f"]);
    let conflict = rows.iter().find(|row| row["what"] == "conflict").expect("a conflict");
    let copy = conflict["to"]["path"].as_str().expect("a copy");
    assert!(copy.starts_with("f.conflict-"), "{copy}");
    assert!(story(&system, copy).iter().any(|row| row.starts_with("copied")), "{rows:?}");
}

#[test]
fn a_name_cannot_act_on_the_terminal() {
    let system = System::started();
    put(&system.a, "evil\x1b[31m\nname", "x");
    system.agree();
    let text = system.ok(&["log"]);
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains("evil\\x1b[31m\\nname"), "{text:?}");
    assert_eq!(rows(&system, &[])[0]["path"], "evil\x1b[31m\nname");
}

#[test]
fn what_is_not_there_is_said_and_the_newest_are_shown() {
    let system = System::holding(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let ran = system.lab3(&["log", "nobody"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("nothing is written down"), "{ran:?}");
    let ran = system.lab3(&["log", "--limit", "1"]);
    assert!(ran.err.contains("older ones") && ran.out.lines().count() == 2, "{ran:?}");
    assert_eq!(rows(&system, &["--since", "1h"]).len(), 3);
    assert_eq!(rows(&system, &["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(system.lab3(&["log", "--since", "yesterday"]).code, 2);
}

/// Without a journal everything goes on but the journal, and that is said.
#[test]
fn a_journal_that_cannot_be_written_stops_nothing_else() {
    let mut system = System::holding(&[("f", "old")]);
    system.stop(&[Side::A]);
    let journal = system.a.join(".lab3/journal");
    fs::rename(&journal, system.dir.path().join("aside")).expect("moved");
    fs::write(&journal, "no directory").expect("written");
    system.restart(&[Side::A]);
    put(&system.b, "f", "new");
    system.agree_on(&[("f", "new")]);
    let status = system.json(&["status"]);
    assert!(status["journal"].as_str().is_some_and(|why| why.contains("journal")), "{status}");
    let ran = system.lab3(&["log"]);
    assert!(ran.code == 0 && ran.err.contains("the journal"), "{ran:?}");
}
