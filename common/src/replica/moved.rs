//! What was moved: something is gone here and there at another path, with one inode.

use std::collections::BTreeMap;

use crate::path::RelPath;
use crate::replica::known::{Finding, Row};

/// Pairs what disappeared with what appeared: one inode, and for files one content.
pub(super) fn moves(
    rows: &BTreeMap<RelPath, Row>,
    fresh: &BTreeMap<RelPath, Finding>,
) -> Vec<(RelPath, RelPath)> {
    let mut gone: BTreeMap<(u64, u64), (&RelPath, &Row)> = BTreeMap::new();
    for path in fresh.iter().filter(|(_, f)| !matches!(f, Finding::Unknown(_))).map(|(p, _)| p) {
        let Some(row) = rows.get(path) else { continue };
        let stays = match &fresh[path] {
            Finding::Present(now, _) => now.stamp.same_inode(&row.stamp),
            _ => false,
        };
        if !stays {
            gone.insert((row.stamp.dev, row.stamp.ino), (path, row));
        }
    }
    if gone.is_empty() {
        return Vec::new();
    }
    let mut moved: Vec<(RelPath, RelPath)> = Vec::new();
    for (to, finding) in fresh {
        let Finding::Present(now, _) = finding else { continue };
        let Some(&(from, row)) = gone.get(&(now.stamp.dev, now.stamp.ino)) else { continue };
        let implied = |(f, t): &(RelPath, RelPath)| {
            to.is_below(t) && from.is_below(f) && to.rebase(t, f).as_ref() == Ok(from)
        };
        if from != to
            && row.entry.same_content(&now.entry)
            && !moved.iter().rev().take(64).any(implied)
        {
            moved.push((from.clone(), to.clone()));
        }
    }
    moved
}
