//! One operation: does `before` hold, which kind of step is it, and what is there afterwards.
//!
//! What is left at a path is told with the stamp of our own publication. When somebody was faster
//! than our look at it, it is told with the stamp that it had before: then the next look sees a
//! difference, reads the file, and the edit is news.

use crate::change::{Change, Outcome};
use crate::entry::{self, Entry, same};
use crate::path::RelPath;
use crate::problem::{Problem, ProblemKind};
use crate::replica::clear::Rows;
use crate::replica::commit::Committer;
use crate::replica::disk::Handle;
use crate::replica::examine::{Seen, examine};
use crate::replica::failpoint::reach;
use crate::replica::known::Row;
use crate::replica::metadata;
use crate::replica::publish::{Published, Spot};
use crate::replica::root::stat_at;
use crate::replica::stage::{Staged, plain};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};

const NOT_EMPTY: &str = "cannot remove the directory: it holds something that is not synchronized";
const NO_PARENT: &str = "cannot publish: the directory that should hold it is missing";

/// What is to be done at a path.
#[derive(Debug)]
pub(super) enum Plan {
    Create,
    Replace(Stamp),
    Remove(Stamp),
    RemoveDirectory,
    Metadata(Stamp),
    Rename,
    /// A directory goes with all that is in it.
    Clear(Rows),
    Over(Answer),
}

/// What became of an operation.
#[derive(Debug)]
pub(super) struct Answer {
    pub outcome: Outcome,
    /// What is known now.
    pub left: Vec<(RelPath, Option<Row>)>,
    /// Whether what was known below the old name is now known below the new one.
    pub renamed: bool,
    /// What was staged has a name in the tree.
    pub published: bool,
    /// Directories to flush before it is said.
    pub touched: Vec<Handle>,
    /// Paths to look at again.
    pub again: Vec<RelPath>,
}

impl Plan {
    /// Whether a new version must be staged.
    pub(super) fn publishes(&self) -> bool {
        matches!(self, Plan::Create | Plan::Replace(_))
    }

    fn expected(&self) -> Option<&Stamp> {
        match self {
            Plan::Replace(stamp) | Plan::Remove(stamp) | Plan::Metadata(stamp) => Some(stamp),
            _ => None,
        }
    }
}

