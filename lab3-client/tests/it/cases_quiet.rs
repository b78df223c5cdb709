//! A pair at rest does nothing; and whatever differs is named with its reason.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::side::Side;

use crate::cases_directories::fifo;
use crate::real::size;
use crate::server::until;
use crate::sweep_strace::{Strace, can_trace};
use crate::system::System;
use crate::trees::{self, link, put, remove};

/// What a process has written so far, in calls and in bytes to the disk; and ticks of a processor.
fn work(system: &System, side: Side) -> (u64, u64, u64) {
    let pid = system.server(side).pid().as_raw_nonzero();
    let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("counters");
    let of = |name: &str| {
        let line = io.lines().find_map(|line| line.strip_prefix(name)).expect("a counter");
        line.trim().parse::<u64>().expect("a number")
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a status");
    let after = stat.rsplit(')').next().expect("its name is in parentheses");
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).map(|t| t.parse().unwrap_or(0)).sum();
    (of("syscw: "), of("write_bytes: "), ticks)
}

/// Everything below a directory of ours, with sizes and times.
fn ours(root: &Path) -> String {
    let nodes = trees::read(&root.join(".lab3"));
    let about = |name: &[u8]| {
        let name = std::str::from_utf8(name).expect("UTF-8");
        let about = fs::symlink_metadata(root.join(".lab3").join(name)).expect("metadata");
        format!("{name} {} {:?}\n", about.len(), about.modified().expect("a time"))
    };
    nodes.keys().map(|name| about(name)).collect()
}

/// A pair at rest writes nothing to its disks, says nothing, and sends nothing but heartbeats
/// (Q01, M03).
#[test]
fn a_pair_at_rest_writes_nothing() {
    let mut system = System::new();
    for n in 0..200 {
        put(&system.a, format!("d{}/{n}", n % 20), n.to_string());
        put(&system.b, format!("e{}/{n}", n % 20), n.to_string());
    }
    system.start();
    link(&system.a, "d1/1", "link");
    system.agree();
    // What is known is saved a few seconds after the last change.
    let look = || Side::BOTH.map(|side| (ours(system.root(side)), system.server(side).said()));
    let mut before = look();
    let mut quiet = 0;
    until("what is known is saved", || {
        sleep(Duration::from_millis(500));
        let now = look();
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        quiet == 16
    });
    let began = Side::BOTH.map(|side| work(&system, side));
    let folder = tempfile::tempdir().expect("a directory");
    let logs = Side::BOTH.map(|side| folder.path().join(side.to_string()));
    let traces = Side::BOTH.map(|side| {
        let log = logs[side as usize].to_string_lossy().into_owned();
        let options = ["-e", "trace=fsync,fdatasync,syncfs,sync", "-o", &log].map(str::to_owned);
        can_trace().then(|| Strace::attach(system.server(side).pid(), "", &options))
    });
    // This is the case itself: nothing happens for a while.
    let seconds = size(6, 600);
    sleep(Duration::from_secs(seconds));
    assert!(look() == before, "something was written or said");
    drop(traces);
    for log in &logs {
        let flushes = fs::read_to_string(log).unwrap_or_default();
        assert_eq!(flushes, "", "something was flushed, with all that others have written");
    }
    for (side, began) in Side::BOTH.into_iter().zip(began) {
        let (calls, bytes, ticks) = work(&system, side);
        let (calls, bytes, ticks) = (calls - began.0, bytes - began.1, ticks - began.2);
        eprintln!("{side} at rest for {seconds} s: {calls} writes, {bytes} bytes, {ticks} ticks");
        assert_eq!(bytes, 0, "{side} wrote to its disk");
        assert!(calls <= 4 * seconds, "{side} made {calls} writes in {seconds} seconds");
    }
}

/// A side that is halted rests: it waits for somebody to look, for as long as that takes.
#[test]
fn a_halted_side_rests() {
    let systems = Side::BOTH.map(|side| {
        let mut system = System::holding(&[("1", "one"), ("d/2", "two")]);
        system.stop(&[side]);
        ["1", "d"].iter().for_each(|name| remove(system.root(side), name));
        system.restart(&[side]);
        system.halted();
        (system, side)
    });
    // All that is done from time to time has been due for a while.
    sleep(Duration::from_secs(12));
    let ticks = || systems.each_ref().map(|(system, side)| work(system, *side).2);
    let (begun, began) = (Instant::now(), ticks());
    sleep(Duration::from_secs(2));
    let passed = begun.elapsed();
    for (ended, began) in ticks().into_iter().zip(began) {
        // A tick is ten milliseconds.
        let worked = Duration::from_millis(10 * (ended - began));
        assert!(worked < passed / 10, "it worked for {worked:?} of {passed:?}");
    }
}

/// While anything differs, its path is named, with the side and a reason in words; afterwards
/// nothing is named any more (Q04, M32).
#[test]
fn whatever_differs_is_named_with_its_reason() {
    let names = ["busy", "held", "locked/dir/f", "plain", "special"];
    let system = System::holding(&names.map(|name| (name, "old")));
    let writer = fs::OpenOptions::new().append(true).open(system.b.join("busy")).expect("opened");
    put(&system.a, "busy", "by a");
    system.ok(&["-lock", "held"]);
    put(&system.b, "held", "by b");
    system.ok(&["-lock", "locked"]);
    remove(&system.b, "locked");
    remove(&system.a, "special");
    fifo(&system.a, "special");
    put(&system.b, "special", "by b");
    fifo(&system.b, "new-fifo");
    put(&system.a, "plain", "by a");
    let differing = || {
        let (a, b) = (trees::read(&system.a), trees::read(&system.b));
        let names = trees::differences(&a, &b).into_iter().map(<[u8]>::to_vec);
        names.map(|name| String::from_utf8(name).expect("UTF-8")).collect::<Vec<_>>()
    };
    until("only what must differs", || !differing().contains(&"plain".to_owned()));
    until("all that differs is named", || {
        let named = system.named();
        let is_named = |name: &String| {
            // A directory that is there for what is in it is named by that.
            let below = format!("{name}/");
            named.keys().any(|path| path == name || path.starts_with(&below))
        };
        differing().iter().all(is_named)
    });
    let reason = |path: &str| system.named().get(path).cloned().unwrap_or_default();
    assert!(reason("busy").contains("open for writing at B"), "{}", reason("busy"));
    assert!(reason("held").contains("locked by ann@mill"), "{}", reason("held"));
    assert!(reason("locked/dir/f").contains("locked by"), "{:?}", system.named());
    assert!(reason("special").contains("fifo"), "{}", reason("special"));
    for path in ["busy", "held", "special"] {
        let said = system.ok(&["status", path]);
        assert!(said.contains(&reason(path)), "{said}");
    }
    drop(writer);
    system.ok(&["-unlock", "held"]);
    system.ok(&["-unlock", "locked"]);
    fs::remove_file(system.a.join("special")).expect("removed");
    fs::remove_file(system.b.join("new-fifo")).expect("removed");
    system.agree_on(&[("busy", "by a"), ("held", "by b"), ("plain", "by a"), ("special", "by b")]);
    until("nothing is named", || system.named().is_empty());
}
