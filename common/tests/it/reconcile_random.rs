//! Random trees: one tree, perturbed twice, as two users would; and users who go on meanwhile.
//!
//! `LAB3_SEED=N cargo test -p common --test it reconcile_random` runs one seed only.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use common::digest::Digest;
use common::entry::{Entry, File, Link};
use common::path::RelPath;
use common::side::{PerSide, Side};
use common::time::Timestamp;
use common::tree::Tree;

use crate::world::{Rng, Run, World, content, contents, dir, link, mirrored, same_tree};

const SEEDS: u64 = 4000;

/// Runs a law for many seeds; says how to run the one that breaks it.
fn for_seeds(salt: u64, law: impl Fn(&mut Rng)) {
    let only: Option<u64> = std::env::var("LAB3_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let run = AssertUnwindSafe(|| law(&mut Rng(seed ^ salt)));
        if let Err(panic) = catch_unwind(run) {
            let replay = "cargo test -p common --test it reconcile_random";
            let note = format!("replay: LAB3_SEED={seed} {replay}\n");
            std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes()).ok();
            resume_unwind(panic);
        }
    }
}

/// The contents that must still be there: written, and destroyed by no user.
#[derive(Default)]
struct Users {
    written: u64,
    owed: BTreeSet<Digest>,
}

impl Users {
    fn fresh(&mut self, rng: &mut Rng) -> Entry {
        self.written += 1;
        let text = format!("content {}", self.written);
        let seconds = rng.below(40) as i64;
        self.owed.insert(Digest::of(text.as_bytes()));
        match rng.below(6) {
            0 => link(&text, seconds),
            _ => crate::world::file(&text, *rng.pick(&[0o644, 0o755, 0o600]), seconds),
        }
    }

    /// What stands there goes, by a user's own hand.
    fn destroy(&mut self, tree: &mut Tree, path: &RelPath) -> Vec<RelPath> {
        let mut gone: Vec<RelPath> = tree.below(path).map(|(path, _)| path.clone()).collect();
        gone.push(path.clone());
        for path in &gone {
            if let Some(old) = tree.set(path, None)
                && let Some(content) = content(&old)
            {
                self.owed.remove(&content);
            }
        }
        gone
    }

    /// One thing that a user does; answers the paths that it touched.
    fn act(&mut self, tree: &mut Tree, rng: &mut Rng) -> Vec<RelPath> {
        let place = free_place(tree, rng);
        let rows: Vec<(RelPath, Entry)> =
            tree.iter().map(|(p, e)| (p.clone(), e.clone())).collect();
        if rows.is_empty() || rng.below(4) == 0 {
            let entry = if rng.below(3) == 0 { dir(0o755) } else { self.fresh(rng) };
            let mut touched = self.destroy(tree, &place);
            tree.set(&place, Some(entry));
            touched.push(place);
            return touched;
        }
        let (path, entry) = rng.pick(&rows).clone();
        match (rng.below(8), entry) {
            (0 | 1, _) => self.destroy(tree, &path),
            (2, Entry::Dir { .. }) => {
                tree.set(&path, Some(dir(*rng.pick(&[0o700, 0o750, 0o755]))));
                vec![path]
            }
            (2, Entry::File(file)) => {
                let mode = *rng.pick(&[0o644, 0o755, 0o600]);
                tree.set(&path, Some(Entry::from(File { mode, ..*file })));
                vec![path]
            }
            (3, Entry::File(file)) => {
                let modified = Timestamp { seconds: rng.below(40) as i64, nanos: 0 };
                tree.set(&path, Some(Entry::from(File { modified, ..*file })));
                vec![path]
            }
            (4, _) if !place.touches(&path) => {
                let mut touched = self.destroy(tree, &place);
                touched.push(path.clone());
                touched.extend(tree.below(&path).map(|(path, _)| path.clone()));
                tree.rename(&path, &place);
                touched.extend(tree.below(&place).map(|(path, _)| path.clone()));
                touched
            }
            _ => {
                let mut touched = self.destroy(tree, &path);
                tree.set(&path, Some(self.fresh(rng)));
                touched.push(path);
                touched
            }
        }
    }
}

/// A name in the root or in some directory.
fn free_place(tree: &Tree, rng: &mut Rng) -> RelPath {
    let name = rng.pick(&["a", "b", "c", "d.txt"]);
    let dirs: Vec<Option<RelPath>> = std::iter::once(None)
        .chain(tree.iter().filter(|(_, e)| e.is_dir()).map(|(path, _)| Some(path.clone())))
        .collect();
    let parent = rng.pick(&dirs);
    RelPath::within(parent.as_ref(), name).expect("names are short and trees are low")
}

