//! Looks at the disk: what is at the marked places now.
//!
//! A scan only looks. It says what is there, what is not, and what it could not find out, and it
//! keeps these three apart: **an error is not an absence**. Something is absent only when its name
//! is missing in a listing of a directory that held still, or when the kernel says so for that
//! very name. Directories wait in a list of their own, so that the depth of a tree costs no stack.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rustix::io::Errno;

use crate::dirty::{Depth, Mark, Place};
use crate::limits::RESERVED_NAME;
use crate::path::{PathError, RelPath};
use crate::problem::{Problem, ProblemKind};
use crate::replica::disk::Handle;
use crate::replica::ignore::{IGNORE_BYTES_MAX, IGNORE_FILE, Patterns};
use crate::replica::known::{Finding, Known};
use crate::replica::listing::list;
use crate::replica::read::{self, WriterProbe};
use crate::replica::root::{Root, is_absence, stat_at};
use crate::replica::stamp::Stamp;

/// Told of every directory before it is listed, and of every path that is no directory (any more).
pub trait Follow {
    /// Whether it was told of this directory, and still follows it.
    fn follows(&self, directory: &Place) -> bool;
    /// The directory is about to be listed.
    fn enter(&mut self, directory: &Place);
    /// Nothing at or below the path is to be followed any longer.
    fn leave(&mut self, path: &RelPath);
}

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Small contents up to this size are handed on with the finding.
    pub keep_bytes: u64,
    /// All contents that are handed on have at most this size together.
    pub keep_bytes_together: u64,
    /// Larger files are left to somebody else.
    pub postpone_bytes: u64,
    /// Tells whether a file is open for writing.
    pub probe: Option<WriterProbe>,
    /// Whether time stamps are too coarse to tell two quick edits apart.
    pub coarse: bool,
    /// Whether a file that somebody is writing may wait until he is done.
    pub patient: bool,
}

/// What a scan needs.
pub struct Ground<'g> {
    /// The tree.
    pub root: &'g Root,
    /// What was known before.
    pub known: &'g Known,
    /// What is ignored; kept up to date.
    pub patterns: &'g mut Patterns,
    /// Follows the directories.
    pub follow: &'g mut dyn Follow,
    /// How to look.
    pub manner: Manner,
}

/// What a scan saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// What differs from what was known, and some that does not.
    pub findings: BTreeMap<RelPath, Finding>,
    /// What moved too fast: to be looked at again, and whether its content must be read.
    pub again: BTreeMap<Place, (Depth, bool)>,
    /// Files whose stamps are too young to be trusted the next time.
    pub young: BTreeSet<RelPath>,
    /// Files that are too large to be read now.
    pub postponed: BTreeMap<RelPath, Stamp>,
    /// Why the root itself cannot be read.
    pub root_error: Option<io::Error>,
    /// Device and inode of the files that were read and have several names.
    pub linked: BTreeSet<(u64, u64)>,
    /// How many files were read.
    pub read: u64,
    /// How many bytes were kept.
    pub kept_bytes: u64,
}

pub(super) struct Scan<'g> {
    pub(super) ground: Ground<'g>,
    pub(super) seen: Seen,
    pub(super) must_read: BTreeSet<RelPath>,
    /// Where directories were that have been found elsewhere: both ends of a move must be seen in
    /// one look.
    pub(super) origins: BTreeSet<RelPath>,
    work: Vec<Work>,
}

/// A directory to be listed.
pub(super) struct Work {
    pub(super) place: Place,
    pub(super) depth: Depth,
    /// Where this directory was when it was last seen, if that was elsewhere.
    pub(super) origin: Option<RelPath>,
}

