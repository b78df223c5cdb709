//! Making staged things visible, and taking things away, without overwriting anything unseen.
//!
//! To look first and rename then loses what is written between the two. So nothing is ever renamed
//! over a name: new things go where nothing is, or trade places with what is there, and *then* we
//! look at what we got out (`displaced`). This module moves; it does not know why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;

use crate::entry::Entry;
use crate::path::RelPath;
use crate::replica::claim::{Claim, ClaimError, random};
use crate::replica::disk::{Handle, Lease, Leased, Open};
use crate::replica::displaced::Settled;
use crate::replica::examine::kind;
use crate::replica::failpoint::reach;
use crate::replica::intent::{Identity, Intent, Verb};
use crate::replica::probe::{Abilities, probe};
use crate::replica::room::Room;
use crate::replica::root::{Root, is_absence, open_file_at, stat_at};
use crate::replica::stage::{Stage, Staged};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::replica::trash::{Keep, Trash};
use crate::replica::unfold::Folds;
use crate::side::Side;

/// Moves things between the tree, `stage/` and `trash/` of one replica.
#[derive(Debug)]
pub struct Publisher {
    /// The tree.
    pub root: Arc<Root>,
    /// Where new things come from and old ones are looked at.
    pub stage: Stage,
    /// Where old ones go.
    pub trash: Trash,
    /// What the file system can do.
    pub abilities: Abilities,
    /// Which side this is, for the names of conflict copies.
    pub side: Side,
    /// What is in `stage/` though it belongs elsewhere, and why.
    pub(super) left: Mutex<BTreeMap<Vec<u8>, String>>,
    /// What is in the trash and cannot be listed yet.
    pub(super) folds: Folds,
}

/// A name in an open directory.
#[derive(Debug)]
pub struct Spot<'p> {
    /// The whole path.
    pub path: &'p RelPath,
    /// The directory.
    pub dir: Handle,
    /// The name in it.
    pub name: &'p [u8],
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Done; an unseen edit went to this path.
    Done(Option<RelPath>),
    /// Something else is there, or nothing any more.
    Stale,
    /// Somebody has it open for writing.
    Busy,
    /// The directory that was to go holds something.
    NotEmpty,
}

