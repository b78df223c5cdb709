//! A hostile server A at a real server B: orders that lie, and orders without end. What they name
//! stays where it is, nothing outside is touched, and B goes on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use common::change::Outcome;
use common::digest::Digest;
use common::entry::Entry;
use common::limits::{ASKS_MAX, INLINE_BYTES_MAX, LINK_BYTES_MAX, ORDERS_MAX, PIECE_BYTES_MAX};
use common::side::Side;
use common::time::Timestamp;
use common::wire::client::{Request, Target};
use common::wire::message::{Ask, AskId, Content, Order, OrderId, PeerMessage, Report, Role, Want};

use crate::hostile_kit::{
    Decoy, commit, file, forged, inline, is_done, is_well, link_to, mode, path, peak,
};
use crate::raw::Raw;
use crate::server::until;
use crate::system::System;
use crate::trees::{put, text};

fn alone() -> System {
    let mut system = System::new();
    system.start_b();
    system
}

fn coordinator(system: &System) -> Raw {
    Raw::welcome(system, system.port_b, Role::Coordinator)
}

/// Names that a file system may take for `.lab3`, in any spelling, and names that are too long or
/// too deep: no message (H03, H04).
#[test]
fn what_is_reserved_is_reserved_in_every_spelling() {
    let mut system = alone();
    let names =
        [".LAB3/x", ".Lab3", ".lab3./x", ".lab3 ", ".la\u{200c}b3/x", "lab3~1/x", ".lab3:x"];
    let long = ["n".repeat(256), vec!["d"; 40_000].join("/")];
    let at = |name: &str| {
        let placeholder = "p".repeat(name.len().min(255));
        let filled = match name.len() {
            0..256 => placeholder,
            // Made of legal names, until it is forged.
            length => format!("{}/{}", "p".repeat(200), "q/".repeat(length)),
        };
        let filled = &filled[..name.len().min(filled.len())];
        let legal = filled.trim_end_matches('/').to_owned();
        let order = commit(1, &legal, (None, Some(file(b"harm", 0o644))), inline(b"harm"));
        (legal.len() == name.len()).then(|| forged(&order, legal.as_bytes(), name.as_bytes()))
    };
    for name in names.map(str::to_owned).iter().chain(&long[..1]) {
        let mut raw = coordinator(&system);
        raw.frame(&at(name).unwrap_or_else(|| panic!("{name} can be said")));
        assert!(raw.dropped(), "{name:?}");
    }
    // Legal as a path, and too deep for any directory: refused, and nothing is left of it.
    let mut raw = coordinator(&system);
    let deep = vec!["d"; 10_000].join("/");
    raw.say(&commit(2, &deep, (None, Some(file(b"x", 0o644))), inline(b"x")));
    assert!(!is_done(&raw.outcome(2)));
    let inside: Vec<_> = fs::read_dir(&system.b).expect("a directory").collect();
    assert_eq!(inside.len(), 1, "only `.lab3`: {inside:?}");
    is_well(&mut system, Side::B);
}

/// Whatever mode a peer says, nine bits of it count; and a time that is none, or that no file
/// system keeps, is no reason to stop (H16).
#[test]
fn of_a_mode_nine_bits_count_and_any_time_is_borne() {
    let mut system = alone();
    let mut raw = coordinator(&system);
    let modes = [0o4755, 0o2755, 0o1777, 0o7777, 0o100_644, 0o020_666, 0o060_666, u32::MAX];
    for (id, said) in modes.into_iter().enumerate() {
        let (id, name) = (id as u64, format!("f{id}"));
        raw.say(&commit(id, &name, (None, Some(file(b"x", said))), inline(b"x")));
        assert!(is_done(&raw.outcome(id)), "{said:o}");
        assert_eq!(mode(&system.b.join(&name)), said & 0o777, "{said:o}");
        let directory = Entry::Dir { mode: said };
        let (id, name) = (id + 100, format!("d{id}"));
        raw.say(&commit(id, &name, (None, Some(directory)), Content::None));
        assert!(is_done(&raw.outcome(id)), "{said:o}");
        assert_eq!(mode(&system.b.join(&name)), said & 0o777, "{said:o}");
    }
    let odd = [(i64::MIN, 0), (i64::MAX, 999_999_999), (-1, 1), (0, 0x3fff_ffff), (0, 0x3fff_fffe)];
    for (n, (seconds, nanos)) in odd.into_iter().chain([(5, u32::MAX)]).enumerate() {
        let (id, name) = (200 + n as u64, format!("t{n}"));
        let Entry::File(mut odd) = file(b"t", 0o600) else { panic!("a file") };
        std::sync::Arc::make_mut(&mut odd).modified = Timestamp { seconds, nanos };
        raw.say(&commit(id, &name, (None, Some(Entry::File(odd))), inline(b"t")));
        let outcome = raw.outcome(id).expect("an outcome");
        if let Outcome::Done { now: Some(Entry::File(now)), .. } = &outcome {
            assert!(now.modified.nanos < 1_000_000_000, "{outcome:?}");
        }
    }
    is_well(&mut system, Side::B);
}

