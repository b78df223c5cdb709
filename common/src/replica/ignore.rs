//! Which paths the user does not want synchronized.
//!
//! A `.lab3ignore` in any directory holds patterns in gitignore syntax for what is below it. The
//! nearest file that says something about a path decides, but nothing below an ignored directory
//! comes back. This module only matches; it reads no disk. What being ignored means for a path
//! that is known already is the scan's business.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::dirty::Place;
use crate::path::RelPath;
use crate::replica::stamp::Stamp;

/// The name of a file with patterns.
pub const IGNORE_FILE: &[u8] = b".lab3ignore";
/// Larger files with patterns are not patterns.
pub const IGNORE_BYTES_MAX: u64 = 1024 * 1024;
/// Patterns that are tried as one automaton.
const TOGETHER: usize = 4096;

/// The patterns of a tree.
#[derive(Debug, Default)]
pub struct Patterns {
    by_directory: BTreeMap<Place, Rules>,
}

/// One file with patterns.
#[derive(Debug)]
struct Rules {
    stamp: Stamp,
    text: Vec<u8>,
    /// The patterns in their order: as many together as can be.
    parsed: Vec<Gitignore>,
}

impl Rules {
    /// What the last pattern says that says something.
    fn matched(&self, path: &Path, is_dir: bool) -> Option<bool> {
        self.parsed.iter().rev().find_map(|part| match part.matched(path, is_dir) {
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
            Match::None => None,
        })
    }
}

impl Patterns {
    /// Takes over what the file with patterns in a directory says now; `None` when there is none.
    /// Answers whether anything is different from before.
    pub fn set(&mut self, directory: &Place, now: Option<(Stamp, &[u8])>) -> bool {
        let Some((stamp, text)) = now else { return self.by_directory.remove(directory).is_some() };
        if let Some(old) = self.by_directory.get_mut(directory)
            && old.text == text
        {
            old.stamp = stamp;
            return false;
        }
        let (text, parsed) = (text.to_owned(), parse(directory, text));
        self.by_directory.insert(directory.clone(), Rules { stamp, text, parsed });
        true
    }

    /// The file with this stamp cannot be read: what it said before stands.
    pub fn keep(&mut self, directory: &Place, stamp: Stamp) {
        let nothing = || Rules { stamp, text: Vec::new(), parsed: Vec::new() };
        self.by_directory.entry(directory.clone()).or_insert_with(nothing).stamp = stamp;
    }

    /// Whether the patterns of a directory are those of the file with this stamp.
    #[must_use]
    pub fn are_current(&self, directory: &Place, now: Option<&Stamp>) -> bool {
        match (self.by_directory.get(directory), now) {
            (Some(rules), Some(now)) => rules.stamp == *now,
            (rules, now) => rules.is_none() && now.is_none(),
        }
    }

    /// Whether nothing is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_directory.is_empty()
    }

    /// Whether a directory has patterns of its own.
    #[must_use]
    pub fn has(&self, directory: &Place) -> bool {
        self.by_directory.contains_key(directory)
    }

    /// Forgets the patterns of a path and of everything below it.
    pub fn forget(&mut self, path: &RelPath) {
        if self.by_directory.is_empty() {
            return;
        }
        let inside = |p: &RelPath| p == path || p.is_below(path);
        self.by_directory.retain(|place, _| !place.as_ref().is_some_and(inside));
    }

    /// Whether a path is ignored, itself or through a directory above it.
    #[must_use]
    pub fn ignores(&self, path: &RelPath, is_dir: bool) -> bool {
        if self.by_directory.is_empty() {
            return false;
        }
        let mut above: Vec<RelPath> = path.ancestors().collect();
        above.reverse();
        above.iter().any(|p| self.matches(p, true)) || self.matches(path, is_dir)
    }

    /// Whether a path is ignored, when all directories above it are known not to be.
    #[must_use]
    pub fn matches(&self, path: &RelPath, is_dir: bool) -> bool {
        if self.by_directory.is_empty() || path.name() == IGNORE_FILE && !is_dir {
            return false;
        }
        let mut directory = path.parent();
        loop {
            if let Some(rules) = self.by_directory.get(&directory) {
                let below = match &directory {
                    Some(directory) => &path.as_bytes()[directory.as_bytes().len() + 1..],
                    None => path.as_bytes(),
                };
                if let Some(said) = rules.matched(Path::new(OsStr::from_bytes(below)), is_dir) {
                    return said;
                }
            }
            match directory {
                Some(inner) => directory = inner.parent(),
                None => return false,
            }
        }
    }
}