impl Committer {
    /// Compares what is at a path with what is expected there.
    pub(super) fn plan(
        &self,
        path: &RelPath,
        before: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Result<Plan, StepError> {
        let Some(spot) = self.publisher.spot(path)? else {
            let answer = match (before, after) {
                (_, None) => Answer::done(path, None, None),
                (Some(_), Some(_)) => self.stale(path, None),
                (None, Some(_)) => nearest(Answer::refused(NO_PARENT), path),
            };
            return Ok(Plan::Over(answer));
        };
        let row = match self.see(&spot)? {
            Ok(row) => row,
            Err(answer) => return Ok(Plan::Over(answer)),
        };
        let now = row.as_ref().map(|row| &row.entry);
        if same(now, after) {
            return Ok(Plan::Over(Answer::done(path, row, None).touching(spot.dir)));
        }
        if !same(now, before) {
            return Ok(Plan::Over(self.stale(path, row)));
        }
        Ok(match (row, after) {
            (None, _) => Plan::Create,
            (Some(row), None) if row.entry.is_dir() => Plan::RemoveDirectory,
            (Some(row), None) => Plan::Remove(row.stamp),
            (Some(row), Some(after)) if row.entry.same_content(after) => Plan::Metadata(row.stamp),
            (Some(row), Some(_)) => {
                if row.entry.is_dir() && !is_empty(&self.publisher.root.directory(Some(path)))? {
                    Plan::Over(Answer::refused(NOT_EMPTY).again(path))
                } else {
                    Plan::Replace(row.stamp)
                }
            }
        })
    }

    /// Carries out a plan, when what it saw still stands.
    pub(super) fn apply(
        &self,
        change: &Change,
        mut plan: Plan,
        staged: Option<&Staged>,
    ) -> Result<Answer, StepError> {
        let (path, before) = (&change.path, change.before.as_ref());
        let after = change.after.as_ref().map(plain);
        let after = after.as_ref();
        let Some(spot) = self.publisher.spot(path)? else {
            return Ok(match self.plan(path, before, after)? {
                Plan::Over(answer) => answer,
                _ => Answer::of(Outcome::Busy),
            });
        };
        // Receiving takes time: look again, before something is moved that is known to be another.
        if let Some(expected) = plan.expected()
            && stat_at(&spot.dir, spot.name).step("look at the path")? != Some(*expected)
        {
            plan = self.plan(path, before, after)?;
        }
        let published = match (&plan, before, after, staged) {
            (Plan::Create, _, _, Some(staged)) => self.publisher.create(&spot, staged)?,
            (Plan::Replace(expected), Some(before), _, Some(staged)) => {
                let copy = change.copy.as_ref();
                self.publisher.replace(&spot, staged, expected, before, copy)?
            }
            (Plan::Remove(expected), Some(before), ..) => {
                self.publisher.remove(&spot, expected, before)?
            }
            (Plan::RemoveDirectory, ..) => self.publisher.remove_directory(&spot)?,
            (Plan::Metadata(expected), _, Some(after), _) => {
                return self.metadata(spot, expected, after);
            }
            _ => {
                return Ok(match plan {
                    Plan::Over(answer) => answer,
                    _ => Answer::of(Outcome::Busy),
                });
            }
        };
        reach("published");
        self.answer(spot, published, after, staged)
    }

    /// Moves something to a name that is free.
    pub(super) fn rename(
        &self,
        from: &RelPath,
        to: &RelPath,
        before: &Entry,
    ) -> Result<Answer, StepError> {
        let Some(target) = self.publisher.spot(to)? else {
            return Ok(nearest(Answer::refused(NO_PARENT), to));
        };
        let source = self.publisher.spot(from)?;
        let seen = source.as_ref().map_or(Ok(Ok(None)), |source| self.see(source))?;
        let row = match seen {
            Ok(row) => row,
            Err(answer) => return Ok(answer),
        };
        let (Some(row), Some(source)) = (row, source) else {
            return self.renamed_before(from, &target, before);
        };
        if !row.entry.same_content(before) {
            return Ok(self.stale(from, Some(row)));
        }
        match self.publisher.rename(&source, &target, &row.entry)? {
            Published::Done(_) => {}
            _ => {
                let now = self.see(&source)?.unwrap_or(Some(row));
                return Ok(self.stale(from, now).again(from).again(to));
            }
        }
        let now = stat_at(&target.dir, target.name).step("look at the new name")?;
        let row_now = |stamp| Row { stamp, entry: row.entry.clone() };
        let mut answer = Answer::of(Outcome::Done { now: Some(row.entry.clone()), aside: None });
        match now {
            Some(stamp) if is_same(&stamp, &row) => {
                answer.left.push((to.clone(), Some(row_now(stamp))));
            }
            _ => {
                answer.left.push((to.clone(), Some(row_now(row.stamp))));
                answer = answer.again(to);
            }
        }
        answer.renamed = true;
        Ok(answer.touching(source.dir).touching(target.dir))
    }

    /// The old name is free: done before, if the new one has it. Of a directory nobody can tell.
    fn renamed_before(
        &self,
        from: &RelPath,
        target: &Spot<'_>,
        before: &Entry,
    ) -> Result<Answer, StepError> {
        let row = match self.see(target)? {
            Ok(row) => row,
            Err(answer) => return Ok(answer),
        };
        match row {
            Some(row) if !before.is_dir() && row.entry.same_content(before) => {
                let mut answer = Answer::done(target.path, Some(row), None);
                answer.left.push((from.clone(), None));
                Ok(answer)
            }
            _ => Ok(self.stale(from, None).again(from).again(target.path)),
        }
    }

    fn metadata(
        &self,
        spot: Spot<'_>,
        expected: &Stamp,
        after: &Entry,
    ) -> Result<Answer, StepError> {
        let strict = self.durability == crate::replica::commit::Durability::Strict;
        match metadata::set(&spot, expected, after, strict)? {
            metadata::Set::Done(stamp) => {
                let row = Row { stamp, entry: found(after, &stamp) };
                Ok(Answer::done(spot.path, Some(row), None).touching(spot.dir))
            }
            metadata::Set::Busy => Ok(Answer::of(Outcome::Busy)),
            metadata::Set::Moved => Ok(Answer::of(Outcome::Busy).again(spot.path)),
        }
    }

    fn answer(
        &self,
        spot: Spot<'_>,
        published: Published,
        after: Option<&Entry>,
        staged: Option<&Staged>,
    ) -> Result<Answer, StepError> {
        let path = spot.path;
        let aside = match published {
            Published::Done(aside) => aside,
            Published::Busy => return Ok(Answer::of(Outcome::Busy)),
            Published::NotEmpty => return Ok(Answer::refused(NOT_EMPTY).again(path)),
            Published::Stale => {
                return Ok(match self.see(&spot)? {
                    Ok(row) => self.stale(path, row).again(path),
                    Err(answer) => answer.again(path),
                });
            }
        };
        let (row, sure) = match (after, staged) {
            (Some(after), Some(staged)) => self.left_by(&spot, after, staged)?,
            _ => (None, true),
        };
        let mut answer = Answer::done(path, row, aside.clone()).touching(spot.dir);
        answer.published = true;
        if !sure || aside.is_some() {
            answer = answer.again(path);
        }
        Ok(match aside {
            Some(copy) => answer.again(&copy),
            None => answer,
        })
    }

    /// The row of what was published, and whether it still is what we published.
    fn left_by(
        &self,
        spot: &Spot<'_>,
        after: &Entry,
        staged: &Staged,
    ) -> Result<(Option<Row>, bool), StepError> {
        let mut ours = staged.stamp;
        if let Entry::Dir { mode } = after
            && mode & 0o700 != 0o700
        {
            // It was staged writable, so that it could be moved.
            if let metadata::Set::Done(stamp) = metadata::set(spot, &ours, after, false)? {
                ours = stamp;
            }
        }
        let now = stat_at(&spot.dir, spot.name).step("look at what was published")?;
        let sure = now.is_some_and(|now| now.same_but_renamed(&ours));
        let stamp = now.filter(|_| sure).unwrap_or(ours);
        Ok((Some(Row { stamp, entry: found(after, &stamp) }), sure))
    }

    /// What is at a spot; an answer instead, when that cannot be said.
    fn see(&self, spot: &Spot<'_>) -> Result<Result<Option<Row>, Answer>, StepError> {
        let known = self.known.row(spot.path);
        let seen = examine(&spot.dir, spot.name, known.as_ref());
        Ok(match seen.step("look at the path")? {
            Seen::Nothing => Ok(None),
            Seen::There(row) => Ok(Some(row)),
            Seen::Moving => Err(Answer::of(Outcome::Busy).again(spot.path)),
            Seen::Special => {
                let detail = "a fifo, socket or device is there".to_owned();
                let problem = Problem { kind: ProblemKind::Special, detail };
                Err(Answer::of(Outcome::Failed(problem)))
            }
        })
    }

    /// Something else is there than was expected. Nothing is told that is not known as well:
    /// otherwise what becomes of it before the next look would be no news, and never be told.
    fn stale(&self, path: &RelPath, row: Option<Row>) -> Answer {
        let known = self.known.row(path);
        if known == row {
            return Answer::stale(row.map(|row| row.entry));
        }
        let is_dir = |row: &Row| row.entry.is_dir();
        match row {
            Some(row) if !is_dir(&row) && !known.as_ref().is_some_and(is_dir) => {
                let mut answer = Answer::stale(Some(row.entry.clone())).again(path);
                answer.left.push((path.clone(), Some(row)));
                answer
            }
            // Where it went, or what is in it, only a look sees.
            _ => Answer::stale(known.map(|row| row.entry)).again(path),
        }
    }
}

/// An entry with the mode that the file system made of it. The time is the one that was set, also
/// where the file system keeps it less exactly: what it kept is in the stamp. Told back to the
/// other side it would be an edit, and the two would never agree.
fn found(after: &Entry, stamp: &Stamp) -> Entry {
    match after {
        Entry::File(file) => Entry::from(entry::File { mode: stamp.permissions(), ..**file }),
        Entry::Dir { .. } => Entry::Dir { mode: stamp.permissions() },
        Entry::Link(link) => {
            Entry::from(entry::Link { modified: stamp.modified, target: link.target.clone() })
        }
    }
}

fn is_same(stamp: &Stamp, row: &Row) -> bool {
    match &row.entry {
        Entry::Dir { .. } => stamp.same_inode(&row.stamp),
        _ => stamp.same_but_renamed(&row.stamp),
    }
}

fn nearest(answer: Answer, path: &RelPath) -> Answer {
    let above = path.parent();
    answer.again(above.as_ref().unwrap_or(path))
}

fn is_empty(dir: &std::io::Result<Handle>) -> Result<bool, StepError> {
    match dir {
        Ok(dir) => Ok(dir.names().step("list the directory")?.is_empty()),
        // The exchange will tell.
        Err(_) => Ok(true),
    }
}
