//! Modes, owners, flags and attributes, and what becomes of a path that may not be touched.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use common::side::Side;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{self, Node, chmod, in_trash, put, put_at, remove, text};

/// Somebody who may not do what root may.
const NOBODY: u32 = 65_534;

fn mode(root: &Path, name: &str) -> u32 {
    fs::symlink_metadata(root.join(name)).expect("metadata").permissions().mode() & 0o7777
}

/// A pair of which B is run by somebody who is not root; `None` when nobody here may arrange it.
fn with_nobody(test: &str) -> Option<System> {
    if !is_root() {
        skip(test, "needs root, to run B as another user");
        return None;
    }
    let mut system = System::new();
    system.user_b = Some(NOBODY);
    chmod(system.dir.path(), ".", 0o755);
    chown(&system.b, Some(NOBODY), Some(NOBODY)).expect("given away");
    Some(system)
}

/// Two different chmods of one file: the newer file's mode is taken on both sides, the content
/// stays, and there is no copy (PM02).
#[test]
fn of_two_modes_one_is_taken_on_both_sides() {
    let mut system = System::started();
    put_at(&system.a, "f", "content", 1_700_000_000);
    fs::create_dir(system.a.join("d")).expect("made");
    system.agree();
    system.stop(&Side::BOTH);
    chmod(&system.a, "f", 0o600);
    chmod(&system.b, "f", 0o755);
    chmod(&system.a, "d", 0o700);
    chmod(&system.b, "d", 0o711);
    system.start();
    system.agree_on(&[("f", "content")]);
    assert!([0o600, 0o755].contains(&mode(&system.a, "f")), "{:o}", mode(&system.a, "f"));
    assert_eq!(mode(&system.a, "d"), 0o700, "A's, of a directory");
}

/// What the servers' umask is does not matter: modes are equal on both sides (PM07).
#[test]
fn modes_do_not_depend_on_the_umask_of_the_servers() {
    let mut system = System::new();
    let strict = ["sh", "-c", "umask 077; exec \"$0\" \"$@\""].map(String::from);
    system.through.a = strict.to_vec();
    system.through.b = strict.to_vec();
    system.start();
    for side in Side::BOTH {
        let root = system.root(side);
        for (name, bits) in [("all", 0o666), ("run", 0o777), ("mine", 0o600), ("see", 0o644)] {
            let name = format!("{side}-{name}");
            put(root, &name, "x");
            chmod(root, &name, bits);
            put(root, format!("{name}-d/f"), "x");
            chmod(root, &format!("{name}-d"), bits | 0o700);
        }
    }
    let nodes = system.agree();
    assert!(matches!(nodes[b"A-all".as_slice()], Node::File { mode: 0o666, .. }), "{nodes:?}");
    assert!(matches!(nodes[b"B-run-d".as_slice()], Node::Dir { mode: 0o777 }), "{nodes:?}");
}

/// A file that is new and may not be read is named and left alone; when it may be read it arrives
/// (PM04). A file of somebody else that may be read travels, and is replaced where the directory
/// allows it; a chmod of it that is not ours to do is named, and not tried without end (PM08).
#[test]
fn files_of_somebody_else_are_taken_as_far_as_they_may_be() {
    let name = "files_of_somebody_else_are_taken_as_far_as_they_may_be";
    let Some(mut system) = with_nobody(name) else { return };
    system.start();
    // It is unreadable before it has its name, or it would be seen in between.
    let outside = system.b.parent().expect("a directory").to_path_buf();
    put(&outside, "secret", "secret");
    chmod(&outside, "secret", 0o000);
    fs::rename(outside.join("secret"), system.b.join("secret")).expect("moved in");
    put(&system.b, "seen", "by root");
    put(&system.b, "bits", "by root");
    until("the rest arrives", || text(&system.a, "seen").is_some());
    until("it is named", || system.named().contains_key("secret"));
    assert!(!system.a.join("secret").exists());
    chmod(&system.b, "secret", 0o644);
    until("it arrives", || text(&system.a, "secret").as_deref() == Some("secret"));
    put(&system.a, "seen", "edited at a");
    chmod(&system.a, "bits", 0o600);
    until("the edit arrives", || text(&system.b, "seen").as_deref() == Some("edited at a"));
    until("the mode is named", || system.named().contains_key("bits"));
    let tries = |system: &System| system.server(Side::B).said().matches("`bits`").count();
    let before = tries(&system);
    put(&system.a, "other", "goes on");
    until("the rest goes on", || text(&system.b, "other").is_some());
    assert!(tries(&system) < before + 10, "{}", system.server(Side::B).said());
    assert_eq!(text(&system.b, "bits").as_deref(), Some("by root"));
    chown(system.b.join("bits"), Some(NOBODY), Some(NOBODY)).expect("given away");
    until("it is done", || mode(&system.b, "bits") == 0o600);
    system.agree();
}