/// Looks at the marked places.
#[must_use]
pub fn scan(ground: Ground<'_>, marks: &BTreeMap<Place, Mark>) -> Seen {
    let is_deep = |place: &Place| marks.get(place).is_some_and(|m| m.depth == Depth::Deep);
    let must_read = marks.iter().filter(|(_, m)| m.read).filter_map(|(p, _)| p.clone()).collect();
    let (origins, work) = (BTreeSet::new(), Vec::new());
    let mut scan = Scan { ground, seen: Seen::default(), must_read, origins, work };
    for (place, mark) in marks {
        match place {
            None => scan.later(Work { place: None, depth: mark.depth, origin: None }),
            Some(_) if is_deep(&None) => continue,
            Some(path) if path.ancestors().any(|above| is_deep(&Some(above))) => continue,
            Some(path) => scan.path(path, mark.depth),
        }
        scan.directories();
    }
    let mut asked = BTreeSet::new();
    while let Some(origin) = scan.origins.pop_first() {
        // Two directories that were exchanged are each other's origin.
        let marked = marks.contains_key(&Some(origin.clone())) || is_deep(&None);
        if marked || scan.is_gone(&origin) || !asked.insert(origin.clone()) {
            continue;
        }
        scan.path(&origin, Depth::Entry);
        scan.directories();
    }
    scan.provisional_moves();
    scan.recheck_patterns();
    scan.seen
}

