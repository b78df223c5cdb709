//! Laws of locks, held edits and their draining.

use common::entry::{Entry, File};
use common::reconcile::conflict::is_copy_name;
use common::side::Side::{self, A, B};
use common::wire::client::{Answer, DrainMode, HeldRow, Receipt, RefusalKind, Request, Target};
use common::wire::client::{LockRow, Waited};
use server_a::coordinator::action::Note;
use server_a::coordinator::event::{ClientId, Event};

use crate::coordinator::{agreed, assert_equal, has, list, names, remove, write};
use crate::model::path;
use crate::world::World;

pub(crate) fn ask_lock(world: &mut World, at: &str, holder: &str, ttl_s: Option<u64>) -> Answer {
    let target = Target::Path(path(at));
    let (holder, comment) = (holder.to_string(), Some("mine".to_string()));
    world.ask(Request::Lock { target, holder, comment, ttl_s })
}

pub(crate) fn lock(world: &mut World, at: &str) -> LockRow {
    match ask_lock(world, at, "me", None) {
        Answer::Locked(row) => row,
        other => panic!("{other:?}"),
    }
}

fn release(at: &str, mode: DrainMode) -> Request {
    let target = Target::Path(path(at));
    Request::Unlock { target, holder: "me".into(), force: false, mode, dry_run: false }
}

