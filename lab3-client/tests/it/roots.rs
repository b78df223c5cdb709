//! Roots on real disks: unmounted, not there yet, mounted over, read-only, full, or broken under a
//! running server. Whatever is seen then, nothing is deleted on the other side; `lab3 status` says
//! why nothing moves; and when the disk is right again, it goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::side::Side;

use crate::power_disk::{Disk, Last, run};
use crate::server::until;
use crate::system::{System, skip};
use crate::trees::{self, put, remove, text};

const FILES: [(&str, &str); 5] =
    [("1", "one"), ("2", "two"), ("3", "three"), ("d/4", "four"), ("d/e/5", "five")];

/// Whether all files are where they were.
#[track_caller]
fn is_whole(root: &Path) {
    for (name, content) in FILES {
        assert_eq!(text(root, name).as_deref(), Some(content), "{name} in {}", root.display());
    }
}

/// A system of which one root is a disk of its own; nothing runs yet.
fn on_disk(side: Side, options: &[&str]) -> Result<(System, Disk), String> {
    let disk = Disk::new(64, options)?;
    fs::remove_dir(disk.place().join("lost+found")).expect("removed");
    let mut system = System::new();
    match side {
        Side::A => system.a = disk.place().to_owned(),
        Side::B => system.b = disk.place().to_owned(),
    }
    Ok((system, disk))
}

/// The same, running, with both sides holding the files.
fn holding(side: Side) -> Result<(System, Disk), String> {
    let (mut system, disk) = on_disk(side, &[])?;
    system.start();
    for (name, content) in FILES {
        put(&system.a, name, content);
    }
    system.agree();
    Ok((system, disk))
}

/// Nothing is halted any more.
#[track_caller]
fn goes_on(system: &System) {
    until("it goes on", || system.json(&["status"])["halted"].is_null());
}

/// Waits until nothing waits any more, and both sides are equal.
#[track_caller]
fn settled(system: &System) -> trees::Nodes {
    until("nothing waits", || system.lab3(&["wait", "--timeout", "10s"]).code == 0);
    system.agree()
}

