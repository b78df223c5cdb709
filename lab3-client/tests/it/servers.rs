//! The servers as programs: how they start, speak, find each other, and end.

use std::process::Command;

use common::side::Side;
use rustix::process::Signal;
use serde_json::Value;

use crate::server::Server;
use crate::system::System;
use crate::trees::{self, put};

/// Ready is one line on stdout, with what was bound and the directory.
#[test]
fn a_server_says_when_it_is_ready() {
    let mut system = System::new();
    let (a, b) = (system.a.display().to_string(), system.b.display().to_string());
    let peer = format!("127.0.0.1:{}", system.port_b);
    assert_eq!(system.start_b(), format!("server-b ready: peer {peer}, directory {b}"));
    let clients = format!("127.0.0.1:{}", system.port_a);
    let line = format!("server-a ready: clients {clients}, peer {peer}, directory {a}");
    assert_eq!(system.start_a(), line);
}

/// Port 0 is a free port, and the one that was bound is said.
#[test]
fn port_zero_is_bound_and_said() {
    let mut system = System::new();
    (system.port_a, system.port_b) = (0, 0);
    let bound = |line: String, before: &str| -> u16 {
        let rest = line.split(before).nth(1).expect("an address");
        rest.split(',').next().and_then(|port| port.parse().ok()).expect("a port")
    };
    system.port_b = bound(system.start_b(), "peer 127.0.0.1:");
    system.peer = system.port_b;
    system.port_a = bound(system.start_a(), "clients 127.0.0.1:");
    assert!(system.port_a > 0 && system.port_b > 0);
    put(&system.a, "f", "x");
    system.agree_on(&[("f", "x")]);
}

/// Either server may be the first, and either may come back: nothing has to be told again.
#[test]
fn either_server_may_start_first_and_either_may_come_back() {
    let mut system = System::new();
    system.start_a();
    put(&system.a, "one", "1");
    system.b_is("away");
    system.start_b();
    system.agree_on(&[("one", "1")]);
    system.stop(&[Side::B]);
    put(&system.a, "two", "2");
    put(&system.b, "three", "3");
    system.b_is("away");
    system.restart(&[Side::B]);
    system.agree();
    system.stop(&[Side::A]);
    put(&system.b, "four", "4");
    system.restart(&[Side::A]);
    system.agree_on(&[("four", "4"), ("one", "1"), ("three", "3"), ("two", "2")]);
}

/// A server that is killed may be started in the same instant, with the same directory and at the
/// same address: what the kernel still has to take from the killed one is waited for.
#[test]
fn a_server_is_started_in_the_instant_in_which_it_is_killed() {
    let mut system = System::started();
    for round in 0..8 {
        let side = if round % 2 == 0 { Side::A } else { Side::B };
        for n in 0..50 {
            put(system.root(side), format!("{round}/{n}/file"), format!("{round} {n}"));
        }
        system.kill_and_start(side);
    }
    let nodes = system.agree();
    assert_eq!(nodes.len(), 8 * (1 + 50 + 50));
}

/// A first start that was cut short anywhere is finished by the next one; where something is locked
/// a missing pending directory is no beginning but a loss, and A does not start (C16, K32).
#[test]
fn a_first_start_that_was_cut_short_is_finished_by_the_next() {
    let mut system = System::new();
    let pending = system.a.join(".lab3/pending");
    system.start_a();
    system.stop(&[Side::A]);
    std::fs::remove_dir_all(&pending).expect("removed");
    system.start();
    put(&system.a, "f", "x");
    system.agree_on(&[("f", "x")]);
    system.ok(&["-lock", "f"]);
    system.stop(&[Side::A]);
    std::fs::remove_dir_all(&pending).expect("removed");
    let ran = system.fails(system.command_a());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("pending directory"), "{ran:?}");
}

/// SIGTERM, Ctrl-C and the end of the terminal end a server cleanly, and soon (C20).
#[test]
fn a_server_that_is_told_to_stop_ends_cleanly_within_seconds() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut system = System::started();
        system.b_is("connected");
        for side in [Side::A, Side::B] {
            let begun = std::time::Instant::now();
            system.server(side).signal(signal);
            let server = if side == Side::A { &mut system.server_a } else { &mut system.server_b };
            let status = server.as_mut().expect("started").ended();
            assert_eq!(status.code(), Some(0), "{side} {signal:?}");
            assert!(begun.elapsed().as_secs() < 10, "{side} {signal:?}: {:?}", begun.elapsed());
        }
    }
}

