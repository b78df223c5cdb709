//! What a hint makes of the dirty set: where to look, how thoroughly, and whether to wait; and what
//! a file that was read elsewhere makes of it.

use std::time::{Duration, Instant};

use crate::dirty::Depth;
use crate::limits::QUIET_MS;
use crate::path::RelPath;
use crate::replica::barrier::Stage;
use crate::replica::hashing::Hashed;
use crate::replica::known::Finding;
use crate::replica::known::carry::carry;
use crate::replica::observing::Observing;
use crate::replica::scan::Seen;
use crate::replica::watch::Hint;

impl Observing {
    pub(super) fn hint(&mut self, hint: Hint, at: Instant) {
        let now = self.now();
        if let Some(path) = hint.path() {
            if !self.dirty.is_marked(path) {
                self.burst.note(now);
            }
            self.hinted.note(path, at);
        }
        match hint {
            Hint::Touched(path) => self.dirty.mark(Some(path), Depth::Entry, now),
            Hint::Closed(path) => self.dirty.mark_read(path, now),
            Hint::Wrote(path) => {
                if self.dirty.covers(&path) || self.is_being_written(&path) {
                    self.dirty.wrote(path, now);
                } else {
                    self.dirty.mark_read(path, now);
                }
            }
            Hint::Created(path) => {
                if self.is_being_written(&path) {
                    self.dirty.wrote(path, now);
                } else {
                    self.dirty.mark(Some(path), Depth::Entry, now);
                }
            }
            Hint::Moved { path, pair } => {
                match pair {
                    Some((number, true)) => {
                        self.halves.insert(number, path.clone());
                    }
                    Some((number, false)) => {
                        let from = self.halves.remove(&number);
                        self.renames.extend(from.map(|from| (from, path.clone())));
                    }
                    None => {}
                }
                self.watch.forget(&path);
                self.dirty.mark(Some(path), Depth::Deep, now);
            }
            Hint::Cookie(name) => self.cookie_arrived(&name),
            Hint::Root => self.next_guard = now,
            Hint::Anywhere => self.renew(),
        }
    }

    /// In a burst of hints, lets more arrive.
    pub(super) fn gather(&mut self) {
        let patience = self.burst.patience(self.now());
        if patience > 0 && self.barriers.is_empty() {
            std::thread::sleep(Duration::from_millis(patience));
            self.drain();
        }
    }

    /// Directories that were renamed are told before anybody looks into them. Where patterns are
    /// in force a name decides what is ignored, so then everything is looked at first.
    pub(super) fn carry(&mut self) {
        for (from, to) in std::mem::take(&mut self.renames) {
            if self.halt.is_some() || !self.patterns.is_empty() {
                continue;
            }
            carry(&self.root, &self.known, (&from, &to), self.hinted.age(&to));
        }
    }

    /// A file that was read elsewhere is told, or is looked at again.
    pub(super) fn hashed(&mut self, hashed: &Hashed) {
        let touched = self.hashing.remove(&hashed.path).unwrap_or(false);
        if touched || hashed.again {
            let place = Some(hashed.path.clone());
            self.dirty.again(place, Depth::Entry, true, self.now(), QUIET_MS);
        }
        if let (true, Some(since)) = (hashed.again, hashed.since) {
            self.hinted.note(&hashed.path, since);
        }
        for barrier in &mut self.barriers {
            if let Stage::Reading(paths) = &mut barrier.stage {
                paths.remove(&hashed.path);
            }
        }
    }

    /// Whether to wait for somebody who is writing. Unknown counts as yes. So does emptiness: a
    /// file that is just being created has no writer for an instant.
    fn is_being_written(&self, path: &RelPath) -> bool {
        match self.root.stat(path) {
            Ok(Some(stamp)) if stamp.is_file() && stamp.size > 0 => {
                let Some(probe) = self.settings.probe else { return true };
                self.root.open_file(path).is_ok_and(|file| probe(&file) != Some(false))
            }
            Ok(Some(stamp)) => stamp.is_file(),
            _ => false,
        }
    }
}

impl Observing {
    /// A newcomer at a name is told when its writer is done. That its predecessor went to another
    /// name is told at once, in the look that found it there: afterwards nothing would show that
    /// the two are one file, and the newcomer would pass for it.
    pub(super) fn left_behind(&self, seen: &mut Seen) {
        let waiting = seen.again.keys().flatten().filter(|path| !seen.findings.contains_key(*path));
        let mut left = Vec::new();
        for path in waiting {
            let Some(row) = self.known.row(path).filter(|row| !row.entry.is_dir()) else {
                continue;
            };
            let elsewhere = seen.findings.values().any(|finding| {
                matches!(finding, Finding::Present(now, _) if now.stamp.same_inode(&row.stamp))
            });
            let newcomer = || {
                let stamp = self.root.stat(path);
                matches!(stamp, Ok(Some(stamp)) if !stamp.same_inode(&row.stamp))
            };
            if elsewhere && newcomer() {
                left.push(path.clone());
            }
        }
        seen.findings.extend(left.into_iter().map(|path| (path, Finding::Absent)));
    }
}
