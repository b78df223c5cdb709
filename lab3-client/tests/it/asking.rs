//! What the client hears of a real server A: listings that know what was just done, indexes that
//! never mean another file, JSON as it was promised, exit codes.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use common::side::Side;
use serde_json::{Value, json};

use crate::server::until;
use crate::system::System;
use crate::trees::{self, put, remove, rename, text};

/// The names of an object, in their order.
#[track_caller]
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[track_caller]
fn sorted<'k>(names: &[&'k str]) -> Vec<&'k str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// A listing right after an edit, on either side, shows it: its size and that it is there at all.
#[test]
fn a_listing_shows_everything_that_was_done_before_it() {
    let system = System::holding(&[("a", ""), ("b", "")]);
    for round in 1..=50_usize {
        let (side, name) = if round % 2 == 0 { (Side::A, "a") } else { (Side::B, "b") };
        let root = system.root(side);
        put(root, name, "x".repeat(round));
        put(root, format!("new {round}"), "");
        let listing = system.json(&[]);
        let entries = listing["entries"].as_array().expect("entries");
        let size = |name: &str| {
            let entry = entries.iter().find(|entry| entry["path"] == name);
            entry.map(|entry| entry["size"].clone())
        };
        assert_eq!(size(name), Some(json!(round)), "an edit at {side}, round {round}");
        assert_eq!(size(&format!("new {round}")), Some(json!(0)), "at {side}, round {round}");
        remove(root, &format!("new {round}"));
        let removed = system.entry(&format!("new {round}"));
        // It may be on the other side for a moment longer, and then says so.
        let other = if side == Side::A { "only_b" } else { "only_a" };
        assert!(removed.is_null() || removed["state"] == other, "round {round}: {removed}");
    }
}

/// The listing is sorted by name, indexed from 0 without a gap, and has files and links only.
#[test]
fn the_listing_is_sorted_and_counts_from_zero() {
    let system = System::new();
    for name in ["b", "a/z", "a-b", "A", "é", "a/b/c", "0"] {
        put(&system.a, name, name);
    }
    trees::link(&system.a, "b", "link");
    fs::create_dir(system.a.join("empty")).expect("made");
    let mut system = system;
    system.start();
    system.wait();
    let listing = system.json(&["list"]);
    let entries = listing["entries"].as_array().expect("entries");
    let names: Vec<_> = entries.iter().map(|e| e["path"].as_str().expect("text")).collect();
    assert_eq!(names, ["0", "A", "a-b", "a/b/c", "a/z", "b", "link", "é"]);
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry["index"], index);
        assert_eq!(entry["state"], "agreed");
        assert_eq!(entry["kind"], if entry["path"] == "link" { "link" } else { "file" });
    }
    let table = system.ok(&[]);
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 9, "{table}");
    assert!(rows[0].starts_with("index") && rows[1].starts_with("    0"), "{table}");
}

