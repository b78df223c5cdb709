//! Renames, directories and links, where what one side did meets what the other did.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use common::side::Side;

use crate::server::until;
use crate::system::System;
use crate::trees::{self, Node, link, put, remove, rename, text};

/// With both directories holding `before` and no server running, the users work; then both run.
fn apart(before: &[(&str, &str)], work: impl Fn(&System)) -> System {
    let mut system = System::holding(before);
    system.stop(&[Side::A, Side::B]);
    work(&system);
    system.start();
    system.agree();
    system
}

/// The contents of all files, sorted.
fn contents(system: &System) -> Vec<String> {
    let mut found: Vec<String> = trees::read(&system.b)
        .into_values()
        .filter_map(|node| match node {
            Node::File { content, .. } => Some(String::from_utf8(content).expect("UTF-8")),
            _ => None,
        })
        .collect();
    found.sort();
    found
}

/// A rename is done as a rename on the other side: the same inode has the new name, a directory
/// of many files in one step (R01, R02, R03).
#[test]
fn a_rename_is_a_rename_on_the_other_side() {
    let system = System::holding(&[("f", "content"), ("d/1", "one"), ("d/sub/2", "two")]);
    for (here, there, from, to) in
        [(Side::A, Side::B, ["f", "d"], ["g", "e"]), (Side::B, Side::A, ["g", "e"], ["sub_f", "h"])]
    {
        let inode = |name: &str| fs::metadata(system.root(there).join(name)).expect(name).ino();
        let before = [inode(from[0]), inode(from[1]), inode(&format!("{}/sub/2", from[1]))];
        for (from, to) in from.iter().zip(to) {
            rename(system.root(here), from, to);
            system.agree();
        }
        let after = [inode(to[0]), inode(to[1]), inode(&format!("{}/sub/2", to[1]))];
        assert_eq!(before, after, "{here}");
        assert!(from.iter().all(|name| !system.root(there).join(name).exists()));
    }
    assert_eq!(contents(&system), ["content", "one", "two"]);
}

/// Renames in a burst, over each other and in a circle, end as they ended where they were made
/// (R04, R05, R08, R17).
#[test]
fn a_burst_of_renames_ends_as_it_ended() {
    let names = ["a", "b", "c", "x", "y", "Foo", "over", "under"];
    let system = System::holding(&names.map(|name| (name, name)));
    for root in [&system.a, &system.b] {
        rename(root, "c", "d");
        rename(root, "b", "c");
        rename(root, "a", "b");
        rename(root, "x", "tmp");
        rename(root, "y", "x");
        rename(root, "tmp", "y");
        rename(root, "Foo", "foo");
        rename(root, "over", "under");
        system.agree_on(&[
            ("b", "a"),
            ("c", "b"),
            ("d", "c"),
            ("foo", "Foo"),
            ("under", "over"),
            ("x", "y"),
            ("y", "x"),
        ]);
        for name in trees::read(root).keys() {
            remove(root, std::str::from_utf8(name).expect("UTF-8"));
        }
        system.wait();
        let _ = system.lab3(&["approve"]);
        system.agree();
        for name in names {
            put(root, name, name);
        }
        system.agree();
    }
}

/// A file that was renamed here and edited there: the edit is not lost, nor is the new name (R10).
#[test]
fn an_edit_of_a_file_that_was_renamed_elsewhere_is_not_lost() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = apart(&[("f", "old")], |system| {
            rename(system.root(here), "f", "g");
            put(system.root(there), "f", "edited");
        });
        let found = contents(&system);
        assert!(found.iter().any(|content| content == "edited"), "{found:?}");
        assert!(system.a.join("g").exists(), "the new name stands");
    }
}

/// A file renamed to a name that the other side made meanwhile: both contents stay (R11).
#[test]
fn a_rename_onto_a_name_that_was_taken_elsewhere_keeps_both() {
    let system = apart(&[("f", "moved")], |system| {
        rename(&system.a, "f", "g");
        put(&system.b, "g", "made");
    });
    assert_eq!(contents(&system), ["made", "moved"]);
    assert!(!system.b.join("f").exists());
}

