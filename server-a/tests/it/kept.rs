//! Laws of what was saved: versions come back from trash, conflict copies are settled, and nothing
//! that nobody has seen is ever replaced.

use common::digest::Digest;
use common::entry::Entry;
use common::path::RelPath;
use common::reconcile::conflict::{copy_path, is_copy_name};
use common::side::Side::{self, A, B};
use common::wire::client::kept::{
    ConflictRow, Fate, Resolve, Resolved, Restore, Restored, Take, Which,
};
use common::wire::client::{Answer, RefusalKind, Request};
use common::wire::trashed::{TrashId, TrashName, TrashRow};
use server_a::coordinator::event::Event;

use crate::coordinator::{agreed, assert_equal, has, names, remove, write};
use crate::model::{content, file, path};
use crate::world::World;

fn conflicts(world: &mut World) -> Vec<ConflictRow> {
    match world.ask(Request::Conflicts) {
        Answer::Conflicts(part) => part.rows,
        other => panic!("{other:?}"),
    }
}

fn wish(which: Which, take: Take) -> Request {
    Request::Resolve(Resolve { which, take, dry_run: false })
}

fn resolved(answer: Answer) -> Resolved {
    match answer {
        Answer::Resolved(part) => part,
        other => panic!("{other:?}"),
    }
}

fn kind(answer: Answer) -> RefusalKind {
    match answer {
        Answer::Refused(refusal) => refusal.kind,
        other => panic!("{other:?}"),
    }
}

fn trash(world: &mut World) -> Vec<(Side, TrashRow)> {
    match world.ask(Request::Trash { below: None }) {
        Answer::Trash(part) => part.rows,
        other => panic!("{other:?}"),
    }
}

fn restore(side: Side, name: &str) -> Restore {
    let name = TrashName::new(name).expect("a name");
    Restore { id: TrashId { side, name }, to: None, over: false }
}

/// A world in which each of these names had a conflict: A's version lost it to B's.
fn in_conflict(files: &[&str]) -> World {
    let mut world = agreed(files);
    for at in files {
        write(&mut world, A, at, &format!("a {at}"));
    }
    for at in files {
        write(&mut world, B, at, &format!("b {at}"));
    }
    world.settle();
    assert_equal(&world);
    world
}

/// Whether a text is in a tree or in a trash.
fn is_somewhere(world: &World, text: &str) -> bool {
    let digest = Digest::of(text.as_bytes());
    let mut sides = [&world.sides.a, &world.sides.b].into_iter();
    sides.any(|side| side.contents().any(|d| d == digest) || side.trash.contains(&digest))
}

fn copies(world: &World, side: Side) -> usize {
    names(world, side).iter().filter(|name| is_copy_name(name.as_bytes())).count()
}

#[test]
fn a_version_comes_back_at_its_side_and_travels_like_an_edit() {
    for side in Side::BOTH {
        let mut world = agreed(&["d/f", "g"]);
        remove(&mut world, side.other(), "d");
        world.settle();
        let rows = trash(&mut world);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].0, &rows[0].1.path), (side, &path("d/f")));
        let answer = world.ask(Request::Restore(restore(side, rows[0].1.name.as_str())));
        let Answer::Restored(Restored { agreed, side: at, .. }) = answer else {
            panic!("{answer:?}")
        };
        assert!(agreed && at == side);
        world.settle();
        assert_equal(&world);
        assert!(has(&world, side.other(), "d/f", "d/f"));
    }
}

#[test]
fn a_name_that_is_taken_on_either_side_is_refused_and_nothing_moves() {
    let mut world = agreed(&["f"]);
    remove(&mut world, A, "f");
    world.settle();
    write(&mut world, A, "f", "new");
    world.settle();
    let before = world.ordered.len();
    let answer = world.ask(Request::Restore(restore(B, "0")));
    assert_eq!(kind(answer), RefusalKind::Refused);
    assert_eq!(world.ordered.len(), before);
    let over = Restore { over: true, ..restore(B, "0") };
    assert!(matches!(world.ask(Request::Restore(over)), Answer::Restored(_)));
    world.settle();
    assert_equal(&world);
    assert!(has(&world, A, "f", "f") && is_somewhere(&world, "new"));
}

