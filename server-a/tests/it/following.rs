//! Laws of locks whose file A's user renames.

use common::side::Side::{A, B};
use common::time::Moment;
use common::wire::client::DrainMode;

use crate::coordinator::{agreed, assert_equal, has, names, remove, write};
use crate::locked::{edits, held, lock, unlock};
use crate::model::path;
use crate::world::World;

/// A's user renames something.
fn rename_at_a(world: &mut World, from: &str, to: &str) {
    world.sides.a.rename(&path(from), &path(to));
}

#[test]
fn a_lock_follows_the_file_that_a_renames() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    rename_at_a(&mut world, "f", "g");
    world.settle();
    assert_eq!(names(&world, B), ["g"], "B has no edit, so its file takes the new name");
    edits(&mut world, "g", &["1", "2"]);
    assert!(has(&world, A, "g", "f"), "the lock is of the new name");
    assert_eq!(held(&mut world).len(), 2);
    assert_eq!(unlock(&mut world, "g", DrainMode::Apply).applied.len(), 2);
    assert_equal(&world);
    assert!(has(&world, A, "g", "2"));
    assert_eq!(names(&world, A), ["g"]);
}

#[test]
fn held_edits_are_applied_to_the_file_under_the_name_that_a_gave_it() {
    for restart in [false, true] {
        let mut world = agreed(&["f"]);
        lock(&mut world, "f");
        edits(&mut world, "f", &["1"]);
        rename_at_a(&mut world, "f", "g");
        world.settle();
        edits(&mut world, "f", &["2"]);
        if restart {
            world.restart_a(false);
            world.connect();
            world.settle();
        }
        assert!(has(&world, A, "g", "f") && has(&world, B, "f", "2"), "neither is touched");
        assert_eq!(names(&world, A), ["g"]);
        let receipt = unlock(&mut world, "g", DrainMode::Apply);
        assert!(receipt.agreed && receipt.conflicts.is_empty(), "{receipt:?}");
        assert_eq!(receipt.applied.len(), 2);
        assert_equal(&world);
        assert!(has(&world, A, "g", "2"));
        assert_eq!(names(&world, B), ["g"], "and B's file takes the new name");
    }
}

#[test]
fn a_lock_stays_with_its_name_when_a_saves_by_renaming_the_old_version_away() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    rename_at_a(&mut world, "f", "f~");
    world.look_all(A);
    write(&mut world, A, "f", "saved");
    world.look_all(A);
    remove(&mut world, A, "f~");
    world.settle();
    assert!(has(&world, B, "f", "saved"));
    edits(&mut world, "f", &["1"]);
    assert!(has(&world, A, "f", "saved"), "still locked");
    unlock(&mut world, "f", DrainMode::Apply);
    assert_equal(&world);
    assert_eq!(names(&world, A), ["f"]);
}

#[test]
fn a_directory_is_renamed_with_the_locks_in_it() {
    let mut world = agreed(&["d/f", "d/x"]);
    lock(&mut world, "d/f");
    rename_at_a(&mut world, "d", "e");
    world.settle();
    assert_eq!(names(&world, B), ["e", "e/f", "e/x"]);
    edits(&mut world, "e/f", &["1"]);
    assert!(has(&world, A, "e/f", "d/f"));
    unlock(&mut world, "e/f", DrainMode::Apply);
    assert_equal(&world);
    assert!(has(&world, A, "e/f", "1"));
}

#[test]
fn a_rename_under_a_lock_that_b_refuses_is_tried_again_and_not_without_pause() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    rename_at_a(&mut world, "f", "g");
    world.look_all(A);
    let before = world.ordered.len();
    let mut refused = 20;
    world.chance = Box::new(move || {
        refused -= 1;
        if refused > 0 { 4 } else { 99 }
    });
    for _ in 0..100 {
        world.run_shell();
        for side in [A, B] {
            world.run_order(side);
            world.run_report(side);
        }
        if !world.is_quiet() {
            continue;
        }
        world.wake();
    }
    world.chance = Box::new(|| 99);
    let tries = world.ordered.len() - before;
    assert!((2..20).contains(&tries), "{tries}");
    assert!(world.now.moment > Moment(100_000), "{:?}", world.now.moment);
    world.settle();
    assert_eq!(names(&world, B), ["g"]);
}

#[test]
fn what_a_removed_below_the_old_name_goes_when_the_lock_stays_there() {
    let mut world = agreed(&["d/f", "d/x"]);
    lock(&mut world, "d");
    edits(&mut world, "d/f", &["1"]);
    rename_at_a(&mut world, "d", "e");
    world.look_all(A);
    world.settle();
    assert_eq!(names(&world, B), ["d", "d/f", "d/x"], "B has an edit: all waits");
    for name in ["e/f", "e/x", "e"] {
        remove(&mut world, A, name);
    }
    world.settle();
    assert_eq!(names(&world, B), ["d", "d/f"], "nothing moved, and `d/x` was removed");
}
