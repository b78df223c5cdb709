//! Versions that were replaced or deleted, kept for a while.
//!
//! The inode itself is moved here, so that even a write that comes late, through a descriptor that
//! somebody still holds, is kept. A version `ID` has a record `ID.about` beside it: one of its own,
//! or the intent under which it left the tree, moved along. Writing a second record and removing
//! the first would cost more than all the rest: ext4 waits for its journal when a longer link is
//! removed. A version that a crash parted from its intent gets it back at the next start; where
//! that cannot be, it is listed without its path.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::RenameFlags;

use crate::digest::Digest;
use crate::entry::Kind;
use crate::path::RelPath;
use crate::replica::disk::Handle;
use crate::replica::examine::{Seen, examine};
use crate::replica::failpoint::reach;
use crate::replica::intent::{Identity, Intent, SUFFIX, Verb};
use crate::replica::note;
use crate::replica::publish::{movable, writable};
use crate::replica::root::{open_file_at, stat_at};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::side::Side;
use crate::time::Timestamp;

const ABOUT: &[u8] = b".about";
/// Nothing younger is ever pruned: a late writer must find its inode for that long.
const AGE_SECONDS_MIN: i64 = 3600;

/// How much is kept and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// For how long.
    pub age: Duration,
    /// How many bytes.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { age: Duration::from_secs(7 * 24 * 3600), bytes: 10 << 30 }
    }
}

/// Why a version is in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Another version took its name.
    Replaced,
    /// It was deleted.
    Deleted,
    /// It was found after a crash.
    Recovered,
    /// It was held under a lock and let go.
    Discarded,
}

/// A version in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Its name in the trash.
    pub id: String,
    /// Where it was.
    pub path: RelPath,
    /// When it came here.
    pub time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// At which side.
    pub side: Side,
    /// Its content; of a link, its target's digest. A late writer may have changed it since.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The open `trash/` of one replica, on the file system of its root.
#[derive(Debug)]
pub struct Trash {
    dir: Handle,
    side: Side,
    keep: Keep,
    run: u64,
    next: AtomicU64,
    /// One pruning at a time.
    pruning: Mutex<()>,
}

impl Trash {
    /// Takes the open directory; `run` is random.
    #[must_use]
    pub fn new(dir: Handle, side: Side, keep: Keep, run: u64) -> Trash {
        Trash { dir, side, keep, run, next: AtomicU64::new(0), pruning: Mutex::new(()) }
    }

