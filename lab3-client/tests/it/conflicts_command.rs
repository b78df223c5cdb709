//! `lab3 conflicts`: what is listed, and what becomes of copies that are resolved.

use std::os::unix::ffi::OsStrExt as _;

use common::digest::Digest;
use common::reconcile::conflict::is_copy_name;
use common::side::Side;
use serde_json::Value;

use crate::server::until;
use crate::system::System;
use crate::trees::{Node, in_trash, link, put, put_at, remove, text};

/// A system in which each of these names has a conflict: A's version, older, lost it to B's.
fn in_conflict(names: &[&str]) -> System {
    let mut system = System::new();
    for name in names {
        put_at(&system.a, name, &format!("a's {name}"), 1_000_000);
        put_at(&system.b, name, &format!("b's {name}"), 2_000_000);
    }
    system.start();
    system.agree();
    system
}

fn conflicts(system: &System) -> Vec<Value> {
    system.json(&["conflicts"])["conflicts"].as_array().expect("an array").clone()
}

/// The names of both sides, which must be equal, that look like conflict copies.
fn copies(system: &System) -> Vec<String> {
    let nodes = system.agree();
    let names = nodes
        .keys()
        .filter(|name| is_copy_name(name.rsplit(|&b| b == b'/').next().unwrap_or_default()));
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn a_conflict_copy_is_listed_with_what_it_lost() {
    let system = in_conflict(&["docs/report.txt"]);
    let all = conflicts(&system);
    let [row] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((&row["index"], &row["original"]["path"]), (&0.into(), &"docs/report.txt".into()));
    assert_eq!((&row["side"], &row["kind"]), (&"A".into(), &"file".into()), "{row}");
    assert_eq!((&row["original_exists"], &row["edited"]), (&true.into(), &false.into()));
    assert_eq!(row["modified"], "1970-01-12T13:46:40Z");
    let table = system.ok(&["conflicts", "list"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("docs/report.txt"), "{table}");
    // What is only called so, and a copy that was edited, are listed as that.
    put(&system.b, "mine.conflict-A-20261121-095000-00112233.txt", "mine");
    put(&system.a, row["path"].as_str().expect("a name"), "merged");
    remove(&system.b, "docs/report.txt");
    system.wait();
    let states: Vec<(Value, Value)> = conflicts(&system)
        .iter()
        .map(|row| (row["edited"].clone(), row["original_exists"].clone()))
        .collect();
    assert_eq!(states, [(true.into(), false.into()), (true.into(), false.into())]);
}

#[test]
fn the_version_that_is_taken_has_the_name_and_the_other_is_in_trash() {
    let system = in_conflict(&["f.txt", "g.txt"]);
    system.ok(&["conflicts"]);
    let said = system.ok(&["conflicts", "resolve", "0", "--take", "a"]);
    assert!(said.ends_with("has taken the name `f.txt`\nboth sides now agree\n"), "{said}");
    assert_eq!(text(&system.b, "f.txt").as_deref(), Some("a's f.txt"));
    assert!(in_trash(&system.a, "f.txt", "replaced", "b's f.txt"));
    system.ok(&["conflicts", "resolve", "g.txt", "--take", "b"]);
    system.agree_on(&[("f.txt", "a's f.txt"), ("g.txt", "b's g.txt")]);
    assert_eq!(conflicts(&system), Vec::<Value>::new());
    let gone = system.lab3(&["conflicts", "resolve", "0", "--take", "a"]);
    assert_eq!(gone.code, 1, "{gone:?}");
}

#[test]
fn both_are_kept_as_ordinary_files_and_nothing_is_overwritten() {
    let system = in_conflict(&["report.txt"]);
    put(&system.a, "report.from-a.txt", "already mine");
    system.wait();
    system.ok(&["conflicts", "resolve", "--all", "--take", "both"]);
    system.agree_on(&[
        ("report.from-a-2.txt", "a's report.txt"),
        ("report.from-a.txt", "already mine"),
        ("report.txt", "b's report.txt"),
    ]);
}

#[test]
fn a_dry_run_says_all_and_changes_nothing() {
    let system = in_conflict(&["f", "g"]);
    let before = system.agree();
    let would = system.json(&["conflicts", "resolve", "--all", "--take", "newest", "--dry-run"]);
    let rows = would["resolved"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{would}");
    assert!(rows.iter().all(|row| row["fate"] == "trashed"), "{would}");
    assert_eq!(system.agree(), before);
    assert_eq!(conflicts(&system).len(), 2);
}

/// Whatever the names are: spaces, control characters, backslashes, bytes that are no text.
#[test]
fn names_of_any_bytes_can_be_resolved() {
    let mut system = System::new();
    let names: [&[u8]; 4] = [b"two words", b"line\nfeed", b"back\\slash.txt", b"\xff\xfe.bin"];
    for name in names {
        for (root, content, seconds) in [(&system.a, "a", 1_000_000), (&system.b, "b", 2_000_000)] {
            let name = std::ffi::OsStr::from_bytes(name);
            put(root, name, content);
            let file = std::fs::File::open(root.join(name)).expect("a file");
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).expect("its time is set");
        }
    }
    system.start();
    system.agree();
    let rows = conflicts(&system);
    assert!(rows.iter().any(|row| row["original"]["path_bytes"].is_string()), "{rows:?}");
    for number in ["0", "1", "2", "3"] {
        system.ok(&["conflicts", "resolve", number, "--take", "a"]);
    }
    let nodes = system.agree();
    assert_eq!(nodes.len(), 4, "{nodes:?}");
    let is_a = |node: &Node| matches!(node, Node::File { content, .. } if content == b"a");
    assert!(nodes.values().all(is_a), "{nodes:?}");
}

#[test]
fn several_copies_of_one_name_are_settled_one_by_one_or_together() {
    let mut system = in_conflict(&["f"]);
    for (a, b) in [("a2", "b2"), ("a3", "b3")] {
        system.stop(&[Side::A, Side::B]);
        put_at(&system.a, "f", a, 3_000_000);
        put_at(&system.b, "f", b, 4_000_000);
        system.start();
        system.agree();
    }
    assert_eq!(copies(&system).len(), 3);
    let rows = conflicts(&system);
    assert!(rows.iter().all(|row| row["original"]["path"] == "f"), "{rows:?}");
    let first = rows[0]["path"].as_str().expect("a name").to_owned();
    let content = text(&system.a, &first).expect("a copy");
    system.ok(&["conflicts", "resolve", &first, "--take", "a"]);
    assert_eq!(text(&system.b, "f").as_deref(), Some(content.as_str()));
    assert_eq!(copies(&system).len(), 2, "the others are still there");
    system.ok(&["conflicts", "resolve", "f", "--take", "newest"]);
    assert_eq!(copies(&system), Vec::<String>::new());
    system.agree_on(&[("f", text(&system.a, "f").expect("a file").as_str())]);
}

#[test]
fn a_copy_whose_original_is_gone_gets_the_name_and_is_never_the_last_to_go() {
    let system = in_conflict(&["d/f"]);
    remove(&system.b, "d/f");
    system.wait();
    let no_other = system.lab3(&["conflicts", "resolve", "--all", "--take", "b"]);
    assert_eq!(no_other.code, 1, "{no_other:?}");
    assert!(no_other.out.contains("no version of side B"), "{no_other:?}");
    assert_eq!(copies(&system).len(), 1);
    system.ok(&["conflicts", "resolve", "d/f", "--take", "a"]);
    system.agree_on(&[("d/f", "a's d/f")]);
}

#[test]
fn links_and_directories_that_lost_their_names_are_resolved_too() {
    let mut system = System::new();
    link(&system.a, "here", "l");
    put_at(&system.b, "l", "a file", 2_000_000_000);
    let digest = Digest::of(b"").short();
    let lost = format!("box.conflict-B-19700101-000000-{digest}");
    put(&system.a, "box", "a file took the name");
    put(&system.a, format!("{lost}/in/it"), "content");
    system.start();
    system.agree();
    let rows = conflicts(&system);
    let kinds: Vec<&Value> = rows.iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, ["dir", "link"], "{rows:?}");
    system.ok(&["conflicts", "resolve", "box", "--take", "b"]);
    assert_eq!(text(&system.b, "box/in/it").as_deref(), Some("content"));
    assert!(in_trash(&system.a, "box", "deleted", "a file took the name"));
    let l = rows[1]["path"].as_str().expect("a name");
    system.ok(&["conflicts", "resolve", l, "--take", "a"]);
    let target = std::fs::read_link(system.b.join("l")).expect("a link");
    assert_eq!(target.as_os_str(), "here");
    assert!(in_trash(&system.a, "l", "replaced", "a file"));
    assert_eq!(copies(&system), Vec::<String>::new());
}

#[test]
fn what_is_locked_is_refused_with_its_holder() {
    let system = in_conflict(&["f", "g"]);
    system.lab3_as("bob@mill", &["lock", "f"]);
    let one = system.lab3(&["conflicts", "resolve", "f", "--take", "a"]);
    assert_eq!(one.code, 4, "{one:?}");
    assert!(one.err.contains("`f` is locked by bob@mill"), "{one:?}");
    let all = system.lab3(&["conflicts", "resolve", "--all", "--take", "a"]);
    assert_eq!(all.code, 4, "{all:?}");
    assert!(all.out.contains("left: ") && all.out.contains("bob@mill"), "{all:?}");
    assert_eq!(text(&system.a, "f").as_deref(), Some("b's f"));
    assert_eq!(text(&system.b, "g").as_deref(), Some("a's g"));
}

#[test]
fn an_index_never_acts_on_a_version_that_was_not_shown() {
    let system = in_conflict(&["f"]);
    let row = conflicts(&system).remove(0);
    let copy = row["path"].as_str().expect("a name");
    put(&system.b, "f", "edited after the list");
    system.wait();
    let stale = system.lab3(&["conflicts", "resolve", "0", "--take", "a"]);
    assert_eq!(stale.code, 1, "{stale:?}");
    system.ok(&["conflicts"]);
    put(&system.a, copy, "merged by hand");
    system.wait();
    let stale = system.lab3(&["conflicts", "resolve", "0", "--take", "b"]);
    assert_eq!(stale.code, 1, "{stale:?}");
    assert_eq!(text(&system.b, copy).as_deref(), Some("merged by hand"));
    system.ok(&["conflicts"]);
    system.ok(&["conflicts", "resolve", "0", "--take", "a"]);
    system.agree_on(&[("f", "merged by hand")]);
}

/// While B is away it is done at A, and the command says what waits.
#[test]
fn without_b_it_is_done_at_a_and_waits() {
    let mut system = in_conflict(&["f"]);
    system.stop(&[Side::B]);
    system.b_is("away");
    let ran = system.lab3(&["conflicts", "resolve", "f", "--take", "a"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.out.contains("server B is away"), "{ran:?}");
    assert_eq!(text(&system.a, "f").as_deref(), Some("a's f"));
    system.restart(&[Side::B]);
    system.b_is("connected");
    system.agree_on(&[("f", "a's f")]);
}

#[test]
fn two_hundred_conflicts_are_settled_at_once() {
    let names: Vec<String> = (0..200).map(|n| format!("d{}/f{n}.txt", n % 7)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let system = in_conflict(&names);
    assert_eq!(conflicts(&system).len(), 200);
    let said = system.ok(&["conflicts", "resolve", "--all", "--take", "a"]);
    assert_eq!(said.lines().count(), 201, "{said}");
    assert_eq!(copies(&system), Vec::<String>::new());
    for name in names {
        assert_eq!(text(&system.b, name), Some(format!("a's {name}")));
    }
}

/// A is killed while it resolves: every version is still in a tree or in a trash, and what was
/// begun can be finished.
#[test]
fn a_kill_in_the_middle_loses_no_version() {
    let names: Vec<String> = (0..60).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut system = in_conflict(&names);
    let args = ["conflicts", "resolve", "--all", "--take", "a"];
    let mut client = system.client("ann@mill", &args);
    client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut client = client.spawn().expect("it runs");
    until("some are resolved", || {
        names.iter().any(|name| text(&system.a, name) == Some(format!("a's {name}")))
    });
    system.kill(Side::A);
    assert_ne!(client.wait().expect("it ends").code(), Some(0));
    system.restart(&[Side::A]);
    system.b_is("connected");
    system.agree();
    for name in &names {
        for version in [format!("a's {name}"), format!("b's {name}")] {
            assert!(is_somewhere(&system, &version), "{version}");
        }
    }
    let rest = system.lab3(&args);
    assert_eq!(rest.code, 0, "{rest:?}");
    assert_eq!(copies(&system), Vec::<String>::new());
    for name in names {
        assert_eq!(text(&system.b, name), Some(format!("a's {name}")));
    }
}

/// Both users go on editing while it is resolved: no edit is lost.
#[test]
fn an_edit_that_races_with_a_resolve_is_never_lost() {
    let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let system = in_conflict(&names);
    let mut client = system.client("ann@mill", &["conflicts", "resolve", "--all", "--take", "a"]);
    client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut client = client.spawn().expect("it runs");
    let mut edits = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let root = if n % 2 == 0 { &system.a } else { &system.b };
        let edit = format!("edit {n} at {}", root.display());
        put(root, name, &edit);
        edits.push(edit);
    }
    client.wait().expect("it ends");
    system.agree();
    for edit in edits {
        assert!(is_somewhere(&system, &edit), "{edit}");
    }
}

/// Whether a content is in a tree or in a trash.
fn is_somewhere(system: &System, content: &str) -> bool {
    let in_tree = |root| {
        let nodes = crate::trees::read(root);
        nodes
            .values()
            .any(|node| matches!(node, Node::File { content: c, .. } if c == content.as_bytes()))
    };
    let in_trash =
        |root| crate::trees::trash(root).iter().any(|(_, _, trashed)| trashed == content);
    [&system.a, &system.b].into_iter().any(|root| in_tree(root) || in_trash(root))
}
