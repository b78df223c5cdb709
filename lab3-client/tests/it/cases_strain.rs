//! Much is left over, the disk is full for a user, the processor is somebody else's.

use std::fs::{self, File};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use common::side::Side;

use crate::cases_special::Mounted;
use crate::real::size;
use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{put, text, trash};

/// Ten thousand versions that a crash left half received are taken away by the next start, and
/// what else lies there is brought back (C17).
#[test]
fn ten_thousand_leftovers_are_cleared_by_a_start() {
    let mut system = System::holding(&[("f", "old")]);
    system.stop(&Side::BOTH);
    for side in Side::BOTH {
        let stage = system.root(side).join(".lab3/stage");
        for number in 0..10_000 {
            fs::write(stage.join(format!("n-leftover-{number}")), "half").expect("written");
        }
        fs::write(stage.join("q-somebodys"), format!("of {side}")).expect("written");
    }
    system.start();
    system.agree();
    for side in Side::BOTH {
        let stage = system.root(side).join(".lab3/stage");
        assert_eq!(fs::read_dir(stage).expect("a directory").count(), 0, "{side}");
        let kept = |of: &str| {
            let beside = fs::read_dir(&system.a).expect("a directory").flatten();
            let texts = beside.filter_map(|item| fs::read_to_string(item.path()).ok());
            let trashed = trash(system.root(side)).into_iter().map(|(_, _, content)| content);
            texts.chain(trashed).any(|content| content == of)
        };
        assert!(kept(&format!("of {side}")), "what came out of the tree of {side} is kept");
        assert_eq!(text(system.root(side), "f").as_deref(), Some("old"));
    }
}

/// A program that empties a file and then finds no room leaves what it leaves: that is its user's
/// version now, on both sides, and the one before is in the other side's trash (G02).
#[test]
fn what_a_full_disk_leaves_of_a_save_is_a_version_and_the_one_before_is_in_trash() {
    let name = "what_a_full_disk_leaves_of_a_save_is_a_version_and_the_one_before_is_in_trash";
    if !is_root() {
        return skip(name, "needs root");
    }
    for side in Side::BOTH {
        let mut system = System::new();
        let root = system.root(side).to_owned();
        let Some(_mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=16m", "none"], &root) else {
            return skip(name, "cannot mount here");
        };
        system.start();
        put(&root, "thesis", "all of it");
        system.agree();
        let ballast = root.join(".lab3/ballast");
        let mut full = File::create(&ballast).expect("made");
        while full.write_all(&[1; 4096]).is_ok() {}
        // The page that the old version had is free again, and somebody takes it.
        let mut saved = File::create(root.join("thesis")).expect("emptied");
        while full.write_all(&[1; 512]).is_ok() {}
        let error = saved.write_all(b"all of it, and more").expect_err("there is no room");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        drop((saved, full));
        let other = system.root(side.other()).to_owned();
        until("what is left is carried", || text(&other, "thesis").as_deref() == Some(""));
        let kept = |(path, _, content): (String, String, String)| {
            path == "thesis" && content == "all of it"
        };
        // It is seen under its name a moment before the old one is in the trash.
        until("the version before is in the trash", || trash(&other).into_iter().any(kept));
        fs::remove_file(&ballast).expect("removed");
        until("what is agreed on is saved again", || system.json(&["status"])["halted"].is_null());
        system.agree();
        put(&root, "thesis", "all of it, and more");
        system.agree_on(&[("thesis", "all of it, and more")]);
    }
}

/// Servers that get what others leave of the processors are slow and stay connected (G16).
#[test]
fn a_starved_pair_stays_connected() {
    let mut system = System::new();
    for side in Side::BOTH {
        system.through[side] = ["nice", "-n", "19"].map(str::to_owned).to_vec();
    }
    system.start();
    system.b_is("connected");
    let stop = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let busy: Vec<_> = (0..cores)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    for second in 0..size(3, 90) {
        put(&system.a, "a", second.to_string());
        put(&system.b, "b", second.to_string());
        // This is the case itself: time passes, and others have the processors.
        sleep(Duration::from_secs(1));
    }
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("it was busy"));
    system.agree();
    let said = system.server(Side::A).said();
    assert!(!said.contains("away"), "{said}");
}