pub(crate) fn unlock(world: &mut World, at: &str, mode: DrainMode) -> Receipt {
    match world.ask(release(at, mode)) {
        Answer::Unlocked(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn held(world: &mut World) -> Vec<HeldRow> {
    match world.ask(Request::Held { target: None }) {
        Answer::Held(rows) => rows,
        other => panic!("{other:?}"),
    }
}

/// B edits a locked file, once for each text, and every edit is seen.
pub(crate) fn edits(world: &mut World, at: &str, texts: &[&str]) {
    for text in texts {
        write(world, B, at, text);
        world.settle();
    }
}

fn copies(world: &World, side: Side) -> Vec<String> {
    names(world, side).into_iter().filter(|n| is_copy_name(n.as_bytes())).collect()
}

fn drained(world: &World) -> Vec<u64> {
    let seq = |note: &Note| match note {
        Note::Drained(_, seq) => Some(*seq),
        _ => None,
    };
    world.notes.iter().filter_map(seq).collect()
}

#[test]
fn edits_of_a_locked_file_are_held_and_drained_in_order_exactly_once() {
    let mut world = agreed(&["f", "g"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2", "3", "4", "5"]);
    write(&mut world, B, "g", "not locked");
    world.settle();
    assert!(has(&world, A, "f", "f") && has(&world, B, "f", "5"));
    assert!(has(&world, A, "g", "not locked"), "other files go on");
    let seqs: Vec<u64> = held(&mut world).iter().map(|row| row.seq).collect();
    assert_eq!(seqs.len(), 5);
    let before = world.ordered.len();
    let receipt = unlock(&mut world, "f", DrainMode::Apply);
    assert!(receipt.agreed && receipt.conflicts.is_empty() && receipt.waiting.is_empty());
    assert_eq!(receipt.applied.iter().map(|row| row.seq).collect::<Vec<_>>(), seqs);
    assert_eq!(drained(&world), seqs);
    assert_eq!(world.ordered.len() - before, 5);
    assert_equal(&world);
    assert!(has(&world, A, "f", "5") && world.durable.pending.is_empty());
}

#[test]
fn a_crash_between_commit_and_discard_applies_nothing_twice() {
    for stop in 0..40 {
        let mut world = agreed(&["f"]);
        lock(&mut world, "f");
        edits(&mut world, "f", &["1", "2", "3"]);
        world.request(release("f", DrainMode::Apply));
        for n in 0..stop {
            match n % 3 {
                0 => world.run_order(A) | world.run_order(B),
                1 => world.run_report(A) | world.run_report(B),
                _ => world.run_shell(),
            };
        }
        world.restart_a(stop % 2 == 0);
        world.connect();
        world.settle();
        if !world.coordinator.locks().is_empty() {
            unlock(&mut world, "f", DrainMode::Apply);
        }
        assert_equal(&world);
        assert!(has(&world, A, "f", "3"), "stopped after {stop}");
        assert_eq!(names(&world, A), ["f"], "no copies; stopped after {stop}");
        assert!(world.durable.pending.is_empty());
    }
}

#[test]
fn a_crash_in_the_middle_of_discarding_applies_nothing() {
    for (mode, stop) in [DrainMode::Discard, DrainMode::KeepA]
        .into_iter()
        .flat_map(|mode| (0..40).map(move |stop| (mode, stop)))
    {
        let mut world = agreed(&["f"]);
        lock(&mut world, "f");
        edits(&mut world, "f", &["1", "2"]);
        world.request(release("f", mode));
        for n in 0..stop {
            match n % 3 {
                0 => world.run_order(A) | world.run_order(B),
                1 => world.run_report(A) | world.run_report(B),
                _ => world.run_shell(),
            };
        }
        world.restart_a(stop % 2 == 0);
        world.connect();
        world.settle();
        if !world.coordinator.locks().is_empty() {
            unlock(&mut world, "f", mode);
        }
        assert_equal(&world);
        assert!(has(&world, B, "f", "f"), "{mode:?} stopped after {stop}");
        let copies = if mode == DrainMode::KeepA { 1 } else { 0 };
        assert_eq!(names(&world, A).len(), 1 + copies, "{mode:?} stopped after {stop}");
        assert!(world.durable.pending.is_empty());
    }
}

#[test]
fn a_lock_and_its_held_edits_survive_restarts_of_both() {
    let mut world = agreed(&["f"]);
    let row = lock(&mut world, "f");
    edits(&mut world, "f", &["1"]);
    world.restart_a(true);
    world.restart_b(false);
    world.connect();
    world.settle();
    edits(&mut world, "f", &["2"]);
    assert!(has(&world, A, "f", "f"));
    assert_eq!(world.coordinator.locks().get(row.id).map(|l| l.holder.clone()), Some("me".into()));
    assert_eq!(held(&mut world).len(), 2);
    assert_eq!(unlock(&mut world, "f", DrainMode::Apply).applied.len(), 2);
    assert_equal(&world);
}

#[test]
fn an_edit_at_a_during_the_lock_is_kept_beside() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2"]);
    write(&mut world, A, "f", "mine");
    world.settle();
    assert!(has(&world, B, "f", "2"), "it waits once B has held edits");
    let receipt = unlock(&mut world, "f", DrainMode::Apply);
    assert_eq!((receipt.applied.len(), receipt.conflicts.len()), (2, 1));
    world.settle();
    assert_equal(&world);
    assert!(has(&world, A, "f", "2") && has(&world, B, &copies(&world, B)[0], "mine"));
}

#[test]
fn keeping_a_sets_the_last_of_b_aside() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2"]);
    write(&mut world, A, "f", "mine");
    let receipt = unlock(&mut world, "f", DrainMode::KeepA);
    assert_eq!((receipt.discarded, receipt.conflicts.len()), (2, 1));
    world.settle();
    assert_equal(&world);
    assert!(has(&world, B, "f", "mine") && has(&world, A, &copies(&world, A)[0], "2"));
}

#[test]
fn discarding_brings_the_version_of_a_to_b_and_the_held_to_trash() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2"]);
    let receipt = unlock(&mut world, "f", DrainMode::Discard);
    assert_eq!((receipt.discarded, receipt.applied.len()), (2, 0));
    assert!(receipt.agreed);
    assert_equal(&world);
    assert!(has(&world, B, "f", "f") && copies(&world, A).is_empty());
    assert_eq!(world.sides.a.trash.len(), 2);
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2"]);
    let before = (world.ordered.len(), world.durable.pending.len());
    let (target, holder) = (Target::Path(path("f")), "me".to_string());
    let mode = DrainMode::Apply;
    let request = Request::Unlock { target, holder, force: false, mode, dry_run: true };
    let Answer::Unlocked(receipt) = world.ask(request) else { panic!("a receipt") };
    assert!(receipt.dry_run && receipt.applied.len() == 2);
    assert_eq!((world.ordered.len(), world.durable.pending.len()), before);
    assert_eq!(world.coordinator.locks().len(), 1);
}

#[test]
fn an_edit_of_a_goes_to_b_unless_b_has_edits_of_its_own() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    write(&mut world, A, "f", "from A");
    world.settle();
    assert_equal(&world);
    // A new time alone is no edit that would have to be held.
    let Some(Entry::File(now)) = world.sides.b.entry(&path("f")).cloned() else { panic!() };
    let mut modified = now.modified;
    modified.seconds += 1;
    world.sides.b.modify(&path("f"), Entry::from(File { modified, ..*now }));
    world.settle();
    assert!(held(&mut world).is_empty());
    write(&mut world, A, "f", "again from A");
    world.settle();
    assert!(has(&world, B, "f", "again from A"));
}

#[test]
fn a_held_deletion_is_drained_as_a_deletion() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    remove(&mut world, B, "f");
    world.settle();
    assert!(has(&world, A, "f", "f"));
    unlock(&mut world, "f", DrainMode::Apply);
    assert_equal(&world);
    assert!(names(&world, A).is_empty());
}

