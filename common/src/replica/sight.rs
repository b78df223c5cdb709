//! What stands at one path: a file, a link, a directory, or something that is left alone.
//!
//! A file is taken as unchanged when its whole stamp is the one under which it was read, be it
//! here or at the place from which its directory was moved. Everything else is read.

use std::collections::BTreeMap;

use rustix::fs::FileType;

use crate::dirty::Depth;
use crate::entry::{Entry, Link};
use crate::path::RelPath;
use crate::problem::ProblemKind;
use crate::replica::disk::Handle;
use crate::replica::known::{Finding, Row};
use crate::replica::read::{self, Content};
use crate::replica::root::{read_link_at, stat_at};
use crate::replica::scan::{Scan, Work};
use crate::replica::stamp::Stamp;
use crate::time::Timestamp;

/// Coarse clocks tick at least this often, in nanoseconds, with some room.
const YOUNG_NANOS: i128 = 20_000_000;

impl Scan<'_> {
    /// Whether a file stands at the path that is known under this very stamp, and nothing else is
    /// to be found out about it. Of most of a large tree this is all that has to be asked.
    pub(super) fn is_as_known(&self, path: &RelPath, stamp: &Stamp) -> bool {
        let is_sure = !(self.ground.manner.coarse && is_young(stamp));
        if !is_sure || self.must_read.contains(path) || self.seen.findings.contains_key(path) {
            return false;
        }
        match self.ground.known.row_and_trouble(path) {
            (Some(row), false) => row.entry.as_file().is_some() && row.stamp == *stamp,
            _ => false,
        }
    }

    /// Something is at the path, and it is not ignored.
    pub(super) fn present(
        &mut self,
        path: &RelPath,
        stamp: &Stamp,
        dir: &Handle,
        depth: Depth,
        origin: Option<&RelPath>,
    ) {
        let kind = stamp.file_type();
        let foreign = stamp.dev != self.ground.root.device();
        if kind == FileType::Directory {
            if foreign {
                self.ground.follow.leave(path);
                let detail = "another file system is mounted there".to_owned();
                return self.trouble(path, ProblemKind::Mount, detail);
            }
            return self.directory_entry(path, stamp, depth);
        }
        self.leave(path);
        // Some file systems give files other devices than directories; only a mount is foreign.
        if foreign && is_mount(dir, path.name()) {
            let detail = "another file is mounted there".to_owned();
            return self.trouble(path, ProblemKind::Mount, detail);
        }
        match kind {
            FileType::RegularFile => {
                self.gone_below(path);
                self.file(path, stamp, dir, origin);
            }
            FileType::Symlink => {
                self.gone_below(path);
                self.link(path, stamp, dir);
            }
            // What is unknown has nothing below it that could be told gone.
            other => self.trouble(path, ProblemKind::Special, describe(other).to_owned()),
        }
    }

    fn directory_entry(&mut self, path: &RelPath, stamp: &Stamp, depth: Depth) {
        let (known, troubled) = self.ground.known.row_and_trouble(path);
        let same = known.as_ref().filter(|row| row.entry.is_dir() && row.stamp.same_inode(stamp));
        let depth = match same {
            Some(_) if troubled => Depth::Deep,
            // Made by a commit where nothing tells of it: its parent is only polled.
            Some(_) if !self.ground.follow.follows(&Some(path.clone())) => Depth::Deep,
            Some(row) if row.stamp.mode != stamp.mode => depth.max(Depth::Listing),
            Some(_) => depth,
            None => Depth::Deep,
        };
        let row = Row { stamp: *stamp, entry: Entry::Dir { mode: stamp.permissions() } };
        self.found(path, row, None);
        if depth > Depth::Entry {
            let origin = self.ground.known.directory_of(stamp).filter(|from| from != path);
            self.origins.extend(origin.clone());
            self.later(Work { place: Some(path.clone()), depth, origin });
        }
    }

    fn link(&mut self, path: &RelPath, stamp: &Stamp, dir: &Handle) {
        let target = match read_link_at(dir, path.name()) {
            Ok(target) => target,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return self.again(Some(path.clone()), Depth::Entry, false);
            }
            Err(error) => return self.failed(path, "read the link", &error),
        };
        match stat_at(dir, path.name()) {
            Ok(Some(after)) if after == *stamp => {
                let link = Link { target: target.into(), modified: stamp.modified };
                self.found(path, Row { stamp: *stamp, entry: link.into() }, None);
            }
            _ => self.again(Some(path.clone()), Depth::Entry, false),
        }
    }

    fn file(&mut self, path: &RelPath, stamp: &Stamp, dir: &Handle, origin: Option<&RelPath>) {
        let young = self.ground.manner.coarse && is_young(stamp);
        let must_read = young || self.must_read.contains(path);
        if !must_read && let Some(entry) = self.unchanged(path, stamp, origin) {
            return self.found(path, Row { stamp: *stamp, entry }, None);
        }
        if young {
            self.seen.young.insert(path.clone());
        }
        if stamp.size > self.ground.manner.postpone_bytes {
            self.seen.postponed.insert(path.clone(), *stamp);
            return;
        }
        self.seen.read += 1;
        if stamp.links > 1 {
            self.seen.linked.insert((stamp.dev, stamp.ino));
        }
        let manner = self.ground.manner;
        let room = manner.keep_bytes_together.saturating_sub(self.seen.kept_bytes);
        let keep = manner.keep_bytes.min(room);
        let patient = manner.patient && !must_read;
        match read::content(dir, path.name(), keep, manner.probe, patient) {
            Ok(Content::Whole(row, bytes)) => {
                self.seen.kept_bytes += bytes.as_ref().map_or(0, |b| b.len() as u64);
                self.found(path, row, bytes);
            }
            Ok(Content::Moving) => self.again(Some(path.clone()), Depth::Entry, true),
            Ok(Content::Replaced) => self.again(Some(path.clone()), Depth::Entry, false),
            Err(error) => self.failed(path, "read it", &error),
        }
    }

    /// The entry of a file that is known under this very stamp, here or where it came from.
    fn unchanged(&self, path: &RelPath, stamp: &Stamp, origin: Option<&RelPath>) -> Option<Entry> {
        let known = self.ground.known;
        let before = || known.row(&origin?.join(path.name()).ok()?);
        let same = |row: &Row| row.entry.as_file().is_some() && row.stamp.same_version(stamp);
        known.row(path).filter(same).or_else(|| before().filter(same)).map(|row| row.entry)
    }

    pub(super) fn found(&mut self, path: &RelPath, row: Row, bytes: Option<Vec<u8>>) {
        let (known, troubled) = self.ground.known.row_and_trouble(path);
        if troubled || known.as_ref() != Some(&row) {
            self.seen.findings.insert(path.clone(), Finding::Present(row, bytes));
        } else {
            // An earlier finding of the same look is overtaken.
            self.seen.findings.remove(path);
        }
    }

    /// A large file that only seems to have been renamed is told as that at once. It is read all
    /// the same, later: a rename hides in its stamp whether something else happened, too.
    pub(super) fn provisional_moves(&mut self) {
        if self.seen.postponed.is_empty() {
            return;
        }
        let mut gone = BTreeMap::new();
        for (path, finding) in &self.seen.findings {
            if *finding == Finding::Absent
                && let Some(row) = self.ground.known.row(path)
                && row.entry.as_file().is_some()
            {
                gone.insert((row.stamp.dev, row.stamp.ino), row);
            }
        }
        for (path, stamp) in &self.seen.postponed {
            if let Some(row) = gone.get(&(stamp.dev, stamp.ino))
                && row.stamp.same_but_renamed(stamp)
            {
                let row = Row { stamp: *stamp, entry: row.entry.clone() };
                self.seen.findings.insert(path.clone(), Finding::Present(row, None));
            }
        }
    }
}

fn is_mount(dir: &Handle, name: &[u8]) -> bool {
    dir.is_mount_at(name).unwrap_or(true)
}

fn is_young(stamp: &Stamp) -> bool {
    let nanos = |t: Timestamp| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos);
    (nanos(Timestamp::now()) - nanos(stamp.changed)).abs() < YOUNG_NANOS
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "neither file nor directory nor link",
    }
}