/// Every action is a line with the name of the file and the direction, on the side that did it.
#[test]
fn every_action_is_printed_with_name_and_direction() {
    let system = System::started();
    let (a, b) = (&system.a, &system.b);
    put(a, "from_a", "1");
    put(b, "from_b", "22");
    std::fs::create_dir(a.join("dir")).expect("a directory");
    trees::link(a, "from_a", "link");
    system.agree();
    let (said_a, said_b) = (system.server(Side::A), system.server(Side::B));
    for said in [said_a, said_b] {
        said.says("A→B created `from_a` (1 bytes)");
    }
    for said in [said_a, said_b] {
        said.says("A→B created directory `dir`");
        said.says("A→B created link `link`");
    }
    said_a.says("B→A created `from_b` (2 bytes)");
    put(b, "from_a", "other");
    trees::chmod(a, "from_b", 0o600);
    system.agree();
    said_a.says("B→A modified `from_a` (5 bytes)");
    said_a.says("A→B changed metadata of `from_b`");
    said_b.says("A→B changed metadata of `from_b`");
    trees::rename(b, "from_b", "renamed");
    system.agree();
    said_a.says("B→A renamed `from_b` to `renamed`");
    trees::remove(a, "renamed");
    system.agree();
    said_a.says("A→B deleted `renamed`");
    said_b.says("A→B deleted `renamed`");
}

/// `--quiet` says no action, `-v` more than the actions, `--log-format json` says them as JSON.
#[test]
fn a_server_speaks_as_much_and_as_it_is_told() {
    let mut system = System::new();
    system.options_a = vec!["--quiet".into()];
    system.options_b = vec!["-v".into(), "--log-format".into(), "json".into()];
    system.start();
    put(&system.a, "f\n", "x");
    put(&system.b, "g", "x");
    system.agree();
    put(&system.b, "g", "yy");
    system.agree();
    let b = system.server(Side::B);
    b.says("\"created\"");
    b.says("\"saw change of\"");
    let lines: Vec<Value> = b
        .said()
        .lines()
        .filter(|line| !line.starts_with("server-b ready: "))
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    let created = lines.iter().find(|line| line["message"] == "created").expect("an action");
    assert_eq!((&created["direction"], &created["path"]), (&"A→B".into(), &"f\\n".into()));
    let seen = lines.iter().find(|line| line["message"] == "saw change of").expect("a detail");
    assert_eq!((&seen["level"], &seen["path"]), (&"DEBUG".into(), &"g".into()));
    let said = system.server(Side::A).said();
    let other: Vec<_> = said.lines().filter(|l| !l.starts_with("server-a ready: ")).collect();
    assert!(other.is_empty(), "{other:?}");
}

/// Both servers in one process do the same, print both ready lines, and end together.
#[test]
fn both_servers_run_in_one_process() {
    let mut system = System::new();
    let mut command = system.client("ann@mill", &["up"]);
    command.args([&system.a, &system.b]);
    command.args(["--listen", "127.0.0.1:0", "--scrub", "0", "--durability", "relaxed"]);
    let mut up = Server::spawn(command, &system.dir.path().join("logs"), "up");
    up.ready("server-b");
    let line = up.ready("server-a");
    let port = line.split("clients 127.0.0.1:").nth(1).and_then(|rest| rest.split(',').next());
    system.port_a = port.and_then(|port| port.parse().ok()).expect("a port");
    put(&system.a, "f", "x");
    put(&system.b, "d/g", "y");
    system.agree_on(&[("d/g", "y"), ("f", "x")]);
    up.says("A→B created `f`");
    up.stop();
}

/// All three programs say their version, and what they cannot understand is a matter of usage.
#[test]
fn programs_know_their_version_and_their_usage() {
    let run = |name: &str, args: &[&str]| {
        let output = Command::new(crate::server::binary(name)).args(args).output().expect("runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    for name in ["server-a", "server-b", "lab3"] {
        let line = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(run(name, &["--version"]), (Some(0), line));
        assert_eq!(run(name, &["--nonsense"]).0, Some(2));
    }
    for name in ["server-a", "server-b"] {
        assert_eq!(run(name, &[]).0, Some(2), "without a directory");
        assert_eq!(run(name, &["/tmp", "--listen", "nowhere"]).0, Some(2));
    }
}
