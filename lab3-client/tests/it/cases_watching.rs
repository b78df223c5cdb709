//! Changes that the watcher is told of late, under another name, or not at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use common::side::Side;
use rustix::process::Signal;

use crate::cases_moves::exchange;
use crate::cases_special::Mounted;
use crate::real::{settle, size};
use crate::server::{Server, until};
use crate::system::{System, is_root, skip};
use crate::trees::{self, Node, put, remove, rename, text};

/// How many events the kernel keeps for a program that does not read them.
fn queue() -> usize {
    let text = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a number");
    text.trim().parse().expect("a number")
}

/// Does more than the kernel keeps events of, some of it deletions; answers how many files it made
/// and left.
fn flood(root: &Path, top: &str) -> usize {
    let files = size(1000, 50_000);
    fs::create_dir(root.join(top)).expect("made");
    let path = |n: usize| root.join(top).join(n.to_string());
    // Two files by turns: one after the other is told anew each time.
    for n in 0..queue() + 1000 {
        if n < files {
            fs::write(path(n), n.to_string()).expect("written");
        }
        trees::chmod(root, "known", if n % 2 == 0 { 0o600 } else { 0o644 });
        trees::chmod(root, "other", if n % 2 == 0 { 0o600 } else { 0o644 });
    }
    for n in queue() + 1000..files {
        fs::write(path(n), n.to_string()).expect("written");
    }
    // Beyond the end of the queue: of new directories and what is in them, all events are lost.
    for n in 0..files / 5 {
        fs::remove_file(path(n * 5)).expect("removed");
    }
    for n in 0..50 {
        put(root, format!("{top}/late/{n}/deeper/f"), n.to_string());
    }
    put(root, "known", format!("edited after {top}"));
    files - files / 5 + 50
}

fn files(nodes: &trees::Nodes) -> usize {
    nodes.values().filter(|node| matches!(node, Node::File { .. })).count()
}

/// A server stands still while more is done than the kernel keeps events of: all of it is found,
/// also what was done in directories that are not watched yet, and nothing is taken for deleted
/// that was there all the time (W06).
#[test]
fn more_events_than_the_kernel_keeps_are_made_up_for() {
    for side in size(&[Side::A][..], &Side::BOTH) {
        let side = *side;
        let mut system = System::new().relaxed().losing_up_to(200_000);
        system.start();
        put(&system.a, "known", "old");
        put(&system.a, "other", "old");
        put(&system.a, "kept/all/the/time", "x");
        system.agree();
        system.server(side).signal(Signal::STOP);
        let made = flood(system.root(side), "flood");
        system.server(side).signal(Signal::CONT);
        settle(&system);
        assert_eq!(files(&system.agree()), made + 3);
        for side in Side::BOTH {
            let said = system.server(side).said();
            assert!(!said.contains("deleted `kept"), "it was there all the time");
            assert!(!said.contains("conflict"), "only one side worked");
        }
        assert_eq!(text(&system.b, "known").as_deref(), Some("edited after flood"));
        // The watches are all in place again.
        for n in 0..10 {
            put(system.root(side), format!("flood/late/{n}/deeper/f"), "watched");
            let there = system.root(side.other()).join(format!("flood/late/{n}/deeper/f"));
            until("it is seen", || fs::read(&there).is_ok_and(|text| text == b"watched"));
        }
    }
}

/// How many directories a process watches.
fn watches(pid: u32) -> usize {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return 0 };
    let infos = descriptors.flatten().filter_map(|item| fs::read_to_string(item.path()).ok());
    infos.map(|info| info.matches("inotify wd:").count()).sum()
}

