//! What holds of the world: when it is at rest, and under a lock.

use std::collections::BTreeSet;

use common::change::Operation;
use common::digest::Digest;
use common::entry::{Entry, same};
use common::path::RelPath;
use common::side::Side;
use common::wire::message::OrderId;
use server_a::locks::LockState;

use crate::model::content;
use crate::world::World;

impl World {
    /// Contents that are held or about to be.
    pub(crate) fn held_contents(&self) -> impl Iterator<Item = Digest> {
        self.durable.pending.values().filter_map(|e| e.after.as_ref().and_then(content))
    }

    /// Where the two trees, what is known of them, and the archive are not all the same.
    pub(crate) fn differences(&self) -> Vec<String> {
        let view = self.coordinator.view();
        let mut paths: BTreeSet<&RelPath> = self.sides.a.tree.keys().collect();
        paths.extend(self.sides.b.tree.keys());
        paths.extend(view.archive.iter().map(|(p, _)| p));
        paths.extend(view.seen.a.iter().chain(view.seen.b.iter()).map(|(p, _)| p));
        paths.extend(self.durable.archive.iter().map(|(p, _)| p));
        let mut differing = Vec::new();
        for path in paths {
            let a = self.sides.a.entry(path);
            let others = [
                ("B", self.sides.b.entry(path)),
                ("the archive", view.archive.get(path)),
                ("what is seen of A", view.seen.a.get(path)),
                ("what is seen of B", view.seen.b.get(path)),
                ("the saved archive", self.durable.archive.get(path)),
            ];
            for (name, other) in others {
                if !same(a, other) {
                    differing.push(format!("`{path}`: A has {a:?}, {name} {other:?}"));
                }
            }
        }
        differing
    }

    /// Our hand leaves a locked path alone.
    pub(crate) fn check_lock(&self, side: Side, id: OrderId, operation: &Operation) {
        if side == Side::B || self.exempt.contains(&id) {
            return;
        }
        let (paths, whole) = match operation {
            Operation::Change(c) => {
                let displaces = c.before.is_some() && !c.after.as_ref().is_some_and(Entry::is_dir);
                (vec![&c.path], displaces)
            }
            Operation::Rename { from, to, .. } => (vec![from, to], true),
            Operation::Clear { path, .. } => (vec![path], true),
        };
        for lock in self.coordinator.locks().iter().filter(|l| l.state == LockState::Held) {
            for path in &paths {
                let below = || lock.names().any(|name| name.is_below(path));
                let met = lock.covers(path) || whole && below();
                assert!(!met, "`{path}` was changed at A under the lock of `{}`", lock.path);
            }
        }
    }
}