#[test]
fn a_locked_directory_covers_everything_below_it() {
    let mut world = agreed(&["d/a", "d/b", "e"]);
    lock(&mut world, "d");
    write(&mut world, B, "d/a", "edited");
    remove(&mut world, B, "d/b");
    write(&mut world, B, "d/new/c", "new");
    write(&mut world, B, "e", "free");
    world.settle();
    assert_eq!(names(&world, A), ["d", "d/a", "d/b", "e"]);
    assert!(has(&world, A, "d/a", "d/a") && has(&world, A, "e", "free"));
    let receipt = unlock(&mut world, "d", DrainMode::Apply);
    assert_eq!(receipt.applied.len(), 4);
    assert_equal(&world);
    assert_eq!(names(&world, A), ["d", "d/a", "d/new", "d/new/c", "e"]);
}

#[test]
fn no_change_of_an_ancestor_reaches_a_locked_file() {
    let mut world = agreed(&["d/f", "d/g"]);
    lock(&mut world, "d/f");
    remove(&mut world, B, "d");
    write(&mut world, B, "d", "now a file");
    world.settle();
    assert_eq!(names(&world, A), ["d", "d/f"], "only what is not locked goes");
    unlock(&mut world, "d/f", DrainMode::Apply);
    world.settle();
    assert_equal(&world);
    assert!(has(&world, A, "d", "now a file"));
}

#[test]
fn a_renamed_locked_file_stays_at_a() {
    let mut world = agreed(&["f", "d/x"]);
    lock(&mut world, "f");
    world.sides.b.rename(&path("f"), &path("g"));
    world.settle();
    assert_eq!(names(&world, A), ["d", "d/x", "f", "g"]);
    unlock(&mut world, "f", DrainMode::Apply);
    assert_equal(&world);
    assert_eq!(names(&world, A), ["d", "d/x", "g"]);
}

#[test]
fn what_a_put_into_a_directory_outlives_its_held_removal() {
    let mut world = agreed(&["d/f"]);
    lock(&mut world, "d");
    remove(&mut world, B, "d");
    world.settle();
    write(&mut world, A, "d/mine", "mine");
    unlock(&mut world, "d", DrainMode::Apply);
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["d", "d/mine"]);
}

