//! Locks: what B does to a locked path is held, in order, and applied when it is unlocked.

use std::fs;

use common::side::Side;
use serde_json::Value;

use crate::server::until;
use crate::system::System;
use crate::trees::{self, Node, chmod, in_trash, put, remove, rename, text};

/// The operations that are held, in order.
fn ops(held: &[Value]) -> Vec<&str> {
    held.iter().map(|edit| edit["op"].as_str().expect("a word")).collect()
}

/// Edits at B, one held edit each.
fn edits(system: &System, name: &str, contents: &[&str]) {
    for content in contents {
        let before = system.held(&[]).len();
        put(&system.b, name, content);
        until("the edit is held", || system.held(&[]).len() > before);
    }
}

/// One edit of B is held, A keeps its own, and B's file is never reverted; unlocking applies it
/// (K01, K04, K31).
#[test]
fn an_edit_of_a_locked_file_is_held_until_it_is_unlocked() {
    let system = System::holding(&[("f", "old"), ("other", "old")]);
    assert_eq!(system.ok(&["-lock", "f"]), "locked `f`\n");
    put(&system.b, "f", "edited at b");
    put(&system.b, "other", "not locked");
    until("the other file goes on", || text(&system.a, "other").as_deref() == Some("not locked"));
    let entry = system.entry("f");
    assert_eq!((&entry["state"], &entry["held"]), (&"held".into(), &1.into()), "{entry}");
    assert_eq!(entry["lock"]["holder"], "ann@mill");
    assert_eq!(text(&system.a, "f").as_deref(), Some("old"));
    assert_eq!(text(&system.b, "f").as_deref(), Some("edited at b"));
    let waited = system.lab3(&["wait"]);
    assert_eq!(waited.code, 5, "{waited:?}");
    assert!(waited.err.contains("locked by ann@mill"), "{waited:?}");
    let receipt = system.ok(&["-unlock", "f"]);
    assert!(receipt.starts_with("unlocked `f`\napplied 1 held edit, in order:\n"), "{receipt}");
    assert!(receipt.ends_with("both sides now agree\n"), "{receipt}");
    system.agree_on(&[("f", "edited at b"), ("other", "not locked")]);
    let again = system.lab3(&["-unlock", "f"]);
    assert_eq!(again.code, 1, "a second unlock: {again:?}");
}

/// Held edits are applied in the order in which they were received, each of them, once (K02).
#[test]
fn held_edits_are_applied_in_the_order_received() {
    let system = System::holding(&[("f", "old")]);
    system.ok(&["-lock", "f"]);
    let contents = ["1", "22", "333", "4444", "55555"];
    edits(&system, "f", &contents);
    let held = system.held(&["f"]);
    let sizes: Vec<u64> = held.iter().map(|edit| edit["size"].as_u64().expect("a size")).collect();
    assert_eq!(sizes, [1, 2, 3, 4, 5]);
    let seqs: Vec<u64> = held.iter().map(|edit| edit["seq"].as_u64().expect("a seq")).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    assert_eq!(text(&system.a, "f").as_deref(), Some("old"));
    let would = system.json(&["-unlock", "f", "--dry-run"]);
    assert_eq!(would["applied"].as_array().map(Vec::len), Some(5));
    assert_eq!((system.held(&[]).len(), text(&system.a, "f").as_deref()), (5, Some("old")));
    let receipt = system.json(&["-unlock", "f"]);
    let applied = receipt["applied"].as_array().expect("an array");
    let order: Vec<u64> = applied.iter().map(|edit| edit["seq"].as_u64().expect("a seq")).collect();
    assert_eq!(order, seqs);
    assert_eq!((&receipt["agreed"], &receipt["conflicts"]), (&true.into(), &Value::Array(vec![])));
    system.agree_on(&[("f", "55555")]);
    for (before, content) in ["old", "1", "22", "333", "4444"].iter().enumerate() {
        assert!(in_trash(&system.a, "f", "replaced", content), "version {before}");
    }
    assert_eq!(system.held(&[]).len(), 0);
}

