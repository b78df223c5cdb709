//! What becomes of a path that was changed at A, at B, at both or at neither, while servers were
//! running or not.

use std::fs;
use std::time::Duration;

use common::digest::Digest;
use common::side::Side;

use crate::system::System;
use crate::trees::{self, Node, chmod, in_trash, link, put, put_at, remove, rename, text};

/// 2023-11-14 22:13:20 UTC.
const EARLY: u64 = 1_700_000_000;
const EARLY_TEXT: &str = "20231114-221320";
/// A day later.
const LATE: u64 = EARLY + 86_400;

/// Which servers were down while the users worked.
const DOWNS: [&[Side]; 4] = [&[], &[Side::A], &[Side::B], &[Side::A, Side::B]];

/// The name of a conflict copy.
fn copy(stem: &str, side: Side, time: &str, content: &str, extension: &str) -> String {
    let digest = Digest::of(content.as_bytes()).short();
    format!("{stem}.conflict-{side}-{time}-{digest}{extension}")
}

/// With both servers holding `before`, and some down, the users work; then all are up again.
fn worked(down: &[Side], before: impl Fn(&System), work: impl Fn(&System)) -> System {
    let mut system = System::started();
    before(&system);
    system.agree();
    system.stop(down);
    if down == [Side::B] {
        system.b_is("away");
    }
    work(&system);
    system.restart(down);
    system.agree();
    system
}

/// What one side did reaches the other: contents, kinds, names, modes and times to the nanosecond,
/// in both directions, whoever was down (M03, M06, M07, M10-M12, M15, M16, M22, M23, M28, M30,
/// R01, R02, D01, D10, S01-S03, T09).
#[test]
fn what_one_side_did_reaches_the_other() {
    for down in DOWNS {
        let system = worked(down, prepare, work);
        let nodes = trees::read(&system.a);
        for top in ["a", "b"] {
            check(&nodes, top, down);
        }
        let names: Vec<_> = nodes.keys().map(|n| String::from_utf8_lossy(n)).collect();
        assert!(!names.iter().any(|name| name.contains(".conflict-")), "{names:?}");
    }
}

/// What both sides hold, each in a directory of its own.
fn prepare(system: &System) {
    for (side, name) in [(Side::A, "a"), (Side::B, "b")] {
        let root = &system.root(side).join(name);
        for file in ["edit", "remove", "rename", "move", "chmod", "touch", "to_dir"] {
            put(root, file, file);
        }
        put(root, "to_link", "x");
        put(root, "dir/one", "1");
        put(root, "dir/deep/two", "2");
        put(root, "gone/one", "1");
        put(root, "to_file/one", "1");
        fs::create_dir(root.join("empty_gone")).expect("made");
        for name in ["link", "link_to_dir", "link_to_file"] {
            link(root, "edit", name);
        }
    }
}

/// What the users of each side do in its directory.
fn work(system: &System) {
    for (side, name) in [(Side::A, "a"), (Side::B, "b")] {
        let root = &system.root(side).join(name);
        put(root, "new", "new");
        put(root, "1/2/3/4/5/6/7/8/leaf", "leaf");
        fs::create_dir(root.join("empty")).expect("made");
        put(root, "zero", "");
        put(root, "edit", "another content");
        remove(root, "remove");
        rename(root, "rename", "renamed");
        rename(root, "move", "dir/moved");
        chmod(root, "chmod", 0o755);
        chmod(root, "dir", 0o700);
        trees::set_modified(root, "touch", Duration::new(EARLY, 123_456_789));
        rename(root, "dir", "new_dir");
        remove(root, "gone");
        remove(root, "empty_gone");
        remove(root, "to_dir");
        put(root, "to_dir/inner", "inner");
        remove(root, "to_file");
        put(root, "to_file", "now a file");
        remove(root, "to_link");
        link(root, "new", "to_link");
        for name in ["link", "link_to_dir", "link_to_file"] {
            remove(root, name);
        }
        link(root, "/nowhere/at all", "link");
        put(root, "link_to_dir/f", "f");
        put(root, "link_to_file", "f");
    }
}