/// What is made in a directory that is renamed elsewhere survives (R12), both ways round (R16).
#[test]
fn what_is_made_in_a_directory_renamed_elsewhere_survives() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = apart(&[("d/f", "old")], |system| {
            rename(system.root(here), "d", "e");
            put(system.root(there), "d/new", "new");
        });
        let found = contents(&system);
        assert!(found.contains(&"new".to_owned()), "{found:?}");
        assert_eq!(text(&system.a, "e/f").as_deref(), Some("old"), "{found:?}");
    }
    let system = apart(&[("d/f", "f"), ("e/g", "g")], |system| {
        rename(&system.a, "d", "e/d");
        rename(&system.b, "e", "d/e");
    });
    let found = contents(&system);
    assert!(["f", "g"].iter().all(|content| found.iter().any(|c| c == content)), "{found:?}");
}

/// Both sides rename one file differently: its content is never lost (R15).
#[test]
fn a_file_renamed_differently_on_both_sides_is_not_lost() {
    let system = apart(&[("f", "content")], |system| {
        rename(&system.a, "f", "g");
        rename(&system.b, "f", "h");
    });
    assert!(!contents(&system).is_empty() && !system.a.join("f").exists());
}

/// What is made or edited in a directory that is deleted elsewhere survives; the rest of the
/// directory goes (D05, M20, M21).
#[test]
fn what_is_made_in_a_directory_deleted_elsewhere_survives() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let before = [("d/f", "old"), ("d/sub/g", "old"), ("d/sub/h", "old"), ("other", "x")];
        let system = apart(&before, |system| {
            remove(system.root(here), "d");
            put(system.root(there), "d/new", "new");
            put(system.root(there), "d/sub/g", "edited");
        });
        system.agree_on(&[("d/new", "new"), ("d/sub/g", "edited"), ("other", "x")]);
    }
}

/// A directory with the same name made again and again, and at last with other contents (D03,
/// D04, W12).
#[test]
fn a_directory_made_again_and_again_ends_as_it_ended() {
    let system = System::holding(&[("d/old/f", "old")]);
    for round in 0..100 {
        remove(&system.a, "d");
        put(&system.a, "d/f", round.to_string());
    }
    system.agree_on(&[("d/f", "99")]);
}

/// Deep directories made and filled at once, many of them, and a full one moved in: nothing is
/// missed, on either side (D01, W01, W02, W03).
#[test]
fn directories_that_are_made_and_filled_at_once_are_whole() {
    let system = System::started();
    let outside = system.dir.path().join("outside");
    for n in 0..100 {
        put(&outside, format!("sub{}/{n}", n % 7), n.to_string());
    }
    for side in Side::BOTH {
        let root = system.root(side);
        for n in 0..150 {
            put(root, format!("{side}/d{n}/f"), n.to_string());
        }
        put(root, format!("{side}/1/2/3/4/5/6/7/8/leaf"), "leaf");
    }
    fs::rename(&outside, system.a.join("moved in")).expect("renamed");
    let nodes = system.agree();
    let files = nodes.values().filter(|node| matches!(node, Node::File { .. })).count();
    assert_eq!(files, 2 * 151 + 100);
}

/// A link is a link: what it leads to is neither listed nor touched, also when it takes the place
/// of a directory or a directory takes its place (S01-S03, S06-S08).
#[test]
fn what_a_link_leads_to_is_neither_listed_nor_touched() {
    let system = System::started();
    let outside = system.dir.path().join("outside");
    for n in 0..100 {
        put(&outside, n.to_string(), "decoy");
    }
    for (target, name) in [
        (outside.as_os_str(), "out"),
        ("out/1".as_ref(), "relative"),
        ("nowhere".as_ref(), "dangling"),
        ("itself".as_ref(), "itself"),
        ("..".as_ref(), "up"),
    ] {
        link(&system.a, target, name);
    }
    put(&system.a, "real/1", "real");
    let nodes = system.agree();
    assert_eq!(nodes.len(), 7, "{nodes:?}");
    let entries = system.json(&[]);
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(6));
    remove(&system.b, "out");
    put(&system.b, "out/inner", "a directory now");
    remove(&system.a, "real");
    link(&system.a, &outside, "real");
    let nodes = system.agree();
    assert!(matches!(nodes[b"real".as_slice()], Node::Link { .. }), "{nodes:?}");
    assert_eq!(text(&system.a, "out/inner").as_deref(), Some("a directory now"));
    put(&outside, "new", "decoy");
    put(&system.a, "last", "x");
    until("the last one", || system.b.join("last").exists());
    let decoys = trees::read(&outside);
    assert_eq!(decoys.len(), 101);
    let whole = |node: &Node| matches!(node, Node::File { content, .. } if content == b"decoy");
    assert!(decoys.values().all(whole));
}