/// A's own edits of what it locked go to B, until B has a held edit of it; then they wait, and
/// unlocking keeps both (K03, K15).
#[test]
fn an_edit_of_a_under_its_own_lock_is_kept_beside_what_b_did() {
    let system = System::holding(&[("f.txt", "old")]);
    system.ok(&["-lock", "f.txt"]);
    put(&system.a, "f.txt", "by a, first");
    until("it reaches B", || text(&system.b, "f.txt").as_deref() == Some("by a, first"));
    edits(&system, "f.txt", &["by b, one", "by b, two"]);
    put(&system.a, "f.txt", "by a, second");
    let entry = system.entry("f.txt");
    assert_eq!(entry["held"], 2, "{entry}");
    assert_eq!(text(&system.b, "f.txt").as_deref(), Some("by b, two"), "B's edit stands");
    let receipt = system.json(&["-unlock", "f.txt"]);
    assert_eq!(receipt["applied"].as_array().map(Vec::len), Some(2), "{receipt}");
    let copy = receipt["conflicts"][0]["path"].as_str().expect("a copy").to_owned();
    assert!(copy.starts_with("f.conflict-A-") && copy.ends_with(".txt"), "{copy}");
    assert_eq!(receipt["agreed"], true, "{receipt}");
    system.agree_on(&[(&copy, "by a, second"), ("f.txt", "by b, two")]);
}

/// `--keep-a` keeps A's under the name and B's last beside it; `--discard` puts what was held into
/// the trash, and A's goes to B.
#[test]
fn what_was_held_can_be_set_aside_or_discarded() {
    let system = System::holding(&[("keep", "old"), ("drop", "old")]);
    for (name, option) in [("keep", "--keep-a"), ("drop", "--discard")] {
        system.ok(&["-lock", name]);
        edits(&system, name, &["by b, one", "by b, two"]);
        put(&system.a, name, "by a");
        let receipt = system.json(&["-unlock", name, option]);
        assert_eq!(receipt["discarded"], 2, "{receipt}");
        assert_eq!(receipt["agreed"], true, "{receipt}");
        system.wait();
        assert_eq!(text(&system.b, name).as_deref(), Some("by a"), "{receipt}");
    }
    let nodes = system.agree();
    let copies: Vec<_> = nodes.iter().filter(|(name, _)| name.starts_with(b"keep.conf")).collect();
    let [(name, Node::File { content, .. })] = copies[..] else { panic!("{nodes:?}") };
    assert!(name.starts_with(b"keep.conflict-B-"), "{nodes:?}");
    assert_eq!((content.as_slice(), nodes.len()), (b"by b, two".as_slice(), 3));
    for content in ["by b, one", "by b, two"] {
        assert!(in_trash(&system.a, "drop", "discarded", content), "{:?}", trees::trash(&system.a));
    }
}

/// Removing, renaming, creating again, replacing by a directory, a chmod: each is held, and
/// changes nothing at A before the unlock (K07, K08, K09, K10, K13, K14).
#[test]
fn whatever_b_does_to_a_locked_path_is_held() {
    let files = ["removed", "again", "away", "over", "to_dir", "mode", "donor"];
    let system = System::holding(&files.map(|name| (name, name)));
    let locked = &files[..6];
    for name in locked {
        system.ok(&["-lock", name]);
    }
    let b = &system.b;
    remove(b, "removed");
    remove(b, "again");
    until("the removal is held", || system.held(&["again"]).len() == 1);
    put(b, "again", "a second life");
    rename(b, "away", "elsewhere");
    rename(b, "donor", "over");
    remove(b, "to_dir");
    put(b, "to_dir/inner", "inner");
    chmod(b, "mode", 0o700);
    until("all is held", || locked.iter().all(|name| !system.held(&[name]).is_empty()));
    until("the second is held", || system.held(&["again"]).len() == 2);
    assert_eq!(ops(&system.held(&["again"])), ["delete", "create"]);
    assert_eq!(ops(&system.held(&["mode"])), ["metadata"]);
    assert_eq!(ops(&system.held(&["removed"])), ["delete"]);
    until("a new name is not locked", || text(&system.a, "elsewhere").as_deref() == Some("away"));
    for name in locked {
        assert_eq!(text(&system.a, name).as_deref(), Some(*name), "{name} at A");
    }
    for name in locked {
        let receipt = system.json(&["-unlock", name]);
        assert_eq!(receipt["agreed"], true, "{name}: {receipt}");
    }
    system.agree_on(&[
        ("again", "a second life"),
        ("elsewhere", "away"),
        ("mode", "mode"),
        ("over", "donor"),
        ("to_dir/inner", "inner"),
    ]);
    assert!(matches!(trees::read(&system.a)[b"mode".as_slice()], Node::File { mode: 0o700, .. }));
}

