//! File systems that are really full, at either side, in bytes or in names: what waits says why,
//! nothing partial is to be seen, and when there is room again all goes on by itself.

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
    /// `None` when that cannot be had; then somebody is told.
    fn mounted(test: &str, side: Side, options: &str) -> Option<Small> {
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
        small.system.start();
        Some(small)
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
        let Some(small) = Small::mounted(test, side, "size=16m") else { return };
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
        let Some(small) = Small::mounted(test, side, "size=16m") else { return };
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
        let Some(small) = Small::mounted(test, side, "size=16m,nr_inodes=400") else { return };
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
