//! Renames that cross something: each other, edits, transfers, locks, what is ignored.

use std::fs;
use std::path::Path;

use common::side::Side;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::server::until;
use crate::system::System;
use crate::trees::{self, Node, put, rename, text};

/// Two names trade places in one step.
pub(crate) fn exchange(root: &Path, one: &str, two: &str) {
    let (one, two) = (root.join(one), root.join(two));
    renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).expect("exchanged");
}

/// How many files have this content.
fn count(nodes: &trees::Nodes, wanted: &str) -> usize {
    let is =
        |node: &&Node| matches!(node, Node::File { content, .. } if content == wanted.as_bytes());
    nodes.values().filter(is).count()
}

/// Two files exchanged in one step, two directories swapped by way of a third name, and exchanged:
/// the other side has them exchanged, and nobody calls it a conflict (R06, R07).
#[test]
fn what_trades_places_trades_places_on_the_other_side() {
    let system = System::holding(&[
        ("d/both", "1"),
        ("d/only/one", "2"),
        ("e/both", "3"),
        ("e/two", "4"),
        ("f", "5"),
        ("g", "6"),
    ]);
    for side in Side::BOTH {
        let root = system.root(side);
        exchange(root, "f", "g");
        rename(root, "d", "aside");
        rename(root, "e", "d");
        rename(root, "aside", "e");
        system.agree_on(&[
            ("d/both", "3"),
            ("d/two", "4"),
            ("e/both", "1"),
            ("e/only/one", "2"),
            ("f", "6"),
            ("g", "5"),
        ]);
        exchange(root, "g", "f");
        exchange(root, "d", "e");
        system.agree_on(&[
            ("d/both", "1"),
            ("d/only/one", "2"),
            ("e/both", "3"),
            ("e/two", "4"),
            ("f", "5"),
            ("g", "6"),
        ]);
        exchange(root, "f", "d");
        system.agree_on(&[
            ("d", "5"),
            ("e/both", "3"),
            ("e/two", "4"),
            ("f/both", "1"),
            ("f/only/one", "2"),
            ("g", "6"),
        ]);
        exchange(root, "f", "d");
        system.agree();
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// A file that is renamed and edited, or edited and renamed, within one look has the new name and
/// the new content (R09).
#[test]
fn a_file_renamed_and_edited_at_once_has_the_new_name_and_content() {
    let system = System::holding(&[("f0", "start")]);
    for (n, side) in Side::BOTH.into_iter().cycle().take(20).enumerate() {
        let root = system.root(side);
        let (from, to) = (format!("f{n}"), format!("f{}", n + 1));
        let content = format!("edit {n}");
        if n % 4 < 2 {
            rename(root, &from, &to);
            put(root, &to, &content);
        } else {
            put(root, &from, &content);
            rename(root, &from, &to);
        }
        system.agree_on(&[(&to, &content)]);
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// A directory is renamed twice at once while a file in it is edited on the other side: the edit
/// survives, what was not edited is there once, and no empty shell is left (R13).
#[test]
fn an_edit_in_a_directory_that_is_renamed_twice_survives_and_no_shell_is_left() {
    let system = System::started();
    for round in 0..6 {
        let (here, there) = if round % 2 == 0 { (Side::A, Side::B) } else { (Side::B, Side::A) };
        let top = format!("{round}");
        put(&system.a, format!("{top}/d/f"), "old");
        put(&system.a, format!("{top}/d/g"), format!("beside {round}"));
        system.agree();
        let edited = format!("edited {round}");
        let editor = {
            let (root, edited) = (system.root(there).to_owned(), edited.clone());
            let name = format!("{top}/d/f");
            std::thread::spawn(move || put(&root, name, edited))
        };
        rename(system.root(here), &format!("{top}/d"), &format!("{top}/e"));
        rename(system.root(here), &format!("{top}/e"), &format!("{top}/k"));
        editor.join().expect("it was saved");
        let nodes = system.agree();
        assert_eq!(count(&nodes, &edited), 1, "{nodes:?}");
        assert_eq!(count(&nodes, &format!("beside {round}")), 1, "{nodes:?}");
        for name in nodes.iter().filter(|(_, node)| matches!(node, Node::Dir { .. })) {
            let below = [name.0, b"/".as_slice()].concat();
            assert!(nodes.keys().any(|other| other.starts_with(&below)), "a shell: {name:?}");
        }
    }
}

/// A directory is renamed while its files are still on their way: each is there once (R14).
#[test]
fn a_directory_renamed_while_it_is_sent_arrives_once() {
    const FILES: usize = 500;
    let mut system = System::new().relaxed();
    system.start();
    for (n, side) in [Side::A, Side::B, Side::A].into_iter().enumerate() {
        let (root, other) = (system.root(side), system.root(side.other()));
        let (first, last) = (format!("d{n}"), format!("e{n}"));
        for file in 0..FILES {
            put(root, format!("{first}/{}/{file}", file % 5), format!("{n} {file}"));
        }
        until("some have arrived", || other.join(&first).exists());
        rename(root, &first, &last);
        let nodes = system.agree();
        for file in 0..FILES {
            assert_eq!(count(&nodes, &format!("{n} {file}")), 1, "file {file}");
        }
        assert!(!root.join(&first).exists() && !other.join(&first).exists());
        assert_eq!(nodes.keys().filter(|key| key.starts_with(last.as_bytes())).count(), FILES + 6);
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// What is ignored moves along when its directory is renamed on the other side, and stays where
/// the directory is deleted there (R18, D08).
#[test]
fn what_is_ignored_moves_along_with_its_directory_and_is_never_deleted() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = System::holding(&[(".lab3ignore", "*.o\n"), ("d/f", "x"), ("g/f", "y")]);
        let other = system.root(there);
        put(other, "d/ignored.o", "object");
        put(other, "g/sub/ignored.o", "object");
        system.wait();
        rename(system.root(here), "d", "e");
        trees::remove(system.root(here), "g");
        until("it is renamed", || text(other, "e/f").is_some());
        until("the file is deleted", || !other.join("g/f").exists());
        assert_eq!(text(other, "e/ignored.o").as_deref(), Some("object"));
        assert!(!other.join("d").exists(), "the old name is gone");
        assert_eq!(text(other, "g/sub/ignored.o").as_deref(), Some("object"));
        until("what keeps the directory is named", || {
            system.named().keys().any(|path| path.starts_with('g'))
        });
        fs::remove_file(other.join("g/sub/ignored.o")).expect("removed");
        until("it goes on", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
        assert!(!other.join("g").exists());
    }
}

/// A directory is renamed at A while a file in it is locked and an edit of B is held: the edit is
/// never deleted, and the unlock brings it to both sides (R18).
#[test]
fn a_held_edit_outlives_the_renaming_of_its_directory() {
    for side in Side::BOTH {
        let system = System::holding(&[("d/f", "old"), ("d/g", "beside")]);
        system.ok(&["-lock", "d/f"]);
        put(&system.b, "d/f", "held");
        until("it is held", || system.held(&[]).len() == 1);
        rename(system.root(side), "d", "e");
        let _ = system.lab3(&["wait", "--timeout", "2s"]);
        let there = count(&trees::read(&system.b), "held");
        assert!(there == 1, "B's own file: {:?}", trees::read(&system.b));
        if side == Side::B {
            assert_eq!(text(&system.a, "d/f").as_deref(), Some("old"), "locked");
        }
        system.ok(&["-unlock", "d/f"]);
        let nodes = system.agree();
        assert!(count(&nodes, "held") >= 1, "{side}: {nodes:?}");
        assert_eq!(count(&nodes, "beside"), 1, "{side}: {nodes:?}");
    }
}
