//! File systems that are really full, at either side, in bytes or in names: what waits says why,
//! nothing partial is to be seen, and when there is room again all goes on by itself. And what is
//! to stay free of them stays free, whatever the other side sends.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::side::Side;

use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{Node, put, read, text};

/// A system in which the root of one side is a small file system of its own.
struct Small {
    system: System,
    root: PathBuf,
}

impl Small {
    /// `None` when that cannot be had; then somebody is told. So many MiB are to stay free.
    fn mounted(test: &str, side: Side, options: &str, min_free: u32) -> Option<Small> {
        if !is_root() {
            skip(test, "needs root");
            return None;
        }
        let system = System::new();
        let root = system.root(side).to_owned();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(&root);
        if !mount.output().is_ok_and(|done| done.status.success()) {
            skip(test, "cannot mount here");
            return None;
        }
        let mut small = Small { system, root };
        for options in [&mut small.system.options_a, &mut small.system.options_b] {
            options.extend(["--min-free".into(), min_free.to_string()]);
        }
        small.system.start();
        Some(small)
    }

    /// What is free, in KiB.
    fn free(&self) -> u64 {
        let mut df = Command::new("df");
        let shown = df.args(["--output=avail"]).arg(&self.root).output().expect("df runs");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        shown.lines().last().and_then(|free| free.trim().parse().ok()).expect("a number")
    }

    /// Nothing fits any more, but for so many bytes.
    fn fill(&self, but_for: usize) {
        let path = self.root.join(".lab3/ballast");
        let mut ballast = File::create(&path).expect("made");
        let piece = vec![1; 64 * 1024];
        while ballast.write_all(&piece).is_ok() {}
        // What was written of the last piece counts, too.
        let size = ballast.metadata().expect("metadata").len();
        ballast.set_len(size.saturating_sub(but_for as u64)).expect("cut");
    }

    /// There is room again.
    fn empty(&self) {
        let path = self.root.join(".lab3/ballast");
        let is_dir = path.is_dir();
        if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
    }

    /// Somebody is told why nothing goes on.
    fn says(&self, words: &str) {
        until(&format!("the status says {words:?}"), || {
            self.system.lab3(&["status"]).out.contains(words)
        });
    }

