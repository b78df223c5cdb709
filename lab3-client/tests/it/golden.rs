//! Help, tables and JSON, frozen in `fixtures/cli`. `LAB3_BLESS=1` writes them anew.

use std::collections::BTreeSet;

use common::digest::Digest;
use common::entry::Kind;
use common::side::Side;
use common::time::{Micros, Timestamp};
use common::wire::client::kept::{
    ConflictPart, ConflictRow, Fate, Resolved, ResolvedRow, Restored, TrashPart,
};
use common::wire::client::timed::{Speed, Spread, Stages, Trace};
use common::wire::client::{
    Answer, DrainMode, HeldOp, Link, ListingRow, PathStatus, ProblemRow, Receipt, Refusal,
    RefusalKind, State, Status,
};
use common::wire::log::{Happened, LogPart, LogRow, Version};
use common::wire::message::Condition;
use common::wire::trashed::{TrashName, TrashReason, TrashRow};
use common::wire::verify::{CheckEnd, DifferingRow, ExceptionRow, LastCheck, RottenRow, Verified};

use crate::fake_a::{FakeA, Lab3, edit, fixture, lock, part, path, row, time, waits};

/// Compares with what is frozen, or freezes it.
fn check(name: &str, text: &str) {
    let file = fixture(name);
    if std::env::var_os("LAB3_BLESS").is_some() {
        std::fs::write(&file, text).expect("written");
    }
    let frozen = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, frozen, "`{name}` changed: LAB3_BLESS=1 writes it anew");
}

/// What the client prints of an answer, for people and for programs.
fn check_answer(name: &str, answer: Answer, args: &[&str]) {
    let server = FakeA::answering(answer);
    let lab3 = Lab3::of(&server.address);
    let ran = lab3.run(args);
    assert_eq!(ran.code, 0, "{ran:?}");
    check(&format!("{name}.txt"), &ran.out);
    let json = lab3.run(&[args, &["--json"]].concat()).out;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.ends_with('\n') && value.is_object());
    check(&format!("{name}.json"), &json);
}

fn listing() -> Vec<ListingRow> {
    let held = ListingRow {
        held: 2,
        lock: Some(lock("report.txt")),
        ..row("report.txt", 1234, State::Held)
    };
    let mut draining = lock("slow.bin");
    draining.draining = true;
    vec![
        row("a.txt", 0, State::Agreed),
        row("docs/notes and more.txt", 123_456_789_012, State::OnlyB),
        ListingRow { kind: Kind::Link, ..row("link", 9, State::OnlyA) },
        row("moving.iso", 4_000_000_000, State::Differs),
        held,
        ListingRow { lock: Some(draining), held: 1, ..row("slow.bin", 7, State::Held) },
        row("ünreadable", 1, State::Problem),
    ]
}

#[test]
fn the_listing_looks_as_it_did() {
    check_answer("list", part(listing(), true), &[]);
}

#[test]
fn locks_look_as_they_did() {
    let mut timed = lock("docs");
    timed.id = 12;
    timed.expires = Some(time(7200));
    timed.comment = None;
    timed.held = 0;
    check_answer("locks", Answer::Locks(vec![lock("report.txt"), timed.clone()]), &["locks"]);
    check_answer("lock", Answer::Locked(timed), &["-lock", "docs", "--ttl", "2h"]);
}

#[test]
fn held_edits_look_as_they_did() {
    let edits = vec![
        edit(9, HeldOp::Create, 5),
        edit(10, HeldOp::Write, 123_456),
        edit(11, HeldOp::Metadata, 123_456),
        edit(12, HeldOp::Replace, 0),
        edit(13, HeldOp::Delete, 0),
    ];
    check_answer("held", Answer::Held(edits), &["held"]);
}

fn receipt() -> Receipt {
    Receipt {
        path: path("report.txt"),
        dry_run: false,
        mode: DrainMode::Apply,
        applied: vec![edit(10, HeldOp::Write, 5), edit(11, HeldOp::Write, 70)],
        discarded: 0,
        conflicts: vec![path("report.conflict-A-20261121-095000-d1d1d1d1.txt")],
        agreed: true,
        waiting: vec![],
    }
}