/// A directory that the other side's server may not write: what is new in it is named, and kept
/// where it is; what is deleted in it comes to no harm (PM09).
#[test]
fn what_cannot_be_put_into_a_directory_is_named_and_kept() {
    let Some(mut system) = with_nobody("what_cannot_be_put_into_a_directory_is_named_and_kept")
    else {
        return;
    };
    put(&system.b, "closed/known", "known");
    system.start();
    until("it arrives", || text(&system.a, "closed/known").is_some());
    put(&system.a, "closed/new", "new");
    put(&system.a, "closed/known", "edited");
    put(&system.a, "other", "goes on");
    until("the rest goes on", || text(&system.b, "other").is_some());
    until("both are named", || {
        let named = system.named();
        ["closed/new", "closed/known"].iter().all(|path| named.contains_key(*path))
    });
    assert_eq!(text(&system.a, "closed/new").as_deref(), Some("new"), "kept where it is");
    assert_eq!(text(&system.b, "closed/known").as_deref(), Some("known"));
    assert!(!system.b.join("closed/new").exists());
    for name in ["closed", "closed/known"] {
        chown(system.b.join(name), Some(NOBODY), Some(NOBODY)).expect("given away");
    }
    until("it goes on", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
    system.agree_on(&[("closed/known", "edited"), ("closed/new", "new"), ("other", "goes on")]);
}

/// Sets or clears a flag of a file; whether that can be done here.
fn chattr(flag: &str, path: &Path) -> bool {
    Command::new("chattr").arg(flag).arg(path).output().is_ok_and(|done| done.status.success())
}

/// Clears the flags at the end, also of a failed test: nobody could remove the files otherwise.
struct Sealed(Vec<std::path::PathBuf>);

impl Drop for Sealed {
    fn drop(&mut self) {
        for path in &self.0 {
            chattr("-ia", path);
        }
    }
}

/// Files that nobody may change stay as they are, whole, and are named; the rest goes on, as fast
/// as ever; afterwards all is done (PM10, Q06).
#[test]
fn files_that_nobody_may_change_are_named_and_stop_nothing_else() {
    let name = "files_that_nobody_may_change_are_named_and_stop_nothing_else";
    let files = ["edited", "removed", "grows", "moved", "free"];
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let system = System::holding(&files.map(|name| (name, "old")));
        let (root, other) = (system.root(here), system.root(there));
        let paths = files[..4].iter().map(|name| other.join(name)).collect();
        let sealed = Sealed(paths);
        for (path, flag) in sealed.0.iter().zip(["+i", "+i", "+a", "+i"]) {
            if !chattr(flag, path) {
                return skip(name, "needs root and a file system with flags");
            }
        }
        put(root, "edited", "new");
        remove(root, "removed");
        put(root, "grows", "old, and more");
        trees::rename(root, "moved", "elsewhere");
        let stuck = ["edited", "removed", "grows", "moved"];
        until("all are named", || {
            let named = system.named();
            stuck.iter().all(|path| named.contains_key(*path))
        });
        for round in 0..20 {
            put(root, "free", format!("round {round}"));
            until("the rest goes on", || text(other, "free") == Some(format!("round {round}")));
        }
        for path in stuck {
            assert_eq!(text(other, path).as_deref(), Some("old"), "{path} at {there}");
        }
        let waited = system.lab3(&["wait", "--timeout", "1s"]);
        assert_eq!(waited.code, 5, "{waited:?}");
        drop(sealed);
        until("all is done", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
        system.agree_on(&[
            ("edited", "new"),
            ("elsewhere", "old"),
            ("free", "round 19"),
            ("grows", "old, and more"),
        ]);
        assert!(in_trash(other, "edited", "replaced", "old"));
    }
}

/// An access list that lets user 1234 read, as the kernel keeps it.
fn access_list() -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, bits, id) in
        [(1_u16, 6_u16, none), (2, 4, 1234), (4, 4, none), (0x10, 4, none), (0x20, 4, none)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(bits.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Extended attributes and access lists do not travel. A chmod from the other side leaves them, and
/// a file that the other side replaced has them in trash only, as architecture.md says (PM11).
#[test]
fn attributes_stay_on_their_side_and_never_keep_a_file_from_travelling() {
    let name = "attributes_stay_on_their_side_and_never_keep_a_file_from_travelling";
    let system = System::holding(&[("f", "old"), ("g", "old")]);
    let attribute = |root: &Path, name: &str, key: &str| {
        let mut value = [0_u8; 64];
        let length = getxattr(root.join(name), key, &mut value).ok()?;
        Some(value[..length].to_vec())
    };
    for name_of in ["f", "g"] {
        let path = system.b.join(name_of);
        if setxattr(&path, "user.note", b"mine", XattrFlags::empty()).is_err() {
            return skip(name, "the file system has no extended attributes");
        }
        // Not every file system has access lists.
        let list = access_list();
        let _ = setxattr(&path, "system.posix_acl_access", &list, XattrFlags::empty());
    }
    system.wait();
    let nodes = system.agree();
    assert_eq!(nodes.len(), 2);
    assert_eq!(attribute(&system.a, "f", "user.note"), None);
    chmod(&system.a, "g", 0o600);
    system.agree();
    assert_eq!(attribute(&system.b, "g", "user.note").as_deref(), Some(&b"mine"[..]));
    put(&system.a, "f", "edited");
    system.agree_on(&[("f", "edited"), ("g", "old")]);
    assert_eq!(attribute(&system.b, "f", "user.note"), None, "documented, and now not true");
    assert!(in_trash(&system.b, "f", "replaced", "old"));
}

/// A chmod, and another, while the content is on its way (PM12).
#[test]
fn a_chmod_while_the_content_is_on_its_way_is_taken() {
    let system = System::started();
    let content = "x".repeat(20_000_000);
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let (root, other) = (system.root(here), system.root(there));
        let name = format!("big-{here}");
        put(root, &name, &content);
        for bits in [0o600, 0o755, 0o640] {
            let staged = || fs::read_dir(other.join(".lab3/stage")).expect("a list").count();
            until("it is on its way", || staged() > 0 || other.join(&name).exists());
            chmod(root, &name, bits);
        }
        system.agree();
        assert_eq!((mode(root, &name), mode(other, &name)), (0o640, 0o640));
        assert_eq!(fs::metadata(other.join(&name)).expect("metadata").size(), 20_000_000);
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}
