//! A directory that went to the trash with all that is in it becomes versions that can be listed.
//!
//! In the trash every version has a name and a record of its own, and everything relies on that.
//! To give them to each file while a directory is removed would cost more than all the rest. So it
//! lies there folded, under its name from `stage/` and with its intent as its record, until
//! somebody wants to know, or there is time: then each file and link in it is recorded and moves
//! out, and what is empty is removed. A kill anywhere leaves each of them in or out, once.
//!
//! Who had his working directory there may have written since. That is no version that was to go:
//! it returns to the tree as the edit that it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::digest::Digest;
use crate::path::RelPath;
use crate::replica::clear::Rows;
use crate::replica::disk::{Handle, Open};
use crate::replica::examine::{Seen, examine};
use crate::replica::failpoint::reach;
use crate::replica::intent::{Identity, Intent};
use crate::replica::note;
use crate::replica::publish::{Publisher, writable};
use crate::replica::root::{open_below, stat_at};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::replica::trash::about_name;
use crate::time::Timestamp;

/// The folded directories in the trash, by name.
#[derive(Debug, Default)]
pub(super) struct Folds {
    /// What was known of them; nothing of those that an earlier process left.
    found: Mutex<BTreeMap<Vec<u8>, Option<Rows>>>,
    /// One unfolds at a time. Whether those of earlier processes have been looked for.
    turn: Mutex<bool>,
}

impl Folds {
    /// There is one.
    pub(super) fn add(&self, name: Vec<u8>, rows: Option<Rows>) {
        self.lock().insert(name, rows);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Option<Rows>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory that is being unfolded.
struct Fold<'p> {
    publisher: &'p Publisher,
    /// Its name in the trash.
    name: &'p [u8],
    /// Where it was.
    path: RelPath,
    /// When it was about to go; whatever changed later is no version that was to go.
    began: Timestamp,
    /// When it came here.
    time: Timestamp,
    rows: Option<Rows>,
    /// So many files may still move.
    room: usize,
}

impl Publisher {
    /// Unfolds what lies folded in the trash, at most so many files; answers how many these were.
    /// What cannot be unfolded now is named, and stays for later.
    pub fn unfold(&self, at_most: usize) -> usize {
        let mut turn = self.folds.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if !*turn {
            match self.trash.folded() {
                Ok(names) => {
                    let mut found = self.folds.lock();
                    names.into_iter().for_each(|name| {
                        found.entry(name).or_default();
                    });
                    *turn = true;
                }
                Err(error) => tracing::warn!(why = %error, "cannot look into the trash"),
            }
        }
        let mut room = at_most;
        let names: Vec<Vec<u8>> = self.folds.lock().keys().cloned().collect();
        for name in names {
            if room == 0 {
                break;
            }
            match self.unfold_one(&name, room) {
                Ok(left) => room = left,
                Err(error) => {
                    let why = error.problem().detail;
                    tracing::warn!(%why, "cannot unfold a directory in the trash");
                }
            }
        }
        at_most - room
    }

