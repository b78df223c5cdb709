//! What else a link does: it says things twice, is slow, falls silent, comes double (F02-F16).
//!
//! Each law plays the scenes of `link_scenes` under one such fault, so that both trees must be
//! exactly what the users left, with nothing beside and nothing moving at rest.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread::spawn;
use std::time::{Duration, Instant};

use common::side::Side;

use crate::dice::{Dice, is_full, seed};
use crate::link_scenes::{Rig, SCENES};
use crate::proxy::{Act, Fault, Manner, bounds};
use crate::raw::Raw;
use crate::server::until;
use crate::trees::put;

/// Memory that a server may take for an end that does not listen, in kilobytes.
const MEMORY_KB_MAX: u64 = 96 * 1024;

/// Every frame of a connection that comes twice changes nothing (F06).
#[test]
fn what_is_said_twice_happens_once() {
    let mut rig = Rig::opened();
    for scene in &SCENES {
        for toward in Side::BOTH {
            rig.told = format!("{}, twice towards {toward}", scene.name);
            rig.proxy.set_manner(toward, Manner { twice: true, ..Manner::default() });
            rig.play(scene, None);
            rig.proxy.set_manner(toward, Manner::default());
        }
    }
}

/// The last frames of a connection, said again to B on the next one, change nothing (F07).
#[test]
fn what_an_old_connection_said_changes_nothing_on_the_next() {
    let mut rig = Rig::opened();
    let mut dice = Dice(seed());
    for scene in &SCENES {
        rig.play(scene, None);
        let frames = [1, 2, 5, 20, 50][dice.below(5) as usize];
        rig.told = format!("{}, {frames} frames again towards B", scene.name);
        rig.proxy.repeat(Side::B, frames);
        rig.act_on_a_new_link(scene, None);
        rig.is_settled();
    }
}

/// One byte at a time is slow, and nothing else (F04).
#[test]
fn a_link_that_drips_is_only_slow() {
    let mut rig = Rig::start();
    for toward in Side::BOTH {
        rig.proxy.set_manner(toward, Manner { chunk: 1, ..Manner::default() });
    }
    for scene in SCENES.iter().filter(|scene| !["large", "delta"].contains(&scene.name)) {
        rig.told = format!("{}, byte by byte", scene.name);
        rig.play(scene, None);
    }
}

/// A second connection of the same A takes the place of the first, and A takes it back (F08).
#[test]
fn of_two_connections_of_one_peer_the_newest_counts() {
    let mut rig = Rig::opened();
    for round in 0..3 {
        rig.told = format!("a second connection, {round}");
        let before = rig.proxy.connections();
        let hello = rig.proxy.tape(0, Side::B);
        let hello = &hello[..bounds(&hello)[1]];
        let mut second = Raw::to(&rig.system, rig.system.port_b);
        second.bytes(hello);
        until("A dials again", || rig.proxy.connections() > before);
        // A's new connection is the newest one now, so that this one has ended.
        let heard = second.rest();
        assert!(heard.windows(7).any(|word| word == b"Welcome"), "{heard:?}");
        rig.play(&SCENES[1], None);
    }
}

/// A thousand who connect, say nothing or nonsense, and stay or go, stop nobody (F10).
#[test]
fn a_storm_of_connections_stops_nobody() {
    let mut rig = Rig::start();
    let mut dice = Dice(seed());
    let mut stay = Vec::new();
    for number in 0..1000 {
        let port = if number % 2 == 0 { rig.system.port_b } else { rig.system.port_a };
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        match dice.below(4) {
            0 => drop(stream.write_all(&dice.bytes(40))),
            1 => drop(stream.write_all(&[0, 0, 0, 200, 1])),
            2 if stay.len() < 150 => stay.push(stream),
            _ => {}
        }
    }
    rig.told = "in a storm of connections".to_owned();
    rig.play(&SCENES[1], None);
    rig.play(&SCENES[6], None);
}

