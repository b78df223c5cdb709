//! What is no file, no directory and no link: in the tree, in our own directory, and mounted.

use std::fs;
use std::path::Path;
use std::process::Command;

use common::side::Side;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::cases_directories::fifo;
use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{put, text};

/// What is mounted there until this is dropped.
pub(crate) struct Mounted(pub(crate) std::path::PathBuf);

impl Mounted {
    /// Runs `mount` with these words; `None` when nothing can be mounted here.
    pub(crate) fn new(words: &[&str], at: &Path) -> Option<Mounted> {
        let done = Command::new("mount").args(words).arg(at).output();
        done.is_ok_and(|done| done.status.success()).then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A device is listed and left where it is (X03).
#[test]
fn a_device_is_listed_and_left_alone() {
    if !is_root() {
        return skip("a_device_is_listed_and_left_alone", "needs root");
    }
    for side in Side::BOTH {
        let system = System::holding(&[("f", "x")]);
        let (root, other) = (system.root(side), system.root(side.other()));
        let null = mknodat(
            CWD,
            root.join("null"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(1, 3),
        );
        if null.is_err() {
            return skip("a_device_is_listed_and_left_alone", "no device can be made here");
        }
        until("it is named", || system.named().contains_key("null"));
        put(root, "f", "goes on");
        until("the rest goes on", || text(other, "f").as_deref() == Some("goes on"));
        assert!(!other.join("null").exists());
        fs::remove_file(root.join("null")).expect("removed");
        system.agree_on(&[("f", "goes on")]);
    }
}

/// A file that becomes a fifo before it was read, or while it is read or sent, hangs nothing; what
/// had arrived before stays, and when it is a file again it arrives (X04, X05).
#[test]
fn a_file_that_becomes_a_fifo_before_it_was_read_hangs_nothing() {
    let system = System::holding(&[("beside", "x")]);
    let large = "x".repeat(8_000_000);
    for (n, side) in Side::BOTH.into_iter().cycle().take(8).enumerate() {
        let (root, other) = (system.root(side), system.root(side.other()));
        for file in 0..10 {
            put(root, format!("f{file}"), &large[..large.len() / (file + 1)]);
        }
        for file in 0..10 {
            fifo(root, "aside");
            fs::rename(root.join("aside"), root.join(format!("f{file}"))).expect("renamed");
        }
        put(root, "beside", n.to_string());
        until("the rest goes on", || text(other, "beside") == Some(n.to_string()));
        until("all are named", || system.named().len() >= 10);
        for file in 0..10 {
            fs::remove_file(root.join(format!("f{file}"))).expect("removed");
            put(root, format!("f{file}"), format!("{n} {file}"));
        }
        let nodes = system.agree();
        assert_eq!(nodes.len(), 11, "{nodes:?}");
    }
}

/// Fifos and files of others in our own staging directory are no way to stop us, and are not ours
/// to remove (X08).
#[test]
fn a_fifo_in_the_staging_directory_stops_nothing() {
    let mut system = System::holding(&[("f", "old")]);
    let names = ["n-1", "n-0000000000000000-1", "q-1", "q-1.intent", "anything"];
    for side in Side::BOTH {
        for name in names {
            fifo(&system.root(side).join(".lab3/stage"), name);
        }
    }
    put(&system.a, "f", "new");
    put(&system.b, "g", "x");
    system.agree_on(&[("f", "new"), ("g", "x")]);
    for order in [[Side::A, Side::B], [Side::B, Side::A]] {
        system.stop(&order);
        system.restart(&order);
        put(&system.b, "f", format!("after {}", order[0]));
        system.agree_on(&[("f", &format!("after {}", order[0])), ("g", "x")]);
    }
}

/// Pseudo files that have a content and no size are on another file system: it is listed and not
/// crossed, and what it hides is not deleted; the same with any other that is mounted inside (X07,
/// W17).
#[test]
fn what_is_mounted_inside_is_listed_and_what_it_hides_is_not_deleted() {
    let name = "what_is_mounted_inside_is_listed_and_what_it_hides_is_not_deleted";
    let mut system = System::holding(&[("m/f", "x"), ("m/sub/g", "y"), ("other", "z")]);
    for (side, kind) in [(Side::A, "tmpfs"), (Side::B, "tmpfs"), (Side::B, "proc")] {
        let (root, there) = (system.root(side), system.root(side.other()));
        let Some(mounted) = Mounted::new(&["-t", kind, "none"], &root.join("m")) else {
            return skip(name, "nothing can be mounted here");
        };
        // A mount makes no event: a barrier, a scrub or the next edit find it.
        system.ok(&["scrub"]);
        until("it is named", || system.named().contains_key("m"));
        let word = format!("{side} {kind}");
        put(root, "other", &word);
        until("the rest goes on", || text(there, "other").as_deref() == Some(&word));
        assert_eq!(text(there, "m/f").as_deref(), Some("x"));
        assert_eq!(text(there, "m/sub/g").as_deref(), Some("y"));
        assert!(!there.join("m/cpuinfo").exists());
        put(there, "m/f", "edited under it");
        let waited = system.lab3(&["wait", "--timeout", "1s"]);
        assert_eq!(waited.code, 5, "it waits: {waited:?}");
        drop(mounted);
        system.ok(&["scrub"]);
        until("it goes on", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
        system.agree_on(&[("m/f", "edited under it"), ("m/sub/g", "y"), ("other", &word)]);
        put(system.root(side), "m/f", "x");
        system.agree();
    }
    // A restart with something mounted inside deletes nothing either.
    let Some(mounted) = Mounted::new(&["-t", "tmpfs", "none"], &system.b.join("m")) else { return };
    system.stop(&[Side::B]);
    system.restart(&[Side::B]);
    put(&system.b, "other", "last");
    until("the rest goes on", || text(&system.a, "other").as_deref() == Some("last"));
    assert_eq!(text(&system.a, "m/sub/g").as_deref(), Some("y"));
    drop(mounted);
    system.ok(&["scrub"]);
    until("it goes on", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
    system.agree();
}
