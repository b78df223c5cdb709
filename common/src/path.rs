//! `RelPath`: the only path that the core knows.
//!
//! A path is bytes, relative to a root, `/`-separated, and checked once, when it is made or read
//! from the wire. Byte order puts every directory before what is in it, so an ordered map walks
//! parents first, and its reverse children first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, RESERVED_NAME};

/// A path below a root, never the root itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<[u8]>);

/// Why bytes are not a [`RelPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path has no bytes.
    #[error("the path is empty")]
    Empty,
    /// The path starts with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// A component is empty, `.` or `..`.
    #[error("the path has an empty, `.` or `..` component")]
    Component,
    /// A byte is zero.
    #[error("the path has a zero byte")]
    Zero,
    /// A component is longer than the kernel allows.
    #[error("a component is longer than {NAME_BYTES_MAX} bytes")]
    LongName,
    /// The whole is longer than we carry.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    LongPath,
    /// The first component is ours, or is that to some file system.
    #[error("the name `.lab3` is reserved, in any spelling")]
    Reserved,
}

impl RelPath {
    /// Checks bytes and makes a path of them.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<RelPath, PathError> {
        let bytes = bytes.as_ref();
        check(bytes)?;
        Ok(RelPath(bytes.into()))
    }

    /// The whole path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => &self.0[at + 1..],
            None => &self.0,
        }
    }

    /// The directory that holds it; `None` when that is the root.
    #[must_use]
    pub fn parent(&self) -> Option<RelPath> {
        self.0.iter().rposition(|&b| b == b'/').map(|at| RelPath(self.0[..at].into()))
    }

    /// All directories above it, the nearest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = RelPath> {
        std::iter::successors(self.parent(), RelPath::parent)
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// Whether it lies below `other` (a path is not below itself).
    #[must_use]
    pub fn is_below(&self, other: &RelPath) -> bool {
        self.0.len() > other.0.len()
            && self.0.starts_with(&other.0)
            && self.0[other.0.len()] == b'/'
    }

    /// Whether one of the two is the other or lies below it.
    #[must_use]
    pub fn touches(&self, other: &RelPath) -> bool {
        self == other || self.is_below(other) || other.is_below(self)
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<RelPath, PathError> {
        let name = name.as_ref();
        RelPath::new([&self.0, b"/".as_slice(), name].concat())
    }

    /// The path of `name` in `parent`, where `None` is the root.
    pub fn within(parent: Option<&RelPath>, name: impl AsRef<[u8]>) -> Result<RelPath, PathError> {
        match parent {
            Some(parent) => parent.join(name),
            None => RelPath::new(name),
        }
    }

    /// The same path with `from`, which it is or lies below, replaced by `to`.
    pub fn rebase(&self, from: &RelPath, to: &RelPath) -> Result<RelPath, PathError> {
        debug_assert!(self == from || self.is_below(from));
        RelPath::new([&to.0, &self.0[from.0.len()..]].concat())
    }

    /// The bounds, exclusive at the end, between which everything below it sorts.
    #[must_use]
    pub fn bounds_below(&self) -> (Vec<u8>, Vec<u8>) {
        ([&self.0, b"/".as_slice()].concat(), [&self.0, b"0".as_slice()].concat())
    }
}

/// The rows of a map that lie below a path, without its own.
pub fn rows_below<'m, V>(
    map: &'m BTreeMap<RelPath, V>,
    path: &RelPath,
) -> btree_map::Range<'m, RelPath, V> {
    let (low, high) = path.bounds_below();
    map.range::<[u8], _>((Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice())))
}

