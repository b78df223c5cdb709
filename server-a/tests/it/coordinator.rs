//! Laws of the coordinator: how edits travel, and when nothing moves.

use common::change::Operation;
use common::digest::Digest;
use common::entry::{Entry, File};
use common::path::RelPath;
use common::problem::{Problem, ProblemKind};
use common::reconcile::conflict::is_copy_name;
use common::reconcile::safety::Limits;
use common::side::Side::{self, A, B};
use common::wire::client::{Answer, Generation, Link, ListingRow, Request, State, Status, Target};
use common::wire::client::{RefusalKind, Waited};
use common::wire::message::{Condition, Observation, Order, ReplicaId, Report};
use server_a::coordinator::action::Note;
use server_a::coordinator::event::Event;

use crate::model::{content, file, link, path};
use crate::world::World;

pub(crate) fn write(world: &mut World, side: Side, at: &str, text: &str) {
    let seconds = world.now.wall.seconds;
    let replica = &mut world.sides[side];
    let at = path(at);
    let mut above: Vec<RelPath> = at.ancestors().collect();
    above.reverse();
    for directory in above {
        if replica.entry(&directory).is_none() {
            replica.put(&directory, Some(Entry::Dir { mode: 0o755 }));
        }
    }
    match replica.entry(&at).is_some() {
        true => replica.modify(&at, file(text, 0o644, seconds)),
        false => replica.put(&at, Some(file(text, 0o644, seconds))),
    }
    world.pass(1000);
}

pub(crate) fn remove(world: &mut World, side: Side, at: &str) {
    let replica = &mut world.sides[side];
    let at = path(at);
    let below = replica.tree.keys().filter(|p| **p == at || p.is_below(&at)).cloned();
    for row in below.collect::<Vec<_>>() {
        replica.put(&row, None);
    }
}

/// Whether the file at a path has this text.
pub(crate) fn has(world: &World, side: Side, at: &str, text: &str) -> bool {
    world.sides[side].entry(&path(at)).and_then(content) == Some(Digest::of(text.as_bytes()))
}

/// The paths of one side.
pub(crate) fn names(world: &World, side: Side) -> Vec<String> {
    world.sides[side].tree.keys().map(ToString::to_string).collect()
}

/// Both sides have these files, whose texts are their names.
pub(crate) fn agreed(files: &[&str]) -> World {
    let mut world = World::new();
    for at in files {
        write(&mut world, A, at, at);
    }
    world.connect();
    world.settle();
    assert_equal(&world);
    world
}

pub(crate) fn assert_equal(world: &World) {
    let differing = world.differences();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(world.coordinator.is_idle() && world.is_quiet());
}

pub(crate) fn list(world: &mut World) -> (Generation, Link, Vec<ListingRow>) {
    let client = world.request(Request::List);
    world.run();
    let mut rows = Vec::new();
    loop {
        let at = world.answers.iter().position(|(to, _)| *to == client).expect("an answer");
        let Answer::Listing(part) = world.answers.remove(at).1 else { panic!("no listing") };
        rows.extend(part.rows);
        if part.last {
            return (part.generation, part.b, rows);
        }
        world.tell(Event::More(client));
    }
}