/// The user of the side writes at the name in the moment in which the version is put there.
#[test]
fn an_edit_that_was_not_seen_is_not_replaced_by_a_restore() {
    let mut world = agreed(&["f", "g"]);
    remove(&mut world, B, "f");
    world.settle();
    let client = world.request(Request::Restore(restore(A, "0")));
    while world.orders.a.iter().all(|order| !format!("{order:?}").contains("Trashed")) {
        assert!(
            world.run_order(A) | world.run_order(B) | world.run_report(A) | world.run_report(B),
            "the restore is never ordered"
        );
    }
    world.sides.a.put(&path("f"), Some(file("an edit", 0o644, 7)));
    world.settle();
    let (_, answer) = world.answers.iter().find(|(to, _)| *to == client).expect("answered");
    assert_eq!(kind(answer.clone()), RefusalKind::Refused);
    assert_equal(&world);
    assert!(has(&world, B, "f", "an edit"));
}

#[test]
fn without_b_its_trash_is_neither_listed_nor_brought_back() {
    let mut world = agreed(&["f", "g"]);
    remove(&mut world, A, "f");
    remove(&mut world, B, "g");
    world.settle();
    world.disconnect();
    let rows = trash(&mut world);
    assert!(rows.len() == 1 && rows[0].0 == A, "{rows:?}");
    assert_eq!(kind(world.ask(Request::Restore(restore(B, "0")))), RefusalKind::StillWaiting);
    let answer = world.ask(Request::Restore(restore(A, "0")));
    let Answer::Restored(Restored { agreed: false, waiting, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert!(waiting.iter().any(|row| row.reason.contains("away")), "{waiting:?}");
    world.connect();
    world.settle();
    assert_equal(&world);
    assert!(has(&world, B, "g", "g"));
}

#[test]
fn a_link_that_breaks_while_b_is_asked_is_an_answer() {
    let mut world = agreed(&["f"]);
    remove(&mut world, A, "f");
    world.settle();
    let client = world.request(Request::Restore(restore(B, "0")));
    while !world.orders.b.iter().any(|order| format!("{order:?}").contains("FindTrash")) {
        assert!(
            world.run_order(A) | world.run_order(B) | world.run_report(A) | world.run_report(B)
        );
    }
    world.disconnect();
    world.run();
    let (_, answer) = world.answers.iter().find(|(to, _)| *to == client).expect("answered");
    assert_eq!(kind(answer.clone()), RefusalKind::StillWaiting);
}

#[test]
fn the_loser_takes_the_name_and_the_winner_goes_to_trash() {
    let mut world = in_conflict(&["d/f.txt"]);
    let rows = conflicts(&mut world);
    assert_eq!(rows.len(), 1);
    let ConflictRow { path: copy, original, side, edited, digest, rival, .. } = rows[0].clone();
    assert_eq!((original, side, edited), (path("d/f.txt"), A, false));
    let shown = Which::Shown { path: copy.clone(), digest, rival };
    let done = resolved(world.ask(wish(shown, Take::A)));
    assert!(done.agreed && done.rows[0].fate == Fate::TakesName, "{done:?}");
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["d", "d/f.txt"]);
    assert!(has(&world, B, "d/f.txt", "a d/f.txt") && is_somewhere(&world, "b d/f.txt"));
}

#[test]
fn a_dry_run_orders_nothing() {
    let mut world = in_conflict(&["f", "g"]);
    let before = world.ordered.len();
    for take in [Take::A, Take::B, Take::Newest, Take::Both] {
        let request = Request::Resolve(Resolve { which: Which::All, take, dry_run: true });
        let would = resolved(world.ask(request));
        assert!(would.dry_run && would.rows.len() == 2, "{would:?}");
        assert!(!would.rows.iter().any(|row| matches!(row.fate, Fate::Left(_))), "{would:?}");
    }
    world.settle();
    assert_eq!(world.ordered.len(), before);
}

#[test]
fn keeping_both_renames_on_both_sides_and_no_content_travels() {
    let mut world = in_conflict(&["f.txt"]);
    let before = world.ordered.len();
    let done = resolved(world.ask(wish(Which::All, Take::Both)));
    assert_eq!(done.rows[0].fate, Fate::Renamed(path("f.from-a.txt")), "{done:?}");
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["f.from-a.txt", "f.txt"]);
    assert_eq!(world.ordered.len(), before + 2, "{:?}", &world.ordered[before..]);
}

