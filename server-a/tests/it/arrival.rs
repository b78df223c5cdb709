//! Laws of the coordinator: in whatever order a side tells what it found, all of it arrives.

use common::path::RelPath;
use common::side::Side::{A, B};
use common::wire::message::{Observation, Report, Row};
use server_a::coordinator::event::Event;

use crate::coordinator::{agreed, assert_equal, has, write};
use crate::model::path;
use crate::world::World;

/// B tells one path, and nothing above it.
fn tell_alone(world: &mut World, at: &RelPath) {
    let node = world.sides.b.tree[at].clone();
    world.sides.b.known.insert(at.clone(), node.clone());
    let rows = vec![Row { path: at.clone(), entry: Some(node.entry), content: None }];
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