/// Both servers may end, and come back, in any order.
#[test]
fn servers_end_and_come_back_in_any_order() {
    let mut rig = Rig::start();
    let orders = [[Side::A, Side::B], [Side::B, Side::A]];
    for ends in &orders {
        for starts in &orders {
            for is_killed in [false, true] {
                rig.told = format!("{ends:?} end (killed: {is_killed}), {starts:?} start");
                for side in ends {
                    if is_killed {
                        rig.system.kill(*side);
                    } else {
                        rig.system.stop(&[*side]);
                    }
                    let (name, told) = (format!("away_{side}"), rig.told.clone());
                    rig.put(*side, &name, told);
                }
                rig.put(Side::A, "by_a", format!("a {}", rig.told));
                rig.put(Side::B, "by_b", format!("b {}", rig.told));
                rig.system.restart(starts);
                rig.is_settled();
            }
        }
    }
}

/// What is to be tried, and its name.
type Law = (&'static str, Box<dyn FnOnce() + Send>);

/// A fault that only silence tells of is found, and everything goes on (F02, F03, F13, F16).
#[test]
fn a_link_that_falls_silent_is_given_up_and_made_again() {
    let mut laws: Vec<Law> = vec![
        ("vanished", Box::new(|| silent(Side::B, Act::Vanish))),
        ("mute towards A", Box::new(|| silent(Side::A, Act::Mute))),
        ("mute towards B", Box::new(|| silent(Side::B, Act::Mute))),
        ("deaf towards A", Box::new(|| deaf(Side::A))),
        ("deaf towards B", Box::new(|| deaf(Side::B))),
    ];
    if is_full() {
        laws.push(("slow", Box::new(slow)));
    }
    let (begun, count) = (Instant::now(), laws.len());
    let running: Vec<_> = laws.into_iter().map(|(name, law)| (name, spawn(law))).collect();
    for (name, law) in running {
        assert!(law.join().is_ok(), "{name}");
    }
    eprintln!("link: {count} silences, {:.1} s", begun.elapsed().as_secs_f64());
}

/// What is said goes nowhere, and no end is heard: only the heartbeat finds it.
fn silent(toward: Side, act: Act) {
    let mut rig = Rig::start();
    rig.told = format!("{act:?} towards {toward}");
    let before = rig.proxy.connections();
    rig.proxy.strike(Fault { toward, at: 0, act });
    for round in 0..20 {
        rig.put(Side::A, &format!("a{round}"), "while nobody hears");
        rig.put(Side::B, &format!("b{round}"), "while nobody hears");
    }
    rig.is_settled();
    assert!(rig.proxy.connections() > before, "the old link was kept");
}

/// Nothing is taken from one that has a lot to say: its memory stays in bounds.
fn deaf(toward: Side) {
    const FILES: usize = 3000;
    let rig = Rig::start();
    let speaker = toward.other();
    let server = rig.system.server(speaker).pid();
    let most_kb = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.as_raw_nonzero()));
        let status = status.expect("it runs");
        let line =
            status.lines().find(|line| line.starts_with("VmHWM")).expect("a line").to_owned();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number")
    };
    let (before, connections) = (most_kb(), rig.proxy.connections());
    rig.proxy.strike(Fault { toward, at: 0, act: Act::Deaf });
    let mut dice = Dice(3);
    let content = dice.bytes(60_000);
    for number in 0..FILES {
        put(rig.system.root(speaker), format!("many/{}/{number}", number % 7), &content);
    }
    until("the link is given up", || rig.proxy.connections() > connections);
    let grown = most_kb() - before;
    eprintln!("link: {speaker} took {grown} kB while {toward} did not listen");
    rig.system.agree();
    assert!(grown < MEMORY_KB_MAX, "{speaker} took {grown} kB");
}

/// A large frame that takes longer than silence may last is no silence.
fn slow() {
    let mut rig = Rig::start();
    rig.told = "a slow link".to_owned();
    let connections = rig.proxy.connections();
    let manner = Manner { chunk: 1000, rest: Duration::from_millis(10), twice: false };
    for toward in Side::BOTH {
        rig.proxy.set_manner(toward, manner);
    }
    let mut dice = Dice(4);
    rig.put(Side::A, "large_a", dice.bytes(1_500_000));
    rig.put(Side::B, "large_b", dice.bytes(1_500_000));
    rig.is_settled();
    assert_eq!(rig.proxy.connections(), connections, "the link was given up");
}