#[test]
fn receipts_look_as_they_did() {
    let unlock = ["-unlock", "report.txt"];
    check_answer("unlock", Answer::Unlocked(receipt()), &unlock);
    let waiting = Receipt { agreed: false, waiting: vec![waits("report.txt")], ..receipt() };
    check_answer("unlock_waiting", Answer::Unlocked(waiting), &unlock);
    let dry = Receipt { dry_run: true, agreed: false, ..receipt() };
    check_answer("unlock_dry_run", Answer::Unlocked(dry), &["-unlock", "report.txt", "--dry-run"]);
    let discard = Receipt {
        mode: DrainMode::Discard,
        applied: vec![],
        discarded: 1,
        conflicts: vec![],
        ..receipt()
    };
    check_answer(
        "unlock_discard",
        Answer::Unlocked(discard),
        &["-unlock", "report.txt", "--discard"],
    );
    let nothing = Receipt { applied: vec![], conflicts: vec![], ..receipt() };
    check_answer("unlock_nothing", Answer::Unlocked(nothing), &unlock);
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        halted: None,
        b: Link::Connected,
        side_a: Condition { watched: 10, ..Condition::default() },
        side_b: Condition { watched: 3, ..Condition::default() },
        known: (100, 99),
        agreed: 98,
        in_flight: 1,
        waiting_count: 0,
        waiting: vec![],
        problem_count: 0,
        problems: vec![],
        locks: 1,
        held: (2, 75),
        checked: None,
        journal: None,
        speed: vec![],
    }
}

/// Edits of B in some number; none of A.
fn speeds() -> Vec<Speed> {
    let spread = |part: u64| {
        let [p50, p95, p99, max] = [900, 1900, 3100, 5200].map(|all| Micros::from(all / part));
        Spread { count: 1204, p50, p95, p99, max }
    };
    let [told, link, ordered, durable, visible, reported] = [2, 20, 30, 4, 8, 9].map(spread);
    let stages = Stages { told, link, ordered, durable, visible, reported };
    let (agreed, seen_to_visible, seen_to_agreed) = (spread(3), spread(1), spread(1));
    let none = Spread::default();
    vec![
        Speed {
            from: Side::A,
            stages: Stages::default(),
            agreed: none,
            seen_to_visible: none,
            seen_to_agreed: none,
        },
        Speed { from: Side::B, stages, agreed, seen_to_visible, seen_to_agreed },
    ]
}

fn last_edit() -> Trace {
    let parts = [400, 50, 30, 200, 90, 55].map(Micros::from);
    let [told, link, ordered, durable, visible, reported] = parts;
    let stages = Stages { told, link, ordered, durable, visible, reported };
    Trace { from: Side::B, time: time(5), stages, agreed: Some(Micros::from(2500)) }
}

fn problem() -> ProblemRow {
    let detail = "cannot open `secret`: permission denied".to_owned();
    ProblemRow { path: path("secret"), side: Side::A, detail }
}

#[test]
fn the_status_looks_as_it_did() {
    check_answer("status", Answer::Status(Box::new(status())), &["status"]);
    let trouble = Status {
        halted: Some("side A: its root is suddenly empty".to_owned()),
        b: Link::Away { since: Some(time(0)), reason: "connection refused".to_owned() },
        side_a: Condition {
            halted: Some("the root is suddenly empty".to_owned()),
            ..status().side_a
        },
        side_b: Condition {
            polled: 2,
            unwatched: 1,
            watch_hint: Some("sysctl fs.inotify.max_user_watches=20000".to_owned()),
            scrubs: 3,
            scrub_found: 1,
            lacks: vec!["rename exchange".to_owned()],
            linked_outside: vec![path("shared.log")],
            unsettled: None,
            ..status().side_b
        },
        waiting_count: 300,
        waiting: vec![waits("log.txt")],
        problem_count: 1,
        problems: vec![problem()],
        checked: Some(LastCheck {
            time: time(0),
            found: "identical at d1d1d1d1, 42 entries".to_owned(),
            identical: true,
        }),
        journal: Some("cannot be written, 3 rows wait: no space left on device".to_owned()),
        speed: speeds(),
        ..status()
    };
    check_answer("status_trouble", Answer::Status(Box::new(trouble)), &["status"]);
}

#[test]
fn the_status_of_a_path_looks_as_it_did() {
    let one = PathStatus {
        path: path("report.txt"),
        at: ["file, 5 bytes".to_owned(), "file, 6 bytes".to_owned(), "file, 5 bytes".to_owned()],
        state: Some(State::Held),
        lock: Some(lock("report.txt")),
        held: 2,
        waiting: vec![waits("report.txt")],
        problems: vec![problem()],
        last_edit: Some(Box::new(last_edit())),
    };
    check_answer("status_path", Answer::PathStatus(one), &["status", "report.txt"]);
}

