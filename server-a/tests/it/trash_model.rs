//! The trash of a replica in memory, as the coordinator asks about it. A version is named by its
//! place in the order in which versions came there.

use common::entry::Entry;
use common::path::RelPath;
use common::side::Side;
use common::time::Timestamp;
use common::wire::message::{Order, Report};
use common::wire::trashed::{TrashFound, TrashName, TrashReason, TrashRow};

use crate::world::World;

impl World {
    /// A side answers what it has in trash.
    pub(crate) fn look_into_trash(&mut self, side: Side, order: Order) {
        let report = match order {
            Order::ListTrash { id, below } => {
                let wanted = |p: &RelPath| below.as_ref().is_none_or(|b| p == b || p.is_below(b));
                let trashed = self.sides[side].trashed.iter().enumerate();
                let rows = trashed.filter(|(_, (path, _))| wanted(path)).map(row).collect();
                Report::Trash { id, rows: Ok(rows), left_out: 0, last: true }
            }
            Order::FindTrash { id, name } => {
                let found = self.trashed(side, &name);
                let found = found.map(|(path, entry)| TrashFound { path, entry });
                Report::TrashFound { id, found: Ok(found) }
            }
            _ => return,
        };
        self.reports[side].push_back(report);
    }

    /// A version in trash, and where it was.
    pub(crate) fn trashed(&self, side: Side, name: &TrashName) -> Option<(RelPath, Entry)> {
        let place: usize = name.as_str().parse().ok()?;
        self.sides[side].trashed.get(place).cloned()
    }
}

fn row((place, (path, entry)): (usize, &(RelPath, Entry))) -> TrashRow {
    let name = TrashName::new(&place.to_string()).expect("a number");
    let time = Timestamp { seconds: place as i64, nanos: 0 };
    let (path, reason) = (path.clone(), TrashReason::Deleted);
    TrashRow { name, path, size: entry.size(), time, reason }
}
