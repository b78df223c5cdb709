//! A directory that goes with all that is in it, in one step.
//!
//! It goes only while everything in it is as it is known. That is looked at twice: where it stands,
//! so that nothing is moved in vain, and in `stage/`, where no name leads to it any more. Whatever
//! is found otherwise then brings all of it back: what is done singly takes what may go and keeps
//! what may not. From `stage/` it moves to the trash as it is, and is unfolded there (`unfold`).
//! Nothing in it is removed, and what a crash leaves in `stage/` returns to its name.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::change::Outcome;
use crate::digest::Digest;
use crate::entry::Entry;
use crate::merkle::Sum;
use crate::path::RelPath;
use crate::replica::apply::{Answer, Plan};
use crate::replica::commit::Committer;
use crate::replica::disk::{Handle, Open};
use crate::replica::failpoint::reach;
use crate::replica::intent::{Identity, Intent, Verb, name_for};
use crate::replica::known::Row;
use crate::replica::publish::{Publisher, Spot};
use crate::replica::recover::Recovered;
use crate::replica::root::{open_below, open_file_at, read_link_at, stat_at};
use crate::replica::step::{Step, StepError};

const NO_WAY_BACK: &str = "cannot remove a directory at once: this file system lacks what it takes";

/// A directory and all that is in it, as it is known.
pub(super) type Rows = BTreeMap<RelPath, Row>;

/// What became of a directory that was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cleared {
    /// It is in the trash.
    Done,
    /// Something is otherwise at this path; all is where it was, or where else it was brought.
    Otherwise(RelPath, Option<RelPath>),
    /// Somebody has a file in it open for writing.
    Busy,
}

/// How closely a directory is compared with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closely {
    /// By stamps, and whether somebody writes.
    Standing,
    /// Also by contents, as everything that goes to the trash.
    Taken,
}

impl Committer {
    /// Compares what is known of a directory with what is expected.
    pub(super) fn plan_clear(
        &self,
        path: &RelPath,
        before: &Entry,
        below: &Sum,
    ) -> Result<Plan, StepError> {
        if let Some(rows) = self.known.whole(path, before, below) {
            return Ok(Plan::Clear(rows));
        }
        let known = self.known.row(path);
        let spot = self.publisher.spot(path)?;
        let at = |spot: &Spot<'_>| stat_at(&spot.dir, spot.name).step("look at the path");
        if known.is_none()
            && self.known.below(path).is_empty()
            && spot.as_ref().map_or(Ok(None), at)?.is_none()
        {
            let done = Answer::done(path, None, None);
            return Ok(Plan::Over(spot.into_iter().fold(done, |done, s| done.touching(s.dir))));
        }
        Ok(Plan::Over(Answer::stale(known.map(|row| row.entry)).again(path)))
    }

    /// Removes a directory with all that is in it.
    pub(super) fn clear(&self, path: &RelPath, rows: Rows) -> Result<Answer, StepError> {
        let stale = || Answer::stale(self.known.row(path).map(|row| row.entry)).again(path);
        let Some(spot) = self.publisher.spot(path)? else { return Ok(stale()) };
        let abilities = self.publisher.abilities;
        if !abilities.noreplace || !abilities.lease {
            return Ok(Answer::refused(NO_WAY_BACK));
        }
        let gone: Vec<RelPath> = rows.keys().cloned().collect();
        Ok(match self.publisher.clear(&spot, rows)? {
            Cleared::Done => {
                let mut answer = Answer::of(Outcome::Done { now: None, aside: None });
                answer.left = gone.into_iter().map(|path| (path, None)).collect();
                answer.touching(spot.dir)
            }
            Cleared::Otherwise(at, None) => stale().again(&at),
            Cleared::Otherwise(at, Some(copy)) => stale().again(&at).again(&copy),
            Cleared::Busy => Answer::of(Outcome::Busy),
        })
    }
}

