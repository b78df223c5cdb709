//! After a crash: deciding what lies in `stage/`, before anything else looks at the tree.
//!
//! Whatever is there is either new and not published, then it is dropped and will be planned
//! again; or it came out of the tree, then it is judged as it would have been without the crash.
//! Nothing is deleted before it is known to be new.

use std::io;
use std::sync::PoisonError;

use rustix::fs::RenameFlags;

use crate::digest::Digest;
use crate::entry::Kind;
use crate::path::RelPath;
use crate::replica::disk::Handle;
use crate::replica::displaced::Settled;
use crate::replica::examine::{Seen, examine};
use crate::replica::intent::{Identity, Intent, SUFFIX, Verb, name_for};
use crate::replica::publish::{Publisher, writable};
use crate::replica::root::{is_absence, stat_at};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::replica::trash::Reason;

/// What recovery did with one name in `stage/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// New and not published: dropped.
    Dropped,
    /// The version that was expected at this path: in the trash.
    Trashed(RelPath),
    /// An edit of the first path that nobody had seen: at the second.
    Aside(RelPath, RelPath),
    /// Back at its path.
    Restored(RelPath),
}

impl Publisher {
    /// Decides everything in `stage/`. What fails stays there, and is named with the step.
    pub fn recover(&self) -> Result<(Vec<Recovered>, Vec<StepError>), StepError> {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let mut names = self.stage.names().step("list `.lab3/stage`")?;
        for name in &mut names {
            if let Some(subject) = name.strip_suffix(SUFFIX) {
                *name = subject.to_vec();
            }
        }
        names.sort();
        names.dedup();
        for name in names {
            match self.recover_one(&name) {
                Ok(recovered) => done.extend(recovered),
                Err(e) => failed.push(e),
            }
        }
        Ok((done, failed))
    }

