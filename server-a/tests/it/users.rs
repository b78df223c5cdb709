//! Two users who edit their directories, and the account of what must not be lost.

use std::collections::BTreeSet;

use common::digest::Digest;
use common::entry::{Entry, File};
use common::path::{RelPath, rows_below};
use common::side::Side;
use common::time::Timestamp;

use crate::model::{Replica, content, file, link};
use crate::world::World;

/// A small seeded generator: the same seed, the same run.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// What the users wrote, and what of it nobody has overwritten or deleted.
#[derive(Default)]
pub(crate) struct Account {
    written: BTreeSet<Digest>,
    live: BTreeSet<Digest>,
    count: u64,
}

impl Account {
    fn supersede(&mut self, entry: Option<&Entry>) {
        if let Some(digest) = entry.and_then(content) {
            self.live.remove(&digest);
        }
    }

    fn wrote(&mut self, entry: &Entry) {
        if let Some(digest) = content(entry) {
            self.written.insert(digest);
            self.live.insert(digest);
        }
    }

    /// Nothing is lost and nothing is invented.
    pub(crate) fn check(&self, world: &World) {
        let mut there: BTreeSet<Digest> = world.held_contents().collect();
        for side in Side::BOTH {
            for digest in world.sides[side].contents() {
                assert!(self.written.contains(&digest), "nobody wrote {digest:?} at {side}");
                there.insert(digest);
            }
            if world.trash_counts {
                there.extend(&world.sides[side].trash);
            }
        }
        for digest in &self.live {
            let waived = world.waived.contains(digest);
            assert!(waived || there.contains(digest), "the content {digest:?} is lost");
        }
    }
}

/// One edit of one user; what cannot be done is not done.
pub(crate) fn edit(world: &mut World, side: Side, rng: &mut Rng, account: &mut Account) {
    let seconds = world.now.wall.seconds - 5 + rng.below(10) as i64;
    let at = some_path(&world.sides[side], rng);
    let replica = &mut world.sides[side];
    let there = replica.entry(&at).cloned();
    let free = !there.as_ref().is_some_and(Entry::is_dir) && replica.has_parent(&at);
    let did = match rng.below(20) {
        0..=6 if free => {
            account.count += 1;
            let new = file(&format!("content {}", account.count), 0o644, seconds);
            account.supersede(there.as_ref());
            account.wrote(&new);
            match there {
                Some(Entry::File(_)) if rng.below(2) == 0 => replica.modify(&at, new),
                _ => replica.put(&at, Some(new)),
            }
            "wrote"
        }
        7 if free => {
            account.count += 1;
            let new = link(&format!("target {}", account.count), seconds);
            account.supersede(there.as_ref());
            account.wrote(&new);
            replica.put(&at, Some(new));
            "linked"
        }
        8..=9 if there.is_none() && replica.has_parent(&at) => {
            replica.put(&at, Some(Entry::Dir { mode: 0o755 }));
            "made the directory"
        }
        10..=11 if there.is_some() => {
            remove(replica, &at, account);
            "removed"
        }
        12..=15 if there.is_some() => {
            let to = some_path(replica, rng);
            if rename(replica, &at, &to, account) {
                world.say(|| format!("{side}'s user renamed `{at}` to `{to}`"));
            }
            return;
        }
        16 => {
            let Some(other) = there.and_then(with_other_mode) else { return };
            replica.modify(&at, other);
            "chmodded"
        }
        17 => {
            let Some(Entry::File(f)) = there else { return };
            let modified = Timestamp { seconds, nanos: 1 };
            replica.modify(&at, Entry::from(File { modified, ..*f }));
            "touched"
        }
        // Another kind takes the name.
        18 if there.is_some() => {
            change_kind(replica, &at, seconds, account);
            "changed the kind of"
        }
        // A copy of something, or a version of before.
        19 if free => {
            let Some(file) = some_file(replica, rng) else { return };
            account.supersede(there.as_ref());
            let modified = Timestamp { seconds, nanos: 2 };
            // Whether it lives on is not for this copy to say: it may be no change at all.
            replica.put(&at, Some(Entry::from(File { modified, ..file })));
            "copied to"
        }
        _ => return,
    };
    world.say(|| format!("{side}'s user {did} `{at}`"));
}

fn some_file(replica: &Replica, rng: &mut Rng) -> Option<File> {
    let files: Vec<File> =
        replica.tree.values().filter_map(|n| n.entry.as_file().cloned()).collect();
    rng.pick(&files).cloned()
}

/// The same with other permissions; a link has none.
fn with_other_mode(entry: Entry) -> Option<Entry> {
    let toggled = |mode: u32| mode ^ 0o050;
    match entry {
        Entry::File(f) => Some(Entry::from(File { mode: toggled(f.mode), ..*f })),
        Entry::Dir { mode } => Some(Entry::Dir { mode: toggled(mode) }),
        Entry::Link(_) => None,
    }
}

fn change_kind(replica: &mut Replica, at: &RelPath, seconds: i64, account: &mut Account) {
    let was_dir = replica.entry(at).is_some_and(Entry::is_dir);
    remove(replica, at, account);
    let at = if was_dir {
        at.clone()
    } else {
        replica.put(at, Some(Entry::Dir { mode: 0o755 }));
        at.join("a").expect("a short name")
    };
    account.count += 1;
    let new = file(&format!("content {}", account.count), 0o644, seconds);
    account.wrote(&new);
    replica.put(&at, Some(new));
}

fn remove(replica: &mut Replica, at: &RelPath, account: &mut Account) {
    let below: Vec<RelPath> = rows_below(&replica.tree, at).map(|(p, _)| p.clone()).collect();
    for path in below.iter().rev().chain([at]) {
        account.supersede(replica.entry(path));
        replica.put(path, None);
    }
}

fn rename(replica: &mut Replica, from: &RelPath, to: &RelPath, account: &mut Account) -> bool {
    let source_dir = replica.entry(from).is_some_and(Entry::is_dir);
    let fits = match replica.entry(to) {
        None => true,
        Some(target) if target.is_dir() => source_dir && replica.is_empty_below(to),
        Some(_) => !source_dir,
    };
    if from.touches(to) || !fits || !replica.has_parent(to) {
        return false;
    }
    account.supersede(replica.entry(to));
    replica.put(to, None);
    replica.rename(from, to);
    true
}

/// A path that exists, or one of a few names that may.
fn some_path(replica: &Replica, rng: &mut Rng) -> RelPath {
    let all: Vec<RelPath> = replica.tree.keys().cloned().collect();
    if rng.below(3) > 0
        && let Some(path) = rng.pick(&all)
    {
        return path.clone();
    }
    let directories: Vec<RelPath> = all
        .into_iter()
        .filter(|p| replica.entry(p).is_some_and(Entry::is_dir) && p.components().count() < 3)
        .collect();
    let at = rng.below(directories.len() + 1);
    let name = [b"a", b"b", b"c", b"d"][rng.below(4)];
    RelPath::within(directories.get(at), name).expect("a short name")
}