/// What only looks like a conflict copy, or was edited since, is left alone unless it is named.
#[test]
fn what_does_not_hold_what_its_name_says_is_left_alone() {
    let mut world = agreed(&["f", "f.conflict-A-20261121-095000-00112233"]);
    let rows = conflicts(&mut world);
    assert!(rows[0].edited);
    let done = resolved(world.ask(wish(Which::All, Take::Newest)));
    assert!(matches!(done.rows[0].fate, Fate::Left(_)), "{done:?}");
    let copy = rows[0].path.clone();
    let done = resolved(world.ask(wish(Which::Path(copy), Take::A)));
    assert_eq!(done.rows[0].fate, Fate::TakesName);
    world.settle();
    assert_eq!(names(&world, B), ["f"]);
    assert!(has(&world, B, "f", "f.conflict-A-20261121-095000-00112233"));
}

/// Some of what can happen by itself happens.
fn go_on(world: &mut World, moments: usize) {
    for _ in 0..moments {
        let _ = world.run_order(A)
            || world.run_report(A)
            || world.run_order(B)
            || world.run_report(B)
            || world.run_shell();
    }
}

/// A user who edits either name while it is resolved loses nothing, wherever the edit falls; and
/// what was not shown keeps its place in the tree.
#[test]
fn an_edit_at_any_moment_of_a_resolve_is_kept() {
    for (side, at_copy, all) in Side::BOTH
        .into_iter()
        .flat_map(|s| [(s, false, true), (s, true, true), (s, false, false), (s, true, false)])
    {
        for moment in 0..40 {
            let mut world = in_conflict(&["f"]);
            let row = conflicts(&mut world).remove(0);
            let copy = row.path.to_string();
            let shown = Which::Shown { path: row.path, digest: row.digest, rival: row.rival };
            world.request(wish(if all { Which::All } else { shown }, Take::A));
            go_on(&mut world, moment);
            write(&mut world, side, if at_copy { &copy } else { "f" }, "an edit");
            world.settle();
            assert_equal(&world);
            let when = format!("{side} {at_copy} {all} {moment}");
            for text in ["an edit", "a f", "b f"] {
                assert!(is_somewhere(&world, text), "{text}: {when}");
            }
            let edit = Digest::of(b"an edit");
            assert!(all || world.sides.a.contents().any(|d| d == edit), "in the tree: {when}");
        }
    }
}

/// A stops at any moment of a resolve: no version is lost, and what was begun can be finished.
#[test]
fn a_stop_at_any_moment_of_a_resolve_loses_nothing() {
    for rescanned in [false, true] {
        for moment in 0..60 {
            let mut world = in_conflict(&["f", "g"]);
            world.request(wish(Which::All, Take::A));
            go_on(&mut world, moment);
            world.restart_a(rescanned);
            world.connect();
            world.settle();
            assert_equal(&world);
            for text in ["a f", "b f", "a g", "b g"] {
                assert!(is_somewhere(&world, text), "{text} at {moment}");
            }
            resolved(world.ask(wish(Which::All, Take::A)));
            world.settle();
            assert_equal(&world);
            assert_eq!(copies(&world, B), 0, "at {moment}");
            assert!(has(&world, B, "f", "a f") && has(&world, B, "g", "a g"), "at {moment}");
        }
    }
}