/// Why a replica in our care cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory of ours cannot be opened.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The file system could not be tried out.
    #[error("cannot try out what the file system of `{}` can do", .path.display())]
    Probe {
        /// The root.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Publisher {
    /// Opens what belongs to a replica in our care, and tries out its file system. Recovery is the
    /// next thing to call.
    pub fn open(
        root: Arc<Root>,
        claim: &Claim,
        side: Side,
        keep: Keep,
    ) -> Result<Publisher, OpenError> {
        let run = random(root.path())? as u64;
        let stage = Stage::new(claim.stage()?.into(), run);
        let trash = Trash::new(claim.trash()?.into(), side, keep, run);
        let abilities = probe(&stage)
            .map_err(|source| OpenError::Probe { path: root.path().to_owned(), source })?;
        Ok(Publisher::of(root, stage, trash, abilities, side))
    }

    /// A publisher of these parts.
    #[must_use]
    pub fn of(
        root: Arc<Root>,
        stage: Stage,
        trash: Trash,
        abilities: Abilities,
        side: Side,
    ) -> Publisher {
        Publisher {
            root,
            stage,
            trash,
            abilities,
            side,
            left: Mutex::default(),
            folds: Folds::default(),
        }
    }

    /// The same, which takes in nothing for which there is no room.
    #[must_use]
    pub fn within(self, room: Room) -> Publisher {
        Publisher { stage: self.stage.within(room), ..self }
    }

    /// Opens the directory of a path; `None` when there is none in our tree.
    pub fn spot<'p>(&self, path: &'p RelPath) -> Result<Option<Spot<'p>>, StepError> {
        match self.root.parent(path) {
            Ok((dir, name)) => Ok(Some(Spot { path, dir, name })),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) => Err(e).step("open the directory"),
        }
    }

    /// Brings something staged to a name that is free.
    pub fn create(&self, spot: &Spot<'_>, staged: &Staged) -> Result<Published, StepError> {
        let from = (self.stage.handle(), &*staged.name);
        match self.move_new(from, (&spot.dir, spot.name)) {
            Ok(()) => {
                reach("created");
                Ok(Published::Done(None))
            }
            Err(Errno::EXIST) => Ok(Published::Stale),
            Err(e) => Err(e).step("publish under the name"),
        }
    }

    /// Brings something staged to a name at which `before` stands, of which there may be a `copy`.
    pub fn replace(
        &self,
        spot: &Spot<'_>,
        staged: &Staged,
        expected: &Stamp,
        before: &Entry,
        copy: Option<&RelPath>,
    ) -> Result<Published, StepError> {
        if self.is_hot(&spot.dir, spot.name, expected) {
            return Ok(Published::Busy);
        }
        let verb = Verb::Replace(staged.stamp.ino);
        let (path, copy) = (spot.path.clone(), copy.cloned());
        let intent = Intent { path, verb, before: Identity::of(before), copy };
        if !self.abilities.exchange {
            return self.replace_in_turn(spot, staged, expected, intent);
        }
        intent.write(&self.stage, &staged.name)?;
        reach("intended");
        let here = &spot.dir;
        let (stage, name) = (self.stage.handle(), &*staged.name);
        let exchanged =
            writable(here, || stage.rename(name, here, spot.name, RenameFlags::EXCHANGE));
        if let Err(e) = exchanged {
            Intent::clear(&self.stage, name);
            return match e {
                Errno::NOENT => Ok(Published::Stale),
                e => Err(e).step("exchange the new version for the old one"),
            };
        }
        reach("exchanged");
        let settled = self.settle(&intent, name, Some(expected), here);
        self.replaced(&intent, spot, staged, settled)
    }

    /// Takes away a file or link at which `before` stands.
    pub fn remove(
        &self,
        spot: &Spot<'_>,
        expected: &Stamp,
        before: &Entry,
    ) -> Result<Published, StepError> {
        let here = &spot.dir;
        if self.is_hot(here, spot.name, expected) {
            return Ok(Published::Busy);
        }
        let name = self.stage.quarantine_name();
        let before = Identity::of(before);
        let intent = Intent { path: spot.path.clone(), verb: Verb::Delete, before, copy: None };
        intent.write(&self.stage, &name)?;
        reach("intended");
        if let Err(e) = self.take_out((here, spot.name), &name) {
            Intent::clear(&self.stage, &name);
            return match e {
                Errno::NOENT => Ok(Published::Stale),
                e => Err(e).step("take the old version out of the directory"),
            };
        }
        reach("quarantined");
        match self.settle(&intent, &name, Some(expected), here)? {
            Settled::Trashed => Ok(Published::Done(None)),
            Settled::Back | Settled::Aside(_) | Settled::NotEmpty => Ok(Published::Stale),
        }
    }

    /// Removes a directory that is empty.
    pub fn remove_directory(&self, spot: &Spot<'_>) -> Result<Published, StepError> {
        let here = &spot.dir;
        match writable(here, || here.remove_directory(spot.name)) {
            Ok(()) => Ok(Published::Done(None)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Published::Stale),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Published::NotEmpty),
            Err(e) => Err(e).step("remove the directory"),
        }
    }

    /// Moves something within the tree, at which `before` stands, to a name that is free.
    pub fn rename(
        &self,
        from: &Spot<'_>,
        to: &Spot<'_>,
        before: &Entry,
    ) -> Result<Published, StepError> {
        let (old, new) = (&from.dir, &to.dir);
        let moved = if self.abilities.noreplace || before.is_dir() {
            writable(old, || writable(new, || self.move_new((old, from.name), (new, to.name))))
        } else {
            self.rename_by_stage(from, to, Identity::of(before))?
        };
        match moved {
            Ok(()) => {
                reach("renamed");
                Ok(Published::Done(None))
            }
            Err(Errno::EXIST | Errno::NOENT) => Ok(Published::Stale),
            Err(e) => Err(e).step("rename"),
        }
    }

    /// Whether somebody has the file open for writing, as far as one can know.
    #[must_use]
    pub fn is_hot(&self, dir: &Handle, name: &[u8], stamp: &Stamp) -> bool {
        if !self.abilities.lease || kind(stamp) != FileType::RegularFile {
            return false;
        }
        open_file_at(dir, name).is_ok_and(|file| matches!(Lease::take(&file), Leased::Hot))
    }

    /// Renames to a name that is free, or fails with EEXIST.
    pub(super) fn move_new(
        &self,
        from: (&Handle, &[u8]),
        to: (&Handle, &[u8]),
    ) -> Result<(), Errno> {
        movable(from, || writable(to.0, || self.move_new_once(from, to)))
    }

    /// Moves something out of the tree to a name in `stage/` that is ours alone: nothing can be
    /// there, so one rename does it, and takes whatever has the old name in that moment.
    pub(super) fn take_out(&self, from: (&Handle, &[u8]), name: &[u8]) -> Result<(), Errno> {
        let stage = self.stage.handle();
        let once = || from.0.rename(from.1, stage, name, RenameFlags::empty());
        movable(from, || writable(from.0, once))
    }

    /// Where a rename may replace: by way of `stage/`. A second name first and the old one removed
    /// then would remove what somebody puts there in between.
    fn rename_by_stage(
        &self,
        from: &Spot<'_>,
        to: &Spot<'_>,
        before: Identity,
    ) -> Result<Result<(), Errno>, StepError> {
        let aside = self.stage.quarantine_name();
        // What a crash leaves there returns to the old name.
        let intent = Intent { path: from.path.clone(), verb: Verb::Replace(0), before, copy: None };
        intent.write(&self.stage, &aside)?;
        if let Err(e) = self.take_out((&from.dir, from.name), &aside) {
            Intent::clear(&self.stage, &aside);
            return Ok(Err(e));
        }
        let moved = self.move_new((self.stage.handle(), &aside), (&to.dir, to.name));
        if moved.is_err() {
            self.recover_one(&aside)?;
        }
        Intent::clear(&self.stage, &aside);
        Ok(moved)
    }

    /// Removes something staged that was not published, when it still is that.
    pub fn discard(&self, staged: &Staged) {
        if self.is_unpublished(staged) {
            self.stage.discard(&staged.name);
        }
    }

    /// Whether something staged is still there.
    #[must_use]
    pub fn is_unpublished(&self, staged: &Staged) -> bool {
        stat_at(self.stage.handle(), &staged.name)
            .is_ok_and(|s| s.is_some_and(|s| s.same_inode(&staged.stamp)))
    }

    fn move_new_once(&self, from: (&Handle, &[u8]), to: (&Handle, &[u8])) -> Result<(), Errno> {
        if self.abilities.noreplace {
            return from.0.rename(from.1, to.0, to.1, RenameFlags::NOREPLACE);
        }
        let stamp = from.0.stat_at(from.1)?;
        if kind(&stamp) == FileType::Directory {
            // A directory takes the place of an empty one at most, so nothing can be lost.
            return match to.0.stat_at(to.1) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => from.0.rename(from.1, to.0, to.1, RenameFlags::empty()),
                Err(e) => Err(e),
            };
        }
        from.0.link(from.1, to.0, to.1)?;
        // Only this step is repeated: the new name is there.
        writable(from.0, || from.0.remove(from.1))
    }

    /// Without exchange: the old version is taken out first, so the name is free for a moment. A
    /// second name for it, and then the new version over the first, would leave no such moment, and
    /// would replace what somebody saved in between.
    fn replace_in_turn(
        &self,
        spot: &Spot<'_>,
        staged: &Staged,
        expected: &Stamp,
        intent: Intent,
    ) -> Result<Published, StepError> {
        let here = &spot.dir;
        let intent = Intent { verb: Verb::Replace(0), ..intent };
        let aside = Stage::aside_of(&staged.name);
        intent.write(&self.stage, &aside)?;
        let (stage, name) = (self.stage.handle(), &*staged.name);
        let step = self.take_out((here, spot.name), &aside).and_then(|()| {
            reach("taken");
            self.move_new((stage, name), (here, spot.name))
        });
        match step {
            Ok(()) => {}
            Err(Errno::NOENT) if stat_at(stage, &aside).is_ok_and(|s| s.is_none()) => {
                Intent::clear(&self.stage, &aside);
                return Ok(Published::Stale);
            }
            // What was taken out is sorted out as after a crash.
            Err(e) => {
                let _ = self.recover_one(&aside);
                return Err(e).step("publish under the name");
            }
        }
        reach("exchanged");
        let settled = self.settle(&intent, &aside, Some(expected), here);
        if settled.is_err() {
            // The new version has its name: if that is free later on, somebody deleted it.
            self.is_confirmed(name, staged.stamp.ino);
        }
        if settled.as_ref().is_ok_and(|s| *s == Settled::NotEmpty) {
            let _ = self.recover_one(&aside);
            return Ok(Published::NotEmpty);
        }
        self.replaced(&intent, spot, staged, settled)
    }

    fn replaced(
        &self,
        intent: &Intent,
        spot: &Spot<'_>,
        staged: &Staged,
        settled: Result<Settled, StepError>,
    ) -> Result<Published, StepError> {
        match settled {
            Ok(Settled::Aside(copy)) => Ok(Published::Done(Some(copy))),
            Ok(Settled::NotEmpty) => self.exchange_back(spot, staged),
            Ok(Settled::Trashed | Settled::Back) => Ok(Published::Done(None)),
            // The new version is in place. What was displaced is still in `stage/`, with its
            // intent, and is settled later.
            Err(e) => {
                tracing::error!(path = %intent.path, error = %e.problem().detail,
                    "the old version stays in `.lab3/stage` for now");
                Ok(Published::Done(None))
            }
        }
    }

    /// The displaced directory holds something: it returns to its name.
    fn exchange_back(&self, spot: &Spot<'_>, staged: &Staged) -> Result<Published, StepError> {
        let (stage, here) = (self.stage.handle(), &spot.dir);
        let name = &*staged.name;
        writable(here, || stage.rename(name, here, spot.name, RenameFlags::EXCHANGE))
            .or_else(|_| self.move_new((stage, name), (here, spot.name)))
            .step("put the directory back")
            .inspect_err(|e| self.leave(name, e))?;
        // What came out now is ours, unless somebody wrote to it in this moment.
        if let Ok(Some(stamp)) = stat_at(stage, name)
            && !stamp.same_but_renamed(&staged.stamp)
        {
            self.aside((stage, name), spot.path, here)?;
        }
        Intent::clear(&self.stage, name);
        Ok(Published::NotEmpty)
    }
}

/// Runs a step that changes a directory; when the directory is ours and not writable, makes it so
/// for the moment.
pub(super) fn writable<T>(
    dir: &Handle,
    mut act: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match act() {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    let mode = dir.stat()?.mode & 0o7777;
    if mode & 0o200 != 0 || dir.set_mode(mode | 0o200).is_err() {
        return Err(Errno::ACCESS);
    }
    let answer = act();
    let _ = dir.set_mode(mode);
    answer
}

/// Runs a step that moves something; a directory that we may not write cannot be moved to another
/// parent, so it is made writable for the moment.
pub(super) fn movable(
    from: (&Handle, &[u8]),
    act: impl Fn() -> Result<(), Errno>,
) -> Result<(), Errno> {
    match act() {
        Err(Errno::ACCESS) => {
            let dir = from.0.open_at(from.1, Open::Directory).or(Err(Errno::ACCESS))?;
            writable(&dir, act)
        }
        other => other,
    }
}