/// The same while a server looks at everything for the first time: it is stopped in the middle of
/// its first scan (W07, W04).
#[test]
fn more_events_than_the_kernel_keeps_during_the_first_scan_are_made_up_for() {
    for side in size(&[Side::B][..], &Side::BOTH) {
        let side = *side;
        let mut system = System::new().relaxed().losing_up_to(200_000);
        put(system.root(side), "known", "old");
        put(system.root(side), "other", "old");
        let directories = 300;
        for n in 0..directories {
            put(system.root(side), format!("tree/{n}/f"), n.to_string());
        }
        let logs = system.dir.path().join("logs");
        let (command, name) = match side {
            Side::A => (system.command_a(), "server-a"),
            Side::B => (system.command_b(), "server-b"),
        };
        let mut server = Server::spawn(command, &logs, name);
        let pid = server.pid().as_raw_nonzero().get().unsigned_abs();
        until("it has begun", || watches(pid) > 3);
        server.signal(Signal::STOP);
        let made = flood(system.root(side), "flood");
        server.signal(Signal::CONT);
        server.ready(name);
        match side {
            Side::A => (system.server_a, _) = (Some(server), system.start_b()),
            Side::B => (system.server_b, _) = (Some(server), system.start_a()),
        }
        settle(&system);
        assert_eq!(files(&system.agree()), made + directories + 2);
        put(system.root(side), "flood/late/7/deeper/f", "watched");
        system.agree();
    }
}

/// A directory leaves the tree, is worked on outside, comes back; is renamed and worked on at once;
/// trades places with one outside, as does a file: what is there is what arrives, and later edits
/// are seen (W10, W11, W22, W03).
#[test]
fn directories_that_leave_return_and_change_their_names_stay_watched() {
    for side in Side::BOTH {
        let system = System::holding(&[("d/f", "old"), ("d/sub/g", "old"), ("f", "old")]);
        let (root, other) = (system.root(side), system.root(side.other()));
        let outside = system.dir.path().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::rename(root.join("d"), outside.join("d")).expect("moved out");
        until("it is gone", || !other.join("d").exists());
        put(&outside, "d/f", "edited outside");
        put(&outside, "d/sub/new", "made outside");
        fs::rename(outside.join("d"), root.join("d")).expect("moved back");
        let check = |wanted: &[(&str, &str)]| {
            system.agree();
            for (name, content) in wanted {
                assert_eq!(text(other, name).as_deref(), Some(*content), "{name}");
            }
        };
        check(&[("d/f", "edited outside"), ("d/sub/g", "old"), ("d/sub/new", "made outside")]);
        for n in 0..10 {
            rename(root, "d", "e");
            put(root, "e/sub/g", format!("{n} e"));
            rename(root, "e", "d");
            put(root, "d/sub/g", format!("{n} d"));
        }
        check(&[("d/sub/g", "9 d"), ("d/f", "edited outside")]);
        assert!(!other.join("e").exists());
        put(&outside, "x/sub/g", "from outside");
        put(&outside, "file", "from outside");
        let relative = "../outside";
        for n in 0..4 {
            exchange(root, "d", &format!("{relative}/x"));
            exchange(root, "f", &format!("{relative}/file"));
            put(root, "d/sub/g", format!("after {n}"));
            put(root, "f", format!("file after {n}"));
            let (g, f) = (format!("after {n}"), format!("file after {n}"));
            check(&[("d/sub/g", &g), ("f", &f)]);
        }
    }
}

/// What is above a root is renamed: the side halts, nothing is deleted, and it goes on when the
/// root is back (W16).
#[test]
fn a_root_whose_parent_is_renamed_halts_and_goes_on() {
    for side in Side::BOTH {
        let mut system = System::new();
        let above = system.dir.path().join("above");
        let root = above.join("tree");
        fs::create_dir_all(&root).expect("made");
        match side {
            Side::A => system.a = root.clone(),
            Side::B => system.b = root.clone(),
        }
        system.start();
        put(&root, "d/f", "x");
        system.agree();
        let aside = system.dir.path().join("aside");
        fs::rename(&above, &aside).expect("renamed");
        system.halted();
        assert_eq!(text(system.root(side.other()), "d/f").as_deref(), Some("x"));
        put(&aside, "tree/d/g", "meanwhile");
        fs::rename(&aside, &above).expect("renamed back");
        until("it goes on", || system.json(&["status"])["halted"].is_null());
        system.agree_on(&[("d/f", "x"), ("d/g", "meanwhile")]);
    }
}