pub(crate) fn status(world: &mut World) -> Status {
    match world.ask(Request::Status { path: None }) {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn renames(world: &World) -> usize {
    world.ordered.iter().filter(|(_, o)| matches!(o, Operation::Rename { .. })).count()
}

fn wait(world: &mut World) -> Waited {
    match world.ask(Request::Wait { timeout_ms: 5000 }) {
        Answer::Waited(waited) => waited,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_edit_travels_in_both_directions() {
    let mut world = agreed(&["f"]);
    write(&mut world, A, "f", "from A");
    world.settle();
    assert!(has(&world, B, "f", "from A"));
    write(&mut world, B, "d/new", "from B");
    world.settle();
    assert!(has(&world, A, "d/new", "from B"));
    assert_equal(&world);
}

#[test]
fn a_conflict_keeps_both_on_both_sides() {
    let mut world = agreed(&["f.txt"]);
    write(&mut world, A, "f.txt", "older");
    write(&mut world, B, "f.txt", "newer");
    world.settle();
    assert_equal(&world);
    assert!(has(&world, A, "f.txt", "newer"), "the newest keeps the name");
    let names = names(&world, A);
    let copy = names.iter().find(|name| is_copy_name(name.as_bytes())).expect("a copy");
    assert!(has(&world, B, copy, "older"));
    assert_eq!(names.len(), 2);
}

#[test]
fn an_edit_outlives_a_deletion() {
    let mut world = agreed(&["d/f", "d/g"]);
    remove(&mut world, A, "d");
    write(&mut world, B, "d/f", "edited");
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A), ["d", "d/f"]);
}

#[test]
fn a_rename_is_repeated_as_a_rename() {
    let mut world = agreed(&["d/f", "d/g", "h"]);
    let inode = world.sides.b.tree[&path("d/f")].inode;
    world.sides.a.rename(&path("d"), &path("e"));
    world.settle();
    assert_equal(&world);
    assert_eq!(renames(&world), 1);
    assert_eq!(world.sides.b.tree[&path("e/f")].inode, inode, "what is below moved along");
    world.sides.b.rename(&path("h"), &path("e/k"));
    world.settle();
    assert_equal(&world);
    assert_eq!(renames(&world), 2);
}

#[test]
fn a_rename_into_a_directory_that_is_new_waits_for_it() {
    let mut world = agreed(&["f"]);
    world.sides.a.put(&path("z"), Some(Entry::Dir { mode: 0o755 }));
    world.sides.a.rename(&path("f"), &path("z/f"));
    world.settle();
    assert_equal(&world);
    assert_eq!(renames(&world), 1);
}

#[test]
fn an_edit_of_what_the_other_side_renames_follows_it() {
    let mut world = agreed(&["f"]);
    world.sides.a.rename(&path("f"), &path("g"));
    write(&mut world, B, "f", "edited");
    world.look_all(B);
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A), ["g"]);
    assert!(has(&world, A, "g", "edited"));
}

#[test]
fn metadata_and_content_do_not_conflict() {
    let mut world = agreed(&["f"]);
    let Some(Entry::File(old)) = world.sides.a.entry(&path("f")).cloned() else { panic!() };
    world.sides.a.modify(&path("f"), Entry::from(File { mode: 0o755, ..*old }));
    write(&mut world, B, "f", "edited");
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A), ["f"]);
    let now = world.sides.b.entry(&path("f")).and_then(Entry::as_file).cloned();
    assert_eq!(now.map(|f| f.mode), Some(0o755));
}

#[test]
fn what_is_at_rest_moves_nothing() {
    let mut world = agreed(&["d/f", "g"]);
    let before = world.actions;
    for side in Side::BOTH {
        world.tell(Event::Reported(side, Report::Observed(Observation::default())));
    }
    world.tell(Event::Woke);
    assert_eq!(world.actions, before, "not even a line for people");
    world.disconnect();
    world.connect();
    world.settle();
    let commits = world.ordered.len();
    world.restart_a(true);
    world.connect();
    world.settle();
    assert_eq!(world.ordered.len(), commits);
}

#[test]
fn what_was_done_while_b_was_away_is_brought_when_it_is_back() {
    let mut world = agreed(&["f", "g"]);
    world.disconnect();
    write(&mut world, A, "f", "at A");
    write(&mut world, B, "h", "at B");
    remove(&mut world, B, "g");
    world.settle();
    assert!(!has(&world, A, "h", "at B"));
    let (_, link, rows) = list(&mut world);
    assert!(matches!(link, Link::Away { since: Some(_), .. }), "the listing says so");
    assert_eq!(rows.len(), 2);
    world.connect();
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A), ["f", "h"]);
}

#[test]
fn a_busy_file_is_tried_again_later() {
    let mut world = agreed(&["f"]);
    let mut tries = 0;
    world.chance = Box::new(move || {
        tries += 1;
        if tries < 4 { 0 } else { 99 }
    });
    write(&mut world, B, "f", "edited");
    world.run();
    assert!(!has(&world, A, "f", "edited"));
    let waiting = status(&mut world).waiting;
    assert!(waiting[0].reason.contains("open for writing"), "{waiting:?}");
    assert!(waiting[0].next_try.is_some());
    world.settle();
    assert!(has(&world, A, "f", "edited"));
    assert_eq!(status(&mut world).waiting_count, 0);
}

