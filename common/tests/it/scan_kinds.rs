//! What is neither file nor directory nor link is listed and left alone; errors are no absences.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command as Process;

use common::problem::ProblemKind;
use common::replica::observer::{Command, Settings};

use crate::observed::{Side, exchange, path, skipped};

fn fifo(path: &std::path::Path) {
    assert!(Process::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn fifos_sockets_and_devices_are_listed_and_the_rest_goes_on() {
    let mut side = Side::with(Settings::default(), |dir| {
        fifo(&dir.join("fifo"));
        fs::write(dir.join("file"), "x").unwrap();
    });
    assert_eq!(side.problem("fifo"), Some(ProblemKind::Special));
    let _socket = UnixListener::bind(side.at("socket")).unwrap();
    let device = Process::new("mknod").arg(side.at("null")).args(["c", "1", "3"]).output();
    side.write("file", "edited");
    side.assert_told();
    assert_eq!(side.problem("socket"), Some(ProblemKind::Special));
    if device.unwrap().status.success() {
        assert_eq!(side.problem("null"), Some(ProblemKind::Special));
    } else {
        skipped("devices cannot be made here");
    }
    assert_eq!(side.told.rows.len(), 1);
    fs::remove_file(side.at("fifo")).unwrap();
    fs::remove_file(side.at("socket")).unwrap();
    side.settle();
    assert_eq!(side.problem("fifo"), None);
    assert_eq!(side.problem("socket"), None);
}

#[test]
fn a_file_that_became_a_fifo_is_not_told_gone_and_comes_back() {
    let mut side = Side::with(Settings::default(), |dir| fs::write(dir.join("x"), "x").unwrap());
    fs::remove_file(side.at("x")).unwrap();
    fifo(&side.at("x"));
    side.settle();
    assert_eq!(side.problem("x"), Some(ProblemKind::Special));
    fs::remove_file(side.at("x")).unwrap();
    side.write("x", "a file again");
    side.assert_told();
    assert_eq!(side.problem("x"), None);
}

#[test]
fn a_directory_that_became_a_fifo_keeps_everything_that_was_known() {
    let mut side = Side::with(Settings::default(), |dir| {
        fs::create_dir_all(dir.join("d/sub")).unwrap();
        fs::write(dir.join("d/sub/f"), "x").unwrap();
    });
    let aside = side.dir.parent().unwrap().join("aside");
    fifo(&aside);
    exchange(&side.at("d"), &aside);
    side.settle();
    assert_eq!(side.problem("d"), Some(ProblemKind::Special));
    assert!(side.has("d/sub/f"));
    exchange(&side.at("d"), &aside);
    side.write("d/sub/f", "edited");
    side.assert_told();
    assert_eq!(side.problem("d"), None);
    exchange(&side.at("d"), &aside);
    side.settle();
    fs::remove_file(side.at("d")).unwrap();
    side.assert_told();
    assert!(!side.has("d/sub/f"));
}

#[test]
fn an_unreadable_directory_keeps_everything_that_was_known() {
    let mut side = Side::with(Settings { poll_ms: 200, ..Settings::default() }, |dir| {
        fs::create_dir(dir.join("d")).unwrap();
        fs::write(dir.join("d/f"), "x").unwrap();
        fs::write(dir.join("g"), "x").unwrap();
    });
    if rustix::process::geteuid().is_root() {
        skipped("nothing is unreadable for root");
        return;
    }
    let dir = side.dir.clone();
    let mode = |name: &str, mode| {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("d", 0o000);
    mode("g", 0o000);
    // Patterns that cannot be read keep nothing else from being told.
    side.write(".lab3ignore", "");
    mode(".lab3ignore", 0o000);
    side.write("new", "x");
    side.until("the new file", |t| t.rows.contains_key(&path("new")));
    mode(".lab3ignore", 0o644);
    side.observer.send(Command::Rescan(None));
    side.settle();
    assert_eq!(side.problem("d"), Some(ProblemKind::Unreadable));
    assert!(side.has("d/f") && side.has("g"));
    mode("d", 0o755);
    mode("g", 0o644);
    side.assert_told();
    assert!(side.told.problems.is_empty());
    side.write("d/f", "watched again");
    side.assert_told();
}

#[test]
fn a_mount_is_listed_and_not_crossed() {
    let mut side = Side::with(Settings::default(), |dir| {
        fs::create_dir(dir.join("m")).unwrap();
        fs::write(dir.join("m/f"), "below").unwrap();
    });
    let mounted = Process::new("mount").args(["-t", "tmpfs", "none"]).arg(side.at("m")).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        skipped("nothing can be mounted here");
        return;
    }
    fs::write(side.at("m/other"), "on the mount").unwrap();
    side.observer.send(Command::Rescan(None));
    side.settle();
    let problem = side.problem("m");
    let told = side.has("m/other");
    assert!(Process::new("umount").arg(side.at("m")).status().unwrap().success());
    assert_eq!(problem, Some(ProblemKind::Mount));
    assert!(!told && side.has("m/f"));
    side.observer.send(Command::Rescan(None));
    side.assert_told();
    assert_eq!(side.problem("m"), None);
}

#[test]
fn remembered_stamps_spare_reading_but_never_hide_a_change() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("root");
    fs::create_dir_all(dir.join("d")).unwrap();
    for n in 0..10 {
        fs::write(dir.join(format!("d/f{n}")), "same").unwrap();
    }
    let side = Side::start(&dir, Settings::default(), Default::default());
    let rows = side.known.unsaved().into_iter().filter_map(|(p, r)| Some((p, r?)));
    let mut rows: std::collections::BTreeMap<_, _> = rows.collect();
    drop(side);
    // A remembered digest that is wrong shows that it was taken without reading.
    let wrong = common::digest::Digest([7; 32]);
    for row in rows.values_mut() {
        if let common::entry::Entry::File(file) = &mut row.entry {
            std::sync::Arc::make_mut(file).digest = wrong;
        }
    }
    fs::write(dir.join("d/f3"), "diff").unwrap();
    let side = Side::start(&dir, Settings::default(), rows);
    let digest = |name: &str| side.known.row(&path(name)).unwrap().entry.as_file().unwrap().digest;
    assert_eq!(digest("d/f1"), wrong);
    assert_eq!(digest("d/f3"), common::digest::Digest::of(b"diff"));
}
