//! Laws of links that break and come back: what was done is remembered, and by whom.

use common::side::Side::{A, B};

use crate::coordinator::{agreed, assert_equal, has, names, remove, status, write};

#[test]
fn an_old_copy_of_b_halts_and_a_link_that_flaps_does_not() {
    let mut world = agreed(&["f"]);
    let old = world.met;
    for _ in 0..3 {
        world.disconnect();
        world.connect();
        world.settle();
        assert_eq!(status(&mut world).halted, None);
    }
    world.disconnect();
    world.met = old;
    world.connect();
    world.settle();
    assert!(status(&mut world).halted.is_some_and(|why| why.contains("old copy")));
}

#[test]
fn an_a_that_ends_again_and_again_before_it_has_saved_is_no_older_one() {
    let mut world = agreed(&["f"]);
    for _ in 0..3 {
        world.restart_a(true);
        world.connect();
        while world.run_order(B) {}
    }
    world.settle();
    assert_eq!(status(&mut world).halted, None);
}

#[test]
fn what_b_did_unheard_is_no_edit_of_its_user() {
    let mut world = agreed(&["f", "gone"]);
    write(&mut world, A, "f", "one");
    remove(&mut world, A, "gone");
    world.look_all(A);
    while world.run_report(A) {}
    while world.run_order(B) {}
    assert!(has(&world, B, "f", "one"), "B has done it");
    world.disconnect();
    write(&mut world, A, "f", "two");
    world.connect();
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, A), ["f"], "no copy, and nothing comes back");
    assert!(has(&world, B, "f", "two"));
}

#[test]
fn what_b_lost_before_it_was_flushed_is_no_edit_of_its_user() {
    let mut world = agreed(&["f"]);
    // Nothing that is saved can be shown to be on B's disk.
    world.chance = Box::new(|| 1);
    write(&mut world, B, "new", "written by B's user");
    world.look_all(B);
    world.run();
    assert!(has(&world, A, "new", "written by B's user"), "A has it");
    world.disconnect();
    write(&mut world, B, "new", "");
    world.restart_b(true);
    world.chance = Box::new(|| 99);
    world.connect();
    world.settle();
    let kept = |name: &String| has(&world, A, name, "written by B's user");
    assert!(names(&world, A).iter().any(kept), "after a power cut it was empty at B");
    assert_equal(&world);
}
