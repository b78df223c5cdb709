//! What a replica remembers is old, lost, damaged, of a newer program, or cannot be written: in
//! doubt nothing is deleted, somebody is told, and there is a way on.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use common::side::Side;

use crate::power_disk::{Disk, run};
use crate::server::until;
use crate::system::{System, skip};
use crate::trees::{in_trash, put, remove, text};

const FILES: [(&str, &str); 4] = [("1", "one"), ("2", "two"), ("3", "three"), ("d/4", "four")];

/// Copies a directory with all that a backup would bring back.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to)).expect("copied");
}

/// Both servers start, end, and start: with one meeting less A would only have been away.
fn meet_again(system: &mut System) {
    system.start();
    system.agree();
    system.stop(&Side::BOTH);
    system.start();
}

/// A whole root that was restored from an old copy halts: its old files are no edits, and what it
/// does not have yet was not deleted. Approved, both sides are united (A05).
#[test]
fn a_root_from_an_old_copy_halts_and_unites() {
    for side in Side::BOTH {
        let mut system = System::holding(&FILES);
        system.stop(&Side::BOTH);
        let (root, backup) = (system.root(side).to_owned(), system.dir.path().join("backup"));
        copy(&root, &backup);
        meet_again(&mut system);
        put(&system.a, "new", "made after the copy");
        put(&system.b, "1", "one, edited after the copy");
        remove(&system.a, "2");
        system.agree();
        system.stop(&Side::BOTH);
        fs::remove_dir_all(&root).expect("removed");
        fs::rename(&backup, &root).expect("restored");
        system.start();
        let why = system.halted();
        assert!(why.contains("old copy") || why.contains("newer state"), "{side}: {why}");
        let other = system.root(side.other()).to_owned();
        assert_eq!(system.lab3(&["wait", "--timeout", "2s"]).code, 5);
        assert_eq!(text(&other, "new").as_deref(), Some("made after the copy"));
        assert_eq!(text(&other, "1").as_deref(), Some("one, edited after the copy"));
        system.ok(&["approve"]);
        let nodes = system.agree();
        assert_eq!(text(&root, "new").as_deref(), Some("made after the copy"), "{side}");
        // The newer version has the name; the old one is beside it.
        assert_eq!(text(&root, "1").as_deref(), Some("one, edited after the copy"), "{side}");
        assert!(format!("{nodes:?}").contains("\"one\""), "{side}: {nodes:?}");
        assert_eq!(text(&other, "2").as_deref(), Some("two"), "in doubt it comes back");
    }
}

/// Only A's store is old: what was agreed since is not known to have been. B knows that they have
/// met since, so it halts; approved, both sides are united (A05).
#[test]
fn an_old_store_halts_and_unites() {
    let mut system = System::holding(&FILES);
    system.stop(&Side::BOTH);
    let (store, old) = (system.a.join(".lab3/store"), system.dir.path().join("old"));
    copy(&store, &old);
    meet_again(&mut system);
    put(&system.a, "new", "made after the copy");
    put(&system.b, "1", "one, edited after the copy");
    remove(&system.a, "2");
    system.agree();
    system.stop(&Side::BOTH);
    fs::rename(&old, &store).expect("restored");
    system.start();
    let why = system.halted();
    assert!(why.contains("newer state"), "{why}");
    system.ok(&["approve"]);
    system.agree_on(&[
        ("1", "one, edited after the copy"),
        ("3", "three"),
        ("d/4", "four"),
        ("new", "made after the copy"),
    ]);
}

/// Only the files are old: somebody put them back, and that is an edit like any other. What it
/// removes and replaces is in trash (A05).
#[test]
fn old_files_that_are_put_back_are_edits() {
    for side in Side::BOTH {
        let mut system = System::holding(&FILES);
        let (root, other) = (system.root(side).to_owned(), system.root(side.other()).to_owned());
        put(&root, "1", "one, edited");
        put(&other, "new", "made later");
        system.agree();
        system.stop(&[side]);
        put(&root, "1", "one");
        remove(&root, "new");
        system.restart(&[side]);
        system.agree_on(&FILES);
        assert!(in_trash(&other, "1", "replaced", "one, edited"));
        assert!(in_trash(&other, "new", "deleted", "made later"));
    }
}

/// A lost archive and an emptied B: nothing is taken for deleted, B gets everything back (A03).
#[test]
fn a_lost_store_and_an_empty_side_delete_nothing() {
    for empty in Side::BOTH {
        let mut system = System::holding(&FILES);
        system.stop(&Side::BOTH);
        for side in Side::BOTH {
            fs::remove_file(system.root(side).join(".lab3/store")).expect("removed");
        }
        for (name, _) in FILES {
            remove(system.root(empty), name);
        }
        system.start();
        system.agree_on(&FILES);
    }
}

