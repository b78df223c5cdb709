//! A local attacker: somebody who may write in the tree, and puts links to other places into our
//! way while we work. Real servers; what is outside must not change by one bit.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use common::side::Side;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, renameat_with};

use crate::dice::{Dice, is_full};
use crate::hostile_kit::{Decoy, is_well};
use crate::server::until;
use crate::system::System;
use crate::trees::{put, text};

/// Exchanges two names without pause.
struct Flipper {
    stop: Arc<AtomicBool>,
    flips: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flipper {
    fn start(one: PathBuf, two: PathBuf) -> Flipper {
        let (stop, flips) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (stop.clone(), flips.clone());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                // Whoever synchronizes may have moved one of them aside: then it is put back.
                match renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE) {
                    Ok(()) => drop(count.fetch_add(1, Ordering::SeqCst)),
                    Err(_) => restore(&one, &two),
                }
            }
        });
        Flipper { stop, flips, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it flipped");
        }
        self.flips.load(Ordering::SeqCst)
    }
}

/// Makes what is missing of the two.
fn restore(one: &Path, two: &Path) {
    let outside = one.ancestors().find_map(|above| {
        let outside = above.join("outside");
        outside.is_dir().then_some(outside)
    });
    if let Some(outside) = outside.filter(|_| fs::symlink_metadata(two).is_err()) {
        drop(symlink(outside, two));
    }
    drop(fs::create_dir(one));
}

/// What the honest user does at a name in his directory. The link may have come to him, as the
/// other's edit: he does not go through it himself, or the test would be what it looks for.
fn deed(directory: &Path, name: &str, sort: u64, round: u64) {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY;
    drop(fs::create_dir(directory));
    let Ok(dir) = rustix::fs::open(directory, flags, Mode::empty()) else {
        drop(fs::remove_file(directory));
        return;
    };
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    match sort {
        0 | 1 => {
            if let Ok(file) = rustix::fs::openat(&dir, name, write, Mode::from_raw_mode(0o644)) {
                let _ = rustix::io::write(&file, format!("harm {round}").as_bytes());
            }
        }
        2 => drop(rustix::fs::unlinkat(&dir, name, AtFlags::empty())),
        3 => drop(rustix::fs::renameat(&dir, name, &dir, "moved")),
        _ => {
            let read = OFlags::RDONLY | OFlags::NOFOLLOW;
            if let Ok(file) = rustix::fs::openat(&dir, name, read, Mode::empty()) {
                let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(0o777));
            }
        }
    }
}

/// A directory that is a link out in every second moment, while hundreds of commits of the other
/// side go through it: files made, replaced, removed, renamed, and their modes set. Nothing outside
/// is ever touched, at either side (H05, H06, H07).
#[test]
fn a_directory_that_flips_to_a_link_leads_nobody_out() {
    let rounds = if is_full() { 2000 } else { 200 };
    for side in [Side::B, Side::A] {
        let mut system = System::started().losing_up_to(100_000);
        let decoy = Decoy::of(&system);
        let mut dice = Dice::from_environment();
        let (attacked, honest) =
            (system.root(side).to_owned(), system.root(side.other()).to_owned());
        put(&honest, "flip/first", "first");
        until("it is there", || text(&attacked, "flip/first").is_some());
        // Beside the tree's names, on the same file system: ours alone to flip.
        let link = system.dir.path().join("link");
        symlink(&decoy.outside, &link).expect("made");
        let flipper = Flipper::start(attacked.join("flip"), link);
        for round in 0..rounds {
            let name = ["decoy", "empty", "name", "new", "other"][dice.below(5) as usize];
            deed(&honest.join("flip"), name, dice.below(5), round);
            if round % 10 == 0 {
                put(&honest, "beacon", round.to_string());
                let arrived = || text(&attacked, "beacon") == Some(round.to_string());
                until("other files go on", arrived);
                decoy.is_untouched();
            }
        }
        let flips = flipper.end();
        eprintln!("side {side}: {rounds} deeds of the other side through {flips} flips");
        assert!(flips > rounds, "it flipped: {flips}");
        decoy.is_untouched();
        put(&honest, "end", "end");
        until("it is still served", || text(&attacked, "end").is_some());
        decoy.is_untouched();
        for side in Side::BOTH {
            is_well(&mut system, side);
        }
    }
}

/// A file that is exchanged for a link to a file outside, again and again, while the other side
/// replaces it and sets its mode (H07, H09): the file outside keeps its bytes, its mode, its time.
#[test]
fn a_file_that_flips_to_a_link_is_never_written_through() {
    let rounds = if is_full() { 1000 } else { 60 };
    for side in [Side::B, Side::A] {
        let mut system = System::holding(&[("leaf", "first")]).losing_up_to(100_000);
        let decoy = Decoy::of(&system);
        let (attacked, honest) =
            (system.root(side).to_owned(), system.root(side.other()).to_owned());
        let link = system.dir.path().join("link");
        symlink(decoy.file(), &link).expect("made");
        let flipper = Flipper::start(attacked.join("leaf"), link);
        for round in 0..rounds {
            let fresh = honest.join("fresh");
            fs::write(&fresh, format!("harm {round}")).expect("written");
            let mode = if round % 2 == 0 { 0o600 } else { 0o666 };
            fs::set_permissions(&fresh, PermissionsExt::from_mode(mode)).expect("set");
            fs::rename(fresh, honest.join("leaf")).expect("renamed");
            if round % 10 == 0 {
                put(&honest, "beacon", round.to_string());
                until("it goes on", || text(&attacked, "beacon") == Some(round.to_string()));
            }
        }
        let flips = flipper.end();
        eprintln!("side {side}: {rounds} versions through {flips} flips");
        decoy.is_untouched();
        for side in Side::BOTH {
            is_well(&mut system, side);
        }
    }
}

/// A name that is a hard link to a file outside: it is replaced at its name, and the file outside
/// keeps its bytes (H09).
#[test]
fn a_hard_link_to_a_file_outside_is_replaced_and_not_written_to() {
    let mut system = System::holding(&[("f", "first")]);
    let decoy = Decoy::of(&system);
    fs::remove_file(system.b.join("f")).expect("removed");
    fs::hard_link(decoy.file(), system.b.join("f")).expect("linked");
    until("it is an edit", || text(&system.a, "f").as_deref() == Some("decoy"));
    system.wait();
    for content in ["second", "third"] {
        put(&system.a, "f", content);
        until("it arrives", || text(&system.b, "f").as_deref() == Some(content));
    }
    assert_eq!(text(&decoy.outside, "decoy").as_deref(), Some("decoy"));
    is_well(&mut system, Side::B);
}
