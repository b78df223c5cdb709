//! What came out of the tree: the version that was expected, or an edit that nobody had seen.
//!
//! The first goes to the trash. The second is a user's: it goes beside its name as a conflict copy
//! (or back, when it was to be deleted), and keeps its inode, so that a program that still writes
//! to it writes into a file that can be seen. When in doubt it is an edit.

use std::io;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::digest::Digest;
use crate::entry::{Entry, Kind};
use crate::path::RelPath;
use crate::reconcile::conflict::copy_path;
use crate::replica::disk::{Handle, Lease, Leased};
use crate::replica::examine::{Seen, digest_of, examine, file_entry, kind};
use crate::replica::failpoint::reach;
use crate::replica::intent::{Identity, Intent, Verb, name_for};
use crate::replica::publish::Publisher;
use crate::replica::root::{is_absence, open_file_at, read_link_at, stat_at};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};

/// Files up to this size are read while others wait for the lease; that takes below a millisecond.
const READ_UNDER_LEASE_MAX: u64 = 256 * 1024;
/// How often a lease is asked for, a millisecond apart: a short save ends in that time.
const LEASE_TRIES_MAX: u32 = 10;
/// More versions than this with one name, second and digest are not to be expected.
const COPIES_MAX: u32 = 10_000;

/// Where something that was displaced went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// To the trash, or it was an empty directory that was to go.
    Trashed,
    /// Beside its name.
    Aside(RelPath),
    /// Back to its name.
    Back,
    /// Nowhere yet: it is a directory that holds something.
    NotEmpty,
}

/// The lease under which a file was judged, where there are leases.
pub(super) type Guard<'f> = Option<Lease<'f>>;

impl Publisher {
    /// Judges what lies under a name in `stage/` and brings it where it belongs. `home` is the
    /// directory that it came out of. What cannot be settled now is settled later.
    pub(super) fn settle(
        &self,
        intent: &Intent,
        name: &[u8],
        expected: Option<&Stamp>,
        home: &Handle,
    ) -> Result<Settled, StepError> {
        let mut settled = self.settle_now(intent, name, expected, home);
        if settled.as_ref().is_err_and(|error| is_absence(&error.source)) {
            // Its directory has gone meanwhile: as after a crash, the nearest one takes it. Later
            // it would come back to somebody who has long forgotten it.
            settled = self.home(&intent.path).and_then(|(path, home)| {
                let moved = Intent { path, ..intent.clone() };
                self.settle_now(&moved, name, expected, &home)
            });
        }
        settled.inspect_err(|error| self.leave(name, error))
    }