/// The store of another pair in the place of one's own: at A it is about another B, which halts; at
/// B it is only a memory of what was read, and is not believed (A04).
#[test]
fn the_store_of_another_pair_deletes_nothing() {
    for side in Side::BOTH {
        let mut other = System::holding(&[("1", "another one"), ("9", "nine"), ("d/4", "x")]);
        other.stop(&Side::BOTH);
        let mut system = System::holding(&FILES);
        system.stop(&Side::BOTH);
        let store = |system: &System| system.root(side).join(".lab3/store");
        fs::copy(store(&other), store(&system)).expect("copied");
        system.start();
        if side == Side::A {
            let why = system.halted();
            assert!(why.contains("another replica"), "{why}");
            system.ok(&["approve"]);
        }
        system.agree_on(&FILES);
    }
}

/// Whatever byte of A's store is wrong, nothing is deleted or invented that users did not (A06).
#[test]
fn no_wrong_byte_in_the_archive_deletes_or_invents_anything() {
    let rounds = if std::env::var_os("LAB3_FULL").is_some() { 300 } else { 8 };
    let mut state = 7_u64;
    let mut dice = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (state >> 33) % most
    };
    let mut system = System::holding(&FILES);
    let mut halts = 0;
    for round in 0..rounds {
        system.stop(&Side::BOTH);
        let path = system.a.join(".lab3/store");
        let store = fs::OpenOptions::new().read(true).write(true).open(path).expect("a store");
        let length = store.metadata().expect("metadata").len();
        for _ in 0..=dice(12) {
            let (at, mut byte) = (dice(length), [0]);
            store.read_exact_at(&mut byte, at).expect("read");
            store.write_all_at(&[byte[0] ^ (1 << dice(8))], at).expect("written");
        }
        let edited = format!("edited in round {round}");
        put(&system.b, "1", &edited);
        put(&system.a, format!("made-{round}"), "made while nobody looked");
        system.start();
        system.b_is("connected");
        if !system.json(&["status"])["halted"].is_null() {
            halts += 1;
            system.ok(&["approve"]);
        }
        let nodes = system.agree();
        let all = format!("{nodes:?}");
        assert!(all.contains(&format!("{edited:?}")), "round {round}: {all}");
        for (name, content) in &FILES[1..] {
            assert_eq!(text(&system.b, name).as_deref(), Some(*content), "round {round}");
        }
        for earlier in 0..=round {
            assert!(system.b.join(format!("made-{earlier}")).exists(), "round {round}: {all}");
        }
    }
    eprintln!("wrong bytes in the archive: {rounds} rounds, {halts} halts, nothing lost");
}

/// A disk that is full when the archive is to be saved: nothing is called agreed, nothing more is
/// done, and it goes on when there is room and somebody says so (A08).
#[test]
fn an_archive_that_cannot_be_saved_halts_and_goes_on_when_there_is_room() {
    let disk = match Disk::new(16, &[]) {
        Ok(disk) => disk,
        Err(why) => return skip("an_archive_that_cannot_be_saved", &why),
    };
    let mut system = System::new();
    let state = disk.place().join("state").to_string_lossy().into_owned();
    system.options_a.extend(["--state-dir".to_owned(), state]);
    system.start();
    for (name, content) in FILES {
        put(&system.a, name, content);
    }
    system.agree();
    let ballast = disk.place().join("ballast");
    fill(&ballast);
    // Until the store has to grow.
    let mut made = 0;
    until("it cannot be saved", || {
        for _ in 0..200 {
            made += 1;
            put(&system.b, format!("made/{made:05}-{}", "x".repeat(200)), "x");
        }
        let ran = system.lab3(&["wait", "--timeout", "10s"]);
        ran.code != 0 && system.halted().contains("cannot be saved")
    });
    put(&system.b, "1", "one, edited");
    remove(&system.b, "2");
    assert_eq!(system.lab3(&["wait", "--timeout", "2s"]).code, 5);
    assert_eq!(text(&system.a, "1").as_deref(), Some("one"), "nothing moves");
    assert_eq!(text(&system.a, "2").as_deref(), Some("two"));
    fs::remove_file(&ballast).expect("removed");
    system.ok(&["approve"]);
    system.agree();
    assert_eq!(text(&system.a, "1").as_deref(), Some("one, edited"));
    assert!(!system.a.join("2").exists());
    system.stop(&Side::BOTH);
    system.start();
    assert_eq!(system.agree().len(), 3 + 1 + 1 + made);
}

/// Fills a disk to the last block.
fn fill(ballast: &Path) {
    let file = fs::File::create(ballast).expect("a file");
    let mut at = 0;
    for piece in [1 << 20, 1 << 12, 1] {
        while file.write_all_at(&vec![7; piece], at).is_ok() {
            at += piece as u64;
        }
    }
    drop(file.sync_all());
}