#[test]
fn a_lock_stops_a_resolve_and_is_named() {
    let mut world = in_conflict(&["f", "g"]);
    let target = common::wire::client::Target::Path(path("f"));
    let lock = Request::Lock { target, holder: "ann".into(), comment: None, ttl_s: None };
    assert!(matches!(world.ask(lock), Answer::Locked(_)));
    let answer = world.ask(wish(Which::Path(path("f")), Take::A));
    assert_eq!(kind(answer), RefusalKind::LockedByAnother);
    let done = resolved(world.ask(wish(Which::All, Take::A)));
    let fates: Vec<bool> = done.rows.iter().map(|r| matches!(r.fate, Fate::Left(_))).collect();
    assert_eq!(fates, [true, false]);
    world.settle();
    assert!(has(&world, A, "f", "b f") && has(&world, A, "g", "a g"));
}

/// Before B has told what it has, nothing is settled over its head.
#[test]
fn what_b_has_not_told_yet_is_waited_for() {
    let mut world = in_conflict(&["f"]);
    world.disconnect();
    let done = resolved(world.ask(wish(Which::All, Take::A)));
    assert!(!done.agreed && done.waiting.iter().any(|row| row.reason.contains("away")));
    write(&mut world, B, "f", "an edit of B");
    world.connect();
    world.settle();
    assert_equal(&world);
    for text in ["a f", "b f", "an edit of B"] {
        assert!(is_somewhere(&world, text), "{text}");
    }
    let edit = Digest::of(b"an edit of B");
    assert!(world.sides.a.contents().any(|d| d == edit));
}

#[test]
fn a_copy_whose_original_is_gone_gets_the_name_by_a_rename() {
    let mut world = in_conflict(&["f"]);
    remove(&mut world, B, "f");
    world.settle();
    let answer = world.ask(wish(Which::Path(path("f")), Take::B));
    assert_eq!(kind(answer), RefusalKind::Refused, "there is no version of B");
    resolved(world.ask(wish(Which::All, Take::Newest)));
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["f"]);
}

/// A conflict copy that is a directory goes with all that was seen in it, and with nothing else.
#[test]
fn a_directory_that_lost_goes_with_what_was_seen_in_it() {
    let lost = copy_path(&path("box"), A, &Entry::Dir { mode: 0o755 }, 0).to_string();
    let mut world = agreed(&["box", &format!("{lost}/in/it"), &format!("{lost}/x")]);
    let rows = conflicts(&mut world);
    assert!(rows.len() == 1 && !rows[0].edited, "{rows:?}");
    resolved(world.ask(wish(Which::Path(path("box")), Take::B)));
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["box"]);
    assert!(is_somewhere(&world, &format!("{lost}/in/it")));
}

/// An original whose name was shortened in the copy's is found by the copy that it would make.
#[test]
fn an_original_with_a_long_name_is_found() {
    let long = format!("{}.txt", "x".repeat(250));
    let mut world = in_conflict(&[&long]);
    let rows = conflicts(&mut world);
    assert_eq!(rows[0].original, RelPath::new(&long).expect("a path"));
    resolved(world.ask(wish(Which::All, Take::A)));
    world.settle();
    assert_eq!(names(&world, B), std::slice::from_ref(&long));
    assert!(has(&world, B, &long, &format!("a {long}")));
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let mut world = in_conflict(&["f"]);
    let client = world.request(wish(Which::All, Take::A));
    world.run_order(A);
    world.tell(Event::ClientGone(client));
    world.settle();
    assert_equal(&world);
    assert!(is_somewhere(&world, "a f") && is_somewhere(&world, "b f"));
    let digests: Vec<Option<Digest>> =
        world.sides.a.tree.values().map(|node| content(&node.entry)).collect();
    assert!(!digests.is_empty());
}