#[test]
fn an_unknown_path_stops_itself_and_its_parents_only() {
    let mut world = agreed(&["d/f", "d/g", "h"]);
    let problem = Problem { kind: ProblemKind::Unreadable, detail: "no permission".into() };
    let problems = vec![(path("d/f"), Some(problem.clone()))];
    world.sides.b.problems.insert(path("d/f"), problem);
    let observed = Observation { problems, ..Observation::default() };
    world.tell(Event::Reported(B, Report::Observed(observed)));
    remove(&mut world, A, "d");
    write(&mut world, A, "h", "edited");
    world.settle();
    assert_eq!(names(&world, B), ["d", "d/f", "h"], "an error is not an absence");
    assert!(has(&world, B, "h", "edited"));
    assert!(matches!(wait(&mut world), Waited::Waiting { timed_out: false, .. }));
    world.sides.b.problems.clear();
    let problems = vec![(path("d/f"), None)];
    let observed = Observation { problems, ..Observation::default() };
    world.tell(Event::Reported(B, Report::Observed(observed)));
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["h"]);
    assert_eq!(wait(&mut world), Waited::Done);
}

#[test]
fn wait_ends_when_both_sides_have_everything() {
    let mut world = agreed(&["f"]);
    write(&mut world, A, "f", "edited");
    assert_eq!(wait(&mut world), Waited::Done);
    assert!(has(&world, B, "f", "edited"));
    world.disconnect();
    let Waited::Waiting { timed_out, reason, .. } = wait(&mut world) else { panic!("B is away") };
    assert!(timed_out && reason.is_some_and(|reason| reason.contains("away")));
}

#[test]
fn the_listing_shows_everything_that_was_done_before_it() {
    let mut world = agreed(&["b", "a/x"]);
    write(&mut world, B, "a.txt", "new");
    world.sides.b.put(&path("l"), Some(link("b", 5)));
    let (_, b, rows) = list(&mut world);
    let names: Vec<String> = rows.iter().map(|row| row.path.to_string()).collect();
    assert_eq!(names, ["a.txt", "a/x", "b", "l"], "by bytes, without directories");
    assert_eq!(b, Link::Connected);
    assert!(rows.iter().all(|row| row.state != State::OnlyA));
}

#[test]
fn a_long_listing_comes_in_parts_and_in_order() {
    let names: Vec<String> = (0..2500).map(|n| format!("f{n}")).collect();
    let mut world = agreed(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (_, _, rows) = list(&mut world);
    assert_eq!(rows.len(), 2500);
    assert!(rows.is_sorted_by(|a, b| a.path < b.path));
}

fn lock_shown(world: &mut World, at: &str, generation: Generation) -> Answer {
    let target = Target::Shown { path: path(at), generation };
    let holder = "me".to_string();
    world.ask(Request::Lock { target, holder, comment: None, ttl_s: None })
}

fn is_stale(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(r)
        if r.kind == RefusalKind::Refused && r.message.contains("stale"))
}

#[test]
fn an_index_never_means_another_file() {
    let mut world = agreed(&["f", "g", "h", "k"]);
    let (shown, ..) = list(&mut world);
    write(&mut world, A, "h", "saved");
    world.sides.a.rename(&path("f"), &path("z"));
    write(&mut world, A, "f", "a newcomer");
    world.sides.b.rename(&path("g"), &path("k"));
    assert!(is_stale(&lock_shown(&mut world, "f", shown)), "f is another file");
    assert!(is_stale(&lock_shown(&mut world, "g", shown)), "g has gone");
    assert!(is_stale(&lock_shown(&mut world, "k", shown)), "k is what was g");
    assert!(matches!(lock_shown(&mut world, "h", shown), Answer::Locked(_)), "a save is no move");
    let (fresh, ..) = list(&mut world);
    assert!(matches!(lock_shown(&mut world, "f", fresh), Answer::Locked(_)));
    world.restart_a(true);
    world.connect();
    assert!(is_stale(&lock_shown(&mut world, "h", fresh)), "of another run");
}

#[test]
fn a_save_by_rename_is_no_move() {
    let mut world = agreed(&["f"]);
    let (shown, ..) = list(&mut world);
    write(&mut world, A, "f.tmp", "saved");
    world.run();
    world.sides.a.put(&path("f"), None);
    world.sides.a.rename(&path("f.tmp"), &path("f"));
    assert!(matches!(lock_shown(&mut world, "f", shown), Answer::Locked(_)));
}

fn limited() -> World {
    let mut world = World::with(Limits { files_min: 3, share_percent: 50, window_ms: 600_000 });
    for n in 0..6 {
        write(&mut world, A, &format!("d/f{n}"), &format!("text {n}"));
    }
    world.connect();
    world.settle();
    world
}