/// A mount of a test. Unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(arguments: &[&str], place: &Path) -> Mounted {
        run(Command::new("mount").args(arguments).arg(place)).expect("mounted");
        Mounted(place.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A disk that is taken away under a running server leaves an empty directory; that is no deletion.
/// When it is mounted again, its server is started again and goes on (W13).
#[test]
fn a_disk_that_is_unmounted_under_its_server_halts_and_deletes_nothing() {
    for side in Side::BOTH {
        let (mut system, disk) = match holding(side) {
            Ok(made) => made,
            Err(why) => return skip("a_disk_that_is_unmounted", &why),
        };
        let other = system.root(side.other()).to_owned();
        disk.pull();
        assert_eq!(fs::read_dir(disk.place()).expect("a directory").count(), 0);
        let why = system.halted();
        assert!(why.contains("another directory than the one that was opened"), "{why}");
        put(&other, "meanwhile", "x");
        assert_eq!(system.lab3(&["wait", "--timeout", "2s"]).code, 5);
        is_whole(&other);
        assert_eq!(fs::read_dir(disk.place()).expect("a directory").count(), 0);
        // Whoever approves that says that nothing is wrong; but another directory is another one.
        system.ok(&["approve"]);
        assert_eq!(system.lab3(&["wait", "--timeout", "2s"]).code, 5);
        is_whole(&other);
        system.stop(&[side]);
        disk.mount().expect("mounted again");
        system.restart(&[side]);
        goes_on(&system);
        system.agree();
        is_whole(disk.place());
        assert_eq!(text(disk.place(), "meanwhile").as_deref(), Some("x"));
    }
}

/// B starts before its disk is mounted, finds an empty directory, and becomes another replica
/// there: that halts. When the disk is there, B is started again and goes on (A03, W13).
#[test]
fn a_disk_of_b_that_is_mounted_late_halts_and_deletes_nothing() {
    let (mut system, disk) = match holding(Side::B) {
        Ok(made) => made,
        Err(why) => return skip("a_disk_of_b_that_is_mounted_late", &why),
    };
    system.stop(&[Side::B]);
    disk.unmount();
    system.restart(&[Side::B]);
    let why = system.halted();
    assert!(why.contains("another replica"), "{why}");
    put(&system.a, "meanwhile", "x");
    assert_eq!(system.lab3(&["wait", "--timeout", "2s"]).code, 5);
    is_whole(&system.a);
    assert!(!disk.place().join("1").exists(), "nothing is put where the disk belongs");
    disk.mount().expect("mounted at last");
    until("it is noticed", || {
        system.json(&["status"])["halted"].to_string().contains("another directory")
    });
    system.stop(&[Side::B]);
    system.restart(&[Side::B]);
    goes_on(&system);
    system.agree();
    is_whole(&system.a);
    is_whole(disk.place());
    assert_eq!(text(disk.place(), "meanwhile").as_deref(), Some("x"));
}

/// A starts before its disk is mounted, and knows nothing there: it takes everything from B, and
/// removes nothing. When the disk is there that halts; started again on its own disk, it goes on,
/// after an approval at most (A02, W13).
#[test]
fn a_disk_of_a_that_is_mounted_late_deletes_nothing() {
    let (mut system, disk) = match holding(Side::A) {
        Ok(made) => made,
        Err(why) => return skip("a_disk_of_a_that_is_mounted_late", &why),
    };
    system.stop(&[Side::A]);
    disk.unmount();
    system.restart(&[Side::A]);
    system.agree();
    is_whole(&system.b);
    put(&system.b, "meanwhile", "x");
    system.agree();
    disk.mount().expect("mounted at last");
    let why = system.halted();
    assert!(why.contains("another directory"), "{why}");
    system.stop(&[Side::A]);
    system.restart(&[Side::A]);
    system.b_is("connected");
    if !system.json(&["status"])["halted"].is_null() {
        system.ok(&["approve"]);
    }
    system.agree();
    is_whole(&system.b);
    is_whole(disk.place());
    assert_eq!(text(disk.place(), "meanwhile").as_deref(), Some("x"));
}

/// With its state elsewhere, a server knows that the directory was a replica once: it does not
/// even start where the disk is not mounted (G10).
#[test]
fn a_server_with_its_state_elsewhere_does_not_start_without_its_disk() {
    for side in Side::BOTH {
        let (mut system, disk) = match on_disk(side, &[]) {
            Ok(made) => made,
            Err(why) => return skip("a_server_with_its_state_elsewhere", &why),
        };
        let state = system.dir.path().join("state").to_string_lossy().into_owned();
        match side {
            Side::A => system.options_a.extend(["--state-dir".to_owned(), state]),
            Side::B => system.options_b.extend(["--state-dir".to_owned(), state]),
        }
        system.start();
        for (name, content) in FILES {
            put(&system.a, name, content);
        }
        system.agree();
        system.stop(&[side]);
        disk.unmount();
        let command = match side {
            Side::A => system.command_a(),
            Side::B => system.command_b(),
        };
        let ran = system.fails(command);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("has lost its `.lab3/id`"), "{ran:?}");
        is_whole(system.root(side.other()));
        disk.mount().expect("mounted again");
        system.restart(&[side]);
        system.agree();
        is_whole(disk.place());
    }
}

/// A file system that is mounted over a directory of the tree hides what was in it; that is no
/// deletion, and what it holds is not ours. It ends with the mount (W17).
#[test]
fn a_mount_inside_the_tree_hides_and_deletes_nothing() {
    for side in Side::BOTH {
        let system = System::holding(&FILES);
        let (root, other) = (system.root(side).to_owned(), system.root(side.other()).to_owned());
        if !crate::system::is_root() {
            return skip("a_mount_inside_the_tree", "needs root");
        }
        let mounted = Mounted::new(&["-t", "tmpfs", "none"], &root.join("d"));
        put(&root, "d/on the other disk", "not ours");
        put(&root, "1", "one, edited");
        put(&other, "2", "two, edited");
        put(&other, "d/4", "four, edited");
        put(&other, "d/new", "new");
        system.ok(&["scrub"]);
        until("the rest goes on", || {
            text(&other, "1").as_deref() == Some("one, edited")
                && text(&root, "2").as_deref() == Some("two, edited")
        });
        let waited = system.lab3(&["wait", "--timeout", "2s"]);
        assert_eq!(waited.code, 5, "{waited:?}");
        assert_eq!(text(&other, "d/4").as_deref(), Some("four, edited"));
        assert_eq!(text(&other, "d/e/5").as_deref(), Some("five"));
        assert!(!other.join("d/on the other disk").exists());
        assert!(!root.join("d/4").exists() && !root.join("d/new").exists());
        let status = system.json(&["status"]);
        assert!(status["problems"].to_string().contains("\"d\""), "{status}");
        drop(mounted);
        system.ok(&["scrub"]);
        let nodes = settled(&system);
        assert_eq!(text(&root, "d/4").as_deref(), Some("four, edited"));
        assert_eq!(text(&root, "d/e/5").as_deref(), Some("five"));
        assert_eq!(nodes.len(), 8, "{nodes:?}");
    }
}