    /// The handle on `trash/`.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.dir
    }

    /// Moves something that was at `path` here; answers its name.
    pub fn put(
        &self,
        from: (&Handle, &[u8]),
        path: &RelPath,
        reason: Reason,
        digest: Digest,
    ) -> Result<String, StepError> {
        self.put_of((from, path), reason, digest, Timestamp::now())
    }

    /// Moves something here that was deleted at `path` before.
    pub(super) fn put_deleted(
        &self,
        from: (&Handle, &[u8]),
        path: &RelPath,
        digest: Digest,
        time: Timestamp,
    ) -> Result<(), StepError> {
        self.put_of((from, path), Reason::Deleted, digest, time).map(drop)
    }

    fn put_of(
        &self,
        ((dir, name), path): ((&Handle, &[u8]), &RelPath),
        reason: Reason,
        digest: Digest,
        time: Timestamp,
    ) -> Result<String, StepError> {
        let id = self.fresh_id(time);
        let about = about_name(id.as_bytes());
        let record = [
            format!("{} {:09} {reason} {} {digest}\n", time.seconds, time.nanos, self.side)
                .as_bytes(),
            path.as_bytes(),
        ]
        .concat();
        note::write(self.handle(), &about, &record).step("write a record in the trash")?;
        let once = || dir.rename(name, &self.dir, id.as_bytes(), RenameFlags::empty());
        let moved = writable(dir, once);
        if moved.is_err() {
            let _ = note::remove(self.handle(), &about);
        }
        moved.step("move the old version to the trash")?;
        Ok(id)
    }

    /// Moves a directory here as it is, under the name that it has in `stage/`, and the intent
    /// under which it left the tree. Answers, when it is here, whether the intent followed.
    pub(super) fn fold(
        &self,
        (stage, name): (&Handle, &[u8]),
        intent: &[u8],
    ) -> Result<Result<(), StepError>, StepError> {
        let moved =
            movable((stage, name), || stage.rename(name, &self.dir, name, RenameFlags::empty()));
        moved.step("move the directory to the trash")?;
        reach("parted");
        let record = stage.rename(intent, &self.dir, &about_name(name), RenameFlags::empty());
        Ok(record.step("move the record of the directory to the trash"))
    }

    /// The directories that are folded here.
    pub(super) fn folded(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = self.dir.names()?;
        names.iter_mut().for_each(|name| {
            let length = name.strip_suffix(ABOUT).map_or(name.len(), <[u8]>::len);
            name.truncate(length);
        });
        names.retain(|name| is_folded(name));
        Ok(names)
    }

    /// Moves something here together with the intent under which it left the tree. Answers its name
    /// here, and whether the intent followed: [`Trash::reunite`] brings it later.
    pub fn adopt(
        &self,
        from: (&Handle, &[u8]),
        intent: &[u8],
    ) -> Result<(String, Result<(), StepError>), StepError> {
        let id = self.fresh_id(Timestamp::now());
        from.0
            .rename(from.1, &self.dir, id.as_bytes(), RenameFlags::empty())
            .step("move the old version to the trash")?;
        reach("parted");
        let record =
            from.0.rename(intent, &self.dir, &about_name(id.as_bytes()), RenameFlags::empty());
        Ok((id, record.step("move the record of the old version to the trash")))
    }

    /// Gives a version that a crash or an error parted from its intent that back, if it is here.
    /// Answers whether it was.
    pub fn reunite(&self, intent: (&Handle, &[u8]), before: Identity) -> io::Result<bool> {
        let own = intent.1.strip_suffix(SUFFIX).unwrap_or(intent.1);
        if before.kind == Kind::Dir {
            let is_here = stat_at(&self.dir, own)?.is_some();
            if is_here {
                intent.0.rename(intent.1, &self.dir, &about_name(own), RenameFlags::empty())?;
            }
            return Ok(is_here);
        }
        let names: BTreeSet<Vec<u8>> = self.dir.names()?.into_iter().collect();
        let record_of = about_name;
        let is_version = |name: &[u8]| !name.ends_with(ABOUT) && !is_folded(name);
        let alone = |name: &&Vec<u8>| is_version(name) && !names.contains(&record_of(name));
        for name in names.iter().rev().filter(alone) {
            if let Ok(Seen::There(row)) = examine(&self.dir, name, None)
                && Identity::of(&row.entry) == before
            {
                let to = record_of(name);
                intent.0.rename(intent.1, &self.dir, &to, RenameFlags::empty())?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a version out of the trash again: it was moved elsewhere.
    pub fn forget(&self, id: &str) {
        let _ = note::remove(self.handle(), &about_name(id.as_bytes()));
    }

    /// Everything in the trash, the oldest first.
    pub fn list(&self) -> io::Result<Vec<Trashed>> {
        let mut found = Vec::new();
        for name in self.dir.names()? {
            let Ok(id) = String::from_utf8(name) else { continue };
            if !id.as_bytes().ends_with(ABOUT) {
                found.extend(self.about(&id)?);
            }
        }
        found.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(found)
    }

    /// What is known of one version, when it is there.
    pub fn about(&self, id: &str) -> io::Result<Option<Trashed>> {
        let stamp = stat_at(self.handle(), id.as_bytes())?;
        let Some(stamp) = stamp.filter(|_| !is_folded(id.as_bytes())) else { return Ok(None) };
        let record = note::read(self.handle(), &about_name(id.as_bytes())).unwrap_or_default();
        let parsed = parse(id, &record, stamp.size).or_else(|| self.adopted(id, &record, &stamp));
        Ok(parsed.map(|trashed| Trashed { size: stamp.size, ..trashed }))
    }

    /// A version with this content, opened for reading.
    pub fn find(&self, digest: Digest) -> io::Result<Option<Handle>> {
        let found = self.list()?.into_iter().rev().find(|t| t.digest == digest);
        found.map(|t| self.open(&t.id)).transpose()
    }

    /// Opens a version for reading.
    pub fn open(&self, id: &str) -> io::Result<Handle> {
        open_file_at(self.handle(), id.as_bytes())
    }

    /// Removes what is too old, then the oldest until the rest is small enough. Answers how many.
    pub fn prune(&self, now: Timestamp) -> io::Result<usize> {
        let Ok(_one) = self.pruning.try_lock() else { return Ok(0) };
        let all = self.list()?;
        let mut bytes: u64 = all.iter().map(|t| t.size).sum();
        let age_max = i64::try_from(self.keep.age.as_secs()).unwrap_or(i64::MAX);
        let mut removed = 0;
        for trashed in all {
            let age = now.seconds.saturating_sub(trashed.time.seconds);
            if age < AGE_SECONDS_MIN || (age <= age_max && bytes <= self.keep.bytes) {
                break;
            }
            self.dir.remove(trashed.id.as_bytes())?;
            self.forget(&trashed.id);
            bytes -= trashed.size;
            removed += 1;
        }
        Ok(removed)
    }

    fn fresh_id(&self, time: Timestamp) -> String {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:011}-{:016x}-{count:x}", time.seconds.max(0), self.run)
    }

    /// A version whose record is an intent, or lost.
    fn adopted(&self, id: &str, record: &[u8], stamp: &Stamp) -> Option<Trashed> {
        let seconds = id.split('-').next()?.parse().ok()?;
        // Its last change was to be moved here, unless a late writer touched it since.
        let nanos = if stamp.changed.seconds == seconds { stamp.changed.nanos } else { 0 };
        let time = Timestamp { seconds, nanos };
        let (path, reason, digest) = match Intent::parse(record) {
            Some(Intent { path, verb: Verb::Delete, before, .. }) => {
                (path, Reason::Deleted, before.digest)
            }
            Some(Intent { path, before, .. }) => (path, Reason::Replaced, before.digest),
            None => {
                let path = RelPath::new(format!("found-in-trash-{id}")).ok()?;
                (path, Reason::Recovered, Digest::of(b""))
            }
        };
        Some(Trashed { id: id.to_owned(), path, time, reason, side: self.side, digest, size: 0 })
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Replaced => "replaced",
            Reason::Deleted => "deleted",
            Reason::Recovered => "recovered",
            Reason::Discarded => "discarded",
        })
    }
}

/// The name of the record of something here.
pub(super) fn about_name(id: &[u8]) -> Vec<u8> {
    [id, ABOUT].concat()
}

/// Whether this is the name of a folded directory, or of the record of one.
fn is_folded(name: &[u8]) -> bool {
    name.starts_with(b"q-")
}

fn parse(id: &str, record: &[u8], size: u64) -> Option<Trashed> {
    let line = record.iter().position(|&b| b == b'\n')?;
    let head = std::str::from_utf8(&record[..line]).ok()?;
    let mut words = head.split(' ');
    let mut word = || words.next();
    let time = Timestamp { seconds: word()?.parse().ok()?, nanos: word()?.parse().ok()? };
    let reason = match word()? {
        "replaced" => Reason::Replaced,
        "deleted" => Reason::Deleted,
        "recovered" => Reason::Recovered,
        "discarded" => Reason::Discarded,
        _ => return None,
    };
    let side = if word()? == "A" { Side::A } else { Side::B };
    let digest = Digest::parse(word()?)?;
    let path = RelPath::new(&record[line + 1..]).ok()?;
    let id = id.to_owned();
    Some(Trashed { id, path, time, reason, side, digest, size })
}
