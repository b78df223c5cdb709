//! Three trees in memory, and a coordinator of a few lines that decides and applies in any order.

use std::collections::{BTreeMap, BTreeSet};

use common::change::Change;
use common::digest::Digest;
use common::entry::{Entry, File, Link, same};
use common::path::RelPath;
use common::reconcile::{Conflict, Next, Step, Verdict, View, decide};
use common::side::{PerSide, Side};
use common::time::Timestamp;
use common::tree::Tree;

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a valid path")
}

pub(crate) fn file(content: &str, mode: u32, seconds: i64) -> Entry {
    Entry::from(File {
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
        mode,
        modified: Timestamp { seconds, nanos: 0 },
    })
}

pub(crate) fn link(target: &str, seconds: i64) -> Entry {
    let modified = Timestamp { seconds, nanos: 0 };
    Entry::from(Link { target: target.as_bytes().into(), modified })
}

pub(crate) fn dir(mode: u32) -> Entry {
    Entry::Dir { mode }
}

/// What a content is: of a file its digest, of a link the digest of its target.
pub(crate) fn content(entry: &Entry) -> Option<Digest> {
    match entry {
        Entry::File(file) => Some(file.digest),
        Entry::Link(link) => Some(Digest::of(&link.target)),
        Entry::Dir { .. } => None,
    }
}

pub(crate) fn contents(tree: &Tree) -> BTreeSet<Digest> {
    tree.iter().filter_map(|(_, entry)| content(entry)).collect()
}

/// Whether two trees are the same in all that is synchronized.
pub(crate) fn same_tree(a: &Tree, b: &Tree) -> bool {
    a.len() == b.len() && a.iter().all(|(path, entry)| same(Some(entry), b.get(path)))
}

/// A small seeded generator: the same seed, the same run.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) archive: Tree,
    pub(crate) seen: PerSide<Tree>,
}

impl World {
    pub(crate) fn view(&self) -> View<'_> {
        View { archive: &self.archive, seen: self.seen.as_ref() }
    }

    /// Every path that one of the trees has.
    pub(crate) fn paths(&self) -> BTreeSet<RelPath> {
        [&self.archive, &self.seen.a, &self.seen.b]
            .into_iter()
            .flat_map(|tree| tree.iter().map(|(path, _)| path.clone()))
            .collect()
    }

    /// Decides a path and checks that what is to be done could be done, in this state.
    pub(crate) fn decide(&self, path: &RelPath) -> Verdict {
        let verdict = decide(&self.view(), path);
        match &verdict.next {
            Next::Agreed { .. } => assert!(verdict.conflict.is_none()),
            Next::Steps(steps) => {
                assert!(!steps.is_empty(), "{path}: no step and not agreed");
                steps.iter().for_each(|step| self.check(step));
            }
            Next::After { side, path: row } => {
                assert!(self.seen[*side].get(row).is_some(), "{path} waits for nothing");
            }
        }
        verdict
    }

    fn check(&self, Step { side, change, origin }: &Step) {
        let Change { path, before, after, .. } = change;
        let tree = &self.seen[*side];
        assert!(!same(before.as_ref(), after.as_ref()), "{path}: an empty step");
        assert!(same(before.as_ref(), tree.get(path)), "{path}: is not what is to be changed");
        if after.is_some()
            && let Some(parent) = path.parent()
        {
            assert!(tree.get(&parent).is_some_and(Entry::is_dir), "{path}: has no directory");
        }
        if !after.as_ref().is_some_and(Entry::is_dir) {
            assert!(tree.below(path).next().is_none(), "{path}: would take along what is below");
        }
        let known = |before: &Entry| after.as_ref().is_some_and(|after| after.same_content(before));
        match (after, origin) {
            (Some(Entry::File(_)), None) => {
                assert!(before.as_ref().is_some_and(known), "{path}: no origin");
            }
            (Some(Entry::File(_)), Some(_)) => {
                assert!(self.supplies(change, origin.as_ref()), "{path}: not what it should be");
                assert!(!before.as_ref().is_some_and(known), "{path}: moves what is there");
            }
            (_, origin) => assert!(origin.is_none()),
        }
    }

    fn supplies(&self, change: &Change, origin: Option<&common::reconcile::Origin>) -> bool {
        origin.is_none_or(|origin| {
            let there = self.seen[origin.side].get(&origin.path);
            there.zip(change.after.as_ref()).is_some_and(|(there, after)| there.same_content(after))
        })
    }

    /// Applies a step as a side would: only while `before` holds and the file system allows it.
    pub(crate) fn apply(&mut self, step: &Step) -> bool {
        let Change { path, before, after, .. } = &step.change;
        let tree = &self.seen[step.side];
        let housed = path.parent().is_none_or(|p| tree.get(&p).is_some_and(Entry::is_dir));
        let empty = tree.below(path).next().is_none();
        let stays_dir = after.as_ref().is_some_and(Entry::is_dir);
        let possible = same(before.as_ref(), tree.get(path))
            && (after.is_none() || housed)
            && (stays_dir || empty)
            && self.supplies(&step.change, step.origin.as_ref());
        if possible {
            self.seen[step.side].set(path, after.clone());
        }
        possible
    }

    pub(crate) fn learn(&mut self, path: &RelPath) {
        self.archive.set(path, self.seen.a.get(path).cloned());
    }

    /// Every single thing that could happen next if all paths were dirty.
    pub(crate) fn successors(&self) -> Vec<World> {
        let mut next = Vec::new();
        for path in self.paths() {
            match self.decide(&path).next {
                Next::Agreed { learn: true } => {
                    let mut world = self.clone();
                    world.learn(&path);
                    next.push(world);
                }
                Next::Steps(steps) => {
                    for step in steps {
                        let mut world = self.clone();
                        assert!(world.apply(&step));
                        next.push(world);
                    }
                }
                Next::Agreed { learn: false } | Next::After { .. } => {}
            }
        }
        next
    }

    /// Whether both sides and the archive are the same and nothing is left to do.
    pub(crate) fn is_settled(&self) -> bool {
        same_tree(&self.seen.a, &self.seen.b)
            && same_tree(&self.seen.a, &self.archive)
            && self.paths().iter().all(|p| self.decide(p).next == Next::Agreed { learn: false })
    }

    /// The same with the sides exchanged, in the names of conflict copies too.
    pub(crate) fn mirrored(&self) -> World {
        World {
            archive: mirrored(&self.archive),
            seen: PerSide { a: mirrored(&self.seen.b), b: mirrored(&self.seen.a) },
        }
    }
}