/// A tree that is to be seen at a second place: what is done there is seen (W18).
#[test]
fn edits_through_a_second_mount_of_the_tree_are_seen() {
    let system = System::holding(&FILES);
    if !crate::system::is_root() {
        return skip("edits_through_a_second_mount", "needs root");
    }
    for side in Side::BOTH {
        let place = system.dir.path().join(format!("second-{side}"));
        fs::create_dir(&place).expect("a directory");
        let root = system.root(side).to_string_lossy().into_owned();
        let _mounted = Mounted::new(&["--bind", &root], &place);
        put(&place, format!("d/by {side}"), "through the other place");
        put(&place, "1", format!("edited by {side}"));
        remove(&place, if side == Side::A { "2" } else { "3" });
        system.agree();
        let other = system.root(side.other());
        assert_eq!(text(other, "1"), Some(format!("edited by {side}")));
    }
    assert_eq!(trees::read(&system.a).len(), 3 + 2 + 2);
}

/// A file over which another one is mounted is not read and not deleted (X07).
#[test]
fn a_file_that_is_mounted_over_is_left_alone() {
    for side in Side::BOTH {
        let system = System::holding(&FILES);
        if !crate::system::is_root() {
            return skip("a_file_that_is_mounted_over", "needs root");
        }
        let (root, other) = (system.root(side).to_owned(), system.root(side.other()).to_owned());
        let mounted = Mounted::new(&["--bind", "/proc/version"], &root.join("1"));
        put(&root, "3", "three, edited");
        system.ok(&["scrub"]);
        until("the rest goes on", || text(&other, "3").as_deref() == Some("three, edited"));
        assert_eq!(text(&other, "1").as_deref(), Some("one"));
        drop(mounted);
        put(&other, "1", "one, edited");
        system.ok(&["scrub"]);
        settled(&system);
        assert_eq!(text(&root, "1").as_deref(), Some("one, edited"));
    }
}

/// A disk that answers nothing but errors is not an empty one; its server is started again when the
/// disk is right again (P18, G07).
#[test]
fn a_disk_that_breaks_under_its_server_deletes_nothing() {
    for side in Side::BOTH {
        let (mut system, disk) = match holding(side) {
            Ok(made) => made,
            Err(why) => return skip("a_disk_that_breaks", &why),
        };
        let other = system.root(side.other()).to_owned();
        disk.cut(Last::Names);
        put(&other, "1", "one, edited");
        put(&other, "meanwhile", "x");
        if side == Side::B {
            assert_eq!(system.lab3(&["wait", "--timeout", "3s"]).code, 5);
        }
        assert_eq!(text(&other, "2").as_deref(), Some("two"));
        system.kill(side);
        disk.back();
        system.restart(&[side]);
        settled(&system);
        for root in [disk.place(), &other] {
            assert_eq!(text(root, "1").as_deref(), Some("one, edited"));
            assert_eq!(text(root, "meanwhile").as_deref(), Some("x"));
            assert_eq!(text(root, "d/e/5").as_deref(), Some("five"));
        }
    }
}

/// A disk that becomes read-only takes nothing and loses nothing, and what waits has a reason; it
/// goes on when it can be written again (G04, A08).
#[test]
fn a_disk_that_is_read_only_takes_nothing_and_loses_nothing() {
    let (system, disk) = match holding(Side::B) {
        Ok(made) => made,
        Err(why) => return skip("a_disk_that_is_read_only", &why),
    };
    run(Command::new("mount").args(["-o", "remount,ro,force"]).arg(disk.place())).unwrap_or(());
    // The server holds files open for writing, so only the disk itself can be made read-only.
    let read_only = fs::write(disk.place().join("probe"), "x").is_err();
    if !read_only {
        fs::remove_file(disk.place().join("probe")).expect("removed");
        return skip("a_disk_that_is_read_only", "the disk is in use for writing");
    }
    put(&system.a, "1", "one, edited");
    remove(&system.a, "2");
    let waited = system.lab3(&["wait", "--timeout", "3s"]);
    assert_eq!(waited.code, 5, "{waited:?}");
    assert!(waited.err.contains("ead-only"), "{waited:?}");
    is_whole(disk.place());
    disk.remount("rw");
    settled(&system);
    assert_eq!(text(disk.place(), "1").as_deref(), Some("one, edited"));
}