    /// Keeps in mind what has to stay in `stage/` for now.
    pub(super) fn leave(&self, name: &[u8], why: &StepError) {
        let why = why.problem().detail;
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_vec(), why);
    }

    /// Decides once more what had to stay in `stage/`; answers what still has to, in words.
    pub fn settle_left(&self) -> Option<String> {
        let left = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let names = std::mem::take(&mut *left());
        for name in names.keys() {
            match self.recover_one(name) {
                Ok(recovered) => tracing::info!("after an error: {recovered:?}"),
                Err(error) => self.leave(name, &error),
            }
        }
        let left = left();
        let (_, why) = left.first_key_value()?;
        let count = left.len();
        Some(format!("{count} versions that came out of the tree stay in `.lab3/stage`: {why}"))
    }

    /// Decides one name in `stage/`.
    pub(super) fn recover_one(&self, name: &[u8]) -> Result<Option<Recovered>, StepError> {
        let stage = self.stage.handle();
        let there = stat_at(stage, name).step("look into `.lab3/stage`")?;
        let intent = Intent::read(&self.stage, name).step("read what was under way")?;
        let Some(stamp) = there else {
            let recovered = match intent {
                Some(intent) => self.reunited(name, intent)?,
                None => None,
            };
            Intent::clear(&self.stage, name);
            return Ok(recovered);
        };
        let Some(intent) = intent else {
            return self.without_intent(name).map(Some);
        };
        if intent.verb == Verb::Replace(stamp.ino) {
            return self.drop_new(name).map(Some);
        }
        let (path, home) = self.home(&intent.path)?;
        let at_path = stat_at(&home, path.name()).step("look at the path")?;
        if intent.verb == Verb::Replace(0) {
            // Without exchange: not yet replaced, or not yet under its new name.
            if at_path.is_some_and(|s| s.same_inode(&stamp)) {
                return self.drop_new(name).map(Some);
            }
            let back = (&home, path.name());
            if at_path.is_none() && self.move_new((stage, name), back).is_ok() {
                Intent::clear(&self.stage, name);
                return Ok(Some(Recovered::Restored(path)));
            }
        }
        let moved = Intent { path: path.clone(), ..intent.clone() };
        let recovered = match self.settle(&moved, name, None, &home)? {
            Settled::Trashed => Recovered::Trashed(intent.path),
            Settled::Aside(copy) => Recovered::Aside(intent.path, copy),
            Settled::Back => Recovered::Restored(path),
            Settled::NotEmpty => self.return_directory(&moved, name, at_path, &home)?,
        };
        Ok(Some(recovered))
    }

    /// What an intent is about has left `stage/`. When it went to the trash, and a crash came
    /// before the intent followed, that says there what it is.
    fn reunited(&self, name: &[u8], intent: Intent) -> Result<Option<Recovered>, StepError> {
        let record = name_for(name);
        let found = self.trash.reunite((self.stage.handle(), &record), intent.before);
        let found = found.step("bring the record of an old version to the trash")?;
        if found && intent.before.kind == Kind::Dir {
            self.folds.add(name.to_vec(), None);
        }
        Ok(found.then_some(Recovered::Trashed(intent.path)))
    }

    /// A directory was displaced that holds something: the new version leaves its place again.
    pub(super) fn return_directory(
        &self,
        intent: &Intent,
        name: &[u8],
        at_path: Option<Stamp>,
        home: &Handle,
    ) -> Result<Recovered, StepError> {
        let stage = self.stage.handle();
        let place = (home, intent.path.name());
        let ours = at_path.is_some_and(|s| intent.verb == Verb::Replace(s.ino));
        if ours {
            let flags = RenameFlags::EXCHANGE;
            let back = writable(home, || stage.rename(name, place.0, place.1, flags));
            back.step("put the directory back")?;
            // It is the new version, or an edit of it: who knows.
            self.to_trash(name, &intent.path)?;
            Intent::clear(&self.stage, name);
            return Ok(Recovered::Restored(intent.path.clone()));
        }
        let recovered = match self.move_new((stage, name), place) {
            Ok(()) => Recovered::Restored(intent.path.clone()),
            Err(_) => {
                let copy = self.aside((stage, name), &intent.path, home)?;
                Recovered::Aside(intent.path.clone(), copy)
            }
        };
        Intent::clear(&self.stage, name);
        Ok(recovered)
    }

    fn drop_new(&self, name: &[u8]) -> Result<Recovered, StepError> {
        self.stage.discard(name);
        Intent::clear(&self.stage, name);
        Ok(Recovered::Dropped)
    }

    /// What is new is dropped; what came out of the tree, or has a name that we never give, goes to
    /// the trash.
    fn without_intent(&self, name: &[u8]) -> Result<Recovered, StepError> {
        if name.starts_with(b"n-") {
            return self.drop_new(name);
        }
        let path = RelPath::new([b"found-in-stage-".as_slice(), name].concat())
            .map_err(io::Error::other)
            .step("name what was found in `.lab3/stage`")?;
        self.to_trash(name, &path)?;
        Ok(Recovered::Trashed(path))
    }

    fn to_trash(&self, name: &[u8], path: &RelPath) -> Result<(), StepError> {
        let stage = self.stage.handle();
        let digest = match examine(stage, name, None) {
            Ok(Seen::There(row)) => Identity::of(&row.entry).digest,
            _ => Digest::of(b""),
        };
        if stage.remove_directory(name).is_err() {
            self.trash.put((stage, name), path, Reason::Recovered, digest)?;
        }
        Ok(())
    }

    /// The directory of a path, or the nearest one above that is left, with the path there.
    pub(super) fn home(&self, path: &RelPath) -> Result<(RelPath, Handle), StepError> {
        let mut path = path.clone();
        loop {
            match self.root.parent(&path) {
                Ok((dir, _)) => return Ok((path, dir)),
                Err(e) if is_absence(&e) && path.parent().is_some() => {
                    let above = path.parent().and_then(|p| p.parent());
                    path = RelPath::within(above.as_ref(), path.name())
                        .map_err(io::Error::other)
                        .step("find a place for what was displaced")?;
                }
                Err(e) => return Err(e).step("open the directory"),
            }
        }
    }
}