fn check(bytes: &[u8]) -> Result<(), PathError> {
    if bytes.is_empty() {
        return Err(PathError::Empty);
    }
    if bytes.len() > PATH_BYTES_MAX {
        return Err(PathError::LongPath);
    }
    if bytes[0] == b'/' {
        return Err(PathError::Absolute);
    }
    if bytes.contains(&0) {
        return Err(PathError::Zero);
    }
    for (depth, component) in bytes.split(|&b| b == b'/').enumerate() {
        match component {
            b"" | b"." | b".." => return Err(PathError::Component),
            name if name.len() > NAME_BYTES_MAX => return Err(PathError::LongName),
            name if depth == 0 && is_reserved(name) => return Err(PathError::Reserved),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a name in the root is `.lab3`, or is taken for it by a file system that does not tell
/// small letters from capital ones, passes over characters that nobody sees, drops dots and spaces
/// at the end of a name, or gives every long name a short one (`LAB3~1`).
fn is_reserved(name: &[u8]) -> bool {
    if !name.is_ascii() {
        // Of what is left when nobody's eye is deceived, if it is text at all.
        let Ok(text) = std::str::from_utf8(name) else { return false };
        let seen = |c: &char| !is_invisible(*c) && !matches!(c, '\u{fe00}'..='\u{fe0f}');
        let seen: String = text.chars().filter(seen).collect();
        return seen.is_ascii() && is_reserved(seen.as_bytes());
    }
    // All but a few names are told apart here.
    if name.len() < RESERVED_NAME.len() || !matches!(name[0], b'.' | b'l' | b'L') {
        return false;
    }
    // A stream of a file, where files have several: `.lab3:x`.
    let stem = name.split(|&b| b == b':').next().unwrap_or_default();
    let end = stem.iter().rposition(|b| !matches!(b, b'.' | b' ')).map_or(0, |last| last + 1);
    let stem = &stem[..end];
    let short = stem.get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"lab3~"))
        && stem.len() > 5
        && stem[5..].iter().all(u8::is_ascii_digit);
    short || stem.eq_ignore_ascii_case(RESERVED_NAME)
}

impl Borrow<[u8]> for RelPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// For people: control bytes, backslashes and bytes that are not UTF-8 are escaped.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Makes bytes from a file system safe for a terminal.
///
/// Control characters (C0, DEL, C1), bidirectional overrides, zero-width characters and bytes that
/// are not UTF-8 become `\xNN` or `\u{NNNN}`; a backslash is doubled, so that the text is
/// unambiguous.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
                c if c.is_control() || is_invisible(c) => {
                    out.push_str(&format!("\\u{{{:x}}}", c as u32));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Text for people, from elsewhere: what a terminal would act on is escaped. Backslashes stay, for
/// names in it are escaped already.
#[must_use]
pub fn inert(text: &str) -> String {
    let parts: Vec<String> = text.split('\\').map(|part| escape(part.as_bytes())).collect();
    parts.join("\\")
}

/// A JSON document that says the same and has nothing that a terminal would act on. Outside of its
/// strings JSON has no such characters but line ends and tabs, which stay.
#[must_use]
pub fn inert_json(json: &str) -> String {
    let acts = |c: char| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || is_invisible(c);
    if !json.contains(acts) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match acts(c) {
            true => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                out.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
            false => out.push(c),
        }
    }
    out
}

/// Whether a character shows nothing, or turns the direction of what follows it.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        RelPath::new(bytes.as_slice()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a valid path")
    }

    #[test]
    fn a_path_that_could_leave_the_root_cannot_be_made() {
        for (bad, why) in [
            ("", PathError::Empty),
            ("/etc/x", PathError::Absolute),
            ("../x", PathError::Component),
            ("a/../x", PathError::Component),
            ("a//b", PathError::Component),
            ("a/./b", PathError::Component),
            ("a/", PathError::Component),
            (".", PathError::Component),
            ("a\0b", PathError::Zero),
            (".lab3", PathError::Reserved),
            (".lab3/stage/x", PathError::Reserved),
        ] {
            assert_eq!(RelPath::new(bad), Err(why), "{bad:?}");
        }
        for bad in [".LAB3", ".Lab3/stage/x", ".lab3.", ".lab3 .", ".la\u{200c}b3", ".lab3\u{feff}"]
        {
            assert_eq!(RelPath::new(bad), Err(PathError::Reserved), "{bad:?}");
        }
        for bad in ["LAB3~1", "lab3~12/x", ".lab3:stream", ".lab3::$INDEX_ALLOCATION"] {
            assert_eq!(RelPath::new(bad), Err(PathError::Reserved), "{bad:?}");
        }
        for good in ["lab3", ".lab33", ".lab", "LAB3~", "LAB3~1x", ".lab3x", "x.lab3", "a/.LAB3"] {
            assert!(RelPath::new(good).is_ok(), "{good:?}");
        }
        assert_eq!(RelPath::new("x".repeat(256)), Err(PathError::LongName));
        assert!(RelPath::new("a/.lab3").is_ok(), "only the root's own name is reserved");
    }

    #[test]
    fn order_puts_a_directory_before_what_is_in_it() {
        let mut paths = [path("a/b"), path("a.txt"), path("a"), path("a/b/c")];
        paths.sort();
        assert!(
            paths.iter().position(|p| *p == path("a"))
                < paths.iter().position(|p| *p == path("a/b"))
        );
        let (low, high) = path("a").bounds_below();
        assert!(
            low.as_slice() <= path("a/b").as_bytes() && path("a/b/c").as_bytes() < high.as_slice()
        );
        assert!(
            !(low.as_slice() <= path("a.txt").as_bytes()
                && path("a.txt").as_bytes() < high.as_slice())
        );
    }

    #[test]
    fn rebasing_keeps_what_is_below() {
        assert_eq!(path("d/e/f").rebase(&path("d"), &path("k/d")), Ok(path("k/d/e/f")));
        assert_eq!(path("d").rebase(&path("d"), &path("k")), Ok(path("k")));
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_survives_escaping() {
        assert_eq!(escape(b"a\x1b[2Jb\n\xff\\"), "a\\x1b[2Jb\\n\\xff\\\\");
        assert_eq!(escape("\u{202e}x\u{9b}".as_bytes()), "\\u{202e}x\\u{9b}");
        assert_eq!(escape("grün.txt".as_bytes()), "grün.txt");
        assert_eq!(inert("`a\\nb`: \u{9b}2J\n"), "`a\\nb`: \\u{9b}2J\\n");
        let json = "{\"path\": \"\u{9b}\u{202e}\u{e0041}ü\"}\n";
        assert_eq!(inert_json(json), "{\"path\": \"\\u009b\\u202e\\udb40\\udc41ü\"}\n");
    }
}