    /// It goes on by itself.
    fn goes_on(&self) {
        until("it goes on", || self.system.lab3(&["wait", "--timeout", "5s"]).code == 0);
        self.system.agree();
        for side in Side::BOTH {
            let staged = self.system.root(side).join(".lab3/stage");
            until("nothing is left in stage", || {
                fs::read_dir(&staged).expect("a directory").count() == 0
            });
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.system.server_a.take();
        self.system.server_b.take();
        let _ = Command::new("umount").arg("-l").arg(&self.root).status();
    }
}

/// Every file is one that somebody wrote.
#[track_caller]
fn nothing_is_partial(root: &Path, written: &[&[u8]]) {
    for (name, node) in read(root) {
        if let Node::File { content, .. } = node {
            let name = String::from_utf8_lossy(&name).into_owned();
            assert!(written.contains(&&*content), "{name}: {} bytes by nobody", content.len());
        }
    }
}

/// Without room for a file it waits, with its reason, and nothing of it is to be seen; the other
/// direction goes on. With room again it arrives (G01).
#[test]
fn without_room_a_file_waits_and_with_room_again_it_arrives() {
    let test = "without_room_a_file_waits_and_with_room_again_it_arrives";
    for side in Side::BOTH {
        let Some(small) = Small::mounted(test, side, "size=16m", 0) else { return };
        let (here, there) = (small.system.root(side), small.system.root(side.other()));
        put(there, "f", "old");
        small.system.agree();
        small.fill(1 << 20);
        let big = vec![7; 2 << 20];
        put(there, "big", &big);
        small.says("No space left on device");
        put(there, "f", "new");
        put(here, "mine", "small");
        until("the other direction goes on", || text(there, "mine").is_some());
        until("what fits goes on", || text(here, "f").as_deref() == Some("new"));
        nothing_is_partial(here, &[b"new", b"small"]);
        assert!(!here.join("big").exists());
        small.empty();
        small.goes_on();
        assert!(fs::read(here.join("big")).expect("it is there") == big);
    }
}

/// A disk without any room, also not for what has to be remembered: nothing is lost or half
/// visible, and with room again all goes on by itself (A08, G01).
#[test]
fn without_any_room_nothing_is_lost_and_with_room_again_all_goes_on() {
    let test = "without_any_room_nothing_is_lost_and_with_room_again_all_goes_on";
    for side in Side::BOTH {
        let Some(small) = Small::mounted(test, side, "size=16m", 0) else { return };
        let (here, there) = (small.system.root(side), small.system.root(side.other()));
        for name in ["edited", "removed", "renamed"] {
            put(there, name, "old");
        }
        small.system.agree();
        small.fill(0);
        put(there, "edited", "new");
        put(there, "new", "made without room");
        fs::remove_file(there.join("removed")).expect("removed");
        fs::rename(there.join("renamed"), there.join("other_name")).expect("renamed");
        small.says("No space left on device");
        nothing_is_partial(here, &[b"old", b"new", b"made without room"]);
        small.empty();
        small.goes_on();
        let nodes = read(here);
        assert_eq!(nodes.len(), 3, "{nodes:?}");
        assert_eq!(text(here, "edited").as_deref(), Some("new"));
        assert_eq!(text(here, "other_name").as_deref(), Some("old"));
    }
}

/// Without names to give a file waits, with its reason; with names again it arrives (G15).
#[test]
fn without_a_free_inode_a_file_waits_until_there_is_one() {
    let test = "without_a_free_inode_a_file_waits_until_there_is_one";
    for side in Side::BOTH {
        let Some(small) = Small::mounted(test, side, "size=16m,nr_inodes=400", 0) else { return };
        let (here, there) = (small.system.root(side), small.system.root(side.other()));
        put(there, "f", "old");
        small.system.agree();
        let ballast = small.root.join(".lab3/ballast");
        fs::create_dir(&ballast).expect("made");
        for number in 0.. {
            if File::create(ballast.join(number.to_string())).is_err() {
                break;
            }
        }
        put(there, "f", "new");
        put(there, "g", "new, too");
        small.says("No space left on device");
        nothing_is_partial(here, &[b"old", b"new", b"new, too"]);
        small.empty();
        small.goes_on();
        assert_eq!(text(here, "f").as_deref(), Some("new"));
        assert_eq!(text(here, "g").as_deref(), Some("new, too"));
    }
}

/// What the other side sends does not take what is to stay free: it waits, and says what to do;
/// deletions, holes and what fits go on, and with room again all does, by itself.
#[test]
fn what_is_to_stay_free_stays_free_whatever_the_other_side_sends() {
    const SPARED: u64 = 16;
    let test = "what_is_to_stay_free_stays_free_whatever_the_other_side_sends";
    for side in Side::BOTH {
        let Some(small) = Small::mounted(test, side, "size=48m", SPARED as u32) else { return };
        let (here, there) = (small.system.root(side), small.system.root(side.other()));
        put(there, "removed", "old");
        put(there, "locked", "old");
        small.system.agree();
        small.system.ok(&["-lock", "locked"]);
        small.fill((SPARED as usize + 6) << 20);
        // Of a file that is nothing but a hole no size counts.
        File::create(there.join("hole")).and_then(|hole| hole.set_len(200 << 20)).expect("made");
        let is_there = || fs::metadata(here.join("hole")).is_ok_and(|m| m.len() == 200 << 20);
        until("holes take no room", is_there);
        // Of all else there is more than there is room for, in small files and in a large one.
        for n in 0..200 {
            put(there, format!("many/{n}"), vec![7; 40_000]);
        }
        let big = vec![7; 30 << 20];
        put(there, "big", &big);
        small.says("are to stay free");
        small.says("make room there, or see `--min-free`");
        until("the path itself says why", || {
            let why = small.system.ok(&["status", "big"]);
            why.contains(&format!("failed at {side}")) && why.contains(" MiB left, and ")
        });
        if side == Side::A {
            put(there, "locked", vec![8; 4 << 20]);
            small.says("cannot be held at A");
        }
        // The store and the journal grow, too, but not by much.
        let least = SPARED * 1024 - 2048;
        assert!(small.free() > least, "{} KiB are free", small.free());
        fs::remove_file(there.join("removed")).expect("removed");
        until("a deletion goes on", || !here.join("removed").exists());
        put(here, "mine", "small");
        until("the other direction goes on", || text(there, "mine").is_some());
        assert!(small.free() > least, "{} KiB are free", small.free());
        assert!(!here.join("big").exists() && small.system.held(&["locked"]).is_empty());
        small.empty();
        fs::remove_file(there.join("big")).expect("removed");
        put(there, "big", &big[..8 << 20]);
        if side == Side::A {
            until("it is held", || small.system.held(&["locked"]).len() == 1);
        }
        small.system.ok(&["-unlock", "locked"]);
        small.goes_on();
        assert!(fs::read(here.join("big")).expect("it is there") == big[..8 << 20]);
        assert_eq!(fs::read_dir(here.join("many")).expect("a directory").count(), 200);
    }
}
