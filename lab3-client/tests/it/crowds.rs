//! Crowds at the doors: whoever has something to say gets in.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

use common::identity::trusted::Standing;
use common::side::Side;
use common::wire::client::Request;
use common::wire::message::{Hello, Reception, Role};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fake_a::run;
use crate::raw::Raw;
use crate::server::until;
use crate::system::System;
use crate::trees::put;

const SILENT: usize = 1000;
const DRIPPING: usize = 100;

/// Lets this process have so many connections.
fn many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(8192, |most| most.min(8192));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
}

fn connected(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).expect("somebody listens")
}

/// A thousand connections that say nothing, and a hundred that say a byte a second, at both doors:
/// a client over the network still lists, and A still finds B.
#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    many_files();
    let mut system = System::holding(&[("f", "x")]);
    for port in [system.port_a, system.port_b] {
        let silent: Vec<TcpStream> = (0..SILENT).map(|_| connected(port)).collect();
        let mut dripping: Vec<TcpStream> = (0..DRIPPING).map(|_| connected(port)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let drips = spawn(move || {
            // The beginning of a handshake that is long in coming.
            for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().chain([7; 500]) {
                for stream in &mut dripping {
                    // Most are dropped sooner or later.
                    let _ = stream.write_all(&[byte]);
                }
                for _ in 0..10 {
                    if told.load(Ordering::SeqCst) {
                        return;
                    }
                    sleep(Duration::from_millis(100));
                }
            }
        });
        for _ in 0..5 {
            assert!(system.ok(&[]).contains('f'));
        }
        if port == system.port_b {
            system.kill(Side::A);
            system.start_a();
            put(&system.a, "g", "found again");
            system.agree();
        }
        assert_eq!(system.server(Side::A).complained(), "");
        stop.store(true, Ordering::SeqCst);
        drips.join().expect("it dripped");
        drop(silent);
    }
}

/// One identity has so many connections at once, and one more is refused in words; another
/// identity is served all the while.
#[test]
fn one_identity_cannot_take_all_places() {
    const PLACES: usize = 128;
    many_files();
    let mut system = System::new();
    // As long as B is away, who waits for both sides to agree waits.
    system.start_a();
    system.people.known("greedy", Standing::Client);
    let greedy = system.people.identity("greedy");
    let enter = || {
        let mut raw = Raw::by(&greedy, system.port_a);
        raw.say(&Hello::new(Role::Client, None));
        let heard = raw.hear::<Reception>();
        assert!(matches!(heard, Some(Reception::Welcome(_))), "{heard:?}");
        raw.say(&Request::Wait { timeout_ms: 100_000 });
        raw
    };
    let all: Vec<Raw> = (0..PLACES).map(|_| enter()).collect();
    let place = system.people.place("greedy");
    let ask = || run(&mut system.client_of(&place, &["status"]));
    let words = format!("{PLACES} connections at once");
    until("one is too many", || {
        let ran = ask();
        ran.code == 1 && ran.err.contains(&words)
    });
    assert_eq!(system.lab3_as("bob@mill", &["status"]).code, 0);
    drop(all);
    until("there are places again", || ask().code == 0);
}