#[test]
fn a_foreign_lock_is_refused_with_its_holder_and_can_be_forced() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    assert!(matches!(ask_lock(&mut world, "f", "me", None), Answer::Locked(_)), "the same holder");
    let Answer::Refused(refusal) = ask_lock(&mut world, "f", "you", None) else { panic!() };
    assert_eq!(refusal.kind, RefusalKind::LockedByAnother);
    let hint = refusal.hint.unwrap_or_default();
    assert!(refusal.message.contains("me") && hint.contains("mine"), "{hint}");
    let request = |force| {
        let (target, holder) = (Target::Path(path("f")), "you".to_string());
        Request::Unlock { target, holder, force, mode: DrainMode::Apply, dry_run: false }
    };
    assert!(matches!(world.ask(request(false)), Answer::Refused(_)));
    assert!(matches!(world.ask(request(true)), Answer::Unlocked(_)));
    let forced =
        Note::Unlocked { path: path("f"), holder: "me".into(), forced_by: Some("you".into()) };
    assert!(world.notes.contains(&forced));
    // The old holder hears of it once, also after a restart; nobody else does.
    world.settle();
    world.restart_a(true);
    let mut heard = |holder: &str| {
        world.tell(Event::Greeted(ClientId(99), holder.to_string()));
        world.run();
        let told = world.answers.iter().position(|(to, _)| *to == ClientId(99));
        told.map(|at| world.answers.remove(at).1)
    };
    assert_eq!(heard("you"), None);
    let Some(Answer::Broken(rows)) = heard("me") else { panic!("it is told") };
    assert_eq!((rows[0].path.clone(), rows[0].by.as_str()), (path("f"), "you"));
    assert_eq!(heard("me"), None);
    world.restart_a(true);
    assert!(world.durable.broken.take("me").is_empty(), "it is forgotten durably");
}

#[test]
fn a_lock_ends_with_its_time_and_drains() {
    let mut world = agreed(&["f"]);
    assert!(matches!(ask_lock(&mut world, "f", "me", Some(60)), Answer::Locked(_)));
    write(&mut world, B, "f", "edited");
    world.run();
    assert!(has(&world, A, "f", "f"));
    world.settle();
    assert!(world.coordinator.locks().is_empty());
    assert_equal(&world);
    assert!(has(&world, A, "f", "edited"));
}

#[test]
fn a_lock_comes_wholly_before_or_after_an_edit_that_is_on_its_way() {
    for steps in 0..8 {
        let mut world = agreed(&["f"]);
        write(&mut world, B, "f", "edited");
        for _ in 0..steps {
            world.look_all(B);
            let _ = world.run_report(B) || world.run_order(A) || world.run_report(A);
        }
        lock(&mut world, "f");
        let applied = has(&world, A, "f", "edited");
        world.settle();
        assert_eq!(has(&world, A, "f", "edited"), applied, "nothing moves under the lock");
        assert_eq!(held(&mut world).is_empty(), applied);
    }
}

#[test]
fn with_b_away_unlocking_drains_a_and_says_what_waits() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2"]);
    world.disconnect();
    write(&mut world, B, "f", "3");
    let receipt = unlock(&mut world, "f", DrainMode::Apply);
    assert_eq!(receipt.applied.len(), 2);
    assert!(!receipt.agreed && receipt.waiting[0].reason.contains("away"));
    assert!(has(&world, A, "f", "2"));
    world.connect();
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A), ["f"], "what came later is no conflict");
}

#[test]
fn edits_made_while_b_is_away_are_held_when_they_arrive() {
    let mut world = agreed(&["f"]);
    world.disconnect();
    lock(&mut world, "f");
    write(&mut world, B, "f", "offline");
    world.connect();
    world.settle();
    assert!(has(&world, A, "f", "f"));
    assert_eq!(held(&mut world).len(), 1);
}

#[test]
fn an_inner_lock_hands_over_to_the_outer_one() {
    let mut world = agreed(&["d/f"]);
    lock(&mut world, "d");
    edits(&mut world, "d/f", &["1"]);
    lock(&mut world, "d/f");
    edits(&mut world, "d/f", &["2"]);
    unlock(&mut world, "d/f", DrainMode::Apply);
    assert!(has(&world, A, "d/f", "d/f"), "the directory is locked still");
    let receipt = unlock(&mut world, "d", DrainMode::Apply);
    assert_eq!(receipt.applied.len(), 2);
    assert_equal(&world);
    assert!(has(&world, A, "d/f", "2"));
}

#[test]
fn held_edits_are_listed_and_waited_for() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2"]);
    let (_, _, rows) = list(&mut world);
    assert_eq!(rows[0].held, 2);
    assert_eq!(rows[0].lock.as_ref().map(|lock| lock.holder.as_str()), Some("me"));
    let Answer::Waited(Waited::Waiting { timed_out, waiting, .. }) =
        world.ask(Request::Wait { timeout_ms: 5000 })
    else {
        panic!("it is locked")
    };
    assert!(!timed_out && waiting[0].reason.contains("locked by me"));
}
