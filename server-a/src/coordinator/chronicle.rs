//! What is written down of all that happens: which operation, done by whose user, carried where.
//!
//! A row is made where the coordinator learns of it, from the operation itself, so the journal can
//! say nothing that did not happen. What both sides turn out to have already is written down, too:
//! it was done at both, or carried before a crash that kept us from writing.

use common::change::Change;
use common::entry::Entry;
use common::path::RelPath;
use common::side::Side;
use common::wire::log::{Happened, LogRow, Version};

use super::Coordinator;
use super::action::Action;
use super::flights::{Flight, Purpose};
use crate::pending::queue::HeldEdit;

fn version(entry: Option<&Entry>) -> Option<Version> {
    entry.map(Version::of)
}

/// What a change is.
fn kind_of(before: Option<&Entry>, after: Option<&Entry>) -> Happened {
    match (before, after) {
        (_, None) => Happened::Deleted,
        (None, Some(_)) => Happened::Created,
        (Some(before), Some(after)) if before.kind() != after.kind() => Happened::Replaced,
        (Some(before), Some(after)) if before.same_content(after) => Happened::Metadata,
        (Some(_), Some(_)) => Happened::Written,
    }
}

/// Whether an old version goes to the trash when it makes way.
fn is_kept(before: Option<&Entry>, after: Option<&Entry>) -> bool {
    let same = || before.zip(after).is_some_and(|(before, after)| before.same_content(after));
    before.is_some_and(|before| !before.is_dir()) && !same()
}

impl Coordinator {
    /// Writes down what happened.
    pub(super) fn record(&self, row: LogRow, out: &mut Vec<Action>) {
        out.push(Action::Record(LogRow { time: self.now.wall, ..row }));
    }

    /// An operation was carried out at a side.
    pub(super) fn record_change(
        &mut self,
        flight: &Flight,
        change: &Change,
        out: &mut Vec<Action>,
    ) {
        let Change { path, before, after, .. } = change;
        let (before, after) = (before.as_ref(), after.as_ref());
        let side = flight.side;
        let (what, by) = match flight.purpose {
            // It is written down when the edit is let go of, once.
            Purpose::Drain { .. } => return,
            Purpose::Restore => (Happened::Restored, None),
            _ if before.is_none() && self.copies.contains(path) => (Happened::Copied, None),
            Purpose::Aside { .. } => (kind_of(before, after), Some(Side::B)),
            Purpose::Errand { .. } => (kind_of(before, after), Some(side)),
            Purpose::Agree | Purpose::Rename => (kind_of(before, after), Some(side.other())),
        };
        let asked = matches!(flight.purpose, Purpose::Errand { .. });
        let row = LogRow {
            by,
            carried: Some(side),
            before: version(before),
            after: version(after),
            trash: is_kept(before, after).then_some(side),
            detail: asked.then(|| "asked for through lab3".to_string()),
            ..LogRow::new(what, Some(path.clone()))
        };
        self.record(row, out);
    }

    /// A rename was repeated at a side.
    pub(super) fn record_rename(
        &mut self,
        side: Side,
        (from, to): (&RelPath, &RelPath),
        before: &Entry,
        out: &mut Vec<Action>,
    ) {
        let version = Some(Version::of(before));
        let row = LogRow {
            to: Some(to.clone()),
            by: Some(side.other()),
            carried: Some(side),
            before: version.clone(),
            after: version,
            ..LogRow::new(Happened::Renamed, Some(from.clone()))
        };
        self.record(row, out);
    }

    /// Two versions met, and the loser's is kept beside.
    pub(super) fn record_conflict(
        &mut self,
        path: &RelPath,
        loser: Side,
        copy: &RelPath,
        out: &mut Vec<Action>,
    ) {
        self.copies.insert(copy.clone());
        let to = Some(copy.clone());
        let row = LogRow::new(Happened::Conflict, Some(path.clone()));
        self.record(LogRow { to, by: Some(loser), ..row }, out);
    }

    /// Both sides have it already. What was never agreed on before and appears at both is no news.
    pub(super) fn record_agreed(
        &mut self,
        path: &RelPath,
        new: Option<&Entry>,
        out: &mut Vec<Action>,
    ) {
        let old = self.archive.get(path);
        if old.is_none() || common::entry::same(old, new) {
            return;
        }
        let row = LogRow {
            before: version(old),
            after: version(new),
            detail: Some(format!("{:?}", kind_of(old, new)).to_lowercase()),
            ..LogRow::new(Happened::Agreed, Some(path.clone()))
        };
        self.record(row, out);
    }

    /// Something became of a held edit of B.
    pub(super) fn record_held(&mut self, what: Happened, edit: &HeldEdit, out: &mut Vec<Action>) {
        let (before, after) = (edit.before.as_ref(), edit.after.as_ref());
        let applied = what == Happened::Drained;
        let kept = match what {
            Happened::Drained => is_kept(before, after),
            Happened::Discarded => after.is_some_and(|after| after.as_file().is_some()),
            _ => false,
        };
        let row = LogRow {
            by: Some(Side::B),
            carried: applied.then_some(Side::A),
            before: version(before),
            after: version(after),
            trash: kept.then_some(Side::A),
            detail: Some(
                format!("{:?}, held as {}", kind_of(before, after), edit.seq).to_lowercase(),
            ),
            ..LogRow::new(what, Some(edit.path.clone()))
        };
        self.record(row, out);
    }

    /// Something became of a lock; or of everything, where there is no path.
    pub(super) fn record_word(
        &self,
        what: Happened,
        path: Option<&RelPath>,
        who: Option<String>,
        detail: Option<String>,
        out: &mut Vec<Action>,
    ) {
        let row = LogRow { who, detail, ..LogRow::new(what, path.cloned()) };
        self.record(row, out);
    }
}