impl Scan<'_> {
    pub(super) fn later(&mut self, work: Work) {
        self.work.push(work);
    }

    pub(super) fn again(&mut self, place: Place, depth: Depth, read: bool) {
        let mark = self.seen.again.entry(place).or_insert((depth, read));
        *mark = (mark.0.max(depth), mark.1 || read);
    }

    /// Looks at one path that is not reached through a listing.
    fn path(&mut self, path: &RelPath, depth: Depth) {
        match self.ground.root.parent(path) {
            Ok((dir, name)) => {
                let stamp = match stat_at(&dir, name) {
                    Ok(Some(stamp)) => stamp,
                    Ok(None) => return self.gone(path),
                    Err(error) => return self.failed(path, "look at it", &error),
                };
                if self.ground.patterns.ignores(path, stamp.is_dir()) {
                    return self.ignored(path);
                }
                if name == IGNORE_FILE {
                    self.patterns_changed(&path.parent(), &dir);
                }
                self.present(path, &stamp, &dir, depth, None);
            }
            Err(error) if is_absence(&error) => self.gone_with_parent(path),
            Err(error) => self.failed(path, "reach it", &error),
        }
    }

    /// The path cannot be reached because something above it is gone: that is the news.
    fn gone_with_parent(&mut self, path: &RelPath) {
        let mut top = path.clone();
        while let Some(parent) = top.parent() {
            match self.ground.root.stat(&parent) {
                Ok(Some(stamp)) if stamp.is_dir() => break,
                Ok(_) => top = parent,
                Err(_) => break,
            }
        }
        if top == *path {
            self.again(Some(top), Depth::Entry, false);
        } else if !self.is_gone(&top) {
            self.path(&top, Depth::Entry);
        }
    }

    /// Whether this look has found out already that nothing is at the path, nor below it. Asked
    /// once for everything that a directory had, all together would cost the square of its size.
    fn is_gone(&self, path: &RelPath) -> bool {
        self.seen.findings.get(path) == Some(&Finding::Absent)
    }

    fn directories(&mut self) {
        while let Some(work) = self.work.pop() {
            self.directory(&work);
        }
    }

    fn directory(&mut self, work: &Work) {
        let place = &work.place;
        self.ground.follow.enter(place);
        let opened = self.ground.root.directory(place.as_ref());
        let listed = opened.and_then(|dir| list(&dir).map(|listing| (dir, listing)));
        let (dir, listing) = match (listed, place) {
            (Ok(listed), _) => listed,
            (Err(error), Some(path)) if is_absence(&error) => {
                return self.again(Some(path.clone()), Depth::Entry, false);
            }
            (Err(error), Some(path)) => {
                self.ground.follow.leave(path);
                return self.failed(path, "list it", &error);
            }
            (Err(error), None) => {
                self.seen.root_error = Some(error);
                return;
            }
        };
        let has_patterns = listing.names.iter().any(|name| name == IGNORE_FILE);
        let changed = if has_patterns || self.ground.patterns.has(place) {
            self.read_patterns(place, &dir)
        } else {
            false
        };
        let depth = if changed || work.depth == Depth::Deep { Depth::Deep } else { Depth::Entry };
        let mut present = BTreeSet::new();
        for name in listing.names {
            if let Some(path) = self.child(place, &name) {
                self.listed(&path, &dir, depth, work.origin.as_ref());
                present.insert(path);
            }
        }
        if listing.stable {
            self.absences(place, &dir, &present);
        } else {
            self.again(place.clone(), work.depth.max(Depth::Listing), false);
        }
    }

    fn child(&mut self, place: &Place, name: &[u8]) -> Option<RelPath> {
        match RelPath::within(place.as_ref(), name) {
            Ok(path) => Some(path),
            Err(PathError::Reserved) if name == RESERVED_NAME => None,
            Err(error) => {
                match place {
                    Some(path) => {
                        let detail = format!("a name in it cannot be carried: {error}");
                        self.trouble(path, ProblemKind::Unreadable, detail);
                    }
                    // The root is no path, so nobody could ask about it.
                    None => {
                        let name = crate::path::escape(name);
                        tracing::warn!(path = %name, why = %error, "cannot be carried:");
                    }
                }
                None
            }
        }
    }

    fn listed(&mut self, path: &RelPath, dir: &Handle, depth: Depth, origin: Option<&RelPath>) {
        let stamp = match stat_at(dir, path.name()) {
            Ok(Some(stamp)) => stamp,
            // Gone since it was listed: the next look at it finds that out.
            Ok(None) => return self.again(Some(path.clone()), Depth::Entry, false),
            Err(error) => return self.failed(path, "look at it", &error),
        };
        if self.ground.patterns.matches(path, stamp.is_dir()) {
            return self.ignored(path);
        }
        if !self.is_as_known(path, &stamp) {
            self.present(path, &stamp, dir, depth, origin);
        }
    }

    /// Everything that was known in a directory and is not listed is gone, if the kernel says so
    /// for its very name, too.
    fn absences(&mut self, place: &Place, dir: &Handle, present: &BTreeSet<RelPath>) {
        for path in self.ground.known.children(place.as_ref()) {
            if present.contains(&path) {
                continue;
            }
            match stat_at(dir, path.name()) {
                Ok(None) => self.gone(&path),
                Ok(Some(_)) => self.again(Some(path), Depth::Entry, false),
                Err(error) => self.failed(&path, "look at it", &error),
            }
        }
        let depth = place.as_ref().map_or(0, |p| p.as_bytes().len() + 1);
        for path in self.ground.known.troubled_below(place.as_ref()) {
            let child = path.as_bytes()[depth..].split(|&b| b == b'/').next().unwrap_or_default();
            let child = RelPath::within(place.as_ref(), child);
            let is_there = child.is_ok_and(|child| present.contains(&child));
            if !is_there && !self.seen.findings.contains_key(&path) {
                self.seen.findings.insert(path, Finding::Absent);
            }
        }
    }

    /// Nothing is at the path.
    pub(super) fn gone(&mut self, path: &RelPath) {
        let (row, troubled) = self.ground.known.row_and_trouble(path);
        let was_dir = row.as_ref().is_some_and(|r| r.entry.is_dir());
        if row.is_some() && self.ground.patterns.ignores(path, was_dir) {
            return self.ignored(path);
        }
        if path.name() == IGNORE_FILE && self.ground.patterns.set(&path.parent(), None) {
            self.later(Work { place: path.parent(), depth: Depth::Deep, origin: None });
        }
        self.leave(path);
        self.gone_below(path);
        if row.is_some() || troubled {
            self.seen.findings.insert(path.clone(), Finding::Absent);
        }
    }

    /// Nothing is below the path.
    pub(super) fn gone_below(&mut self, path: &RelPath) {
        let known = self.ground.known;
        for below in known.below(path).into_iter().chain(known.troubled_below(Some(path))) {
            self.seen.findings.insert(below, Finding::Absent);
        }
    }

    /// A pattern covers the path. Of what was never known nothing is said; what was is kept.
    pub(super) fn ignored(&mut self, path: &RelPath) {
        self.leave(path);
        match self.ground.known.row_and_trouble(path) {
            (Some(_), _) => {
                let detail = "an ignore pattern covers it".to_owned();
                self.trouble(path, ProblemKind::Ignored, detail);
            }
            (None, true) => {
                self.seen.findings.insert(path.clone(), Finding::Absent);
            }
            (None, false) => {}
        }
    }

    pub(super) fn leave(&mut self, path: &RelPath) {
        self.ground.follow.leave(path);
        self.ground.patterns.forget(path);
    }

    pub(super) fn failed(&mut self, path: &RelPath, step: &str, error: &io::Error) {
        if Errno::from_io_error(error) == Some(Errno::XDEV) {
            let detail = "another file system is mounted there".to_owned();
            return self.trouble(path, ProblemKind::Mount, detail);
        }
        self.trouble(path, ProblemKind::Unreadable, format!("cannot {step}: {error}"));
    }

    pub(super) fn trouble(&mut self, path: &RelPath, kind: ProblemKind, detail: String) {
        self.seen.findings.insert(path.clone(), Finding::Unknown(Problem { kind, detail }));
    }

    fn patterns_changed(&mut self, place: &Place, dir: &Handle) {
        if self.read_patterns(place, dir) {
            self.later(Work { place: place.clone(), depth: Depth::Deep, origin: None });
        }
    }

    /// Reads the patterns of a directory; answers whether they are others than before. Patterns
    /// that cannot be read stay what they were: nothing ignored gets out by an error.
    fn read_patterns(&mut self, place: &Place, dir: &Handle) -> bool {
        match pattern_file(dir) {
            Ok(Some(stamp)) => match read::content(dir, IGNORE_FILE, IGNORE_BYTES_MAX, None, false)
            {
                Ok(read::Content::Whole(row, Some(text))) => {
                    self.ground.patterns.set(place, Some((row.stamp, &text)))
                }
                Ok(_) => {
                    self.again(place.clone(), Depth::Listing, false);
                    false
                }
                Err(_) => {
                    self.ground.patterns.keep(place, stamp);
                    false
                }
            },
            Ok(None) => self.ground.patterns.set(place, None),
            Err(_) => false,
        }
    }

    /// Who writes patterns and then a file that they cover expects the file to be ignored. When we
    /// saw the file and not the patterns, nothing new of that directory is told yet.
    fn recheck_patterns(&mut self) {
        let mut checked: BTreeMap<Place, bool> = BTreeMap::new();
        let mut held = Vec::new();
        for (path, finding) in &self.seen.findings {
            let is_new = matches!(finding, Finding::Present(..)) && path.name() != IGNORE_FILE;
            if !is_new || self.ground.known.row(path).is_some() {
                continue;
            }
            let above = path.ancestors().map(Some).chain([None]);
            for place in above {
                let current = checked.entry(place.clone()).or_insert_with(|| {
                    let dir = self.ground.root.directory(place.as_ref());
                    let file = dir.and_then(|dir| pattern_file(&dir));
                    file.map_or(true, |now| self.ground.patterns.are_current(&place, now.as_ref()))
                });
                if !*current {
                    held.push((path.clone(), place));
                    break;
                }
            }
        }
        for (path, place) in held {
            self.seen.findings.remove(&path);
            self.again(place, Depth::Deep, false);
        }
    }
}

/// The stamp of a file with patterns, if there is one in a directory that can be one.
fn pattern_file(dir: &Handle) -> io::Result<Option<Stamp>> {
    let stamp = stat_at(dir, IGNORE_FILE)?;
    Ok(stamp.filter(|s| s.is_file() && s.size <= IGNORE_BYTES_MAX))
}
