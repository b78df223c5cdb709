//! Clocks that differ, jump and stand still; zones; file systems with coarse times; edits that no
//! time shows.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::side::Side;
use rustix::process::Signal;

use crate::cases_special::Mounted;
use crate::real::{agree, done, has, size};
use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{self, Node, put, put_at, remove, set_modified, text};

/// 2023-11-14 22:13:20 UTC.
const THEN: u64 = 1_700_000_000;
/// 2100-01-01 00:00:00 UTC.
const AHEAD: u64 = 4_102_444_800;

/// A file is written in place, always with the same size, some versions with an old time, without
/// a pause between, while it is looked at: the last version is the one that arrives (T01, T02, T03,
/// T04).
#[test]
fn the_last_of_many_edits_of_one_size_arrives_whatever_their_times() {
    let system = System::holding(&[("f", &"0".repeat(70_000)), ("g", "0000")]);
    for round in 0..12_u8 {
        let root = system.root(if round % 2 == 0 { Side::A } else { Side::B });
        for (name, length, edits) in [("f", 70_000, 20_u8), ("g", 4, 60)] {
            let file = fs::File::options().write(true).open(root.join(name)).expect("a file");
            for n in 0..edits {
                let content = vec![b'a' + (n + round) % 26; length];
                file.write_all_at(&content, 0).expect("written");
                if n % 3 != 0 {
                    set_modified(root, name, Duration::from_secs(THEN));
                }
            }
        }
        let nodes = system.agree();
        let (f, g) = (b'a' + (19 + round) % 26, b'a' + (59 + round) % 26);
        for (name, byte) in [("f", f), ("g", g)] {
            let found = fs::read(system.b.join(name)).expect("a file");
            assert!(found.iter().all(|b| *b == byte), "{name} in round {round}");
        }
        assert_eq!(nodes.len(), 2, "no copies: {:?}", nodes.keys());
    }
}

/// A library that moves the wall clock of a program by so many seconds as a file says.
fn clock(dir: &Path) -> Option<PathBuf> {
    let source = dir.join("clock.c");
    let code = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *time) {
            static int (*real)(clockid_t, struct timespec *);
            if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
            int answer = real(clock, time);
            const char *path = getenv("CLOCK_OFFSET_FILE");
            if (clock != CLOCK_REALTIME || !path) return answer;
            FILE *file = fopen(path, "re");
            long seconds = 0;
            if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
            time->tv_sec += seconds;
            return answer;
        }
    "#;
    fs::write(&source, code).expect("written");
    let library = dir.join("clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
    cc.output().is_ok_and(|done| done.status.success()).then_some(library)
}

/// One server's clock is an hour ahead, then behind, and jumps while both run: what survives and
/// what wins is what it was, and locks with a time end by A's clock alone (T07, T08).
#[test]
fn clocks_that_differ_and_jump_change_nothing() {
    let name = "clocks_that_differ_and_jump_change_nothing";
    for side in Side::BOTH {
        let mut system = System::new();
        let Some(library) = clock(system.dir.path()) else {
            return skip(name, "no C compiler");
        };
        let offset = system.dir.path().join("offset");
        let set = |seconds: i64| fs::write(&offset, seconds.to_string()).expect("written");
        set(3600);
        let preload = format!("LD_PRELOAD={}", library.display());
        let file = format!("CLOCK_OFFSET_FILE={}", offset.display());
        system.through[side] = vec!["env".into(), preload, file];
        system.start();
        put(&system.a, "f", "old");
        put(&system.b, "g", "old");
        system.agree();
        for (n, seconds) in [3600, -3600, 0, 86_400, -86_400].into_iter().enumerate() {
            set(seconds);
            put(&system.a, "f", format!("by a {n}"));
            put(&system.b, "g", format!("by b {n}"));
            system.agree();
            remove(&system.b, "f");
            put(&system.a, "g", format!("by a {n}"));
            system.agree();
            assert_eq!(text(&system.a, "f"), None);
            put(&system.b, "f", "again");
            system.agree_on(&[("f", "again"), ("g", &format!("by a {n}"))]);
        }
        let said = system.server(side).said();
        let days = said.lines().skip(1).filter_map(|line| line.get(..10));
        let days: BTreeSet<&str> = days.collect();
        assert!(days.len() > 1, "its clock did jump: {days:?}");
        // The times of the two versions decide which keeps the name, no clock.
        system.stop(&Side::BOTH);
        put_at(&system.a, "f", "newer", THEN + 10);
        put_at(&system.b, "f", "older", THEN);
        system.start();
        system.agree();
        assert_eq!(text(&system.b, "f").as_deref(), Some("newer"));
        let said = system.server(Side::A).said();
        assert!(said.contains(".conflict-B-20231114-221320-"), "{said}");
    }
}