/// What must come of it, wherever.
fn check(nodes: &trees::Nodes, top: &str, down: &[Side]) {
    let at = |name: &str| nodes.get(format!("{top}/{name}").as_bytes()).cloned();
    let content = |name: &str| match at(name) {
        Some(Node::File { content, .. }) => String::from_utf8(content).expect("UTF-8"),
        other => panic!("{name}: {other:?}"),
    };
    for (name, expected) in [
        ("new", "new"),
        ("1/2/3/4/5/6/7/8/leaf", "leaf"),
        ("zero", ""),
        ("edit", "another content"),
        ("renamed", "rename"),
        ("new_dir/moved", "move"),
        ("new_dir/deep/two", "2"),
        ("to_dir/inner", "inner"),
        ("to_file", "now a file"),
        ("link_to_dir/f", "f"),
        ("link_to_file", "f"),
    ] {
        assert_eq!(content(name), expected, "{name} with {down:?} down");
    }
    for name in ["remove", "rename", "move", "dir", "gone", "empty_gone", "dir/moved"] {
        assert_eq!(at(name), None, "{name} with {down:?} down");
    }
    assert!(matches!(at("chmod"), Some(Node::File { mode: 0o755, .. })));
    assert_eq!(at("new_dir"), Some(Node::Dir { mode: 0o700 }));
    assert!(matches!(at("empty"), Some(Node::Dir { .. })));
    let modified = (EARLY as i64, 123_456_789);
    assert!(matches!(at("touch"), Some(Node::File { modified: m, .. }) if m == modified));
    let target = b"/nowhere/at all".to_vec();
    assert_eq!(at("link"), Some(Node::Link { target }));
    assert!(matches!(at("to_link"), Some(Node::Link { .. })));
}

/// At first contact both directories are united: nothing is deleted, what is equal is adopted,
/// and of two versions the newest keeps the name (M01, M02, M04, M05, M17, M18, M27, M29).
#[test]
fn first_contact_unites_both_directories() {
    let mut system = System::new();
    let (a, b) = (system.a.clone(), system.b.clone());
    put_at(&a, "only_a", "x", EARLY);
    put_at(&b, "only_b", "x", EARLY);
    put_at(&a, "equal", "same", EARLY);
    put_at(&b, "equal", "same", LATE);
    put_at(&a, "a_is_newer.txt", "from a", LATE);
    put_at(&b, "a_is_newer.txt", "from b", EARLY);
    put_at(&a, "b_is_newer.txt", "from a", EARLY);
    put_at(&b, "b_is_newer.txt", "from b", LATE);
    put_at(&a, "same_time", "from a", EARLY);
    put_at(&b, "same_time", "from b", EARLY);
    put_at(&a, "d/a", "x", EARLY);
    put_at(&b, "d/b", "y", EARLY);
    put_at(&a, "d/both", "x", EARLY);
    put_at(&b, "d/both", "y", LATE);
    system.start();
    system.agree_on(&[
        (&copy("a_is_newer", Side::B, EARLY_TEXT, "from b", ".txt"), "from b"),
        ("a_is_newer.txt", "from a"),
        (&copy("b_is_newer", Side::A, EARLY_TEXT, "from a", ".txt"), "from a"),
        ("b_is_newer.txt", "from b"),
        ("d/a", "x"),
        ("d/b", "y"),
        ("d/both", "y"),
        (&copy("d/both", Side::A, EARLY_TEXT, "x", ""), "x"),
        ("equal", "same"),
        ("only_a", "x"),
        ("only_b", "x"),
        ("same_time", "from a"),
        (&copy("same_time", Side::B, EARLY_TEXT, "from b", ""), "from b"),
    ]);
    remove(&a, "equal");
    system.agree();
    assert!(!b.join("equal").exists(), "an adopted file is deleted like any other");
}

/// Two edits of one file are both kept, the newest under the name, on both sides alike; doing it
/// all again adds nothing (M08, M09, M13, M14, M19, M37, Q02, Q03).
#[test]
fn edits_on_both_sides_are_both_kept_and_no_restart_adds_another_copy() {
    for down in &DOWNS[1..] {
        let mut system = worked(
            down,
            |system| {
                for name in ["a_newer.tar", "b_newer", "alike", "edit_a", "edit_b", "both_gone"] {
                    put(&system.a, name, "old");
                }
                put(&system.a, "part/one", "1");
                put(&system.a, "part/two", "2");
            },
            |system| {
                let (a, b) = (&system.a, &system.b);
                put_at(a, "a_newer.tar", "from a", LATE);
                put_at(b, "a_newer.tar", "from b", EARLY);
                put_at(a, "b_newer", "from a", EARLY);
                put_at(b, "b_newer", "from b", LATE);
                put(a, "alike", "the same");
                put(b, "alike", "the same");
                put(a, "edit_a", "edited");
                remove(b, "edit_a");
                put(b, "edit_b", "edited");
                remove(a, "edit_b");
                remove(a, "both_gone");
                remove(b, "both_gone");
                remove(a, "part");
                remove(b, "part/two");
            },
        );
        let copies = [
            copy("a_newer", Side::B, EARLY_TEXT, "from b", ".tar"),
            copy("b_newer", Side::A, EARLY_TEXT, "from a", ""),
        ];
        let all = [
            (copies[0].as_str(), "from b"),
            ("a_newer.tar", "from a"),
            ("alike", "the same"),
            ("b_newer", "from b"),
            (copies[1].as_str(), "from a"),
            ("edit_a", "edited"),
            ("edit_b", "edited"),
        ];
        system.agree_on(&all);
        for order in [[Side::A, Side::B], [Side::B, Side::A]] {
            system.stop(&order);
            system.restart(&order);
            system.agree_on(&all);
        }
    }
}

