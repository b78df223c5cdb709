//! Laws of the check of all trees: a mistake anywhere is found, named, and healed; what waits is
//! excepted; and nothing is asked while nothing changes.

use common::entry::Entry;
use common::problem::{Problem, ProblemKind};
use common::side::Side::{self, A, B};
use common::wire::client::{Answer, Request, Target};
use common::wire::message::Order;
use common::wire::verify::{CheckEnd, Verified};
use server_a::coordinator::action::Note;

use crate::coordinator::{agreed, write};
use crate::model::{Node, file, path};
use crate::world::World;

fn verify(world: &mut World) -> Verified {
    match world.ask(Request::Verify { timeout_ms: 60_000, deep: false }) {
        Answer::Verified(found) => *found,
        answer => panic!("{answer:?}"),
    }
}

fn names(found: &Verified) -> Vec<String> {
    found.differing.iter().map(|row| row.path.to_string()).collect()
}

fn is_identical(found: &Verified) -> bool {
    matches!(found.end, CheckEnd::Identical { .. }) && found.differing.is_empty()
}

/// A side comes to know something that it never told.
fn plant(world: &mut World, side: Side, at: &str, entry: Option<Entry>) {
    let replica = &mut world.sides[side];
    match entry {
        Some(entry) => {
            let node = Node { inode: 999, entry };
            replica.known.insert(path(at), node.clone());
            replica.tree.insert(path(at), node);
        }
        None => {
            replica.known.remove(&path(at));
            replica.tree.remove(&path(at));
        }
    }
}

#[test]
fn what_is_equal_is_identical_and_a_change_gives_another_digest() {
    let mut world = agreed(&["a", "d/b"]);
    let first = verify(&mut world);
    assert!(is_identical(&first), "{first:?}");
    assert!(matches!(first.end, CheckEnd::Identical { entries: 3, .. }));
    assert_eq!(first.end, verify(&mut world).end);
    write(&mut world, A, "a", "other");
    world.settle();
    let second = verify(&mut world);
    assert!(is_identical(&second) && second.end != first.end);
}

#[test]
fn what_a_replica_never_told_is_found_named_and_healed() {
    for side in Side::BOTH {
        for (at, entry) in [
            ("d/b", Some(file("planted", 0o644, 7))),
            ("d/b", Some(file("d/b", 0o600, 1))),
            ("d/new", Some(file("planted", 0o644, 7))),
            ("d/b", None),
        ] {
            let mut world = agreed(&["a", "d/b", "e/f/g"]);
            plant(&mut world, side, at, entry);
            let found = verify(&mut world);
            assert_eq!(found.end, CheckEnd::Different);
            assert_eq!(names(&found), [at]);
            assert!(world.notes.iter().any(|note| matches!(note, Note::Differs { .. })));
            world.settle();
            let healed = verify(&mut world);
            assert!(is_identical(&healed), "{healed:?}");
            assert_eq!(world.differences(), Vec::<String>::new());
        }
    }
}

#[test]
fn every_difference_in_a_large_directory_is_named_up_to_a_bound() {
    let files: Vec<String> = (0..1100).map(|n| format!("d/{n:04}")).collect();
    let mut world = agreed(&files.iter().map(String::as_str).collect::<Vec<_>>());
    plant(&mut world, B, "d/0003", None);
    plant(&mut world, B, "d/1099", None);
    let found = verify(&mut world);
    assert_eq!(names(&found), ["d/0003", "d/1099"]);
    assert!(!found.more);
    world.settle();
    for name in &files[..120] {
        plant(&mut world, A, name, None);
    }
    let found = verify(&mut world);
    assert!(found.differing.len() == 100 && found.more, "{}", found.differing.len());
}

#[test]
fn what_waits_is_excepted_and_named() {
    let mut world = agreed(&["a", "b", "c"]);
    let target = Target::Path(path("a"));
    world.ask(Request::Lock { target, holder: "me".into(), comment: None, ttl_s: None });
    write(&mut world, B, "a", "held");
    let detail = "permission denied".to_owned();
    let problem = Problem { kind: ProblemKind::Unreadable, detail };
    world.sides.b.problems.insert(path("c"), problem);
    world.settle();
    world.disconnect();
    world.connect();
    plant(&mut world, B, "c", Some(file("unread", 0o644, 9)));
    world.settle();
    let found = verify(&mut world);
    assert!(is_identical(&found), "{found:?}");
    let excepted: Vec<String> = found.exceptions.iter().map(|e| e.path.to_string()).collect();
    assert_eq!(excepted, ["a", "c"]);
    assert!(found.exceptions[0].reason.contains("locked by me"), "{found:?}");
    // What is not excepted is compared all the same.
    plant(&mut world, B, "b", None);
    assert_eq!(names(&verify(&mut world)), ["b"]);
}

#[test]
fn away_or_halted_is_no_answer_at_all() {
    let mut world = agreed(&["a"]);
    world.disconnect();
    let found = verify(&mut world);
    assert_eq!(found.end, CheckEnd::Unknown("server B is away".to_owned()));
}

#[test]
fn a_check_is_made_some_time_after_a_change_and_never_without_one() {
    let mut world = agreed(&["a"]);
    world.coordinator.check_every(Some(60_000));
    let asked = |world: &mut World| {
        let before = world.actions;
        world.settle();
        world.actions - before
    };
    write(&mut world, A, "a", "other");
    world.settle();
    let checked = |note: &&Note| matches!(note, Note::Checked { identical: true, .. });
    assert_eq!(world.notes.iter().filter(checked).count(), 1);
    let at = world.now.moment;
    assert!(at.0 >= 60_000, "{at:?}");
    assert_eq!(asked(&mut world), 0, "at rest nothing is asked");
    assert!(world.alarm.is_none(), "and nobody wakes up");
    assert_eq!(world.orders.a.iter().filter(|o| matches!(o, Order::Compare { .. })).count(), 0);
}

#[test]
fn a_check_among_edits_waits_for_a_quiet_moment_and_is_right() {
    let mut world = agreed(&["a"]);
    let client = world.request(Request::Verify { timeout_ms: 60_000, deep: false });
    for round in 0..20 {
        write(&mut world, if round % 2 == 0 { A } else { B }, "a", &format!("round {round}"));
        for _ in 0..3 {
            world.look_all(A);
            world.look_all(B);
            world.run_order(A);
            world.run_order(B);
            world.run_report(B);
            world.run_report(A);
        }
    }
    world.settle();
    let (_, answer) = world.answers.iter().find(|(to, _)| *to == client).expect("an answer");
    let Answer::Verified(found) = answer else { panic!("{answer:?}") };
    assert!(is_identical(found), "{found:?}");
    assert!(!world.notes.iter().any(|note| matches!(note, Note::Differs { .. })));
}
