//! Directories that go with much in them, with something in them that cannot go, with odd modes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::side::Side;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::cases_moves::exchange;
use crate::real::{agree, size};
use crate::server::until;
use crate::system::System;
use crate::trees::{chmod, in_trash, put, remove, rename, text};

/// Makes a fifo.
pub(crate) fn fifo(root: &Path, name: &str) {
    let mode = Mode::from_raw_mode(0o644);
    mknodat(CWD, root.join(name), FileType::Fifo, mode, 0).expect("a fifo");
}

/// The permission bits of something, with set-id and sticky bits.
fn mode(root: &Path, name: &str) -> u32 {
    let about = fs::symlink_metadata(root.join(name)).expect("metadata");
    about.permissions().mode() & 0o7777
}

/// Thousands of files in hundreds of directories arrive, and go with their directories (D02, Z08).
#[test]
fn a_tree_of_thousands_arrives_and_goes_with_all_its_directories() {
    let files = size(2000, 100_000);
    let mut system = System::new().relaxed().losing_up_to(files);
    system.start();
    put(&system.a, "stays", "so that the root is never empty");
    for (side, count) in [(Side::A, files), (Side::B, files / 10)] {
        let (root, other) = (system.root(side), system.root(side.other()));
        for n in 0..count {
            let name = format!("tree/{}/{}/{n}", n % 10, n % 100);
            put(root, &name, format!("{n:010}"));
        }
        agree(&system);
        assert_eq!(text(other, "tree/9/99/99").as_deref(), Some("0000000099"));
        remove(root, "tree");
        agree(&system);
        assert!(!other.join("tree").exists());
    }
}

/// A directory is deleted on one side while the other has something in it that is not
/// synchronized: the directory stays there and is named, until it can go (D06, M34).
#[test]
fn a_directory_with_a_fifo_in_it_stays_until_the_fifo_goes() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = System::holding(&[("d/f", "x"), ("d/sub/g", "y"), ("other", "z")]);
        let other = system.root(there);
        fifo(other, "d/sub/fifo");
        until("it is named", || system.named().contains_key("d/sub/fifo"));
        remove(system.root(here), "d");
        put(system.root(here), "other", "goes on");
        until("the rest goes on", || text(other, "other").as_deref() == Some("goes on"));
        let waited = system.lab3(&["wait", "--timeout", "2s"]);
        assert_eq!(waited.code, 5, "it is not done: {waited:?}");
        assert!(other.join("d/sub/fifo").exists());
        assert!(system.named().keys().any(|path| path.starts_with('d')), "{:?}", system.named());
        // What was in it is still there, or in the trash.
        for (name, content) in [("d/f", "x"), ("d/sub/g", "y")] {
            let is_there = text(other, name).as_deref() == Some(content);
            assert!(is_there || in_trash(other, name, "deleted", content), "{name} at {there}");
        }
        fs::remove_file(other.join("d/sub/fifo")).expect("removed");
        system.agree_on(&[("other", "goes on")]);
        assert!(!other.join("d").exists(), "no shell is left");
    }
}

/// A directory in whose place something stands that is no file keeps everything on the other side
/// (M33).
#[test]
fn a_directory_that_became_a_fifo_is_not_deleted() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = System::holding(&[("d/f", "x"), ("d/sub/g", "y"), ("other", "z")]);
        let root = system.root(here);
        // In one step: there is no moment in which nothing is there.
        fifo(system.dir.path(), "aside");
        exchange(root, "d", "../aside");
        until("it is named", || system.named().contains_key("d"));
        put(root, "other", "goes on");
        until("the rest goes on", || {
            text(system.root(there), "other").as_deref() == Some("goes on")
        });
        assert_eq!(text(system.root(there), "d/f").as_deref(), Some("x"));
        assert_eq!(text(system.root(there), "d/sub/g").as_deref(), Some("y"));
        exchange(root, "../aside", "d");
        system.agree_on(&[("d/f", "x"), ("d/sub/g", "y"), ("other", "goes on")]);
    }
}

