//! A hostile server B at a real server A: what it tells of itself is its own affair, and of A it
//! can tell nothing. A goes on, its tree has only what fits, and nothing outside is touched.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use common::change::Outcome;
use common::entry::Entry;
use common::problem::{Problem, ProblemKind};
use common::replica::place::Place;
use common::side::Side;
use common::wire::message::{
    Condition, Give, Given, Hello, Observation, Order, OrderId, PeerMessage, ReplicaId, Report,
    Role, Row,
};
use serde_bytes::ByteBuf;

use crate::fake_b::{FakeB, seen};
use crate::hostile_kit::{Decoy, file, is_well, link_to, mode, path};
use crate::raw::Raw;
use crate::server::until;
use crate::system::System;
use crate::trees::{put, text};

type Heard = Arc<Mutex<Vec<PeerMessage>>>;

/// Gives the content of files that it is asked for, and notes what it hears.
fn giving(
    contents: &[&'static [u8]],
    heard: Heard,
) -> impl FnMut(&mut Raw, &PeerMessage) -> bool + Send + 'static {
    let contents: BTreeMap<_, _> =
        contents.iter().map(|bytes| (common::digest::Digest::of(bytes), *bytes)).collect();
    move |raw, message| {
        heard.lock().expect("not poisoned").push(message.clone());
        let PeerMessage::Ask(ask) = message else { return false };
        let Some(bytes) = contents.get(&ask.digest) else { return false };
        let given = Given::Piece(ByteBuf::from(bytes.to_vec()));
        raw.say(&PeerMessage::Give(Give { id: ask.id, given }));
        true
    }
}

fn commits(heard: &Heard) -> Vec<PeerMessage> {
    let is_commit = |m: &&PeerMessage| matches!(m, PeerMessage::Order(Order::Commit { .. }));
    heard.lock().expect("not poisoned").iter().filter(is_commit).cloned().collect()
}

/// Bits of a mode beyond the nine do not come from B, are no difference to it, and are not asked
/// of it again and again.
#[test]
fn no_set_id_bit_comes_from_b_and_none_is_fought_over() {
    let mut system = System::new();
    let heard = Heard::default();
    let rows = vec![
        (path("d"), Entry::Dir { mode: 0o43777 }),
        (path("d/tool"), file(b"tool", 0o106_755)),
        (path("sticky"), file(b"tool", u32::MAX)),
    ];
    let _b = FakeB::before(&mut system, rows, giving(&[b"tool"], heard.clone()));
    until("it is at A", || text(&system.a, "sticky").as_deref() == Some("tool"));
    until("it is at A", || text(&system.a, "d/tool").as_deref() == Some("tool"));
    system.wait();
    assert_eq!(mode(&system.a.join("d")), 0o777);
    assert_eq!(mode(&system.a.join("d/tool")), 0o755);
    assert_eq!(mode(&system.a.join("sticky")), 0o777);
    system.wait();
    assert_eq!(commits(&heard), [], "nothing to set at B");
    is_well(&mut system, Side::A);
}

