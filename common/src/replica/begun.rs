//! Whether an operation that a kill interrupted took effect.
//!
//! From the call that brings a version to its name until that is written down there is a moment,
//! and after a kill in it the tree does not tell: its user may have gone on. So before anything
//! takes effect it is said what would leave its place by that ([`Witness`]), and when a new version
//! is discarded instead, that is said first. At the next start, before recovery touches `stage/`,
//! what is not in its place any more has taken effect.

use std::io;

use crate::change::{Change, Operation, Witness};
use crate::entry::Entry;
use crate::path::RelPath;
use crate::replica::apply::Plan;
use crate::replica::disk::Open;
use crate::replica::intent::{Intent, Verb};
use crate::replica::publish::Publisher;
use crate::replica::root::stat_at;
use crate::replica::stage::{Stage, Staged};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::wire::message::OrderId;

/// How operations come along, for whoever must know it after a kill. Each step is said before the
/// next one is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// These are about to take effect.
    Begun(Vec<(OrderId, Witness)>),
    /// This one did not, and what was staged for it is discarded next.
    Missed(OrderId),
    /// This one has taken effect; it is not flushed and not told yet.
    Effected(OrderId),
}

/// Called with each step.
pub type Follow = Box<dyn Fn(Progress) + Send + Sync>;

/// What will tell whether a plan was carried out.
///
/// A directory that is removed leaves nothing that could: its number is given to the next one at
/// once. One that its user makes in its place is removed only while it is empty.
pub(super) fn witness(plan: &Plan, staged: Option<&Staged>) -> Option<Witness> {
    match (plan, staged) {
        (_, Some(staged)) => {
            Some(Witness::Staged { name: staged.name.clone(), inode: staged.stamp.ino })
        }
        (Plan::Remove(stamp) | Plan::Metadata(stamp), None) => {
            Some(Witness::Standing { inode: stamp.ino })
        }
        // It stays itself in the trash, until long after that was said.
        (Plan::Clear(rows), None) => {
            let (_, top) = rows.first_key_value()?;
            Some(Witness::Standing { inode: top.stamp.ino })
        }
        (Plan::Rename, None) => Some(Witness::Named),
        _ => None,
    }
}

impl Publisher {
    /// Whether an operation took effect that an earlier process had begun. To be asked before
    /// recovery, which is told; what cannot be looked at is not known to have taken effect.
    #[must_use]
    pub fn took_effect(&self, operation: &Operation, witness: &Witness) -> bool {
        match (witness, operation) {
            (Witness::Staged { name, inode }, _) => {
                self.has_left(name, *inode) && self.is_confirmed(name, *inode)
            }
            (Witness::Standing { inode }, Operation::Change(change)) => {
                self.at(&change.path).is_ok_and(|now| is_over(change, *inode, now.as_ref()))
            }
            // What lies in `stage/` still returns to its name.
            (Witness::Standing { inode }, Operation::Clear { path, .. }) => {
                let is_it = |now: Option<Stamp>| now.is_some_and(|now| now.ino == *inode);
                self.at(path).is_ok_and(|now| !is_it(now))
                    && self.is_staged(*inode).is_ok_and(|staged| !staged)
            }
            // If its user freed it, he did so with what was to have another name.
            (Witness::Named, Operation::Rename { from, .. }) => {
                self.at(from).is_ok_and(|now| now.is_none())
            }
            _ => false,
        }
    }

    /// Whether something staged was published: it left `stage/`, or what it was exchanged for lies
    /// there now. A directory that holds something is not replaced: recovery returns it.
    fn has_left(&self, name: &[u8], inode: u64) -> bool {
        let stage = self.stage.handle();
        match stat_at(stage, name) {
            Ok(None) => true,
            // Where a rename may replace, it has both names for a moment. When its user takes the
            // new one away in that moment, nobody can tell.
            Ok(Some(stamp)) if stamp.ino == inode => !stamp.is_dir() && stamp.links > 1,
            Ok(Some(stamp)) if stamp.is_dir() => {
                let opened = stage.open_at(name, Open::Directory);
                opened.and_then(|dir| dir.names()).is_ok_and(|names| names.is_empty())
            }
            Ok(Some(_)) => true,
            Err(_) => false,
        }
    }

    /// Says in `stage/` that a new version was published, where the old one makes room first.
    /// Otherwise recovery would bring that back to a name that its user may have freed since.
    pub(super) fn is_confirmed(&self, name: &[u8], inode: u64) -> bool {
        let aside = Stage::aside_of(name);
        match Intent::read(&self.stage, &aside) {
            Ok(Some(intent)) if intent.verb == Verb::Replace(0) => {
                let published = Intent { verb: Verb::Replace(inode), ..intent };
                published.rewrite(&self.stage, &aside).is_ok()
            }
            read => read.is_ok(),
        }
    }

    /// Whether an inode lies in `stage/`.
    fn is_staged(&self, inode: u64) -> io::Result<bool> {
        for name in self.stage.names()? {
            if stat_at(self.stage.handle(), &name)?.is_some_and(|stamp| stamp.ino == inode) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn at(&self, path: &RelPath) -> Result<Option<Stamp>, StepError> {
        match self.spot(path)? {
            Some(spot) => stat_at(&spot.dir, spot.name).step("look at the path"),
            None => Ok(None),
        }
    }
}

/// Whether nothing is left to do of a removal, or of a change of metadata. Where another file
/// stands now, its user made it after that, or in its place.
fn is_over(change: &Change, inode: u64, now: Option<&Stamp>) -> bool {
    let Some(now) = now.filter(|now| now.ino == inode) else { return true };
    match (&change.before, &change.after) {
        (Some(Entry::File(before)), Some(Entry::File(after))) if now.is_file() => {
            // The mode is set first, then the time. What was written since has a time of its own;
            // or another file got the number.
            let is_written = now.size != before.size || now.modified != before.modified;
            let is_marked = before.mode == after.mode || now.permissions() != before.mode;
            is_written || is_marked && before.modified == after.modified
        }
        (Some(Entry::Dir { mode }), Some(Entry::Dir { .. })) if now.is_dir() => {
            now.permissions() != *mode
        }
        // What was removed is in the trash, and keeps its number from others. Metadata were to be
        // set of something of another kind.
        (_, after) => after.is_some(),
    }
}