/// Edits by way of a bind mount of the tree elsewhere are seen as they happen (W18).
#[test]
fn edits_through_a_bind_mount_are_seen() {
    if !is_root() {
        return skip("edits_through_a_bind_mount_are_seen", "needs root");
    }
    let system = System::holding(&[("d/f", "old")]);
    for side in Side::BOTH {
        let there = system.dir.path().join(format!("bound-{side}"));
        fs::create_dir(&there).expect("made");
        let tree = system.root(side).to_str().expect("UTF-8");
        let Some(_mounted) = Mounted::new(&["--bind", tree], &there) else {
            return skip("edits_through_a_bind_mount_are_seen", "nothing can be mounted here");
        };
        put(&there, "d/f", format!("through {side}"));
        put(&there, format!("new/{side}/g"), "x");
        let other = system.root(side.other());
        until("it arrives", || text(other, "d/f") == Some(format!("through {side}")));
        rename(&there, "d", "e");
        system.agree();
        assert!(other.join("e/f").exists() && other.join(format!("new/{side}/g")).exists());
        rename(&there, "e", "d");
        system.agree();
    }
}

/// Edits through a hard link outside of the tree make no event: the file is named, and the scrub
/// finds them in its time; both names inside the tree are right (W19).
#[test]
fn edits_through_a_hard_link_outside_are_found_by_the_scrub() {
    for side in Side::BOTH {
        let mut system = System::new();
        for options in [&mut system.options_a, &mut system.options_b] {
            options.extend(["--scrub".into(), "1".into()]);
        }
        system.start();
        let (root, other) = (system.root(side), system.root(side.other()));
        put(root, "one", "old");
        fs::hard_link(root.join("one"), root.join("two")).expect("linked");
        let outside = system.dir.path().join("outside");
        fs::hard_link(root.join("one"), &outside).expect("linked");
        system.agree_on(&[("one", "old"), ("two", "old")]);
        until("it is named", || {
            let status = system.json(&["status"]);
            let named = &status[format!("side_{side}").to_lowercase()]["linked_outside"];
            named.as_array().is_some_and(|list| !list.is_empty())
        });
        fs::write(&outside, "through the link").expect("written");
        until("it is found", || {
            ["one", "two"]
                .iter()
                .all(|name| text(other, name).as_deref() == Some("through the link"))
        });
        // Inside the tree the event tells one name; both are looked at.
        fs::write(root.join("two"), "inside").expect("written");
        system.agree_on(&[("one", "inside"), ("two", "inside")]);
    }
}

/// Where no watcher can be had at all, the server says so and does not start, or polls and says
/// that; it never looks as if it watched (W21).
#[test]
fn without_a_watcher_a_server_does_not_pretend_to_watch() {
    let name = "without_a_watcher_a_server_does_not_pretend_to_watch";
    let limit = "echo 0 >/proc/sys/user/max_inotify_instances";
    let words = ["--user", "--map-root-user", "sh", "-c", limit];
    let can = Command::new("unshare").args(words).output();
    if !can.is_ok_and(|done| done.status.success()) {
        return skip(name, "needs a user namespace with limits of its own");
    }
    for side in Side::BOTH {
        let mut system = System::new();
        put(system.root(side), "f", "x");
        let shell = format!("{limit}; exec \"$0\" \"$@\"");
        let words = ["unshare", "--user", "--map-root-user", "sh", "-c", &shell];
        system.through[side] = words.map(String::from).to_vec();
        let command = match side {
            Side::A => system.command_a(),
            Side::B => system.command_b(),
        };
        let ran = system.fails(command);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(!ran.out.contains("ready"), "{ran:?}");
        assert!(ran.err.contains("watch") || ran.err.contains("inotify"), "{ran:?}");
        assert_eq!(text(system.root(side), "f").as_deref(), Some("x"));
        // And with a watcher it starts.
        system.through[side].clear();
        system.start();
        remove(system.root(side), "f");
        system.agree_on(&[]);
    }
}
