//! Which file is meant: an index of the last listing, or a path.
//!
//! All digits, with or without a dash in front, are an index; everything else is a path as the
//! listing shows it. `./3` and `--path 3` name a file that is called `3`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use common::path::{RelPath, escape};

use crate::failure::Failure;

/// A file as it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By its index in the listing that was printed last.
    Index(u64),
    /// By its path.
    Path(RelPath),
}

impl Choice {
    /// Reads an index or a path.
    pub fn parse(text: &OsStr) -> Result<Choice, Failure> {
        let bytes = text.as_bytes();
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return path(text).map(Choice::Path);
        }
        // An index too great for a number is too great for any listing.
        let digits = String::from_utf8_lossy(digits);
        Ok(Choice::Index(digits.parse().unwrap_or(u64::MAX)))
    }
}

/// Reads a path.
pub fn path(text: &OsStr) -> Result<RelPath, Failure> {
    let mut bytes = text.as_bytes();
    while let Some(rest) = bytes.strip_prefix(b"./") {
        bytes = rest;
    }
    while let Some(rest) = bytes.strip_suffix(b"/")
        && !rest.is_empty()
    {
        bytes = rest;
    }
    RelPath::new(bytes).map_err(|error| {
        Failure::refused(
            format!("`{}` cannot be in the listing: {error}", escape(text.as_bytes())),
            "name a file as the listing does, relative to the directory of server A",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_an_index_and_everything_else_is_a_path() {
        let index = |text: &str| Choice::parse(OsStr::new(text));
        assert_eq!(index("3"), Ok(Choice::Index(3)));
        assert_eq!(index("-3"), Ok(Choice::Index(3)));
        assert_eq!(index("007"), Ok(Choice::Index(7)));
        assert_eq!(index("99999999999999999999999"), Ok(Choice::Index(u64::MAX)));
        let named = |text: &str, path: &str| {
            let path = RelPath::new(path).expect("a path");
            assert_eq!(Choice::parse(OsStr::new(text)), Ok(Choice::Path(path)), "{text}");
        };
        named("./3", "3");
        named("././3", "3");
        named("3.txt", "3.txt");
        named("--3", "--3");
        named("docs/", "docs");
        named("-", "-");
    }

    #[test]
    fn a_path_out_of_the_directory_is_refused_with_a_hint() {
        for bad in ["../x", "/etc/passwd", "", "./", "a/../../b", ".lab3/id"] {
            let failure = Choice::parse(OsStr::new(bad)).expect_err(bad);
            assert!(failure.hint.is_some(), "{bad}");
        }
    }
}
