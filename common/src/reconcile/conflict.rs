//! Names of conflict copies.
//!
//! A name is made of the losing version alone: its side, its time, its digest. No clock and no
//! counter has a part in it, so a cycle that is repeated finds the copy that it made before. The
//! number behind a name only steps over names that something else has.

use crate::digest::Digest;
use crate::entry::Entry;
use crate::limits::NAME_BYTES_MAX;
use crate::path::RelPath;
use crate::reconcile::View;
use crate::side::{PerSide, Side};

const MARK: &[u8] = b".conflict-";
/// A longer "extension" is not one, and is shortened like the rest of the name.
const EXTENSION_BYTES_MAX: usize = 32;
/// Under so many names a copy is looked for before one is made.
const BEGUN_ATTEMPTS_MAX: u32 = 8;

/// The name, beside `path`, for that side's version of it: `attempt` 0 is the name itself, higher
/// ones are for when it is taken.
///
/// A name that gets too long loses bytes before the mark. Where the whole path gets too long, the
/// copy goes to the nearest directory above in which it fits.
#[must_use]
pub fn copy_path(path: &RelPath, side: Side, entry: &Entry, attempt: u32) -> RelPath {
    let name = copy_name(path.name(), side, entry, attempt);
    std::iter::once(path.parent())
        .chain(path.ancestors().map(|ancestor| ancestor.parent()))
        .find_map(|parent| RelPath::within(parent.as_ref(), &name).ok())
        .expect("in the root a name of at most 255 bytes, with the mark in it, is a path")
}

/// Whether a name looks like one that [`copy_path`] makes.
#[must_use]
pub fn is_copy_name(name: &[u8]) -> bool {
    read_copy_name(name).is_some()
}

/// What the name of a conflict copy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyName {
    /// The name that it lost, shortened where that was too long.
    pub original: Vec<u8>,
    /// The side whose version it is.
    pub side: Side,
    /// The first digits of its digest.
    pub digest: String,
}

/// Reads a name that looks like one that [`copy_path`] makes. Of a copy of a copy, the last mark
/// counts.
#[must_use]
pub fn read_copy_name(name: &[u8]) -> Option<CopyName> {
    let marks = name.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    marks.rev().find_map(|(at, _)| {
        let text = &name[at + MARK.len()..];
        let end = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
        let (version, extension) = text.split_at(end);
        let (side, digest) = read_version(version)?;
        let original = [&name[..at], extension].concat();
        Some(CopyName { original, side, digest })
    })
}

/// Whether an entry is what the name of a conflict copy says.
#[must_use]
pub fn is_as_named(copy: &CopyName, entry: &Entry) -> bool {
    identity(entry).short() == copy.digest
}

/// What an entry holds: of a directory nothing.
#[must_use]
pub fn identity(entry: &Entry) -> Digest {
    match entry {
        Entry::File(file) => file.digest,
        Entry::Link(link) => Digest::of(&link.target),
        Entry::Dir { .. } => Digest::of(b""),
    }
}

/// The name that a conflict copy gets when it is kept as an ordinary file, beside `original`:
/// `attempt` 0 is the name itself, higher ones are for when it is taken.
#[must_use]
pub fn kept_path(original: &RelPath, side: Side, attempt: u32) -> RelPath {
    let mut name = original.name().to_vec();
    while let Some(copy) = read_copy_name(&name) {
        name = copy.original;
    }
    let from = match side {
        Side::A => "from-a",
        Side::B => "from-b",
    };
    let number = if attempt > 0 { format!("-{}", u64::from(attempt) + 1) } else { String::new() };
    let (stem, extension) = split(&name);
    let mark = format!(".{from}{number}");
    let room = NAME_BYTES_MAX.saturating_sub(mark.len() + extension.len());
    let name = [shortened(stem, room), mark.as_bytes(), extension].concat();
    std::iter::once(original.parent())
        .chain(original.ancestors().map(|ancestor| ancestor.parent()))
        .find_map(|parent| RelPath::within(parent.as_ref(), &name).ok())
        .expect("in the root a name of at most 255 bytes, with the mark in it, is a path")
}