/// A lock on a directory covers all below it, what is new too; and what is locked keeps the
/// directory above it where it is (K11, K12, K28).
#[test]
fn a_lock_on_a_directory_covers_all_below_and_keeps_what_is_above() {
    let system =
        System::holding(&[("d/f", "old"), ("d/sub/g", "old"), ("up/f", "x"), ("up/h", "x")]);
    system.ok(&["-lock", "d"]);
    put(&system.b, "d/f", "new");
    put(&system.b, "d/sub/new", "created");
    remove(&system.b, "d/sub/g");
    until("all are held", || system.held(&["d"]).len() >= 3);
    system.ok(&["-lock", "up/f"]);
    remove(&system.b, "up");
    until("the removal is held", || !system.held(&["up/f"]).is_empty());
    until("the rest goes", || !system.a.join("up/h").exists());
    assert_eq!(text(&system.a, "up/f").as_deref(), Some("x"));
    assert_eq!(text(&system.a, "d/f").as_deref(), Some("old"));
    assert!(!system.a.join("d/sub/new").exists() && system.a.join("d/sub/g").exists());
    let covered = system.lab3_as("bob@mill", &["-lock", "d/f"]);
    assert_eq!(covered.code, 4, "{covered:?}");
    for name in ["d", "up/f"] {
        let receipt = system.json(&["-unlock", name]);
        assert_eq!(receipt["agreed"], true, "{receipt}");
    }
    system.agree_on(&[("d/f", "new"), ("d/sub/new", "created")]);
    assert!(!system.a.join("up").exists(), "the directory is gone with what was in it");
}

/// The lock goes with a file that A's user renames, and so does what is held of it (K17).
#[test]
fn a_lock_follows_its_file_when_a_renames_it() {
    let system = System::holding(&[("f", "old"), ("g", "old")]);
    system.ok(&["-lock", "f"]);
    system.ok(&["-lock", "g"]);
    put(&system.b, "g", "held");
    until("it is held", || system.held(&["g"]).len() == 1);
    fs::rename(system.a.join("f"), system.a.join("f2")).expect("renamed");
    fs::rename(system.a.join("g"), system.a.join("g2")).expect("renamed");
    until("B takes over the name of what it has not edited", || system.b.join("f2").exists());
    put(&system.b, "f2", "held, too");
    until("it is held", || system.held(&["f2"]).len() == 1);
    let locks = system.json(&["locks"]);
    let paths: Vec<_> = locks["locks"].as_array().expect("locks").iter().collect();
    assert!(paths[0]["path"] == "f2" && paths[1]["path"] == "g2", "{locks}");
    assert_eq!(text(&system.a, "f2").as_deref(), Some("old"));
    assert_eq!(text(&system.a, "g2").as_deref(), Some("old"));
    assert_eq!(text(&system.b, "g").as_deref(), Some("held"), "B's own file is not touched");
    for name in ["f2", "g2"] {
        let receipt = system.json(&["-unlock", name]);
        assert_eq!(receipt["agreed"], true, "{receipt}");
    }
    system.agree_on(&[("f2", "held, too"), ("g2", "held")]);
}

