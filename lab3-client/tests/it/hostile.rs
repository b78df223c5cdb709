//! Whoever connects and means harm: refused or dropped, with nothing done outside, and the server
//! alive.

use std::fs;

use common::change::{Change, Operation};
use common::digest::Digest;
use common::entry::{Entry, File};
use common::path::RelPath;
use common::side::Side;
use common::time::Timestamp;
use common::wire::cbor;
use common::wire::message::{Content, Hello, Order, OrderId, PeerMessage, ReplicaId, Role};
use serde_bytes::ByteBuf;

use crate::raw::Raw;
use crate::server::until;
use crate::system::System;
use crate::trees::{link, put, text};

/// An order to make a file with this content.
fn create(id: u64, path: &str, content: &str) -> PeerMessage {
    let file = File {
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
        mode: 0o644,
        modified: Timestamp { seconds: 1, nanos: 0 },
    };
    let path = RelPath::new(path).expect("a path");
    let change = Change { path, before: None, after: Some(Entry::File(file)), copy: None };
    PeerMessage::Order(Order::Commit {
        id: OrderId(id),
        operation: Operation::Change(change),
        content: Content::Inline(ByteBuf::from(content.as_bytes())),
    })
}

/// The same with another name, as only a hostile peer can say it.
fn create_at(name: &str) -> Vec<u8> {
    let placeholder = "p".repeat(name.len());
    let body = cbor::to_vec(&create(1, &placeholder, "harm")).expect("written");
    let at = body.windows(name.len()).position(|w| w == placeholder.as_bytes()).expect("there");
    [&body[..at], name.as_bytes(), &body[at + name.len()..]].concat()
}

/// Lengths, nestings and bytes that no frame has: the connection is dropped, the server goes on,
/// on both doors (H12-H16).
#[test]
fn frames_that_are_none_are_dropped_and_the_server_goes_on() {
    let system = System::holding(&[("f", "x")]);
    let deep = |byte: u8| vec![byte; 100_000];
    let huge_array = [0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut indefinite = vec![0x7f; 1000];
    indefinite.push(0xff);
    let bodies: [&[u8]; 7] =
        [&deep(0x81), &deep(0xa1), &deep(0xc1), &deep(0x9f), &huge_array, &indefinite, b"nonsense"];
    for port in [system.port_a, system.port_b] {
        for lengths in [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0; 4]] {
            let mut raw = Raw::to(&system, port);
            raw.bytes(&lengths);
            raw.bytes(&[0x42; 100]);
            assert!(raw.dropped(), "{port} {lengths:?}, before the hello");
        }
        for body in bodies {
            let mut raw = Raw::to(&system, port);
            raw.frame(&body[..body.len().min(4000)]);
            assert!(raw.dropped(), "{port} {:x?}, before the hello", &body[..8]);
        }
    }
    for body in bodies {
        let mut raw = Raw::welcome(&system, system.port_a, Role::Client);
        raw.frame(body);
        assert!(raw.dropped(), "{:x?}, after the hello", &body[..8]);
    }
    let mut silent = Raw::to(&system, system.port_b);
    silent.bytes(&[0, 0, 0, 100, 1, 2, 3]);
    put(&system.a, "f", "still alive");
    system.agree_on(&[("f", "still alive")]);
}

/// Servers talk to servers and clients to A: whoever comes to the wrong door is told so (H20).
#[test]
fn whoever_comes_to_the_wrong_door_is_told_so() {
    let system = System::started();
    for (port, role, words) in [
        (system.port_a, Role::Coordinator, "clients"),
        (system.port_a, Role::Agent, "clients"),
        (system.port_b, Role::Client, "server A"),
        (system.port_b, Role::Agent, ""),
    ] {
        let why = Raw::to(&system, port).refused(&Hello::new(role, None));
        assert!(why.contains(words), "{why}");
    }
    system.b_is("connected");
    let second = Raw::to(&system, system.port_b);
    let why = second.refused(&Hello::new(Role::Coordinator, Some(ReplicaId(7))));
    assert!(why.contains("another server A"), "{why}");
}