fn parse(directory: &Place, content: &[u8]) -> Vec<Gitignore> {
    let text = String::from_utf8_lossy(content);
    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().collect();
    lines.chunks(TOGETHER).flat_map(|lines| together(directory, lines)).collect()
}

/// Patterns as one automaton, or as a few when they are too large for one.
fn together(directory: &Place, lines: &[&str]) -> Vec<Gitignore> {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        if let Err(error) = builder.add_line(None, line) {
            tracing::warn!(?directory, line, %error, "a pattern is not understood");
        }
    }
    match builder.build() {
        Ok(parsed) => vec![parsed],
        Err(_) if lines.len() > 1 => {
            let (first, last) = lines.split_at(lines.len() / 2);
            [together(directory, first), together(directory, last)].concat()
        }
        Err(error) => {
            tracing::warn!(?directory, ?lines, %error, "a pattern is not understood");
            Vec::new()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    fn file(text: &str) -> Option<(Stamp, &[u8])> {
        let zero = crate::time::Timestamp::default();
        let (modified, changed) = (zero, zero);
        let stamp = Stamp { dev: 1, ino: 1, size: 1, modified, changed, mode: 0, links: 1 };
        Some((stamp, text.as_bytes()))
    }

    #[test]
    fn the_nearest_patterns_decide() {
        let mut patterns = Patterns::default();
        assert!(patterns.set(&None, file("*.o\n/build/\n# talk\n!keep.o\n")));
        assert!(patterns.set(&Some(path("d")), file("!x.o\nlocal\n")));
        assert!(!patterns.set(&Some(path("d")), file("!x.o\nlocal\n")));
        assert!(patterns.ignores(&path("a.o"), false));
        assert!(patterns.ignores(&path("d/deep/a.o"), false));
        assert!(!patterns.ignores(&path("keep.o"), false));
        assert!(!patterns.ignores(&path("d/x.o"), false));
        assert!(patterns.ignores(&path("x.o"), false));
        assert!(patterns.ignores(&path("d/local"), false));
        assert!(!patterns.ignores(&path("local"), false));
    }

    #[test]
    fn nothing_below_an_ignored_directory_comes_back() {
        let mut patterns = Patterns::default();
        patterns.set(&None, file("/build/\n!/build/keep\n"));
        assert!(patterns.ignores(&path("build"), true));
        assert!(!patterns.ignores(&path("build"), false));
        assert!(patterns.ignores(&path("build/keep"), false));
    }

    #[test]
    fn the_file_with_patterns_is_never_ignored_and_can_be_forgotten() {
        let mut patterns = Patterns::default();
        patterns.set(&Some(path("d")), file("*\n"));
        assert!(!patterns.matches(&path("d/.lab3ignore"), false));
        assert!(patterns.matches(&path("d/x"), false));
        patterns.forget(&path("d"));
        assert!(!patterns.matches(&path("d/x"), false));
    }

    #[test]
    fn names_that_are_no_text_can_be_matched() {
        let mut patterns = Patterns::default();
        patterns.set(&None, file("*.o\n"));
        assert!(patterns.ignores(&RelPath::new(b"\xff\xfe.o").unwrap(), false));
    }
}
