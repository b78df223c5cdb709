//! Whether a path is at rest: nothing under way or to be decided there, and both sides agree.

use std::collections::BTreeSet;
use std::ops::Bound;

use common::path::RelPath;
use common::side::Side;
use common::wire::client::WaitingRow;

use super::Coordinator;

/// Rows of reasons that one answer carries.
const WAITING_MAX: usize = 100;

/// Whether the path, or something above or below it, is in the set.
pub(super) fn touched(set: &BTreeSet<RelPath>, path: &RelPath) -> bool {
    let (low, high) = path.bounds_below();
    let below = (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice()));
    set.contains(path)
        || set.range::<[u8], _>(below).next().is_some()
        || path.ancestors().any(|above| set.contains(&above))
}

impl Coordinator {
    /// Whether nothing is under way or to be decided at a path: a lock then comes wholly before
    /// or wholly after every edit.
    pub(super) fn is_quiet_at(&self, path: &RelPath) -> bool {
        let undecided = || touched(&self.urgent, path) || touched(&self.dirty, path);
        self.flights.touching(path).is_none()
            && !self.holds.touching(path)
            && (self.halted() || !self.ready.b || !undecided())
    }

    pub(super) fn why_not_agreed(&self, path: RelPath) -> WaitingRow {
        let reason = match self.halt_words() {
            Some(halted) => halted,
            None if !self.ready.b => "server B is away".to_string(),
            None => "it is still on its way".to_string(),
        };
        WaitingRow { path, side: Some(Side::B), reason, since: self.now.wall, next_try: None }
    }

    /// Whether both sides have the same at all these paths and below.
    pub(super) fn agreed_on(&self, paths: &BTreeSet<RelPath>) -> bool {
        paths.iter().all(|path| self.agreed_below(path))
    }

    /// What these paths wait for, as far as they do not agree.
    pub(super) fn why_waiting(&self, paths: &BTreeSet<RelPath>) -> Vec<WaitingRow> {
        let open = paths.iter().filter(|path| !self.ready.b || !self.agreed_below(path));
        let why = open.flat_map(|path| match self.waits.rows(Some(path), self.now, WAITING_MAX) {
            rows if rows.is_empty() => vec![self.why_not_agreed(path.clone())],
            rows => rows,
        });
        why.take(WAITING_MAX).collect()
    }

    /// Whether both sides have the same at a path and below, and nothing is under way there.
    pub(super) fn agreed_below(&self, path: &RelPath) -> bool {
        let paths = |side: Side| self.seen[side].below(path).map(|(p, _)| p);
        self.flights.touching(path).is_none()
            && self.sides_same(path)
            && paths(Side::A).chain(paths(Side::B)).all(|below| self.sides_same(below))
    }
}