/// The zone that a server runs in changes no name and no decision (T12).
#[test]
fn zones_change_nothing() {
    let mut system = System::new();
    system.through.a = vec!["env".into(), "TZ=Pacific/Apia".into()];
    system.through.b = vec!["env".into(), "TZ=America/St_Johns".into()];
    // On the day on which many clocks are set back.
    put_at(&system.a, "f", "newer", 1_698_541_200);
    put_at(&system.b, "f", "older", 1_698_537_600);
    system.start();
    system.agree();
    let nodes = system.agree();
    let copy = nodes.keys().find(|name| name.starts_with(b"f.conflict-B-20231029-000000-"));
    assert!(copy.is_some(), "in UTC: {:?}", nodes.keys());
    system.stop(&Side::BOTH);
    for side in Side::BOTH {
        system.through[side] = vec!["env".into(), "TZ=Asia/Tokyo".into()];
    }
    system.start();
    assert_eq!(system.agree(), nodes, "after a journey");
}

/// Times before 1970, at the end of what 32 bits can say, and as far ahead as the file system goes,
/// are equal on both sides to the nanosecond, and nothing turns in circles (T05).
#[test]
fn times_before_1970_and_far_ahead_are_the_same_on_both_sides() {
    let system = System::started();
    let times = [
        "1901-12-13 20:45:52.000000001 UTC",
        "1969-12-31 23:59:59 UTC",
        "1969-12-31 23:59:59.999999999 UTC",
        "1970-01-01 00:00:00 UTC",
        "2038-01-19 03:14:08.5 UTC",
        "2446-05-10 22:38:55 UTC",
        "2999-01-01 00:00:00 UTC",
    ];
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        for (n, time) in times.iter().enumerate() {
            let name = format!("{here}-{n}");
            put(system.root(here), &name, "x");
            done(Command::new("touch").args(["-d", time]).arg(system.root(here).join(name)));
        }
        let nodes = system.agree();
        for (n, wanted) in [(1, (-1, 0)), (2, (-1, 999_999_999)), (4, (1 << 31, 500_000_000))] {
            let node = &nodes[format!("{here}-{n}").as_bytes()];
            let is = matches!(node, Node::File { modified, .. } if *modified == wanted);
            assert!(is, "{n}: {node:?}");
        }
        for n in 0..times.len() {
            put(system.root(there), format!("{here}-{n}"), "edited");
        }
        let nodes = system.agree();
        let edited = nodes.values().filter(|node| format!("{node:?}").contains("\"edited\""));
        assert!(edited.count() >= times.len(), "{nodes:?}");
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
    let said = system.server(Side::A).said();
    system.wait();
    assert_eq!(system.server(Side::A).said(), said, "nothing moves any more");
}

/// A directory on a file system of another kind, in a file; `None` when it cannot be had here.
fn file_system(words: &[&str], dir: &Path) -> Option<Mounted> {
    let image = dir.join("image");
    fs::File::create(&image).expect("a file").set_len(64 << 20).expect("long");
    let made = Command::new(words[0]).args(&words[1..]).arg(&image).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return None;
    }
    let at = dir.join("mounted");
    fs::create_dir(&at).expect("made");
    Mounted::new(&["-o", "loop", image.to_str().expect("UTF-8")], &at)
}