/// A file that its own user made set-id keeps that when the other side changes its mode, and a
/// version of the other side never has it.
#[test]
fn set_id_bits_are_of_the_user_who_set_them() {
    let mut system = System::new();
    put(&system.b, "tool", "tool");
    fs::set_permissions(system.b.join("tool"), PermissionsExt::from_mode(0o4755)).expect("set");
    system.start_b();
    let mut raw = coordinator(&system);
    let rows = raw.inventory();
    let before = rows[0].1.clone();
    let Entry::File(told) = before.clone() else { panic!("a file") };
    assert_eq!(told.mode, 0o755, "it is not told");
    let other = Entry::from(common::entry::File { mode: 0o7700, ..*told });
    raw.say(&commit(1, "tool", (Some(before), Some(other.clone())), Content::None));
    let outcome = raw.outcome(1);
    assert!(is_done(&outcome), "{outcome:?}");
    assert_eq!(mode(&system.b.join("tool")), 0o4700);
    let Entry::File(plain) = other else { panic!("a file") };
    let now = Entry::from(common::entry::File { mode: 0o700, ..*plain });
    raw.say(&commit(2, "tool", (Some(now), Some(file(b"new", 0o4711))), inline(b"new")));
    assert!(is_done(&raw.outcome(2)));
    assert_eq!(mode(&system.b.join("tool")), 0o711);
    is_well(&mut system, Side::B);
}

/// Where a link points is a few bytes without a zero, or it is no message; what the file system
/// will not take is an outcome (H16).
#[test]
fn a_link_without_measure_is_no_message() {
    let mut system = alone();
    let order = |target: &[u8]| commit(1, "l", (None, Some(link_to(target))), Content::None);
    for bad in [&b""[..], b"a\0b", &[b'x'; LINK_BYTES_MAX + 1], &vec![b'x'; 1_000_000]] {
        let mut raw = coordinator(&system);
        raw.say(&order(bad));
        assert!(raw.dropped(), "{} bytes", bad.len());
    }
    let mut raw = coordinator(&system);
    raw.say(&order(&[b'x'; LINK_BYTES_MAX]));
    assert!(!is_done(&raw.outcome(1)), "the kernel takes one byte less");
    raw.say(&commit(2, "l", (None, Some(link_to(b"../../etc/passwd"))), Content::None));
    assert!(is_done(&raw.outcome(2)), "it points wherever its user wants, and is never followed");
    raw.say(&commit(3, "l/x", (None, Some(file(b"x", 0o600))), inline(b"x")));
    assert!(!is_done(&raw.outcome(3)));
    is_well(&mut system, Side::B);
}