/// What is replaced or deleted by way of the other side can be found in the trash, whole.
#[test]
fn the_trash_has_what_the_other_side_replaced_or_deleted() {
    let system = System::holding(&[("edited", "first"), ("removed", "only"), ("d/in", "inner")]);
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let (from, to) = (system.root(here), system.root(there));
        put(from, "edited", format!("by {here}"));
        put(from, "mine", "one");
        system.agree();
        remove(from, "mine");
        system.agree();
        assert!(in_trash(to, "mine", "deleted", "one"), "{:?}", trees::trash(to));
    }
    assert!(in_trash(&system.b, "edited", "replaced", "first"));
    assert!(in_trash(&system.a, "edited", "replaced", "by A"));
    remove(&system.a, "removed");
    remove(&system.a, "d");
    system.agree();
    assert!(in_trash(&system.b, "removed", "deleted", "only"));
    assert!(in_trash(&system.b, "d/in", "deleted", "inner"));
}

/// Content and mode are merged apart: a chmod here and an edit there is no conflict (PM01).
#[test]
fn a_chmod_here_and_an_edit_there_are_both_taken() {
    let before = |system: &System| put(&system.a, "tool", "old");
    let system = worked(&[Side::A, Side::B], before, |system| {
        chmod(&system.a, "tool", 0o755);
        put(&system.b, "tool", "new");
    });
    system.agree_on(&[("tool", "new")]);
    let nodes = trees::read(&system.b);
    assert!(matches!(nodes[b"tool".as_slice()], Node::File { mode: 0o755, .. }), "{nodes:?}");
}

/// A type clash keeps both, complete (M24, M25, M27).
#[test]
fn a_file_here_and_a_directory_there_are_both_kept() {
    let before = |system: &System| {
        put(&system.a, "f", "old");
        put(&system.a, "d/c", "old");
    };
    let system = worked(&[Side::A, Side::B], before, |system| {
        remove(&system.a, "f");
        put(&system.a, "f/c", "below");
        put(&system.b, "f", "edited file");
        remove(&system.a, "d");
        put(&system.a, "d", "new file");
        put(&system.b, "d/c", "edited below");
        put_at(&system.a, "kind", "a file", EARLY);
        link(&system.b, "target", "kind");
    });
    let nodes = system.agree();
    let contents: Vec<_> = nodes
        .values()
        .filter_map(|node| match node {
            Node::File { content, .. } => Some(String::from_utf8_lossy(content)),
            _ => None,
        })
        .collect();
    for content in ["below", "edited file", "new file", "edited below", "a file"] {
        assert_eq!(contents.iter().filter(|c| *c == content).count(), 1, "{content}: {nodes:?}");
    }
    assert!(nodes.values().any(|node| matches!(node, Node::Link { .. })), "{nodes:?}");
}

/// What `.lab3ignore` covers stays where it is, and the file itself travels.
#[test]
fn what_is_ignored_stays_where_it_is() {
    let system = System::started();
    put(&system.a, ".lab3ignore", "*.o\n/build/\n!keep.o\n");
    system.agree();
    assert_eq!(text(&system.b, ".lab3ignore").as_deref(), Some("*.o\n/build/\n!keep.o\n"));
    put(&system.a, "x.o", "object");
    put(&system.b, "build/y", "built");
    put(&system.b, "sub/z.o", "object");
    put(&system.a, "sub/keep.o", "kept");
    put(&system.a, "plain", "x");
    system.wait();
    assert_eq!(text(&system.b, "plain").as_deref(), Some("x"));
    assert_eq!(text(&system.b, "sub/keep.o").as_deref(), Some("kept"));
    assert!(!system.b.join("x.o").exists() && !system.a.join("build").exists());
    assert!(!system.a.join("sub/z.o").exists());
    assert_eq!(text(&system.b, "sub/z.o").as_deref(), Some("object"));
}
