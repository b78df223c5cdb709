//! Our own directory, renamed away and replaced under a running server by somebody who may write in
//! the root. Nothing of ours goes into the new one, nothing that is in the old one is told as if it
//! were a user's, the side halts and says why, and goes on when the old one is back.

use std::fs;
use std::path::{Path, PathBuf};

use common::side::Side;

use crate::server::until;
use crate::system::System;
use crate::trees::{put, text};

/// Puts another `.lab3` in the place of that of a root, with the same id; answers where ours is.
fn exchange(root: &Path, to: &Path) {
    let ours = root.join(".lab3");
    fs::rename(&ours, to).expect("renamed");
    for name in ["pending", "journal", "stage", "trash", "cookies"] {
        fs::create_dir_all(ours.join(name)).expect("made");
    }
    fs::copy(to.join("id"), ours.join("id")).expect("copied");
}

/// All files below a directory.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(below).expect("a directory") {
        let path = item.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// What a user of either side does meanwhile.
fn edit(system: &System, round: &str) {
    put(&system.b, "locked", format!("by b {round}"));
    put(&system.b, "b", format!("by b {round}"));
    put(&system.a, "a", format!("by a {round}"));
    put(&system.a, format!("new {round}"), "by a");
}

#[test]
fn another_directory_in_the_place_of_ours_gets_nothing_and_halts() {
    for side in Side::BOTH {
        for inside in [false, true] {
            let mut system =
                System::holding(&[("locked", "old"), ("a", "old"), ("b", "old"), ("d/e", "old")]);
            system.ok(&["-lock", "locked"]);
            put(&system.b, "locked", "by b 0");
            until("it is held", || system.held(&["locked"]).len() == 1);
            let root = system.root(side).to_owned();
            let place = if inside { root.join("d/moved") } else { system.dir.path().join("moved") };
            exchange(&root, &place);
            edit(&system, "1");
            until("it halts", || {
                let status = system.json(&["status"]);
                status["halted"]
                    .as_str()
                    .is_some_and(|why| why.contains("`.lab3` in") || why.contains("/.lab3`"))
            });
            edit(&system, "2");
            let why = system.halted();
            assert!(why.contains(&format!("side {side}")), "{why}");
            assert!(system.lab3(&["wait", "--timeout", "2s"]).code == 5);
            assert_eq!(
                files(&root.join(".lab3")),
                [root.join(".lab3/id")],
                "only what we put there"
            );
            let other = system.root(side.other());
            assert!(!other.join("d/moved").exists(), "ours is told as if it were a user's");
            assert_eq!(text(&system.a, "locked").as_deref(), Some("old"));
            // When the right one is back, all goes on, with every edit that was held.
            fs::rename(root.join(".lab3"), system.dir.path().join("theirs")).expect("renamed");
            fs::rename(&place, root.join(".lab3")).expect("renamed back");
            until("it goes on", || system.json(&["status"])["halted"].is_null());
            edit(&system, "3");
            until("the last one is held", || {
                let held = system.held(&["locked"]);
                (2..=4).contains(&held.len()) && held.iter().all(|edit| edit["op"] == "write")
            });
            until("nothing else waits", || text(&system.a, "b").as_deref() == Some("by b 3"));
            system.ok(&["-unlock", "locked"]);
            system.agree_on(&[
                ("a", "by a 3"),
                ("b", "by b 3"),
                ("d/e", "old"),
                ("locked", "by b 3"),
                ("new 1", "by a"),
                ("new 2", "by a"),
                ("new 3", "by a"),
            ]);
            // Nor was anything lost of what the servers remember.
            system.stop(&Side::BOTH);
            system.start();
            system.agree();
            assert_eq!(system.json(&["locks"])["locks"].as_array().map(Vec::len), Some(0));
        }
    }
}