#[test]
fn checks_look_as_they_did() {
    let digest = Digest([0xd1; 32]);
    let found = Verified {
        time: time(0),
        end: CheckEnd::Identical { digest, entries: 42 },
        differing: vec![],
        more: false,
        exceptions: vec![],
        exception_count: 0,
        rotten: vec![],
        read: None,
    };
    check_answer("verify", Answer::Verified(Box::new(found.clone())), &["verify"]);
    let at = ["file, 5 bytes", "file, 6 bytes", "file, 5 bytes", "nothing", "file, 5 bytes"];
    let excepted = ExceptionRow {
        path: path("log.txt"),
        side: Some(Side::B),
        reason: "waiting for its writer".to_owned(),
    };
    let detail = "its bytes have digest d1d1d1d1, and c2c2c2c2 was written".to_owned();
    let different = Verified {
        end: CheckEnd::Different,
        differing: vec![DifferingRow { path: path("report.txt"), at: at.map(str::to_owned) }],
        more: true,
        exceptions: vec![excepted],
        exception_count: 300,
        rotten: vec![RottenRow { path: path("old.iso"), side: Side::A, detail }],
        read: Some(84),
        ..found
    };
    let server = FakeA::answering(Answer::Verified(Box::new(different)));
    let lab3 = Lab3::of(&server.address);
    let ran = lab3.run(&["verify", "--deep"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    check("verify_different.txt", &ran.out);
    check("verify_different.json", &lab3.run(&["verify", "--deep", "--json"]).out);
}

#[test]
fn the_log_looks_as_it_did() {
    let version = |size| Version { kind: Kind::File, size, digest: Some("d1d1d1d1".to_owned()) };
    let row = |what| LogRow { seq: 7, time: time(0), ..LogRow::new(what, Some(path("a.txt"))) };
    let carried = |what| LogRow { by: Some(Side::A), carried: Some(Side::B), ..row(what) };
    let rows = vec![
        LogRow { after: Some(version(5)), ..carried(Happened::Created) },
        LogRow {
            before: Some(version(5)),
            after: Some(version(70)),
            trash: Some(Side::B),
            ..carried(Happened::Written)
        },
        LogRow { to: Some(path("b.txt")), ..carried(Happened::Renamed) },
        LogRow { before: Some(version(70)), trash: Some(Side::B), ..carried(Happened::Deleted) },
        LogRow {
            who: Some("ann@mill".to_owned()),
            detail: Some("by bob@mill".to_owned()),
            ..row(Happened::ForcedUnlock)
        },
        LogRow { path: None, detail: Some("side A".to_owned()), ..row(Happened::Resumed) },
    ];
    let part = LogPart { rows, more: false, problem: None };
    check_answer("log", Answer::Log(part), &["log"]);
}

#[test]
fn trash_looks_as_it_did() {
    let version = |place, at, reason| {
        let name = format!("0179525580{place}-0123456789abcdef-7");
        let name = TrashName::new(&name).expect("a name");
        TrashRow { name, path: path(at), size: 77, time: time(place), reason }
    };
    let rows = vec![
        (Side::A, version(3, "report.txt", TrashReason::Replaced)),
        (Side::B, version(2, "docs/two words", TrashReason::Deleted)),
        (Side::B, version(1, "found-in-trash-1", TrashReason::Recovered)),
        (Side::A, version(0, "report.txt", TrashReason::Discarded)),
    ];
    let part = TrashPart { b: Link::Connected, rows: rows.clone(), left_out: 0, last: true };
    check_answer("trash", Answer::Trash(part), &["trash"]);
    let away = Link::Away { since: None, reason: "connection refused".to_owned() };
    let part = TrashPart { b: away, rows: rows[..1].to_vec(), left_out: 12, last: true };
    check_answer("trash_away", Answer::Trash(part), &["trash"]);
    let back = Restored {
        side: Side::B,
        path: path("old.txt"),
        agreed: false,
        waiting: vec![waits("old.txt")],
    };
    let id = "B-01795255802-0123456789abcdef-7";
    check_answer("trash_restore", Answer::Restored(back), &["trash", "restore", id]);
}

#[test]
fn conflicts_look_as_they_did() {
    let row = |at: &str, original: &str, rival, edited| ConflictRow {
        path: path(at),
        original: path(original),
        side: Side::B,
        kind: Kind::File,
        size: 5,
        modified: time(0),
        digest: Digest([0xd1; 32]),
        rival,
        edited,
    };
    let copy = "report.conflict-B-20261121-095000-d1d1d1d1.txt";
    let rows = vec![
        row("a.conflict-B-20261121-095000-d1d1d1d1", "a", None, true),
        row(copy, "report.txt", Some(Digest([0xd2; 32])), false),
    ];
    let part = ConflictPart { rows, last: true };
    check_answer("conflicts", Answer::Conflicts(part), &["conflicts"]);
    let why = Refusal {
        kind: RefusalKind::Refused,
        message: "`a` holds something else than its name says".to_owned(),
        hint: Some("look at it".to_owned()),
    };
    let row = |at: &str, fate| ResolvedRow { path: path(at), original: path("report.txt"), fate };
    let rows = vec![
        row(copy, Fate::TakesName),
        row("second", Fate::Trashed),
        row("third", Fate::Renamed(path("report.from-b.txt"))),
    ];
    let args = ["conflicts", "resolve", "report.txt", "--take", "b"];
    let done = Resolved { dry_run: false, rows, agreed: true, waiting: vec![], last: true };
    check_answer("conflicts_resolve", Answer::Resolved(done.clone()), &args);
    let dry = Resolved { dry_run: true, agreed: false, ..done.clone() };
    check_answer("conflicts_dry_run", Answer::Resolved(dry), &args);
    let left = Resolved { rows: vec![row("a", Fate::Left(why))], ..done };
    let server = FakeA::answering(Answer::Resolved(left));
    let ran = Lab3::of(&server.address).run(&args);
    assert_eq!(ran.code, 1, "{ran:?}");
    check("conflicts_left.txt", &ran.out);
}

#[test]
fn every_key_of_the_json_is_in_the_document() {
    fn keys(value: &serde_json::Value, all: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                all.extend(map.keys().cloned());
                map.values().for_each(|value| keys(value, all));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, all)),
            _ => {}
        }
    }
    let document = fixture("../../docs/protocol.md");
    let document = std::fs::read_to_string(document).expect("readable");
    let mut all = BTreeSet::new();
    for file in std::fs::read_dir(fixture("")).expect("the folder") {
        let file = file.expect("a file").path();
        if file.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(file).expect("readable");
            keys(&serde_json::from_str(&text).expect("JSON"), &mut all);
        }
    }
    assert!(all.len() > 40, "{all:?}");
    let missing: Vec<_> = all.iter().filter(|k| !document.contains(&format!("\"{k}\""))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn help_looks_as_it_did() {
    let render = |name: &[&str]| {
        let mut command = lab3_client::cli::command().term_width(100);
        command.build();
        let found = name.iter().fold(&mut command, |command, name| {
            command.find_subcommand_mut(name).expect("a command")
        });
        found.render_long_help().to_string()
    };
    check("help.txt", &render(&[]));
    check("help_lock.txt", &render(&["lock"]));
    check("help_unlock.txt", &render(&["unlock"]));
    check("help_trash.txt", &render(&["trash"]));
    check("help_restore.txt", &render(&["trash", "restore"]));
    check("help_conflicts.txt", &render(&["conflicts"]));
    check("help_resolve.txt", &render(&["conflicts", "resolve"]));
}

#[test]
fn help_and_version_go_to_stdout() {
    let lab3 = Lab3::of("127.0.0.1:1");
    for args in [["--help"], ["-h"], ["--version"], ["-V"]] {
        let ran = lab3.run(&args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        assert!(ran.out.contains("lab3"), "{args:?}");
    }
    assert_eq!(lab3.run(&["--version"]).out, format!("lab3 {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn no_frozen_text_is_without_a_test() {
    let names = std::fs::read_dir(fixture("")).expect("the folder");
    let frozen: BTreeSet<String> = names
        .map(|file| file.expect("a file").file_name().into_string().expect("a plain name"))
        .collect();
    let source = include_str!("golden.rs");
    for name in &frozen {
        let stem = name.trim_end_matches(".txt").trim_end_matches(".json");
        // A name ends an argument, as a stem of two files or as a file of its own.
        let used = [format!("\"{stem}\","), format!("\"{name}\",")];
        assert!(used.iter().any(|text| source.contains(text)), "`{name}` is not used");
    }
    assert_eq!(time(0), Timestamp { seconds: 1_795_255_800, nanos: 123_000_000 });
}