/// An inventory that is no tree: without order, twice, with children of files and of nothing, with
/// names in every spelling. What can be is brought, the rest waits with a reason, and nothing is
/// done outside (H03, H19).
#[test]
fn an_inventory_that_is_no_tree_does_no_harm() {
    let mut system = System::new();
    let decoy = Decoy::of(&system);
    put(&system.a, "mine", "mine");
    let heard = Heard::default();
    let tool = || file(b"tool", 0o644);
    let outside = decoy.outside.to_str().expect("a name").to_owned();
    let rows = vec![
        (path("z"), tool()),
        (path("f/below/a/file"), tool()),
        (path("f"), tool()),
        (path("f/child"), tool()),
        (path("nowhere/child"), tool()),
        (path("nowhere/deeper/link"), link_to(&outside)),
        (path("out"), link_to(&outside)),
        (path("out/decoy"), tool()),
        (path("out/new"), tool()),
        (path("a"), Entry::Dir { mode: 0o755 }),
        (path("a"), tool()),
        (path("a"), link_to("twice")),
        (path("mine/child"), tool()),
        (path(b"no\xfftext"), tool()),
        (path("n".repeat(255)), tool()),
        (path(vec!["deep"; 3000].join("/")), tool()),
    ];
    let _b = FakeB::before(&mut system, rows, giving(&[b"tool"], heard));
    until("what can be is at A", || text(&system.a, "z").as_deref() == Some("tool"));
    until("what can be is at A", || system.a.join("out").is_symlink());
    let ran = system.lab3(&["wait", "--timeout", "5s"]);
    assert!([0, 5].contains(&ran.code), "{ran:?}");
    assert_eq!(text(&system.a, "mine").as_deref(), Some("mine"));
    decoy.is_untouched();
    system.ok(&["status"]);
    is_well(&mut system, Side::A);
}

/// What B says that became of orders that were not its own, or of none at all, changes nothing: the
/// held edits of a lock are applied by A, once each.
#[test]
fn outcomes_of_others_orders_change_nothing() {
    let mut system = System::new();
    put(&system.a, "f", "tool");
    let heard = Heard::default();
    let mut give = giving(&[b"tool", b"edit"], heard.clone());
    let _b = FakeB::before(&mut system, Vec::new(), move |raw, message| {
        if let PeerMessage::Order(Order::Settle { id }) = message {
            for n in (0..id.0 + 50).chain([u64::MAX, 1 << 63]) {
                let outcome = Outcome::Done { now: None, aside: Some(path("conflict")) };
                let report = Report::Outcome { id: OrderId(n), outcome, spent: None };
                raw.say(&PeerMessage::Report(report));
                raw.say(&PeerMessage::Report(Report::Synced { id: OrderId(n), durable: true }));
                raw.say(&PeerMessage::Report(Report::Met { number: u64::MAX }));
            }
        }
        give(raw, message)
    });
    system.b_is("connected");
    for n in 0..5 {
        system.ok(&[]);
        put(&system.a, format!("g{n}"), "more");
    }
    until("B is told of all", || commits(&heard).len() >= 6);
    assert_eq!(text(&system.a, "f").as_deref(), Some("tool"));
    for n in 0..5 {
        assert_eq!(text(&system.a, &format!("g{n}")).as_deref(), Some("more"));
    }
    is_well(&mut system, Side::A);
}

/// Meetings without number, renames of what never was, questions without end, a look that is never
/// over: the server goes on, and so does its client.
#[test]
fn nonsense_about_meetings_renames_and_looks_is_borne() {
    let mut system = System::new();
    put(&system.a, "f", "mine");
    let mut hello = Hello::new(Role::Agent, Some(ReplicaId(9)));
    hello.features = vec![format!("met={}", u64::MAX), format!("run={}", u64::MAX)];
    let rows = (0..1000).map(|n| (path(format!("d/{n:04}")), file(b"x", 0o644)));
    let rows: Vec<_> = [(path("d"), Entry::Dir { mode: 0o755 })].into_iter().chain(rows).collect();
    let mut said = false;
    let b = FakeB::saying(&mut system, hello, rows, move |raw, message| {
        let PeerMessage::Order(Order::Settle { .. }) = message else { return false };
        if std::mem::replace(&mut said, true) {
            return false;
        }
        raw.say(&PeerMessage::Report(Report::Met { number: u64::MAX }));
        let pairs = |n: usize| (path("d"), path(format!("d{n}")));
        let carried: Vec<_> = (0..20_000).map(pairs).collect();
        let moved = vec![(path("f"), path("f")), (path("d"), path("d/d")), (path("no"), path("f"))];
        let looks = [
            Observation { carried: vec![(path("d"), path("d/d"))], ..Observation::default() },
            Observation { carried, ..Observation::default() },
            Observation { moved: moved.clone(), strayed: moved, ..Observation::default() },
            Observation { more: true, ..Observation::default() },
        ];
        for look in looks {
            raw.say(&PeerMessage::Report(Report::Observed(look)));
        }
        false
    });
    system.b_is("connected");
    let list = system.lab3(&[]);
    assert_eq!(list.code, 0, "{list:?}");
    system.ok(&["status"]);
    system.ok(&["-lock", "f"]);
    assert_eq!(text(&system.a, "f").as_deref(), Some("mine"));
    assert_eq!(b.connections(), 1, "it is borne");
    is_well(&mut system, Side::A);
}

