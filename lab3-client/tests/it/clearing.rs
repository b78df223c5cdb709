//! A whole tree is removed at one side: what is at the other goes, and nothing is lost by that.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::side::Side;

use crate::server::until;
use crate::system::System;
use crate::trees::{Node, text, trash};

/// So many files in so many directories.
const FILES: usize = 400;
const DIRECTORIES: usize = 8;

/// A system in which both sides have a tree, and something beside it.
fn system() -> System {
    let name = |i: usize| format!("top/d{}/f{i}", i % DIRECTORIES);
    let names: Vec<String> = (0..FILES).map(name).chain(["beside".to_owned()]).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &**name)).collect();
    System::holding(&files)
}

#[test]
fn each_file_of_a_removed_tree_is_named_and_can_be_brought_back() {
    let system = system();
    fs::remove_dir_all(system.a.join("top")).expect("removed");
    system.agree();
    system.agree_on(&[("beside", "beside")]);
    let rows = system.json(&["trash", "top"]);
    assert_eq!(rows["trash"].as_array().map(Vec::len), Some(FILES), "every version is listed");
    for side in Side::BOTH {
        let server = system.server(side);
        let says = || (0..FILES).all(|i| server.said().contains(&format!("/f{i}`")));
        until("each name is said", || says() && server.said().contains("deleted `top`"));
    }
    let row = rows["trash"].as_array().and_then(|rows| rows.first()).expect("a version").clone();
    let (id, path) = (row["id"].as_str().expect("an id"), row["path"].as_str().expect("a path"));
    system.ok(&["trash", "restore", id]);
    system.agree();
    assert_eq!(text(&system.a, path).as_deref(), Some(path));
}

#[test]
fn what_an_editor_writes_while_the_tree_around_it_is_removed_is_not_lost() {
    for around in 0..3 {
        let system = system();
        let name = "top/d3/f11";
        let over = AtomicBool::new(false);
        let last = thread::scope(|scope| {
            let editor = scope.spawn(|| {
                let mut written = 0;
                while !over.load(Ordering::SeqCst) {
                    let opened = OpenOptions::new().append(true).open(system.b.join(name));
                    let Ok(mut file) = opened else { break };
                    file.write_all(b"+").expect("written");
                    written += 1;
                }
                written
            });
            for directory in 0..DIRECTORIES {
                // Where an edit of B comes back meanwhile, it is not empty.
                let _ = fs::remove_dir_all(system.a.join(format!("top/d{directory}")));
            }
            let gone = || !system.b.join("top/d4").exists();
            until("what nobody writes to is gone at B", gone);
            over.store(true, Ordering::SeqCst);
            editor.join().expect("no panic")
        });
        let whole = format!("{name}{}", "+".repeat(last));
        let nodes = system.agree();
        let is_it = |node: &Node| match node {
            Node::File { content, .. } => *content == whole.as_bytes(),
            _ => false,
        };
        let kept = nodes.values().any(is_it)
            || trash(&system.b).iter().any(|(_, _, content)| *content == whole);
        assert!(kept, "round {around}: of {last} writes some are lost");
    }
}