/// A disk without room for another file takes what it can; the rest waits with its reason, and
/// arrives when there is room (G15).
#[test]
fn a_disk_that_is_out_of_inodes_loses_nothing() {
    let (mut system, disk) = match on_disk(Side::B, &["-N", "160"]) {
        Ok(made) => made,
        Err(why) => return skip("a_disk_that_is_out_of_inodes", &why),
    };
    system.b = disk.place().join("root");
    fs::create_dir(&system.b).expect("a root");
    system.options_b = vec!["--min-free".into(), "0".into()];
    system.start();
    let ballast = disk.place().join("ballast");
    for number in 0..90 {
        put(&ballast, number.to_string(), "");
    }
    let names: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    for name in &names {
        put(&system.a, name, name);
    }
    let waited = system.lab3(&["wait", "--timeout", "5s"]);
    assert_eq!(waited.code, 5, "{waited:?}");
    assert!(waited.err.contains("o space left"), "{waited:?}");
    for name in &names {
        let at_b = text(&system.b, name);
        assert!(at_b.as_deref().is_none_or(|text| text == name), "{name}: {at_b:?}");
        assert_eq!(text(&system.a, name).as_deref(), Some(name.as_str()));
    }
    fs::remove_dir_all(&ballast).expect("removed");
    assert_eq!(settled(&system).len(), 100);
}

/// A root that was moved and left a link to its new place is the same root (G08).
#[test]
fn a_link_to_the_moved_root_is_the_same_root_and_to_another_one_halts() {
    for side in Side::BOTH {
        let system = System::holding(&FILES);
        let (root, other) = (system.root(side).to_owned(), system.root(side.other()).to_owned());
        let (moved, empty) = (system.dir.path().join("moved"), system.dir.path().join("empty"));
        fs::create_dir(&empty).expect("a directory");
        fs::rename(&root, &moved).expect("renamed");
        symlink(&empty, &root).expect("a link");
        let why = system.halted();
        assert!(why.starts_with(&format!("side {side}: ")), "{why}");
        put(&other, "1", "one, edited");
        assert_eq!(system.lab3(&["wait", "--timeout", "1s"]).code, 5);
        assert_eq!(fs::read_dir(&empty).expect("a directory").count(), 0);
        assert_eq!(text(&other, "2").as_deref(), Some("two"));
        fs::remove_file(&root).expect("removed");
        symlink(&moved, &root).expect("a link");
        goes_on(&system);
        put(&moved, "2", "two, edited");
        put(&moved, "d/e/new", "new");
        system.agree();
        assert_eq!(text(&moved, "1").as_deref(), Some("one, edited"));
        assert_eq!(text(&other, "d/e/new").as_deref(), Some("new"));
    }
}

/// A root that may not be read any more is not an empty one (G08).
#[test]
fn a_root_that_may_not_be_read_halts_and_deletes_nothing() {
    let mut system = System::new();
    if !crate::system::is_root() {
        return skip("a_root_that_may_not_be_read", "needs root");
    }
    system.user_b = Some(65_534);
    std::os::unix::fs::chown(&system.b, Some(65_534), Some(65_534)).expect("chown");
    std::os::unix::fs::chown(system.dir.path(), Some(65_534), Some(65_534)).expect("chown");
    system.start();
    for (name, content) in FILES {
        put(&system.a, name, content);
    }
    system.agree();
    let above = system.dir.path().to_owned();
    for (place, mode) in [(system.b.clone(), 0o755), (above, 0o755)] {
        trees::chmod(&place, ".", 0o000);
        let why = system.halted();
        assert!(why.contains("cannot"), "{why}");
        put(&system.a, "1", format!("edited {}", place.display()));
        assert_eq!(system.lab3(&["wait", "--timeout", "2s"]).code, 5);
        assert_eq!(text(&system.a, "d/e/5").as_deref(), Some("five"));
        trees::chmod(&place, ".", mode);
        goes_on(&system);
        settled(&system);
    }
}