/// Deleting the root, or making it a file, cannot be said; deleting what is not there, or is
/// another, is `Stale` or nothing (H10, H11).
#[test]
fn what_was_never_announced_is_not_deleted() {
    let mut system = System::new();
    put(&system.b, "kept", "kept");
    put(&system.b, "d/kept", "kept");
    system.start_b();
    for root in [&b""[..], b"/", b"."] {
        let placeholder = "p".repeat(root.len().max(1));
        let order =
            commit(1, &placeholder, (Some(Entry::Dir { mode: 0o755 }), None), Content::None);
        let mut raw = coordinator(&system);
        if root.is_empty() {
            // A path of one byte becomes one of none.
            let mut body = common::wire::cbor::to_vec(&order).expect("written");
            let at = body.windows(2).position(|w| w == [0x41, b'p']).expect("the path");
            body.splice(at..at + 2, [0x40]);
            raw.frame(&body);
        } else {
            raw.frame(&forged(&order, placeholder.as_bytes(), root));
        }
        assert!(raw.dropped(), "{root:?}");
    }
    let mut raw = coordinator(&system);
    let other = Some(file(b"another", 0o644));
    for (id, name) in [(1, "kept"), (2, "d/kept"), (3, "nothing"), (4, "no/where")] {
        raw.say(&commit(id, name, (other.clone(), None), Content::None));
        raw.outcome(id).expect("an outcome");
    }
    raw.say(&commit(5, "d", (Some(Entry::Dir { mode: 0o755 }), None), Content::None));
    assert!(!is_done(&raw.outcome(5)), "something is in it");
    assert_eq!(text(&system.b, "kept").as_deref(), Some("kept"));
    assert_eq!(text(&system.b, "d/kept").as_deref(), Some("kept"));
    is_well(&mut system, Side::B);
}

/// Two files ordered at one path in one breath: one of them is there, whole, and whoever came
/// second is told so (H19).
#[test]
fn of_two_files_at_one_path_one_is_there_whole() {
    let mut system = alone();
    for round in 0..20_u64 {
        let (name, one, two) = (format!("f{round}"), b"one".repeat(1000), b"two".repeat(999));
        let mut raw = coordinator(&system);
        // What ends before that is heard is told nobody.
        raw.inventory();
        for (id, content) in [(2 * round + 1, &one), (2 * round + 2, &two)] {
            raw.say(&commit(id, &name, (None, Some(file(content, 0o644))), inline(content)));
        }
        let mut done = 0;
        let mut left = BTreeMap::from([(2 * round + 1, ()), (2 * round + 2, ())]);
        while !left.is_empty() {
            let message = raw.hear().expect("the link stands until both are answered");
            let PeerMessage::Report(Report::Outcome { id: OrderId(id), outcome, .. }) = message
            else {
                continue;
            };
            left.remove(&id);
            done += usize::from(matches!(outcome, Outcome::Done { .. }));
        }
        assert_eq!(done, 1, "round {round}");
        let now = fs::read(system.b.join(&name)).expect("there");
        assert!(now == one || now == two, "round {round}");
    }
    is_well(&mut system, Side::B);
}

/// What a client says to A means nothing to B, and what servers say to each other means nothing at
/// A's door for clients: the connection ends, and nothing is locked or changed (H20).
#[test]
fn what_is_said_at_the_other_door_means_nothing() {
    let mut system = System::holding(&[("f", "x")]);
    let wish = Request::Lock {
        target: Target::Path(path("f")),
        holder: "eve@hill".into(),
        comment: None,
        ttl_s: None,
    };
    let order = commit(1, "f", (Some(file(b"x", 0o644)), None), Content::None);
    let report = PeerMessage::Report(Report::Settled { id: OrderId(1) });
    for message in [&order, &report] {
        let mut client = Raw::welcome(&system, system.port_a, Role::Client);
        client.say(message);
        assert!(client.dropped(), "{message:?}");
    }
    // The only one who may be A is A while it is there.
    system.stop(&[Side::A]);
    let mut other = coordinator(&system);
    other.say(&wish);
    assert!(other.dropped());
    system.start_a();
    system.agree_on(&[("f", "x")]);
    assert_eq!(system.json(&["locks"])["locks"].as_array().map(Vec::len), Some(0));
    is_well(&mut system, Side::A);
    is_well(&mut system, Side::B);
}

