//! Laws of the coordinator: in whatever order a side tells what it found, all of it arrives.

use common::path::RelPath;
use common::side::Side::{self, A, B};
use common::wire::message::{Observation, Report, Row};
use server_a::coordinator::event::Event;

use crate::coordinator::{agreed, assert_equal, has, write};
use crate::deep::Deep;
use crate::disk::{Deed, Features};
use crate::model::path;
use crate::world::World;

/// B tells one path, and nothing above it.
fn tell_alone(world: &mut World, at: &RelPath) {
    let node = world.sides.b.tree[at].clone();
    world.sides.b.known.insert(at.clone(), node.clone());
    let rows = vec![Row { path: at.clone(), entry: Some(node.entry), content: None, seen: None }];
    let observed = Observation { rows, ..Observation::default() };
    world.tell(Event::Reported(B, Report::Observed(observed)));
}

#[test]
fn a_file_that_is_told_before_its_directory_arrives_with_it() {
    let mut world = agreed(&["x"]);
    write(&mut world, B, "d/e/f", "text");
    tell_alone(&mut world, &path("d/e/f"));
    tell_alone(&mut world, &path("d/e"));
    world.settle();
    assert!(has(&world, A, "d/e/f", "text"));
    assert_equal(&world);
}

/// Both make one directory. B's user goes on in it while it is just being brought, in the middle of
/// a look: what the look saw is not told, and a later look at one file comes to an end before it.
#[test]
fn a_file_in_a_directory_that_both_make_arrives() {
    let all = Features { exchange: true, noreplace: true, lease: true, recycles: true };
    let mut world = Deep::new(all);
    world.connect();
    world.settle();
    let deed = |world: &mut Deep, side: Side, deed: Deed| {
        world.sides[side].disk.lock().deed(&deed);
        world.notice(side, false);
    };
    deed(&mut world, A, Deed::Directory("d"));
    world.look(A);
    while world.run_report(A) {}
    assert!(!world.orders.b.is_empty(), "B is told to make the directory");
    deed(&mut world, B, Deed::Directory("d"));
    deed(&mut world, B, Deed::Directory("d/e"));
    world.go_on_looking(B);
    world.go_on_looking(B);
    while world.run_order(B) {}
    world.go_on_looking(B);
    deed(&mut world, B, Deed::Write("d/e/a", b"text".to_vec()));
    for _ in 0..3 {
        world.go_on_looking(B);
    }
    world.settle();
    assert!(world.unequal.is_empty(), "left to a check: {:?}", world.unequal);
    assert!(world.sides.a.disk.lock().contents("").contains(b"text".as_slice()));
}