    fn settle_now(
        &self,
        intent: &Intent,
        name: &[u8],
        expected: Option<&Stamp>,
        home: &Handle,
    ) -> Result<Settled, StepError> {
        let stage = self.stage.handle();
        let stamp = stat_at(stage, name).step("look at the displaced version")?;
        let settled = match stamp.map(|s| kind(&s)) {
            None => Settled::Trashed,
            Some(FileType::Directory) if intent.before.kind == Kind::Dir => {
                match stage.remove_directory(name) {
                    Ok(()) => Settled::Trashed,
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Settled::NotEmpty),
                    Err(e) => return Err(e).step("remove the displaced directory"),
                }
            }
            Some(FileType::RegularFile) if intent.before.kind == Kind::File => {
                self.settle_file(intent, name, expected, home)?
            }
            Some(FileType::Symlink) if intent.before.kind == Kind::Link => {
                let target = read_link_at(stage, name).step("read the displaced link")?;
                if Digest::of(&target) == intent.before.digest && self.has_copy(intent)? {
                    let (_, recorded) = self.discard_to_trash(intent, name)?;
                    recorded?;
                    Settled::Trashed
                } else {
                    self.keep(intent, name, home)?
                }
            }
            Some(_) => self.keep(intent, name, home)?,
        };
        Intent::clear(&self.stage, name);
        Ok(settled)
    }

    fn settle_file(
        &self,
        intent: &Intent,
        name: &[u8],
        expected: Option<&Stamp>,
        home: &Handle,
    ) -> Result<Settled, StepError> {
        let file = match open_file_at(self.stage.handle(), name) {
            Ok(file) => file,
            // That says nothing about the file, and ends.
            Err(e) if passes(&e) => return Err(e).step("open the displaced version"),
            Err(_) => return self.keep(intent, name, home),
        };
        if !self.has_copy(intent)? {
            return self.keep(intent, name, home);
        }
        let judged = self.judge(&file, intent.before.digest, expected);
        let Some(guard) = judged.step("read the displaced version")? else {
            return self.keep(intent, name, home);
        };
        reach("judged");
        let (id, recorded) = self.discard_to_trash(intent, name)?;
        reach("trashed");
        if guard.is_none_or(|lease| lease.holds()) {
            // Without its record it would not be listed: that is settled later.
            recorded?;
            return Ok(Settled::Trashed);
        }
        // Somebody opened it for writing in this moment, and waits for us to let go.
        let copy = self.aside((self.trash.handle(), id.as_bytes()), &intent.path, home)?;
        self.trash.forget(&id);
        Ok(Settled::Aside(copy))
    }

    /// Whether what was displaced may go because a copy of it stands. Somebody who says in this
    /// moment that it shall win, by moving the copy to the name, must find it again.
    fn has_copy(&self, intent: &Intent) -> Result<bool, StepError> {
        let Some(copy) = &intent.copy else { return Ok(true) };
        let Some(spot) = self.spot(copy)? else { return Ok(false) };
        match examine(&spot.dir, spot.name, None) {
            Ok(Seen::There(row)) => Ok(Identity::of(&row.entry) == intent.before),
            Ok(_) => Ok(false),
            Err(e) if passes(&e) => Err(e).step("look at the conflict copy"),
            Err(_) => Ok(false),
        }
    }

    /// Whether a file has the content that was expected and nobody is about to change it. `None`
    /// when not.
    pub(super) fn judge<'f>(
        &self,
        file: &'f Handle,
        digest: Digest,
        expected: Option<&Stamp>,
    ) -> io::Result<Option<Guard<'f>>> {
        let mut trusted = expected.copied();
        for _ in 0..LEASE_TRIES_MAX {
            let lease = match self.abilities.lease.then(|| Lease::take(file)) {
                Some(Leased::Granted(lease)) => Some(lease),
                Some(Leased::Hot) => {
                    file.pause(Duration::from_millis(1));
                    continue;
                }
                Some(Leased::Unsupported) | None => None,
            };
            let stamp = file.stat()?;
            if stamp.size <= READ_UNDER_LEASE_MAX {
                return Ok((digest_of(file, stamp.size)? == digest).then_some(lease));
            }
            if trusted.is_some_and(|t| t.same_but_renamed(&stamp)) {
                return Ok(Some(lease));
            }
            // Too large to be read while others wait: read first, then ask again.
            drop(lease);
            let read = digest_of(file, stamp.size)?;
            if file.stat()? == stamp {
                if read != digest {
                    return Ok(None);
                }
                trusted = Some(stamp);
            }
        }
        Ok(None)
    }

    /// Moves what was expected to the trash. When that fails it is written down that it may go and
    /// needs its copy no longer: that may be deleted before it is tried again.
    fn discard_to_trash(
        &self,
        intent: &Intent,
        name: &[u8],
    ) -> Result<(String, Result<(), StepError>), StepError> {
        let moved = self.trash.adopt((self.stage.handle(), name), &name_for(name));
        if moved.is_err() && intent.copy.is_some() {
            let _ = Intent { copy: None, ..intent.clone() }.rewrite(&self.stage, name);
        }
        moved
    }

    /// An edit that nobody had seen: back to its name, or beside it.
    fn keep(&self, intent: &Intent, name: &[u8], home: &Handle) -> Result<Settled, StepError> {
        let from = (self.stage.handle(), name);
        if intent.verb == Verb::Delete {
            match self.move_new(from, (home, intent.path.name())) {
                Ok(()) => return Ok(Settled::Back),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e).step("put the edited version back"),
            }
        }
        let copy = self.aside(from, &intent.path, home)?;
        reach("aside");
        Ok(Settled::Aside(copy))
    }

    /// Brings something beside a path, under the name of a conflict copy that is free.
    pub(super) fn aside(
        &self,
        from: (&Handle, &[u8]),
        path: &RelPath,
        home: &Handle,
    ) -> Result<RelPath, StepError> {
        let entry = self.likeness(from).step("look at the displaced version")?;
        for attempt in 0..COPIES_MAX {
            let copy = copy_path(path, self.side, &entry, attempt);
            let moved = if copy.parent() == path.parent() {
                self.move_new(from, (home, copy.name()))
            } else {
                let (dir, name) = self.root.parent(&copy).step("open the directory")?;
                self.move_new(from, (&dir, name))
            };
            match moved {
                Ok(()) => return Ok(copy),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e).step("keep the edited version beside its name"),
            }
        }
        Err(Errno::EXIST).step("find a free name for the edited version")
    }

    /// An entry that names it well enough, even while somebody writes to it.
    fn likeness(&self, from: (&Handle, &[u8])) -> io::Result<Entry> {
        if let Ok(Seen::There(row)) = examine(from.0, from.1, None) {
            return Ok(row.entry);
        }
        let stamp = stat_at(from.0, from.1)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(file_entry(Digest::of(b""), &stamp))
    }
}

/// Whether something was refused for want of descriptors or memory, or was interrupted.
fn passes(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}