/// Set-id and sticky bits, of directories and of files, stay on the side where they were set; what
/// has them travels like anything else, and nothing turns in circles (D11, PM03).
#[test]
fn set_id_and_sticky_bits_stay_where_they_were_set() {
    let system = System::started();
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let (root, other) = (system.root(here), system.root(there));
        let name = |name: &str| format!("{here}-{name}");
        for (dir, bits) in [("shared", 0o2775), ("open", 0o1777)] {
            fs::create_dir(root.join(name(dir))).expect("made");
            chmod(root, &name(dir), bits);
            put(root, name(&format!("{dir}/f")), "x");
        }
        put(root, name("tool"), "x");
        chmod(root, &name("tool"), 0o4755);
        system.wait();
        let modes = |root: &Path| ["shared", "open", "tool"].map(|entry| mode(root, &name(entry)));
        assert_eq!(modes(root), [0o2775, 0o1777, 0o4755]);
        assert_eq!(modes(other), [0o775, 0o777, 0o755]);
        // Bits of one's own stay when the other side changes the rest.
        chmod(other, &name("shared"), 0o750);
        chmod(other, &name("tool"), 0o700);
        system.wait();
        assert_eq!(modes(root), [0o2750, 0o1777, 0o4700]);
        put(other, name("shared/f"), "edited");
        system.wait();
        rename(other, &name("shared"), &name("renamed"));
        system.wait();
        assert_eq!(mode(root, &name("renamed")), 0o2750);
        assert_eq!(text(root, &name("renamed/f")).as_deref(), Some("edited"));
    }
    // What is done may be printed a moment later.
    let last = "renamed `B-shared` to `B-renamed`";
    until("the last step is printed", || system.server(Side::A).said().contains(last));
    let said = system.server(Side::A).said();
    system.wait();
    assert_eq!(system.server(Side::A).said(), said, "nothing moves any more");
}

/// A directory goes although somebody stands in it (D12).
#[test]
fn a_directory_goes_although_somebody_stands_in_it() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = System::holding(&[("d/sub/f", "x"), ("other", "y")]);
        let mut shell = Command::new("cat");
        shell.current_dir(system.root(there).join("d/sub"));
        let mut shell = shell.stdin(Stdio::piped()).spawn().expect("somebody");
        remove(system.root(here), "d");
        system.agree_on(&[("other", "y")]);
        assert!(!system.root(there).join("d").exists());
        assert_eq!(shell.try_wait().expect("a child"), None, "it stands there still");
        drop(shell.stdin.take());
        shell.wait().expect("it ends");
        put(system.root(here), "d/sub/f", "again");
        system.agree_on(&[("d/sub/f", "again"), ("other", "y")]);
    }
}

/// Both users make one directory at once, and each goes on in it: what the one has made below is
/// told after the directory that it is in, and arrives, although the other's is just being brought.
#[test]
fn a_directory_that_both_make_at_once_has_what_each_put_into_it() {
    let system = System::started();
    let rounds = size(40, 400);
    for round in 0..rounds {
        let top = format!("at-once-{round}");
        std::thread::scope(|scope| {
            for side in Side::BOTH {
                let (root, top) = (system.root(side), &top);
                scope.spawn(move || {
                    for n in 0..4 {
                        // The later one finds what is being brought.
                        if side == Side::B {
                            std::thread::sleep(Duration::from_micros(round as u64 % 20 * 150));
                        }
                        put(root, format!("{top}/{n}/{side}-{n}/file"), format!("{side} {n}"));
                        put(root, format!("{top}/{side}{n}"), format!("{side} {n}"));
                    }
                });
            }
        });
        let nodes = system.agree();
        let files = nodes.keys().filter(|name| name.starts_with(top.as_bytes())).count();
        assert_eq!(files, 1 + 4 + 8 + 8 + 8, "in round {round}");
    }
}
