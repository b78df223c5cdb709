//! All small cases: whatever the three trees, and in whatever order things are done, the laws hold.
//!
//! With one name every order and every crash point is tried: each state that can be reached by
//! single steps, with the archive told at once or late. With two names every triple of trees is
//! tried in a seeded order.

use std::collections::BTreeMap;

use common::entry::{Entry, same};
use common::path::RelPath;
use common::reconcile::conflict::copy_path;
use common::side::{PerSide, Side};
use common::tree::Tree;

use crate::world::{
    Rng, Run, World, content, contents, dir, file, link, mirrored, path, same_tree,
};

const X: (&str, i64) = ("x", 100);
const Y: (&str, i64) = ("why", 200);

fn plain((content, seconds): (&str, i64)) -> Entry {
    file(content, 0o644, seconds)
}

/// What can be at one name, of the 7 states that are combined for two names.
fn few(name: &str) -> Vec<Tree> {
    let at = |entry: Entry| Tree::from_iter([(path(name), entry)]);
    let holding = |entry: Entry| {
        Tree::from_iter([(path(name), dir(0o755)), (path(&format!("{name}/c")), entry)])
    };
    vec![
        Tree::default(),
        at(plain(X)),
        at(plain(Y)),
        at(link("x", 300)),
        at(dir(0o755)),
        holding(plain(X)),
        holding(plain(Y)),
    ]
}

/// More for one name: metadata, two children, a directory in a directory.
fn many(name: &str) -> Vec<Tree> {
    let mut states = few(name);
    let at = |rows: &[(&str, Entry)]| -> Tree {
        rows.iter().map(|(below, e)| (path(&format!("{name}{below}")), e.clone())).collect()
    };
    let d = || ("", dir(0o755));
    states.push(at(&[("", file("x", 0o600, 100))]));
    states.push(at(&[("", file("x", 0o755, 400))]));
    states.push(at(&[("", file("why", 0o755, 200))]));
    states.push(at(&[("", file("why", 0o644, 50))]));
    states.push(at(&[("", dir(0o700)), ("/c", plain(X))]));
    states.push(at(&[d(), ("/c", plain(X)), ("/n", file("w", 0o644, 500))]));
    states.push(at(&[d(), ("/c", dir(0o755)), ("/c/n", plain(X))]));
    states.push(at(&[d(), ("/c", dir(0o755)), ("/c/n", plain(Y)), ("/c/o", link("x", 1))]));
    states
}

fn union(a: &Tree, b: &Tree) -> Tree {
    a.iter().chain(b.iter()).map(|(path, entry)| (path.clone(), entry.clone())).collect()
}

/// The contents that a side has and that the archive has not at that path: somebody's edits.
fn edits(world: &World) -> Vec<(Side, RelPath, Entry)> {
    let mut edits = Vec::new();
    for side in Side::BOTH {
        for (path, entry) in world.seen[side].iter() {
            let archived = world.archive.get(path);
            if !archived.is_some_and(|archived| archived.same_content(entry)) {
                edits.push((side, path.clone(), entry.clone()));
            }
        }
    }
    edits
}

/// No edit is gone, none is replaced before a copy stands at both sides, and every row has its
/// directory.
fn assert_nothing_lost(edits: &[(Side, RelPath, Entry)], world: &World) {
    assert!(world.seen.a.is_well_formed() && world.seen.b.is_well_formed());
    for (side, path, entry) in edits {
        let Some(content) = content(entry) else { continue };
        let stays = world.seen[*side].get(path).is_some_and(|it| it.same_content(entry));
        let stands = |side: Side| contents(&world.seen[side]).contains(&content);
        assert!(stays || Side::BOTH.into_iter().all(stands), "{path} is lost");
    }
}

fn dirty(start: &World, side: Side, path: &RelPath) -> bool {
    !same(start.archive.get(path), start.seen[side].get(path))
}

/// What must be true of the end, whatever the order was.
fn assert_laws(start: &World, edits: &[(Side, RelPath, Entry)], end: &World) {
    assert!(end.is_settled(), "not settled: {end:#?}");
    let result = &end.seen.a;
    assert!(result.is_well_formed());
    // Every edit has kept its own name, or has the name of its conflict copy.
    for (side, path, entry) in edits {
        let copy = copy_path(path, *side, entry, 0);
        let holds = |at: &RelPath| result.get(at).is_some_and(|it| it.same_content(entry));
        assert!(holds(path) || (!entry.is_dir() && holds(&copy)), "{path} of {side} is lost");
    }
    // Nothing is invented.
    let written = &contents(&start.seen.a) | &contents(&start.seen.b);
    assert!(contents(result).is_subset(&written));
    for path in start.paths() {
        let seen = start.view().at(&path);
        if same(seen.a, seen.b) {
            assert!(same(result.get(&path), seen.a), "{path}: equal at both sides, and touched");
        }
        for side in Side::BOTH {
            let other = side.other();
            let apart = start.paths().iter().all(|p| !p.touches(&path) || !dirty(start, other, p));
            if apart {
                assert!(same(result.get(&path), seen[side]), "{path}: {side}'s alone, not taken");
            }
        }
    }
    for side in Side::BOTH {
        if same_tree(&start.seen[side], &start.archive) {
            assert!(same_tree(result, &start.seen[side.other()]), "a change of one side only");
        }
    }
}

