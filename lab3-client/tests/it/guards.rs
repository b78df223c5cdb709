//! When what is seen looks like an accident, nothing moves until somebody has looked; and nothing
//! is ever deleted for want of a memory.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use common::side::Side;

use crate::cases_special::Mounted;
use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{self, in_trash, put, remove, rename, text};

const FILES: [(&str, &str); 6] =
    [("1", "one"), ("2", "two"), ("3", "three"), ("4", "four"), ("5", "five"), ("d/6", "six")];

/// Removes everything but what is ours.
fn empty(root: &Path) {
    for item in fs::read_dir(root).expect("a directory") {
        let item = item.expect("an entry");
        if item.file_name() != ".lab3" {
            remove(root, item.file_name().to_str().expect("UTF-8"));
        }
    }
}

/// Whether all files are where they were.
#[track_caller]
fn is_whole(root: &Path) {
    for (name, content) in FILES {
        assert_eq!(text(root, name).as_deref(), Some(content), "{name} in {}", root.display());
    }
}

/// A root that was moved away, or replaced by another directory, halts both directions and deletes
/// nothing; when it is back, it goes on by itself (W14, W15, G08).
#[test]
fn a_root_that_is_moved_away_or_replaced_halts_and_deletes_nothing() {
    for side in Side::BOTH {
        let system = System::holding(&FILES);
        let (root, other) = (system.root(side).to_owned(), system.root(side.other()));
        let away = system.dir.path().join("away");
        fs::rename(&root, &away).expect("renamed");
        let why = system.halted();
        assert!(why.starts_with(&format!("side {side}: ")), "{why}");
        put(other, "meanwhile", "x");
        fs::create_dir(&root).expect("made");
        let waited = system.lab3(&["wait", "--timeout", "20s"]);
        assert_eq!(waited.code, 5, "{waited:?}");
        assert!(waited.err.contains("halted") || waited.err.contains(&why[..6]), "{waited:?}");
        is_whole(other);
        assert_eq!(fs::read_dir(&root).expect("a directory").count(), 0, "nothing was put there");
        let said = system.ok(&["status"]);
        assert!(said.contains("halted") && said.contains("hint: `lab3 approve`"), "{said}");
        fs::remove_dir(&root).expect("removed");
        fs::rename(&away, &root).expect("renamed");
        until("it goes on", || system.json(&["status"])["halted"].is_null());
        system.agree();
        is_whole(&root);
        assert_eq!(text(&root, "meanwhile").as_deref(), Some("x"));
    }
}

/// A root in which suddenly nothing is left halts; `approve` takes it as meant, and the trash has
/// it all (W15, G09).
#[test]
fn a_root_that_is_suddenly_empty_halts_until_it_is_approved() {
    for side in Side::BOTH {
        let mut system = System::holding(&FILES);
        system.stop(&[side]);
        empty(system.root(side));
        system.restart(&[side]);
        system.halted();
        let other = system.root(side.other()).to_owned();
        is_whole(&other);
        let said = system.ok(&["approve"]);
        assert!(said.starts_with("approved"), "{said}");
        until("it is taken as meant", || !other.join("1").exists());
        system.agree_on(&[]);
        assert!(in_trash(&other, "d/6", "deleted", "six"));
    }
}

/// Too many deletions halt; `reject` brings everything back, also what had gone already (G11).
#[test]
fn too_many_deletions_halt_and_can_be_rejected_or_approved() {
    for side in Side::BOTH {
        let mut system = System::new();
        for option in ["--loss-files", "2", "--loss-percent", "30"] {
            system.options_a.push(option.into());
        }
        for (name, content) in FILES {
            put(&system.a, name, content);
        }
        system.start();
        system.agree();
        let (root, other) = (system.root(side), system.root(side.other()));
        let gone = ["1", "2", "3", "4", "d"];
        for name in gone {
            remove(root, name);
        }
        let why = system.halted();
        assert!(why.contains("would be deleted"), "{why}");
        let left = trees::read(other).len();
        assert!(left >= 7 - 2, "no more than the limit has gone: {left}");
        let waited = system.lab3(&["wait", "--timeout", "1s"]);
        assert_eq!(waited.code, 5, "{waited:?}");
        let said = system.ok(&["reject"]);
        assert!(said.contains("come back"), "{said}");
        system.agree_on(&FILES);
        assert_eq!(system.lab3(&["reject"]).code, 1, "nothing is halted");
        let root = system.root(side);
        for name in gone {
            remove(root, name);
        }
        system.halted();
        system.ok(&["approve"]);
        system.agree_on(&[("5", "five")]);
    }
}