/// Orders, and questions for content, without end: whoever gives more than can be meant is cut
/// off, whoever does not read what it asked for is not heard further, and memory stays bounded.
#[test]
fn orders_without_end_are_cut_off_or_have_to_wait() {
    let mut system = System::new();
    let big = vec![b'x'; PIECE_BYTES_MAX];
    put(&system.b, "big", &big);
    system.start_b();
    let before = peak(&system, Side::B);
    // Commits that wait for content which never comes.
    let mut raw = coordinator(&system);
    let content = vec![b'x'; INLINE_BYTES_MAX as usize];
    let waits = |id: u64| {
        let after = Some(file(&content, 0o644));
        commit(id, &format!("never{id}"), (None, after), Content::Pull(path("never")))
    };
    let sent = (0..20 * ORDERS_MAX as u64).take_while(|&id| raw.say(&waits(id)));
    let sent = sent.count();
    assert!((ORDERS_MAX..20 * ORDERS_MAX).contains(&sent), "cut off after {sent}");
    // Too much in one order.
    let mut raw = coordinator(&system);
    let long = vec![b'x'; INLINE_BYTES_MAX as usize + 1];
    raw.say(&commit(1, "long", (None, Some(file(&long, 0o644))), inline(&long)));
    assert!(raw.dropped() && !system.b.join("long").exists());
    // Questions of which nobody reads the answers.
    let mut raw = coordinator(&system);
    let digest = Digest::of(&big);
    let asked = (0..20 * ASKS_MAX as u64).take_while(|&n| {
        let want = Want::Piece { offset: 0, length: u32::MAX };
        raw.say(&PeerMessage::Ask(Ask { id: AskId(n), path: path("big"), digest, want }))
    });
    let asked = asked.count();
    assert!((ASKS_MAX..20 * ASKS_MAX).contains(&asked), "cut off after {asked}");
    // Orders to look: nobody is cut off for them, and nobody hears more than can be looked at.
    let mut raw = coordinator(&system);
    for n in 0..3000 {
        raw.say(&match n % 3 {
            0 => PeerMessage::Order(Order::Inventory),
            1 => PeerMessage::Order(Order::Rescan { path: None }),
            _ => PeerMessage::Order(Order::Reread { id: OrderId(n) }),
        });
    }
    drop(raw);
    let after = peak(&system, Side::B);
    assert!(after < before + 300 * 1024, "from {before} to {after} kB");
    is_well(&mut system, Side::B);
    system.start_a();
    put(&system.a, "then", "then");
    until("it goes on", || text(&system.b, "then").as_deref() == Some("then"));
}

/// Links that somebody put where we are about to write are not written through (H08): the number of
/// meetings in `.lab3`, staging names that were guessed, and parts in `pending/`.
#[test]
fn nothing_is_written_through_a_link_in_our_own_directories() {
    let mut system = System::holding(&[("f", "x")]);
    let decoy = Decoy::of(&system);
    system.stop(&[Side::A, Side::B]);
    for root in [&system.a, &system.b] {
        let inside = root.join(".lab3");
        for name in ["met.part", "id.new"] {
            symlink(decoy.file(), inside.join(name)).expect("made");
        }
        for n in 0..200 {
            let name = format!("n-{n:016x}-{n:x}");
            symlink(decoy.file(), inside.join("stage").join(name)).expect("made");
        }
    }
    for n in 0..50 {
        let name = format!("{n:020}.part");
        symlink(decoy.file(), system.a.join(".lab3/pending").join(name)).expect("made");
    }
    system.start();
    for n in 0..50 {
        let name = format!("{n:020}.part");
        drop(symlink(decoy.file(), system.a.join(".lab3/pending").join(name)));
    }
    system.ok(&["-lock", "f"]);
    for n in 0..5 {
        put(&system.b, "f", format!("edit {n}"));
        until("it is held", || system.held(&["f"]).len() > n);
    }
    put(&system.a, "g", "another");
    put(&system.b, "h", "third");
    system.ok(&["-unlock", "f"]);
    system.agree_on(&[("f", "edit 4"), ("g", "another"), ("h", "third")]);
    decoy.is_untouched();
    assert_eq!(mode(&decoy.file()), mode(&decoy.outside.join("name")));
}

/// A reserved directory that somebody else has made, or may write to, is not ours.
#[test]
fn a_reserved_directory_that_others_may_write_to_is_refused() {
    let system = System::new();
    let inside = system.b.join(".lab3");
    fs::create_dir(&inside).expect("made");
    fs::set_permissions(&inside, PermissionsExt::from_mode(0o777)).expect("set");
    let ran = system.fails(system.command_b());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("others may write to it"), "{ran:?}");
    fs::set_permissions(&inside, PermissionsExt::from_mode(0o700)).expect("set");
    if crate::system::is_root() {
        std::os::unix::fs::chown(&inside, Some(1000), None).expect("given away");
        let ran = system.fails(system.command_b());
        assert!(ran.err.contains("belongs to another user"), "{ran:?}");
        std::os::unix::fs::chown(&inside, Some(0), None).expect("given back");
    }
    let mut system = system;
    system.start_b();
}