/// A file system that keeps whole seconds only: edits within one second are edits, times are equal
/// to the second, and nothing turns in circles (T10).
#[test]
fn a_file_system_with_coarse_times_is_good_enough() {
    let name = "a_file_system_with_coarse_times_is_good_enough";
    if !is_root() {
        return skip(name, "needs root");
    }
    for side in Side::BOTH {
        let mut system = System::new();
        // Inodes of the old size have no room for more than seconds.
        let words = ["mkfs.ext4", "-q", "-F", "-I", "128"];
        let Some(mounted) = file_system(&words, system.dir.path()) else {
            return skip(name, "no such file system can be made and mounted here");
        };
        let root = mounted.0.join("tree");
        fs::create_dir(&root).expect("made");
        match side {
            Side::A => system.a = root,
            Side::B => system.b = root,
        }
        system.start();
        for n in 0..10 {
            let from = system.root(if n % 2 == 0 { Side::A } else { Side::B });
            put(from, "f", format!("{n:04}"));
            put(from, format!("d/{n}"), "x");
            system.wait();
            assert_eq!(text(&system.a, "f"), text(&system.b, "f"));
            assert_eq!(text(&system.b, "f"), Some(format!("{n:04}")));
        }
        set_modified(&system.a, "f", Duration::new(THEN, 999_999_999));
        system.wait();
        let seconds = |root: &Path| fs::metadata(root.join("f")).expect("a file").mtime();
        assert_eq!((seconds(&system.a), seconds(&system.b)), (THEN as i64, THEN as i64));
        // Beyond what its times can say: the other side keeps its own, and is not told a wrong one.
        let other = system.root(side.other());
        set_modified(other, "f", Duration::from_secs(AHEAD));
        system.wait();
        assert_eq!(seconds(other), AHEAD as i64);
        let said = Side::BOTH.map(|side| system.server(side).said());
        assert!(!said[0].contains("conflict"), "{}", said[0]);
        for order in [[Side::A, Side::B], [Side::B, Side::A]] {
            system.stop(&order);
            system.restart(&order);
            system.wait();
            let moved = Side::BOTH.map(|side| system.server(side).said());
            assert!(!moved.iter().any(|said| said.contains('→')), "{moved:?}");
        }
        put(system.root(side), "f", "edited where times are coarse");
        system.wait();
        let other = system.root(side.other());
        assert_eq!(text(other, "f").as_deref(), Some("edited where times are coarse"));
        system.stop(&Side::BOTH);
        drop(mounted);
    }
}

/// Both servers stand still, longer than any heartbeat is waited for, while users work; then one
/// of them alone: both wake up, nothing is lost, nothing is deleted (T11).
#[test]
fn servers_that_sleep_longer_than_a_heartbeat_go_on() {
    let mut system = System::holding(&[("f", "old"), ("g", "old"), ("gone", "old")]);
    system.ok(&["-lock", "g"]);
    let naps = [&[Side::A, Side::B][..], &[Side::B], &[Side::A]];
    let naps = &naps[..size(1, 3)];
    for (round, asleep) in naps.iter().enumerate() {
        for side in *asleep {
            system.server(*side).signal(Signal::STOP);
        }
        put(&system.a, "f", format!("by a {round}"));
        put(&system.b, "g", format!("by b {round}"));
        put(&system.b, format!("new {round}"), "x");
        let _ = fs::remove_file(system.a.join("gone"));
        // This is the case itself: longer than the fifteen seconds of silence that end a link.
        sleep(Duration::from_secs(size(16, 60)));
        for side in *asleep {
            system.server(*side).signal(Signal::CONT);
        }
        until("the new file arrives", || system.a.join(format!("new {round}")).exists());
        until("the edit arrives", || text(&system.b, "f") == Some(format!("by a {round}")));
        until("the deletion arrives", || !system.b.join("gone").exists());
        until("it is held", || system.held(&["g"]).len() == round + 1);
        assert_eq!(text(&system.a, "g").as_deref(), Some("old"), "locked");
    }
    system.ok(&["-unlock", "g"]);
    let nodes = system.agree();
    assert_eq!(nodes.len(), 2 + naps.len(), "{nodes:?}");
    system.stop(&Side::BOTH);
}

/// What was unpacked with times of years ago is new all the same, also over files of one size that
/// were there already (E12).
#[test]
fn what_is_unpacked_with_old_times_is_new() {
    if !has("tar") {
        return skip("what_is_unpacked_with_old_times_is_new", "tar is not installed");
    }
    let files = size(300, 20_000);
    let mut system = System::new().relaxed().losing_up_to(4 * files as usize);
    system.start();
    let pack = |name: &str, byte: u8| {
        let source = system.dir.path().join(name);
        for n in 0..files {
            let path = format!("{}/{n}", n % 50);
            put(&source, &path, [byte; 64]);
            set_modified(&source, &path, Duration::from_secs(1_000_000_000 + n));
        }
        let archive = system.dir.path().join(format!("{name}.tar"));
        done(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&source).arg("."));
        archive
    };
    let archives = [pack("one", b'1'), pack("two", b'2')];
    for (n, side) in [Side::A, Side::B, Side::A].into_iter().enumerate() {
        let at = system.root(side).join("unpacked");
        fs::create_dir_all(&at).expect("made");
        done(Command::new("tar").arg("-xf").arg(&archives[n % 2]).arg("-C").arg(&at));
        agree(&system);
        let found = text(system.root(side.other()), &format!("unpacked/7/{}", files - 43));
        assert_eq!(found, Some(if n % 2 == 0 { "1" } else { "2" }.repeat(64)));
    }
    let count = trees::read(&system.b).len() as u64;
    assert_eq!(count, files + 51);
}
