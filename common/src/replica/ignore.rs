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

/// The name of a file with patterns.
pub const IGNORE_FILE: &[u8] = b".lab3ignore";
/// Larger files with patterns are not patterns.
pub const IGNORE_BYTES_MAX: u64 = 1024 * 1024;

/// The patterns of a tree.
#[derive(Debug, Default)]
pub struct Patterns {
    by_directory: BTreeMap<Place, (Vec<u8>, Gitignore)>,
}

impl Patterns {
    /// Takes over what the file with patterns in a directory says now; `None` when there is none.
    /// Answers whether anything is different from before.
    pub fn set(&mut self, directory: &Place, content: Option<&[u8]>) -> bool {
        let Some(content) = content else { return self.by_directory.remove(directory).is_some() };
        if self.by_directory.get(directory).is_some_and(|(old, _)| old == content) {
            return false;
        }
        let parsed = parse(directory, content);
        self.by_directory.insert(directory.clone(), (content.to_owned(), parsed));
        true
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
            if let Some((_, patterns)) = self.by_directory.get(&directory) {
                let below = match &directory {
                    Some(directory) => &path.as_bytes()[directory.as_bytes().len() + 1..],
                    None => path.as_bytes(),
                };
                match patterns.matched(Path::new(OsStr::from_bytes(below)), is_dir) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            match directory {
                Some(inner) => directory = inner.parent(),
                None => return false,
            }
        }
    }
}

fn parse(directory: &Place, content: &[u8]) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    let text = String::from_utf8_lossy(content);
    for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
        if let Err(error) = builder.add_line(None, line) {
            tracing::warn!(?directory, line, %error, "a pattern is not understood");
        }
    }
    builder.build().unwrap_or_else(|error| {
        tracing::warn!(?directory, %error, "the patterns are not understood");
        Gitignore::empty()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    #[test]
    fn the_nearest_patterns_decide() {
        let mut patterns = Patterns::default();
        assert!(patterns.set(&None, Some(b"*.o\n/build/\n# talk\n!keep.o\n")));
        assert!(patterns.set(&Some(path("d")), Some(b"!x.o\nlocal\n")));
        assert!(!patterns.set(&Some(path("d")), Some(b"!x.o\nlocal\n")));
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
        patterns.set(&None, Some(b"/build/\n!/build/keep\n"));
        assert!(patterns.ignores(&path("build"), true));
        assert!(!patterns.ignores(&path("build"), false));
        assert!(patterns.ignores(&path("build/keep"), false));
    }

    #[test]
    fn the_file_with_patterns_is_never_ignored_and_can_be_forgotten() {
        let mut patterns = Patterns::default();
        patterns.set(&Some(path("d")), Some(b"*\n"));
        assert!(!patterns.matches(&path("d/.lab3ignore"), false));
        assert!(patterns.matches(&path("d/x"), false));
        patterns.forget(&path("d"));
        assert!(!patterns.matches(&path("d/x"), false));
    }

    #[test]
    fn names_that_are_no_text_can_be_matched() {
        let mut patterns = Patterns::default();
        patterns.set(&None, Some(b"*.o\n"));
        assert!(patterns.ignores(&RelPath::new(b"\xff\xfe.o").unwrap(), false));
    }
}