/// An index acts on the file that was shown under it or on none: not on a newcomer with its name,
/// not after A was started anew; a save of the same name is not a move (K25, K26).
#[test]
fn an_index_never_means_another_file() {
    let mut system = System::holding(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let early = system.lab3_as("eve@mill", &["-lock", "0"]);
    assert_eq!(early.code, 1, "nothing was listed yet: {early:?}");
    system.ok(&[]);
    for bad in ["3", "-3", "99999999999999999999"] {
        let ran = system.lab3(&["-lock", bad]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    }
    put(&system.b, "a", "saved again");
    put(&system.b, "0 new", "moves all indexes");
    system.wait();
    assert_eq!(system.ok(&["-lock", "0"]), "locked `a`\n", "as it was shown");
    system.ok(&["-unlock", "a"]);
    rename(&system.b, "b", "moved");
    put(&system.b, "b", "a newcomer");
    let stale = |system: &System, index: &str| {
        let ran = system.lab3(&["-lock", index]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
        assert!(ran.err.contains("stale") && ran.err.contains("hint: list again"), "{ran:?}");
    };
    stale(&system, "1");
    remove(&system.a, "c");
    stale(&system, "2");
    system.ok(&[]);
    system.stop(&[Side::A]);
    system.start_a();
    system.b_is("connected");
    stale(&system, "0");
    assert_eq!(system.json(&["locks"]), json!({"locks": []}));
    system.ok(&[]);
    assert_eq!(system.ok(&["-lock", "0"]), "locked `0 new`\n");
}

/// One user's listing does not change what an index means to another.
#[test]
fn an_index_is_of_the_listing_that_this_user_saw() {
    let system = System::holding(&[("b", "1")]);
    system.ok(&[]);
    put(&system.a, "a", "first now");
    system.wait();
    assert_eq!(system.lab3_as("bob@mill", &[]).code, 0);
    assert_eq!(system.ok(&["-lock", "0"]), "locked `b`\n");
    let ran = system.lab3_as("bob@mill", &["-lock", "0"]);
    assert_eq!(ran.out, "locked `a`\n", "{ran:?}");
}

/// JSON has the shapes that scripts were promised.
#[test]
fn json_has_the_promised_shapes() {
    let system = System::holding(&[("f", "old"), ("g", "x")]);
    let locked = system.json(&["-lock", "f", "-m", "why", "--ttl", "2h"]);
    let lock = sorted(&["id", "path", "holder", "since", "comment", "expires", "held"]);
    assert_eq!(sorted(&keys(&locked["locked"])), lock);
    put(&system.b, "f", "held");
    until("it is held", || system.held(&[]).len() == 1);
    let listing = system.json(&[]);
    assert_eq!(sorted(&keys(&listing)), ["b", "entries", "generation"]);
    assert_eq!(listing["b"], "connected");
    let entry = &listing["entries"][0];
    let names = sorted(&["index", "path", "kind", "size", "modified", "state", "lock", "held"]);
    assert_eq!(sorted(&keys(entry)), names);
    assert_eq!(sorted(&keys(&entry["lock"])), lock);
    assert_eq!(listing["entries"][1]["lock"], Value::Null);
    let modified = listing["entries"][1]["modified"].as_str().expect("a time");
    assert!(modified.ends_with('Z') && modified.contains('T'), "RFC 3339: {modified}");
    let locks = system.json(&["locks"]);
    assert_eq!(sorted(&keys(&locks["locks"][0])), lock);
    let lock = &locks["locks"][0];
    assert_eq!((&lock["held"], &lock["comment"]), (&json!(1), &json!("why")));
    let held = system.json(&["held", "f"]);
    assert_eq!(sorted(&keys(&held["held"][0])), sorted(&["seq", "path", "op", "size", "time"]));
    assert_eq!((&held["held"][0]["op"], &held["held"][0]["size"]), (&json!("write"), &json!(4)));
    let status = system.json(&["status"]);
    for name in ["halted", "watches", "problems", "waiting"] {
        assert!(status.get(name).is_some(), "{name}: {status}");
    }
    assert_eq!(sorted(&keys(&status["watches"])), ["polled", "unwatched", "watched"]);
    assert_eq!((&status["halted"], &status["held"]), (&Value::Null, &json!(1)));
    let path = system.json(&["status", "f"]);
    assert_eq!((&path["state"], &path["held"]), (&json!("held"), &json!(1)), "{path}");
    assert_eq!(path["lock"]["holder"], "ann@mill");
    assert!(path["waiting"][0]["reason"].as_str().is_some_and(|why| why.contains("locked")));
    let waited = system.lab3(&["wait", "--json", "--timeout", "5s"]);
    let waited: Value = serde_json::from_str(&waited.out).expect("JSON");
    assert_eq!((&waited["done"], &waited["timed_out"]), (&json!(false), &json!(false)));
    let receipt = system.json(&["-unlock", "f"]);
    let names =
        ["path", "dry_run", "mode", "applied", "discarded", "conflicts", "agreed", "waiting"];
    assert_eq!(sorted(&keys(&receipt)), sorted(&names));
    assert_eq!(system.json(&["wait"])["done"], true);
    let refused = system.lab3(&["-unlock", "f", "--json"]);
    let refused: Value = serde_json::from_str(&refused.out).expect("JSON");
    assert_eq!(refused["error"]["kind"], "refused");
}

/// Names that are no text come escaped for people, and whole in JSON; control bytes never reach a
/// terminal; and they are synchronized like any other (N02, N03, H23).
#[test]
fn strange_names_are_shown_safely_and_carried_whole() {
    let system = System::started();
    let strange: [&[u8]; 7] =
        [b"\xff\xfe", b"new\nline", b"tab\t", b"esc\x1b[31m", b"-lead", b" space ", b"back\\slash"];
    for (n, name) in strange.iter().enumerate() {
        let root = system.root(if n % 2 == 0 { Side::A } else { Side::B });
        put(root, std::ffi::OsStr::from_bytes(name), name);
    }
    let long = "n".repeat(255);
    put(&system.a, &long, "long");
    let nodes = system.agree();
    assert_eq!(nodes.len(), 8);
    let table = system.ok(&[]);
    assert!(!table.contains('\x1b') && !table.contains('\t'), "{table:?}");
    assert_eq!(table.lines().count(), 9, "one line each: {table}");
    let listing = system.json(&[]);
    let entries = listing["entries"].as_array().expect("entries");
    let bytes = entries.iter().find_map(|entry| entry["path_bytes"].as_str());
    assert_eq!(bytes, Some("//4="), "the exact bytes, in base64");
    let newline = entries.iter().find(|e| e["path"] == "new\nline").expect("by its name");
    let index = newline["index"].to_string();
    assert_eq!(system.ok(&["-lock", &index]), "locked `new\\nline`\n");
}

/// Every exit code means what it says: 0 done, 1 refused, 2 usage, 3 unreachable, 4 locked by
/// another, 5 still waiting.
#[test]
fn exit_codes_mean_what_they_say() {
    let mut system = System::holding(&[("f", "x")]);
    assert_eq!(system.lab3(&["-lock", "f"]).code, 0);
    assert_eq!(system.lab3(&["-lock", "nothing"]).code, 1);
    assert_eq!(system.lab3(&["-unlock", "nothing"]).code, 1);
    assert_eq!(system.lab3(&["-lock", "../f"]).code, 1);
    assert_eq!(system.lab3(&["-lock"]).code, 2);
    assert_eq!(system.lab3_as("bob@mill", &["-lock", "f"]).code, 4);
    put(&system.b, "f", "held");
    assert_eq!(system.lab3(&["wait"]).code, 5);
    system.stop(&[Side::A]);
    let gone = system.lab3(&[]);
    assert_eq!((gone.code, gone.out.as_str()), (3, ""));
    assert!(gone.err.contains("hint: "), "{gone:?}");
}

/// When B is away the listing says so, and since when; it shows what A has, and A's edits wait for
/// B with their reason.
#[test]
fn the_listing_says_that_b_is_away_and_since_when() {
    let mut system = System::holding(&[("f", "x")]);
    system.stop(&[Side::B]);
    system.b_is("away");
    put(&system.a, "new", "x");
    let listing = system.json(&[]);
    assert_eq!(listing["b"], "away");
    assert!(listing["b_since"].as_str().is_some_and(|since| since.ends_with('Z')), "{listing}");
    assert!(listing["entries"].as_array().is_some_and(|e| e.iter().any(|e| e["path"] == "new")));
    let ran = system.lab3(&[]);
    assert!((ran.out.clone() + &ran.err).contains("server B is away since 20"), "{ran:?}");
    let waited = system.lab3(&["wait", "--timeout", "300ms"]);
    assert_eq!(waited.code, 5);
    assert!(waited.err.contains("away"), "{waited:?}");
    system.restart(&[Side::B]);
    system.agree_on(&[("f", "x"), ("new", "x")]);
}

/// Whoever waits is told why: a file that somebody holds open for writing, with a side.
#[test]
fn a_path_that_waits_says_why() {
    let system = System::holding(&[("f", "old")]);
    let writer = fs::OpenOptions::new().append(true).open(system.b.join("f")).expect("opened");
    put(&system.a, "f", "from a");
    until("the reason is known", || {
        let status = system.json(&["status", "f"]);
        let rows = status["waiting"].as_array().cloned().unwrap_or_default();
        rows.iter().any(|row| {
            row["side"] == "B" && row["reason"].as_str().is_some_and(|why| why.contains("open"))
        })
    });
    assert_eq!(text(&system.b, "f").as_deref(), Some("old"));
    let said = system.ok(&["status", "f"]);
    assert!(said.contains("waits: `f` at B: somebody has it open for writing at B"), "{said}");
    drop(writer);
    system.agree_on(&[("f", "from a")]);
}