/// Goes through everything that can be reached; answers where it ends.
fn explore(start: &World, edits: &[(Side, RelPath, Entry)]) -> Vec<World> {
    let mut ends: Vec<World> = Vec::new();
    // A state is open while its successors are gone through: meeting an open one is a circle.
    let mut states: BTreeMap<String, bool> = BTreeMap::new();
    let key = |world: &World| format!("{world:?}");
    let mut stack = vec![(start.clone(), None::<Vec<World>>)];
    while let Some((world, rest)) = stack.pop() {
        let mut rest = match rest {
            Some(rest) => rest,
            None => {
                match states.insert(key(&world), true) {
                    Some(true) => panic!("in circles: {start:#?}"),
                    Some(false) => {
                        states.insert(key(&world), false);
                        continue;
                    }
                    None => {}
                }
                assert_nothing_lost(edits, &world);
                let next = world.successors();
                if next.is_empty() {
                    ends.push(world.clone());
                }
                next
            }
        };
        match rest.pop() {
            Some(next) => {
                stack.push((world, Some(rest)));
                stack.push((next, None));
            }
            None => {
                states.insert(key(&world), false);
            }
        }
    }
    ends
}

fn triples(states: &[Tree], mut each: impl FnMut(World)) {
    for archive in states {
        for a in states {
            for b in states {
                let seen = PerSide { a: a.clone(), b: b.clone() };
                each(World { archive: archive.clone(), seen });
            }
        }
    }
}

#[test]
fn with_one_name_every_order_and_every_crash_leads_to_the_same_lawful_end() {
    let mut count = 0;
    let mut ends = BTreeMap::new();
    triples(&many("a"), |start| {
        let edits = edits(&start);
        let mut all = explore(&start, &edits);
        let end = all.pop().expect("there is an end");
        for other in all {
            assert!(same_tree(&other.seen.a, &end.seen.a), "{other:#?} or {end:#?}");
        }
        assert_laws(&start, &edits, &end);
        ends.insert(format!("{start:?}"), (start, end));
        count += 1;
    });
    assert_eq!(count, 15 * 15 * 15);
    for (start, end) in ends.values() {
        let (_, image) = &ends[&format!("{:?}", start.mirrored())];
        if !tied(start) {
            assert!(same_tree(&mirrored(&end.seen.a), &image.seen.a), "{start:#?}");
        }
    }
}

/// An earlier copy of the same version is being deleted by its user while a new one is needed.
#[test]
fn a_conflict_copy_is_not_made_where_a_deletion_is_under_way() {
    let (name, loser) = (path("f"), plain(X));
    let copy = copy_path(&name, Side::A, &loser, 0);
    let earlier = Tree::from_iter([(copy.clone(), loser.clone())]);
    for b_has_it in [true, false] {
        let mut start = World { archive: earlier.clone(), ..World::default() };
        start.seen.a.set(&name, Some(loser.clone()));
        start.seen.b.set(&name, Some(plain(Y)));
        start.seen.b.set(&copy, b_has_it.then(|| loser.clone()));
        for start in [start.mirrored(), start] {
            let edits = edits(&start);
            for end in explore(&start, &edits) {
                assert!(end.is_settled());
                assert_nothing_lost(&edits, &end);
                assert_eq!(end.seen.a.len(), 2, "the name and one copy: {end:#?}");
            }
        }
    }
}

/// Whether some path has versions that differ but are equally old: A's then keeps the name.
fn tied(start: &World) -> bool {
    start.paths().iter().any(|path| {
        let PerSide { a: Some(a), b: Some(b) } = start.view().at(path) else { return false };
        !a.same(b) && a.modified() == b.modified()
    })
}

#[test]
fn with_two_names_every_triple_of_trees_comes_to_a_lawful_end() {
    let (first, second) = (few("a"), few("b"));
    let states: Vec<Tree> = first.iter().flat_map(|a| second.iter().map(|b| union(a, b))).collect();
    let mut count: u64 = 0;
    triples(&states, |start| {
        let edits = edits(&start);
        let mut world = start.clone();
        let mut rng = Rng(count);
        Run::of(&world).settle(&mut world, &mut rng, |_| {});
        // Every state on the way was looked at above; here it is the ends, and a part of the ways.
        assert_laws(&start, &edits, &world);
        if count.is_multiple_of(4) {
            assert_stops_and_images(&start, &edits, &world, &mut rng);
        }
        count += 1;
    });
    assert_eq!(count, 117_649);
}

/// Stops anywhere and starts again, with the archive as it was told or as it was at first; and the
/// sides exchanged.
fn assert_stops_and_images(
    start: &World,
    edits: &[(Side, RelPath, Entry)],
    end: &World,
    rng: &mut Rng,
) {
    let mut states = vec![start.clone()];
    let mut world = start.clone();
    Run::of(start).settle(&mut world, rng, |world| {
        assert_nothing_lost(edits, world);
        states.push(world.clone());
    });
    assert!(same_tree(&world.seen.a, &end.seen.a), "another order, another end: {start:#?}");
    let mut stopped = states.swap_remove(rng.below(states.len()));
    if rng.below(2) == 0 {
        stopped.archive = start.archive.clone();
    }
    Run::of(&stopped).settle(&mut stopped, rng, |world| assert_nothing_lost(edits, world));
    assert!(stopped.is_settled());
    assert!(same_tree(&stopped.seen.a, &end.seen.a), "a stop, another end: {start:#?}");
    let mut image = start.mirrored();
    Run::of(&image).settle(&mut image, rng, |_| {});
    assert!(same_tree(&mirrored(&image.seen.a), &end.seen.a), "not symmetric: {start:#?}");
}