/// The name of a copy that was begun, else the first name that nothing has.
///
/// A name that the archive knows but a side lacks is in motion: its deletion may be on its way, and
/// a copy there would go with it. So a copy may have been begun under a later name than the first
/// that is free by now.
pub(super) fn free_copy(view: &View<'_>, path: &RelPath, side: Side, entry: &Entry) -> RelPath {
    let begun = (0..BEGUN_ATTEMPTS_MAX)
        .map(|attempt| copy_path(path, side, entry, attempt))
        .find(|copy| is_free(view, copy, entry) && view.at(copy) != PerSide::default());
    begun.unwrap_or_else(|| {
        (0..)
            .map(|attempt| copy_path(path, side, entry, attempt))
            .find(|copy| is_free(view, copy, entry))
            .expect("a tree has fewer rows than there are numbers")
    })
}

fn is_free(view: &View<'_>, copy: &RelPath, entry: &Entry) -> bool {
    let seen = view.at(copy);
    let fits = |there: Option<&Entry>| there.is_none_or(|it| it.same_content(entry));
    let stands = seen.a.is_some() && seen.b.is_some();
    fits(seen.a) && fits(seen.b) && (stands || view.archive.get(copy).is_none())
}

fn copy_name(name: &[u8], side: Side, entry: &Entry, attempt: u32) -> Vec<u8> {
    let digest = identity(entry);
    let time = entry.modified().unwrap_or_default().compact();
    let mut version = format!("{side}-{time}-{}", digest.short());
    if attempt > 0 {
        version.push_str(&format!("-{}", u64::from(attempt) + 1));
    }
    let (stem, extension) = split(name);
    let room = NAME_BYTES_MAX.saturating_sub(MARK.len() + version.len() + extension.len());
    [shortened(stem, room), MARK, version.as_bytes(), extension].concat()
}

/// A name before its last dot, and the rest with the dot. A leading dot starts no extension.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(at) if at > 0 && (2..=EXTENSION_BYTES_MAX).contains(&(name.len() - at)) => {
            name.split_at(at)
        }
        _ => (name, b""),
    }
}

/// At most so many bytes of a name, cut between characters when it is text.
fn shortened(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    match std::str::from_utf8(stem) {
        Ok(text) => {
            let end = (0..=room).rev().find(|&at| text.is_char_boundary(at));
            &stem[..end.unwrap_or(0)]
        }
        Err(_) => &stem[..room],
    }
}