/// What B has to say that a terminal would act on reaches neither the log nor whoever asks (H23).
#[test]
fn no_word_of_b_acts_on_a_terminal() {
    const EVIL: &str = "\x1b[2Jgone\u{9b}31m\u{202e}live\u{2066}\u{61c}\r\nserver-a ready: faked";
    let mut system = System::new();
    put(&system.a, "f", "mine");
    let name = || path("n\x1b[31m\u{9b}2J\u{202e}gpj.exe");
    let mut told = 0;
    let heard = Heard::default();
    let noted = heard.clone();
    let rows = vec![(name(), file(b"x", 0o644))];
    let _b = FakeB::before(&mut system, rows, move |raw, message| {
        noted.lock().expect("not poisoned").push(message.clone());
        match message {
            PeerMessage::Order(Order::Settle { .. }) => {
                told += 1;
                let problem = Problem { kind: ProblemKind::Unreadable, detail: EVIL.repeat(100) };
                let problems = vec![(name(), Some(problem))];
                let look = Observation { problems, ..Observation::default() };
                raw.say(&PeerMessage::Report(Report::Observed(look)));
                let halted = (told % 2 == 1).then(|| EVIL.to_owned());
                let words = vec![EVIL.to_owned()];
                let condition = Condition {
                    halted,
                    watch_hint: Some(EVIL.to_owned()),
                    lacks: words,
                    linked_outside: vec![name()],
                    unsettled: Some(EVIL.to_owned()),
                    ..Condition::default()
                };
                raw.say(&PeerMessage::Report(Report::Condition(condition)));
                false
            }
            PeerMessage::Order(Order::Commit { id, .. }) => {
                let problem = Problem { kind: ProblemKind::Refused, detail: EVIL.to_owned() };
                let outcome = Outcome::Failed(problem);
                let report = Report::Outcome { id: *id, outcome, spent: None };
                raw.say(&PeerMessage::Report(report));
                true
            }
            _ => false,
        }
    });
    until("B is told", || !commits(&heard).is_empty());
    let mut shown = String::new();
    for _ in 0..2 {
        for args in [&[][..], &["status"], &["status", "f"], &["wait", "--timeout", "1s"], &["log"]]
        {
            for json in [&[][..], &["--json"]] {
                let ran = system.lab3(&[args, json].concat());
                shown += &ran.out;
                shown += &ran.err;
            }
        }
    }
    assert!(shown.contains("gone"), "it was shown: {shown}");
    let server = system.server(Side::A);
    until("it is in the log", || server.said().contains("gone"));
    for text in [&shown, &server.said(), &server.complained()] {
        let acts = |c: &char| {
            c.is_control() && *c != '\n'
                || matches!(c, '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert_eq!(text.chars().find(acts), None, "{text}");
        assert!(!text.lines().any(|line| line.starts_with("server-a ready: faked")), "{text}");
    }
    is_well(&mut system, Side::A);
}

/// An edit of a locked file whose content is another than B says is not held, and leaves nothing in
/// the pending directory; nor does one of a size that no disk has.
#[test]
fn a_held_edit_that_lies_is_not_held() {
    let mut system = System::new();
    put(&system.a, "f", "tool");
    let mut told = 0;
    let _b = FakeB::before(&mut system, Vec::new(), move |raw, message| match message {
        PeerMessage::Order(Order::Settle { .. }) => {
            told += 1;
            let Entry::File(mut huge) = file(b"huge", 0o644) else { return false };
            Arc::make_mut(&mut huge).size = u64::MAX >> (told % 3);
            for (entry, content) in [
                (file(b"right", 0o644), Some(&b"wrong"[..])),
                (file(b"right", 0o644), Some(&b""[..])),
                (file(b"gone", 0o600), None),
                (Entry::File(huge), None),
            ] {
                raw.say(&seen(path("f"), Some(entry), content));
            }
            false
        }
        PeerMessage::Ask(ask) => {
            let given = Given::Piece(ByteBuf::from(vec![0; 5]));
            raw.say(&PeerMessage::Give(Give { id: ask.id, given }));
            true
        }
        _ => false,
    });
    system.b_is("connected");
    until("it is locked", || system.lab3(&["-lock", "f"]).code == 0);
    for _ in 0..5 {
        system.lab3(&["status", "f"]);
        assert_eq!(system.held(&[]).len(), 0);
    }
    until("nothing is left", || {
        let pending = fs::read_dir(system.a.join(".lab3/pending")).expect("it is there");
        pending.flatten().all(|item| item.path().extension().is_some_and(|end| end == "next"))
    });
    assert_eq!(text(&system.a, "f").as_deref(), Some("tool"));
    is_well(&mut system, Side::A);
}

/// A message of rows as large as a frame may be is taken; one byte more ends the link (H12).
#[test]
fn the_largest_message_is_taken_and_a_larger_one_is_not() {
    let mut system = System::new();
    put(&system.a, "f", "mine");
    let mut told = 0;
    let b = FakeB::before(&mut system, Vec::new(), move |raw, message| {
        if let PeerMessage::Order(Order::Settle { .. }) = message {
            told += 1;
            let row = |n: usize| Row {
                path: path(format!("{n:06}")),
                entry: None,
                content: None,
                seen: None,
            };
            let count = if told == 1 { 40_000 } else { 80_000 };
            let look =
                Observation { rows: (0..count).map(row).collect(), ..Observation::default() };
            raw.say(&PeerMessage::Report(Report::Observed(look)));
        }
        false
    });
    system.b_is("connected");
    assert_eq!(system.lab3(&["-lock", "f"]).code, 0, "a million of tiny rows are rows");
    assert_eq!(b.connections(), 1);
    system.lab3(&["-unlock", "f"]);
    until("the link is made anew", || b.connections() > 1);
    is_well(&mut system, Side::A);
}

/// A server B that says that its directory is A's, or in it, or around it, is refused in words,
/// again and again, and A goes on serving its clients.
#[test]
fn a_b_that_says_it_lies_in_the_directory_of_a_stops_nobody() {
    for (there, how) in [("tree", "is"), ("tree/inner", "holds"), ("", "lies inside")] {
        let mut system = System::new();
        let root = system.dir.path().join("around/tree");
        fs::create_dir_all(root.join("inner")).expect("directories");
        system.a = root;
        put(&system.a, "mine", "x");
        let told = Place::of(&system.dir.path().join("around").join(there)).expect("a place");
        let hello =
            Hello { features: vec![told.feature()], ..Hello::new(Role::Agent, Some(ReplicaId(9))) };
        let b = FakeB::saying(&mut system, hello, Vec::new(), |_, message| {
            panic!("A goes on with it: {message:?}")
        });
        let why = format!("`{}` {how} the directory of the other server", system.a.display());
        until("it is refused in words", || system.ok(&["status"]).contains(&why));
        until("it is tried again", || b.connections() > 2);
        system.ok(&["-lock", "mine"]);
        put(&system.a, "more", "x");
        assert!(system.ok(&[]).contains("more"));
        assert!(system.server_a.as_mut().is_some_and(|a| a.has_ended().is_none()));
    }
}
