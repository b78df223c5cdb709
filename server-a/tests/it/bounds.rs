//! What is counted is refused when there is too much of it, and what was there before stays.

use common::side::Side::{A, B};
use common::wire::client::{Answer, DrainMode, RefusalKind};
use server_a::locks::LockTable;

use crate::coordinator::{agreed, has, write};
use crate::locked::{ask_lock, lock, unlock};

#[test]
fn a_lock_too_many_is_refused_in_words_and_the_others_hold() {
    let mut world = agreed(&["a", "b", "c"]);
    world.durable.locks = LockTable::of_at_most(2);
    world.restart_a(true);
    world.connect();
    world.settle();
    lock(&mut world, "a");
    lock(&mut world, "b");
    for holder in ["me", "another"] {
        match ask_lock(&mut world, "c", holder, None) {
            Answer::Refused(refusal) => {
                assert_eq!(refusal.kind, RefusalKind::Refused);
                assert_eq!(refusal.message, "there are 2 locks already");
                assert!(refusal.hint.is_some_and(|hint| hint.contains("lab3 locks")));
            }
            other => panic!("{other:?}"),
        }
    }
    // To say it again takes no place, and one that goes leaves its own.
    lock(&mut world, "a");
    for name in ["a", "b", "c"] {
        write(&mut world, B, name, "an edit");
    }
    world.settle();
    assert!(has(&world, A, "a", "a") && has(&world, A, "b", "b"), "these are locked");
    assert!(has(&world, A, "c", "an edit"), "this is not");
    unlock(&mut world, "a", DrainMode::Apply);
    world.settle();
    lock(&mut world, "c");
}