pub(crate) fn mirrored(tree: &Tree) -> Tree {
    let swap = |path: &RelPath| {
        let text = String::from_utf8(path.as_bytes().to_vec()).expect("tests use text");
        let text = text.replace(".conflict-A-", "\0").replace(".conflict-B-", ".conflict-A-");
        RelPath::new(text.replace('\0', ".conflict-B-")).expect("still a path")
    };
    tree.iter().map(|(path, entry)| (swap(path), entry.clone())).collect()
}

/// A coordinator at work: what is dirty, what waits, what is under way.
#[derive(Default)]
pub(crate) struct Run {
    dirty: BTreeSet<RelPath>,
    waiting: BTreeMap<RelPath, (Side, RelPath)>,
    /// The path that was decided, and its step.
    flying: Vec<(RelPath, Step)>,
    pub(crate) conflicts: BTreeSet<(RelPath, RelPath)>,
    pub(crate) applied: usize,
    pub(crate) with_content: usize,
}

impl Run {
    /// A start, or a restart: everything is dirty.
    pub(crate) fn of(world: &World) -> Run {
        Run { dirty: world.paths(), ..Run::default() }
    }

    /// What a watcher does: the row at a side is otherwise than before.
    pub(crate) fn observe(&mut self, side: Side, path: &RelPath) {
        self.dirty.insert(path.clone());
        self.dirty.extend(path.parent());
        let dirty = &mut self.dirty;
        self.waiting.retain(|waiting, (at, row)| {
            let goes_on = *at != side || row != path;
            if !goes_on {
                dirty.insert(waiting.clone());
            }
            goes_on
        });
    }

    /// Decides one dirty path or lands one step. False when nothing is left to do.
    pub(crate) fn turn(&mut self, world: &mut World, rng: &mut Rng) -> bool {
        if !self.flying.is_empty() && (self.dirty.is_empty() || rng.below(3) == 0) {
            let at = rng.below(self.flying.len());
            self.land(world, at);
            return true;
        }
        let at = rng.below(self.dirty.len().max(1));
        let Some(path) = self.dirty.iter().nth(at).cloned() else { return false };
        let busy = |path: &RelPath, flying: &[(RelPath, Step)]| {
            flying.iter().any(|(decided, step)| decided == path || step.change.path.touches(path))
        };
        if busy(&path, &self.flying) {
            let at = rng.below(self.flying.len());
            self.land(world, at);
            return true;
        }
        let Verdict { next, conflict } = world.decide(&path);
        if let Some(Conflict { path, copy, .. }) = conflict {
            self.conflicts.insert((path, copy));
        }
        match next {
            Next::Steps(steps) if steps.iter().any(|s| busy(&s.change.path, &self.flying)) => {
                let at = rng.below(self.flying.len());
                self.land(world, at);
                return true;
            }
            Next::Steps(steps) => {
                self.flying.extend(steps.into_iter().map(|step| (path.clone(), step)));
            }
            Next::Agreed { learn: true } => world.learn(&path),
            Next::Agreed { learn: false } => {}
            Next::After { side, path: row } => {
                self.waiting.insert(path.clone(), (side, row));
            }
        }
        self.dirty.remove(&path);
        true
    }

    fn land(&mut self, world: &mut World, at: usize) {
        let (decided, step) = self.flying.swap_remove(at);
        self.dirty.insert(decided);
        if world.apply(&step) {
            self.applied += 1;
            self.with_content += usize::from(step.origin.is_some());
        }
        self.observe(step.side, &step.change.path);
    }

    /// Turns until nothing is left to do, within a bound; looks at the world after each turn.
    pub(crate) fn settle(
        &mut self,
        world: &mut World,
        rng: &mut Rng,
        mut look: impl FnMut(&World),
    ) {
        let bound = 200 * (world.paths().len() + 10);
        for _ in 0..bound {
            if !self.turn(world, rng) {
                return;
            }
            look(world);
        }
        panic!("no end after {bound} turns: {world:#?}");
    }
}