/// Overwriting everything halts as deleting does; renames are not losses (G13).
#[test]
fn overwriting_everything_halts_and_renaming_everything_does_not() {
    let mut system = System::new();
    for option in ["--loss-files", "3", "--loss-percent", "50"] {
        system.options_a.push(option.into());
    }
    system.start();
    for (name, content) in FILES {
        put(&system.a, name, content);
    }
    system.agree();
    for name in ["1", "2", "3", "4", "5"] {
        rename(&system.a, name, &format!("{name} renamed"));
    }
    rename(&system.a, "d", "e");
    system.agree();
    for name in trees::read(&system.a).into_keys() {
        let name = String::from_utf8(name).expect("UTF-8");
        if name != "e" {
            put(&system.a, name, "encrypted by somebody");
        }
    }
    let why = system.halted();
    assert!(why.contains("overwritten"), "{why}");
    let left = trees::read(&system.b);
    let lost = left.values().filter(|n| format!("{n:?}").contains("encrypted")).count();
    assert!(lost <= 3, "{left:?}");
}

/// A disk that is mounted over the root, or is not mounted any more, is no deletion (W13).
#[test]
fn another_file_system_over_the_root_halts_and_deletes_nothing() {
    let name = "another_file_system_over_the_root_halts_and_deletes_nothing";
    if !is_root() {
        return skip(name, "needs root");
    }
    let system = System::holding(&FILES);
    let Some(mounted) = Mounted::new(&["-t", "tmpfs", "none"], &system.a) else {
        return skip(name, "cannot mount here");
    };
    system.halted();
    put(&system.b, "new", "x");
    assert_eq!(system.lab3(&["wait", "--timeout", "3s"]).code, 5);
    is_whole(&system.b);
    assert_eq!(fs::read_dir(&system.a).expect("a directory").count(), 0);
    drop(mounted);
    until("it goes on", || system.json(&["status"])["halted"].is_null());
    system.agree();
    is_whole(&system.a);
}

/// Another replica in B's place halts until it is approved; then both are united, and nothing is
/// deleted (A03, A04, G10).
#[test]
fn another_replica_in_place_of_b_halts_until_it_is_approved() {
    let mut system = System::holding(&FILES);
    system.stop(&[Side::B]);
    fs::remove_dir_all(&system.b).expect("removed");
    fs::create_dir(&system.b).expect("made");
    put(&system.b, "other", "x");
    system.restart(&[Side::B]);
    let why = system.halted();
    assert!(why.contains("another replica"), "{why}");
    is_whole(&system.a);
    assert!(!system.a.join("other").exists() && !system.b.join("1").exists());
    system.ok(&["approve"]);
    system.agree();
    is_whole(&system.b);
    assert_eq!(text(&system.a, "other").as_deref(), Some("x"));
}

/// Without an archive both sides are united: what is equal is adopted, what differs is kept twice,
/// what is on one side only comes to the other, and nothing is deleted (A01, A02).
#[test]
fn a_lost_archive_unites_and_deletes_nothing() {
    for sides in [&[Side::A, Side::B][..], &[Side::A]] {
        let mut system = System::holding(&FILES);
        system.stop(&Side::BOTH);
        for side in sides {
            fs::remove_file(system.root(*side).join(".lab3/store")).expect("removed");
        }
        trees::put_at(&system.a, "1", "by a", 1_700_000_000);
        trees::put_at(&system.b, "1", "by b", 1_600_000_000);
        remove(&system.a, "2");
        put(&system.b, "new", "x");
        system.start();
        let nodes = system.agree();
        let texts = format!("{nodes:?}");
        for content in ["by a", "by b", "two", "three", "four", "five", "six"] {
            assert!(texts.contains(&format!("\"{content}\"")), "{content}: {texts}");
        }
        assert_eq!(nodes.len(), 6 + 1 + 1 + 1, "one copy, one new, one directory: {texts}");
        remove(&system.b, "3");
        system.agree();
        assert!(!system.a.join("3").exists(), "what was adopted is remembered");
    }
}

/// A store that is damaged is set aside, loudly, and nothing is deleted (A06).
#[test]
fn a_damaged_store_is_set_aside_loudly_and_deletes_nothing() {
    for side in Side::BOTH {
        let mut system = System::holding(&FILES);
        system.stop(&Side::BOTH);
        let store = system.root(side).join(".lab3/store");
        let mut file = fs::OpenOptions::new().write(true).open(&store).expect("a store");
        file.write_all(&[0x5a; 4096]).expect("written");
        let length = file.metadata().expect("metadata").len();
        file.seek(SeekFrom::Start(length / 2)).expect("a place");
        file.write_all(&[0xa5; 4096]).expect("written");
        drop(file);
        remove(system.root(side), "2");
        system.start();
        system.server(side).says("the store was damaged");
        let aside = fs::read_dir(system.root(side).join(".lab3")).expect("a directory");
        let names: Vec<_> = aside.map(|item| item.expect("an entry").file_name()).collect();
        let kept = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("store.corrupt-");
        assert!(names.iter().any(kept), "{names:?}");
        system.agree();
        for (name, content) in FILES.iter().filter(|(name, _)| *name != "2") {
            assert_eq!(text(&system.a, name).as_deref(), Some(*content));
        }
        let two = text(&system.a, "2");
        assert!(side == Side::B || two.as_deref() == Some("two"), "A has no base: {two:?}");
    }
}