/// A lock taken while B is away holds what B did meanwhile, from its return on (K06, K29).
#[test]
fn what_b_does_while_it_is_away_is_held_when_it_returns() {
    let mut system = System::holding(&[("f", "old"), ("g", "old")]);
    system.stop(&[Side::B]);
    system.b_is("away");
    system.ok(&["-lock", "f"]);
    put(&system.b, "f", "offline");
    put(&system.b, "g", "offline");
    system.restart(&[Side::B]);
    until("the rest arrives", || text(&system.a, "g").as_deref() == Some("offline"));
    until("the edit is held", || system.held(&["f"]).len() == 1);
    assert_eq!(text(&system.a, "f").as_deref(), Some("old"));
    system.stop(&[Side::B]);
    system.b_is("away");
    let receipt = system.json(&["-unlock", "f"]);
    assert_eq!(receipt["applied"].as_array().map(Vec::len), Some(1), "{receipt}");
    assert_eq!(text(&system.a, "f").as_deref(), Some("offline"));
    let why = receipt["waiting"][0]["reason"].as_str().unwrap_or_default();
    assert_eq!(receipt["agreed"], false);
    assert!(why.contains("away"), "{receipt}");
    system.restart(&[Side::B]);
    system.agree_on(&[("f", "offline"), ("g", "offline")]);
}

/// Locks and held edits survive the end of either server, however it ends (K18, K19, K20).
#[test]
fn locks_and_held_edits_survive_every_restart() {
    let mut system = System::holding(&[("f", "old")]);
    system.ok(&["-lock", "f", "-m", "mine"]);
    edits(&system, "f", &["one", "two"]);
    let (locks, held) = (system.json(&["locks"]), system.held(&[]));
    assert_eq!(locks["locks"][0]["comment"], "mine");
    for sides in [&[Side::A][..], &[Side::B], &[Side::A, Side::B]] {
        system.stop(sides);
        system.restart(sides);
        system.b_is("connected");
        assert_eq!((system.json(&["locks"]), system.held(&[])), (locks.clone(), held.clone()));
        for side in sides {
            system.kill(*side);
        }
        system.restart(sides);
        system.b_is("connected");
        assert_eq!((system.json(&["locks"]), system.held(&[])), (locks.clone(), held.clone()));
        assert_eq!(text(&system.a, "f").as_deref(), Some("old"));
    }
    edits(&system, "f", &["three"]);
    let receipt = system.json(&["-unlock", "f"]);
    assert_eq!(receipt["applied"].as_array().map(Vec::len), Some(3), "{receipt}");
    system.agree_on(&[("f", "three")]);
}

/// `kill -9` of A in the middle of a drain, at any moment: the rest is applied after the restart,
/// and nothing twice (K21).
#[test]
fn a_drain_that_is_killed_is_finished_exactly_once() {
    let mut system = System::holding(&[("f", "old")]);
    for round in 0..6_u64 {
        system.ok(&["-lock", "f"]);
        let contents: Vec<String> = (0..8).map(|n| format!("round {round} edit {n}")).collect();
        edits(&system, "f", &contents.iter().map(String::as_str).collect::<Vec<_>>());
        let mut unlock = system.client("ann@mill", &["-unlock", "f"]);
        let mut unlock = unlock
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the client starts");
        let left = 7_usize.saturating_sub(round as usize);
        // Somewhere in the drain: when so many edits are left in the pending directory.
        until("the drain is under way", || {
            let pending = fs::read_dir(system.a.join(".lab3/pending")).expect("a directory");
            let ended = unlock.try_wait().expect("a child").is_some();
            pending.count() <= left || ended
        });
        system.kill(Side::A);
        unlock.wait().expect("it ended");
        system.start_a();
        system.b_is("connected");
        until("the drain is finished", || {
            system.ok(&["locks", "--json"]).contains("\"locks\":[]") || {
                // The kill came before the unlock was durable: then it is asked again.
                system.lab3(&["-unlock", "f"]);
                false
            }
        });
        assert_eq!(system.held(&[]).len(), 0);
        system.agree_on(&[("f", &format!("round {round} edit 7"))]);
    }
    let copies: Vec<_> = trees::trash(&system.a).into_iter().filter(|t| t.0 == "f").collect();
    let mut once = copies.clone();
    once.dedup();
    assert_eq!(copies, once, "no version was replaced twice");
}