impl Publisher {
    /// Moves a directory to the trash with all that is in it, while that is as it is known.
    fn clear(&self, spot: &Spot<'_>, rows: Rows) -> Result<Cleared, StepError> {
        let here = (&spot.dir, spot.name);
        match self.compare(here, spot.path, &rows, Closely::Standing)? {
            Cleared::Done => {}
            other => return Ok(other),
        }
        let name = self.stage.quarantine_name();
        let Some(top) = rows.get(spot.path) else { return Ok(otherwise(spot.path)) };
        let before = Identity::of(&top.entry);
        let intent = Intent { path: spot.path.clone(), verb: Verb::Delete, before, copy: None };
        intent.write(&self.stage, &name)?;
        reach("intended");
        if let Err(e) = self.take_out(here, &name) {
            Intent::clear(&self.stage, &name);
            return match e {
                Errno::NOENT => Ok(otherwise(spot.path)),
                e => Err(e).step("take the directory out of the tree"),
            };
        }
        reach("quarantined");
        let taken = (self.stage.handle(), name.as_slice());
        let compared = self.compare(taken, spot.path, &rows, Closely::Taken);
        if let Ok(Cleared::Done) = compared {
            match self.trash.fold(taken, &name_for(&name)) {
                Ok(Ok(())) => self.folds.add(name, Some(rows)),
                // Without its record nobody knows where it was: that is settled later.
                Ok(Err(e)) => self.leave(&name, &e),
                Err(e) => {
                    self.bring_back(&intent, &name, &spot.dir)?;
                    return Err(e);
                }
            }
            reach("trashed");
            return Ok(Cleared::Done);
        }
        let copy = self.bring_back(&intent, &name, &spot.dir)?;
        Ok(match compared? {
            Cleared::Otherwise(at, _) => Cleared::Otherwise(at, copy),
            Cleared::Busy | Cleared::Done => Cleared::Otherwise(spot.path.clone(), copy),
        })
    }

    /// Something in a directory that was taken out is not as it is known: it returns to its name,
    /// or beside it. Answers where that is.
    fn bring_back(
        &self,
        intent: &Intent,
        name: &[u8],
        home: &Handle,
    ) -> Result<Option<RelPath>, StepError> {
        match self.return_directory(intent, name, None, home) {
            Ok(Recovered::Aside(_, copy)) => Ok(Some(copy)),
            Ok(_) => Ok(None),
            Err(e) => {
                self.leave(name, &e);
                Err(e)
            }
        }
    }

    /// Whether a directory, under whatever name, holds exactly what is known of it: `Done`, if it
    /// may go.
    fn compare(
        &self,
        (start, name): (&Handle, &[u8]),
        top: &RelPath,
        rows: &Rows,
        closely: Closely,
    ) -> Result<Cleared, StepError> {
        let directories = rows.iter().filter(|(_, row)| row.entry.is_dir());
        let mut count = 1;
        for (path, row) in directories {
            let place = [name, &path.as_bytes()[top.as_bytes().len()..]].concat();
            let dir = match open_below(start, &place, Open::Directory) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                    return Ok(otherwise(path));
                }
                opened => opened.step("open a directory that is to go")?,
            };
            let stamp = dir.stat().step("look at a directory that is to go")?;
            if !stamp.same_inode(&row.stamp) || stamp.mode != row.stamp.mode {
                return Ok(otherwise(path));
            }
            for name in dir.names().step("list a directory that is to go")? {
                let child = path.join(&name).ok();
                let Some((at, row)) = child.as_ref().and_then(|at| rows.get_key_value(at)) else {
                    return Ok(otherwise(child.as_ref().unwrap_or(path)));
                };
                count += 1;
                if row.entry.is_dir() {
                    continue;
                }
                match self.compare_one((&dir, &name), at, row, closely)? {
                    Cleared::Done => {}
                    other => return Ok(other),
                }
            }
        }
        Ok(if count == rows.len() { Cleared::Done } else { otherwise(top) })
    }

    /// The same of a file or link.
    fn compare_one(
        &self,
        (dir, name): (&Handle, &[u8]),
        path: &RelPath,
        row: &Row,
        closely: Closely,
    ) -> Result<Cleared, StepError> {
        let stamp = stat_at(dir, name).step("look at what is to go")?;
        if stamp != Some(row.stamp) {
            return Ok(otherwise(path));
        }
        let digest = Identity::of(&row.entry).digest;
        let fits = match (closely, &row.entry) {
            (Closely::Standing, _) if self.is_hot(dir, name, &row.stamp) => {
                return Ok(Cleared::Busy);
            }
            (Closely::Standing, _) => true,
            (Closely::Taken, Entry::File(_)) => {
                let file = open_file_at(dir, name).step("open what is to go")?;
                let judged = self.judge(&file, digest, Some(&row.stamp));
                // Who wants to write by now waits for us to let go.
                let guard = judged.step("read what is to go")?;
                guard.is_some_and(|lease| lease.is_none_or(|lease| lease.holds()))
            }
            (Closely::Taken, _) => {
                Digest::of(&read_link_at(dir, name).step("read what is to go")?) == digest
            }
        };
        Ok(if fits { Cleared::Done } else { otherwise(path) })
    }
}

fn otherwise(path: &RelPath) -> Cleared {
    Cleared::Otherwise(path.clone(), None)
}