/// A tree that both agreed on, and what each made of it.
fn diverged(rng: &mut Rng, users: &mut Users) -> World {
    let mut archive = Tree::default();
    for _ in 0..2 + rng.below(12) {
        users.act(&mut archive, rng);
    }
    users.owed = contents(&archive);
    let mut seen = PerSide { a: archive.clone(), b: archive.clone() };
    for side in Side::BOTH {
        for _ in 0..rng.below(6) {
            users.act(&mut seen[side], rng);
        }
    }
    // Without an archive nothing is known to be superseded, and all that is left must stay.
    if rng.below(8) == 0 {
        archive = Tree::default();
    }
    World { archive, seen }
}

fn assert_paid(users: &Users, world: &World) {
    let have = &contents(&world.seen.a) | &contents(&world.seen.b);
    let lost: Vec<_> = users.owed.difference(&have).collect();
    assert!(lost.is_empty(), "lost {lost:?} in {world:#?}");
    assert!(world.seen.a.is_well_formed() && world.seen.b.is_well_formed());
}

#[test]
fn every_order_leads_to_the_same_end_and_loses_nothing() {
    for_seeds(0, |rng| {
        let mut users = Users::default();
        let start = diverged(rng, &mut users);
        let mut ends = Vec::new();
        for _ in 0..3 {
            let mut world = start.clone();
            Run::of(&world).settle(&mut world, rng, |world| assert_paid(&users, world));
            assert!(world.is_settled(), "{world:#?}");
            assert!(users.owed.is_subset(&contents(&world.seen.a)));
            ends.push(world);
        }
        for end in &ends[1..] {
            assert!(same_tree(&end.seen.a, &ends[0].seen.a), "{start:#?} {ends:#?}");
        }
    });
}

#[test]
fn a_stop_anywhere_with_any_archive_that_was_true_changes_nothing() {
    for_seeds(1 << 40, |rng| {
        let mut users = Users::default();
        let start = diverged(rng, &mut users);
        let mut states = vec![start.clone()];
        let mut world = start.clone();
        Run::of(&world).settle(&mut world, rng, |world| states.push(world.clone()));
        let mut stopped = rng.pick(&states).clone();
        if rng.below(2) == 0 {
            stopped.archive = start.archive.clone();
        }
        Run::of(&stopped).settle(&mut stopped, rng, |world| assert_paid(&users, world));
        assert!(stopped.is_settled());
        assert!(same_tree(&stopped.seen.a, &world.seen.a), "{start:#?}");
    });
}

#[test]
fn exchanged_sides_come_to_the_exchanged_end() {
    for_seeds(2 << 40, |rng| {
        let mut start = diverged(rng, &mut Users::default());
        // Equally old versions would let A's keep the name: make times of their own for B.
        let rows: Vec<_> = start.seen.b.iter().map(|(p, e)| (p.clone(), e.clone())).collect();
        for (path, entry) in rows {
            if start.archive.get(&path) != Some(&entry) {
                start.seen.b.set(&path, Some(half_a_second_later(entry)));
            }
        }
        let (mut world, mut image) = (start.clone(), start.mirrored());
        Run::of(&world).settle(&mut world, rng, |_| {});
        Run::of(&image).settle(&mut image, rng, |_| {});
        let modes_tied = start.paths().iter().any(|path| {
            let modes = [&start.seen.a, &start.seen.b].map(|tree| tree.get(path).cloned());
            matches!(modes, [Some(Entry::Dir { mode: a }), Some(Entry::Dir { mode: b })] if a != b)
        });
        assert!(
            modes_tied || same_tree(&mirrored(&image.seen.a), &world.seen.a),
            "{start:#?} {world:#?} {image:#?}"
        );
    });
}

fn half_a_second_later(entry: Entry) -> Entry {
    let later = |time: Timestamp| Timestamp { nanos: 500_000_000, ..time };
    match entry {
        Entry::File(file) => Entry::from(File { modified: later(file.modified), ..*file }),
        Entry::Link(link) => {
            let (target, modified) = (link.target.clone(), later(link.modified));
            Entry::from(Link { target, modified })
        }
        dir => dir,
    }
}

#[test]
fn users_who_go_on_meanwhile_lose_nothing() {
    for_seeds(3 << 40, |rng| {
        let mut users = Users::default();
        let mut world = diverged(rng, &mut users);
        let mut run = Run::of(&world);
        for _ in 0..60 {
            if rng.below(8) == 0 {
                let side = *rng.pick(&Side::BOTH);
                for path in users.act(&mut world.seen[side], rng) {
                    run.observe(side, &path);
                }
            }
            run.turn(&mut world, rng);
            assert_paid(&users, &world);
        }
        run.settle(&mut world, rng, |world| assert_paid(&users, world));
        assert!(world.is_settled(), "{world:#?}");
        assert!(users.owed.is_subset(&contents(&world.seen.a)));
    });
}