#[test]
fn a_mass_deletion_halts_until_it_is_approved() {
    let mut world = limited();
    remove(&mut world, A, "d");
    world.settle();
    assert_eq!(names(&world, B).len(), 7, "nothing is deleted");
    assert!(status(&mut world).halted.is_some_and(|why| why.contains("side A")));
    let Waited::Waiting { reason, .. } = wait(&mut world) else { panic!("it is halted") };
    assert!(reason.is_some());
    world.ask(Request::Approve);
    world.settle();
    assert_equal(&world);
    assert!(names(&world, B).is_empty());
}

#[test]
fn a_rejected_mass_deletion_comes_back_from_the_other_side() {
    let mut world = limited();
    remove(&mut world, B, "d");
    world.settle();
    assert!(matches!(world.ask(Request::Reject), Answer::Done(_)));
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B).len(), 7);
    assert_eq!(status(&mut world).halted, None);
}

#[test]
fn what_had_already_been_deleted_comes_back_from_trash() {
    let mut world = limited();
    for n in 0..6 {
        remove(&mut world, A, &format!("d/f{n}"));
        world.settle();
    }
    remove(&mut world, A, "d");
    world.settle();
    assert!(names(&world, B).len() < 7 && status(&mut world).halted.is_some());
    assert!(matches!(world.ask(Request::Reject), Answer::Done(_)));
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A).len(), 7);
    assert!((0..6).all(|n| has(&world, A, &format!("d/f{n}"), &format!("text {n}"))));
}

#[test]
fn renames_and_saves_of_one_file_are_no_mass_loss() {
    let mut world = limited();
    world.sides.a.rename(&path("d"), &path("e"));
    world.settle();
    for n in 0..20 {
        write(&mut world, B, "e/f0", &format!("version {n}"));
        world.settle();
    }
    world.sides.b.rename(&path("e"), &path("d"));
    world.restart_b(true);
    world.connect();
    world.settle();
    assert_eq!(status(&mut world).halted, None);
    assert_equal(&world);
}

#[test]
fn what_cannot_be_saved_halts_until_it_can_be() {
    let mut world = agreed(&["f"]);
    for side in [A, B] {
        world.sides[side].put(&path("g"), Some(file("the same", 0o644, 1)));
    }
    world.chance = Box::new(|| 0);
    for _ in 0..20 {
        world.run();
        world.wake();
    }
    assert!(status(&mut world).halted.is_some_and(|why| why.contains("the disk is full")));
    write(&mut world, A, "f", "edited");
    world.chance = Box::new(|| 99);
    world.settle();
    assert_eq!(status(&mut world).halted, None);
    assert!(has(&world, B, "f", "edited"));
}

#[test]
fn another_replica_halts_and_approval_unites() {
    let mut world = agreed(&["f", "g"]);
    world.disconnect();
    world.replica = ReplicaId(8);
    remove(&mut world, B, "f");
    write(&mut world, B, "h", "of the other");
    world.connect();
    world.settle();
    assert!(status(&mut world).halted.is_some_and(|why| why.contains("another replica")));
    assert_eq!(names(&world, A), ["f", "g"], "nothing is deleted or brought");
    world.ask(Request::Approve);
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["f", "g", "h"]);
}

#[test]
fn approving_one_halt_does_not_let_another_pass_unseen() {
    let mut world = limited();
    remove(&mut world, A, "d");
    world.settle();
    let condition = Condition { halted: Some("the root is gone".into()), ..Condition::default() };
    world.tell(Event::Reported(B, Report::Condition(condition)));
    world.disconnect();
    world.replica = ReplicaId(8);
    world.connect();
    let words = status(&mut world).halted.expect("halted");
    for part in ["deleted or overwritten", "another replica", "the root is gone"] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn both_sides_are_told_to_look_when_everything_is_to_be_scanned() {
    let mut world = agreed(&["f"]);
    world.request(Request::Scrub);
    let looks = |side: Side| world.orders[side].contains(&Order::Rescan { path: None });
    assert!(looks(A) && looks(B));
}

#[test]
fn a_settled_pair_is_announced_once() {
    let mut world = agreed(&["f"]);
    world.notes.clear();
    write(&mut world, A, "f", "edited");
    world.settle();
    let settled = |note: &&Note| matches!(note, Note::Settled { waiting: 0, .. });
    assert_eq!(world.notes.iter().filter(settled).count(), 1);
}