/// A path that leads out of the directory, or into what is ours, is no path: nothing is made
/// anywhere (H01-H04).
#[test]
fn a_path_that_leads_out_is_refused() {
    let mut system = System::new();
    system.start_b();
    for name in ["../x", "/etc/x", "a//b", "a/./b", "a/../../x", ".lab3/x", "a\0b", "..", "a/.."] {
        let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
        raw.frame(&create_at(name));
        assert!(raw.dropped(), "{name}");
    }
    let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
    raw.say(&create(2, "fine", "fine"));
    assert!(raw.outcome(2).is_some());
    drop(raw);
    assert!(!system.dir.path().join("x").exists() && !system.b.join(".lab3/x").exists());
    system.start_a();
    system.agree_on(&[("fine", "fine")]);
}

/// A kind of entry that nobody synchronizes is no message: no device is made (X06).
#[test]
fn a_device_from_a_peer_is_no_message() {
    let mut system = System::new();
    system.start_b();
    let body = cbor::to_vec(&create(1, "f", "harm")).expect("written");
    let at = body.windows(5).position(|w| w == b"\x64File").expect("the kind is in it");
    for kind in ["Fifo", "Node", "file"] {
        let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
        raw.frame(&[&body[..=at], kind.as_bytes(), &body[at + 5..]].concat());
        assert!(raw.dropped(), "{kind}");
        assert!(!system.b.join("f").exists(), "{kind}");
    }
    system.start_a();
    put(&system.a, "f", "fine");
    system.agree_on(&[("f", "fine")]);
}

/// A directory that is a link out when a change is applied: what is outside stays untouched, also
/// when the link takes the directory's place all the time (H05, H06, H07).
#[test]
fn a_link_in_the_way_leads_nowhere() {
    let mut system = System::new();
    let outside = system.dir.path().join("outside");
    put(&outside, "decoy", "decoy");
    link(&system.b, &outside, "out");
    link(&system.b, outside.join("decoy"), "leaf");
    fs::create_dir(system.b.join("flip")).expect("made");
    link(&system.b, &outside, "other");
    system.start_b();
    let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
    for (id, path) in ["out/new", "out/decoy", "leaf", "leaf/x"].into_iter().enumerate() {
        raw.say(&create(id as u64, path, "harm"));
        let outcome = raw.outcome(id as u64).expect("an outcome");
        let done = matches!(outcome, common::change::Outcome::Done { .. });
        assert!(!done, "{path}: {outcome:?}");
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (told, root) = (stop.clone(), system.b.clone());
    let flipping = std::thread::spawn(move || {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        while !told.load(std::sync::atomic::Ordering::SeqCst) {
            let (one, two) = (root.join("flip"), root.join("other"));
            renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).expect("exchanged");
        }
    });
    for id in 100..400 {
        raw.say(&create(id, &format!("flip/{id}"), "harm"));
        raw.outcome(id).expect("an outcome");
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    flipping.join().expect("it flipped");
    let outside_now = fs::read_dir(&outside).expect("a directory").count();
    assert_eq!((outside_now, text(&outside, "decoy").as_deref()), (1, Some("decoy")));
}

/// Content that is not what was announced is never published (H17).
#[test]
fn content_with_another_digest_is_not_published() {
    let mut system = System::new();
    system.start_b();
    let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
    for (number, content) in ["wrong", "", "longer than announced"].into_iter().enumerate() {
        let create = create(number as u64, "f", "right");
        let PeerMessage::Order(Order::Commit { id, operation, .. }) = create else {
            panic!("an order");
        };
        let content = Content::Inline(ByteBuf::from(content.as_bytes()));
        raw.say(&PeerMessage::Order(Order::Commit { id, operation, content }));
        let outcome = raw.outcome(number as u64).expect("an outcome");
        assert!(!matches!(outcome, common::change::Outcome::Done { .. }), "{outcome:?}");
        assert!(!system.b.join("f").exists());
    }
    drop(raw);
    system.start_a();
    put(&system.a, "f", "right");
    system.agree_on(&[("f", "right")]);
}

/// Many who connect and say nothing do not keep A from B, nor the client from A (H21).
#[test]
fn many_who_say_nothing_keep_nobody_out() {
    let system = System::started();
    let silent: Vec<Raw> = (0..100)
        .flat_map(|_| [Raw::to(&system, system.port_a), Raw::to(&system, system.port_b)])
        .collect();
    put(&system.a, "f", "x");
    until("it goes on", || text(&system.b, "f").as_deref() == Some("x"));
    system.agree_on(&[("f", "x")]);
    assert_eq!(system.server(Side::A).complained(), "");
    drop(silent);
}