    /// Unfolds one; answers how many files may still move.
    fn unfold_one(&self, name: &[u8], room: usize) -> Result<usize, StepError> {
        let trash = self.trash.handle();
        let about = about_name(name);
        let record = stat_at(trash, &about).step("look at a record in the trash")?;
        let intent = match record {
            Some(_) => Intent::parse(&note::read(trash, &about).step("read a record")?),
            None => None,
        };
        if stat_at(trash, name).step("look into the trash")?.is_none() {
            let _ = note::remove(trash, &about);
            self.folds.lock().remove(name);
            return Ok(room);
        }
        let path = match (intent, Intent::read(&self.stage, name).step("read a record")?) {
            (Some(intent), _) => intent.path,
            // Its record comes first.
            (None, Some(_)) => return Ok(room),
            (None, None) => RelPath::new([b"found-in-trash-".as_slice(), name].concat())
                .map_err(std::io::Error::other)
                .step("name what was found in the trash")?,
        };
        let now = Timestamp::now();
        let (began, time) = record.map_or((now, now), |stamp| (stamp.modified, stamp.changed));
        let rows = self.folds.lock().get_mut(name).and_then(Option::take);
        let mut fold = Fold { publisher: self, name, path, began, time, rows, room };
        let unfolded = fold.unfold();
        let Fold { rows, room, .. } = fold;
        if stat_at(trash, name).is_ok_and(|there| there.is_none()) {
            let _ = note::remove(trash, &about);
            self.folds.lock().remove(name);
        } else {
            self.folds.add(name.to_vec(), rows);
        }
        unfolded.map(|()| room)
    }
}

impl Fold<'_> {
    fn unfold(&mut self) -> Result<(), StepError> {
        let trash = self.publisher.trash.handle();
        let (mut waiting, mut entered) = (vec![self.name.to_vec()], Vec::new());
        let mut failed = None;
        while let Some(place) = waiting.pop() {
            let dir = match open_below(trash, &place, Open::Directory) {
                Ok(dir) => dir,
                Err(e) => {
                    let source = e.into();
                    let step = "open a directory in the trash";
                    failed = failed.or(Some(StepError { step, source }));
                    continue;
                }
            };
            for child in dir.names().step("list a directory in the trash")? {
                if self.room == 0 {
                    break;
                }
                let stamp = stat_at(&dir, &child).step("look into the trash")?;
                let below = [place.as_slice(), b"/", &child].concat();
                match stamp {
                    Some(stamp) if stamp.is_dir() => waiting.push(below),
                    Some(stamp) => {
                        self.room -= 1;
                        let moved = self.move_out((&dir, &child), &below, &stamp);
                        failed = failed.or(moved.err());
                    }
                    None => {}
                }
            }
            entered.push(place);
            if self.room == 0 {
                break;
            }
        }
        // Each comes after the one that it is in.
        for place in entered.iter().rev() {
            remove_empty(trash, place)?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// A file or link becomes a version of its own, or returns to the tree.
    fn move_out(
        &self,
        (dir, name): (&Handle, &[u8]),
        place: &[u8],
        stamp: &Stamp,
    ) -> Result<(), StepError> {
        let path = RelPath::new([self.path.as_bytes(), &place[self.name.len()..]].concat())
            .map_err(std::io::Error::other)
            .step("name what is in the trash")?;
        let Some(digest) = self.digest((dir, name), &path, stamp) else {
            return self.give_back((dir, name), &path);
        };
        let put = self.publisher.trash.put_deleted((dir, name), &path, digest, self.time);
        reach("unfolded");
        put
    }

    /// The digest of something that was to go; `None` when it is an edit that came later.
    fn digest(
        &self,
        (dir, name): (&Handle, &[u8]),
        path: &RelPath,
        stamp: &Stamp,
    ) -> Option<Digest> {
        let row = self.rows.as_ref().and_then(|rows| rows.get(path));
        if let Some(row) = row.filter(|row| row.stamp == *stamp) {
            return Some(Identity::of(&row.entry).digest);
        }
        let now = match examine(dir, name, None) {
            Ok(Seen::There(now)) => Some(Identity::of(&now.entry)),
            _ => None,
        };
        let is_later = match &self.rows {
            Some(_) => now.is_none() || row.map(|row| Identity::of(&row.entry)) != now,
            // Of two names for one file the first that moved out has changed the other.
            None => stamp.links <= 1 && stamp.changed > self.began,
        };
        // What cannot be read keeps its place all the same.
        (!is_later).then(|| now.map_or_else(|| Digest::of(b""), |now| now.digest))
    }

    fn give_back(&self, from: (&Handle, &[u8]), path: &RelPath) -> Result<(), StepError> {
        let publisher = self.publisher;
        let (path, home) = publisher.home(path)?;
        match writable(from.0, || publisher.move_new(from, (&home, path.name()))) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::EXIST) => drop(publisher.aside(from, &path, &home)?),
            Err(e) => return Err(e).step("put a later edit back"),
        }
        tracing::info!(%path, "somebody wrote where a directory was removed: kept");
        Ok(())
    }
}

/// Removes a directory in the trash when nothing is in it.
fn remove_empty(trash: &Handle, place: &[u8]) -> Result<(), StepError> {
    let (above, name) = match place.iter().rposition(|&b| b == b'/') {
        Some(cut) => {
            let above = open_below(trash, &place[..cut], Open::Directory);
            (above.step("open a directory in the trash")?, &place[cut + 1..])
        }
        None => (trash.clone(), place),
    };
    match writable(&above, || above.remove_directory(name)) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(e) => Err(e).step("remove a directory in the trash"),
    }
}