/// Another's lock is refused with its holder, time and comment, and broken only by force, which
/// is said (K23, K24).
#[test]
fn a_foreign_lock_is_refused_and_broken_only_by_force() {
    let system = System::holding(&[("f", "old")]);
    system.ok(&["-lock", "f", "-m", "writing a book"]);
    let since = system.json(&["locks"])["locks"][0]["since"].as_str().expect("a time").to_owned();
    system.ok(&["-lock", "f", "-m", "still writing"]);
    let locks = system.json(&["locks"]);
    assert_eq!(locks["locks"].as_array().map(Vec::len), Some(1), "{locks}");
    for args in [&["-lock", "f"][..], &["-unlock", "f"]] {
        let ran = system.lab3_as("bob@mill", args);
        assert_eq!(ran.code, 4, "{ran:?}");
        for word in ["ann@mill", &since[..10], "writing"] {
            assert!(ran.err.contains(word), "{word}: {ran:?}");
        }
    }
    edits(&system, "f", &["by b"]);
    let forced = system.lab3_as("bob@mill", &["-unlock", "f", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    system.server(Side::A).says("unlocked by force `f` holder=ann@mill by=bob@mill");
    system.agree_on(&[("f", "by b")]);
    assert_eq!(system.lab3_as("bob@mill", &["-lock", "f"]).code, 0);
}

/// Whose lock was broken hears of it with the next command, once, also after a restart of A, and
/// on stderr alone.
#[test]
fn the_old_holder_hears_of_a_broken_lock_once() {
    let mut system = System::holding(&[("f", "old"), ("g", "old")]);
    let broken = |system: &System, name: &str| {
        system.ok(&["-lock", name]);
        let forced = system.lab3_as("bob@mill", &["-unlock", name, "--force"]);
        assert_eq!((forced.code, forced.err.as_str()), (0, ""), "{forced:?}");
    };
    let line = |name: &str| format!("lab3: your lock of `{name}` was broken by bob@mill at ");
    broken(&system, "f");
    let ran = system.lab3(&["locks", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "{\"locks\":[]}\n"), "{ran:?}");
    assert!(ran.err.starts_with(&line("f")) && ran.err.lines().count() == 1, "{ran:?}");
    assert_eq!(system.lab3(&["locks"]).err, "");
    broken(&system, "g");
    system.kill(Side::A);
    system.start_a();
    let other = system.lab3_as("bob@mill", &[]);
    assert!(!other.err.contains("broken"), "nobody else hears of it: {other:?}");
    let refused = system.lab3(&["-unlock", "g"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.starts_with(&line("g")) && refused.err.contains("not locked"),
        "{refused:?}"
    );
    assert!(!system.lab3(&[]).err.contains("broken"));
}

/// A lock with a time ends by itself, and what was held is applied then.
#[test]
fn a_lock_with_a_time_ends_by_itself() {
    let system = System::holding(&[("f", "old")]);
    let said = system.ok(&["-lock", "f", "--ttl", "4s"]);
    assert!(said.starts_with("locked `f` until "), "{said}");
    put(&system.b, "f", "by b");
    let has_moved = || text(&system.a, "f").as_deref() != Some("old");
    until("it is held", || system.held(&[]).len() == 1 || has_moved());
    until("the lock ends", || system.ok(&["locks", "--json"]).contains("\"locks\":[]"));
    system.agree_on(&[("f", "by b")]);
}

/// An index with or without a dash, and a path in any spelling, name the same file (K28).
#[test]
fn a_file_is_named_by_index_or_path_in_any_spelling() {
    let system = System::holding(&[("a", "1"), ("d/b", "2"), ("3", "3")]);
    trees::link(&system.a, "a", "link");
    system.agree();
    system.ok(&[]);
    for (spelling, name) in [
        (&["-lock", "1"][..], "a"),
        (&["-lock", "-1"], "a"),
        (&["-lock", "a"], "a"),
        (&["lock", "./a"], "a"),
        (&["--lock=-2"], "d/b"),
        (&["lock", "--path", "d/b"], "d/b"),
        (&["-lock", "d/"], "d"),
        (&["-lock", "0"], "3"),
        (&["-lock", "./3"], "3"),
        (&["-lock", "-3"], "link"),
    ] {
        assert_eq!(system.ok(spelling), format!("locked `{name}`\n"), "{spelling:?}");
        system.ok(&["unlock", "--path", name]);
    }
}