/// Side and digest of `SIDE-DATE-TIME-DIGEST8`, with a number behind it or none.
fn read_version(text: &[u8]) -> Option<(Side, String)> {
    let (side, rest) = text.split_at_checked(2)?;
    let side = match side {
        b"A-" => Side::A,
        b"B-" => Side::B,
        _ => return None,
    };
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let digest = |part: &[u8]| part.len() == 8 && part.iter().all(u8::is_ascii_hexdigit);
    // A time that no calendar has is `@` and a number; that, or a year, may have a sign.
    let sign = |text: &[u8]| usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let (rest, calendar) = match rest.strip_prefix(b"@") {
        Some(rest) => (rest, false),
        None => (rest, true),
    };
    let mut parts = rest[sign(rest)..].split(|&byte| byte == b'-');
    let time = parts.next().is_some_and(digits)
        && (!calendar || parts.next().is_some_and(|part| part.len() == 6 && digits(part)));
    let found = parts.next().filter(|part| time && digest(part))?;
    parts.all(digits).then(|| (side, String::from_utf8_lossy(found).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{File, Link};
    use crate::time::Timestamp;

    fn file(content: &[u8], seconds: i64) -> Entry {
        Entry::from(File {
            digest: Digest::of(content),
            size: content.len() as u64,
            mode: 0o644,
            modified: Timestamp { seconds, nanos: 7 },
        })
    }

    fn copy(name: &[u8], entry: &Entry, attempt: u32) -> String {
        let path = RelPath::new([b"d/".as_slice(), name].concat()).expect("a valid path");
        let copy = copy_path(&path, Side::B, entry, attempt);
        assert!(copy.name().len() <= 255 && is_copy_name(copy.name()), "{copy}");
        assert_eq!(copy.parent(), path.parent());
        String::from_utf8_lossy(copy.name()).into_owned()
    }

    #[test]
    fn a_copy_is_named_by_the_version_that_lost() {
        let lost = file(b"x", 1_795_254_600);
        let digest = Digest::of(b"x").short();
        let version = format!("conflict-B-20261121-095000-{digest}");
        assert_eq!(copy(b"f.txt", &lost, 0), format!("f.{version}.txt"));
        assert_eq!(copy(b"f.txt", &lost, 1), format!("f.{version}-2.txt"));
        assert_eq!(copy(b"f.txt", &lost, 2), format!("f.{version}-3.txt"));
        assert_eq!(copy(b"f", &lost, 0), format!("f.{version}"));
        assert_eq!(copy(b".profile", &lost, 0), format!(".profile.{version}"));
        assert_eq!(copy(b"f.tar.gz", &lost, 0), format!("f.tar.{version}.gz"));
        assert_eq!(copy(b"f.", &lost, 0), format!("f..{version}"));
        let link = Entry::from(Link {
            target: b"x".as_slice().into(),
            modified: Timestamp { seconds: 1_795_254_600, nanos: 0 },
        });
        assert_eq!(copy(b"f", &link, 0), format!("f.{version}"));
    }

    #[test]
    fn a_long_name_is_shortened_between_characters_and_keeps_its_extension() {
        let lost = file(b"x", 0);
        let long = format!("{}.txt", "ü".repeat(125));
        let name = copy(long.as_bytes(), &lost, 0);
        assert!(name.ends_with(".txt") && !name.contains('\u{fffd}'), "{name}");
        assert!(name.len() >= 254, "no more is cut than needed");
        assert_eq!(copy(&[0xff; 255], &lost, 10).matches('\u{fffd}').count(), 216);
        copy(format!("x.{}", "e".repeat(250)).as_bytes(), &lost, 0);
    }

    #[test]
    fn a_copy_whose_path_would_be_too_long_goes_further_up() {
        let deep = RelPath::new(vec!["x"; 32_768].join("/")).expect("as long as a path may be");
        let copy = copy_path(&deep, Side::A, &file(b"x", 0), 0);
        assert!(copy.parent().is_some_and(|parent| deep.is_below(&parent)));
    }

    #[test]
    fn the_name_of_a_copy_is_read_as_it_was_made() {
        for (name, seconds) in [("f.txt", 1_795_254_600), (".profile", 0), ("f", i64::MIN)] {
            let lost = file(b"x", seconds);
            let path = RelPath::new(name).expect("a valid path");
            for attempt in 0..3 {
                let copy = copy_path(&path, Side::A, &lost, attempt);
                let read = read_copy_name(copy.name()).expect("a copy");
                assert_eq!((read.original.as_slice(), read.side), (name.as_bytes(), Side::A));
                assert!(is_as_named(&read, &lost) && !is_as_named(&read, &file(b"y", seconds)));
                let twice = copy_path(&copy, Side::B, &file(b"z", 7), 0);
                let read = read_copy_name(twice.name()).expect("a copy of a copy");
                assert_eq!((read.original.as_slice(), read.side), (copy.name(), Side::B));
            }
        }
    }

    #[test]
    fn a_copy_that_is_kept_gets_a_name_that_is_none_of_a_copy() {
        let kept = |name: &[u8], attempt| {
            let path = RelPath::new([b"d/".as_slice(), name].concat()).expect("a valid path");
            let kept = kept_path(&path, Side::B, attempt);
            assert!(!is_copy_name(kept.name()) && kept.parent() == path.parent(), "{kept}");
            kept.to_string()
        };
        assert_eq!(kept(b"report.txt", 0), "d/report.from-b.txt");
        assert_eq!(kept(b"report.txt", 1), "d/report.from-b-2.txt");
        assert_eq!(kept(b"Makefile", 0), "d/Makefile.from-b");
        assert_eq!(kept(b"f.conflict-A-20261121-095000-00112233.txt", 0), "d/f.from-b.txt");
        kept(&[b'x'; 255], 3);
    }

    #[test]
    fn other_names_are_not_taken_for_copies() {
        for name in ["f.txt", "f.conflict-", "f.conflict-C-20261121-095000-00112233.txt"] {
            assert!(!is_copy_name(name.as_bytes()), "{name}");
        }
        for time in [i64::MIN, -70_000_000_000, -1, 253_402_300_800, i64::MAX] {
            copy(b"f.txt", &file(b"x", time), 3);
        }
    }
}
