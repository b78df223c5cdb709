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
    name.windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .any(|(at, _)| is_version(&name[at + MARK.len()..]))
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
    let digest = match entry {
        Entry::File(file) => file.digest,
        Entry::Link(link) => Digest::of(&link.target),
        Entry::Dir { .. } => Digest::of(b""),
    };
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

/// Whether this is `SIDE-DATE-TIME-DIGEST8`, perhaps a number, and perhaps an extension.
fn is_version(text: &[u8]) -> bool {
    let text = match text.iter().position(|&byte| byte == b'.') {
        Some(dot) => &text[..dot],
        None => text,
    };
    let Some((side, rest)) = text.split_at_checked(2) else { return false };
    if side != b"A-" && side != b"B-" {
        return false;
    }
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let digest = |part: &[u8]| part.len() == 8 && part.iter().all(u8::is_ascii_hexdigit);
    // A time that no calendar has is `@` and a number; that, or a year, may have a sign.
    let sign = |text: &[u8]| usize::from(matches!(text.first(), Some(b'+' | b'-')));
    if let Some(rest) = rest.strip_prefix(b"@") {
        let mut parts = rest[sign(rest)..].split(|&byte| byte == b'-');
        return parts.next().is_some_and(digits)
            && parts.next().is_some_and(digest)
            && parts.all(digits);
    }
    let mut parts = rest[sign(rest)..].split(|&byte| byte == b'-');
    parts.next().is_some_and(digits)
        && parts.next().is_some_and(|part| part.len() == 6 && digits(part))
        && parts.next().is_some_and(digest)
        && parts.all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{File, Link};
    use crate::time::Timestamp;

    fn file(content: &[u8], seconds: i64) -> Entry {
        Entry::File(File {
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
        let link = Entry::Link(Link {
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
    fn other_names_are_not_taken_for_copies() {
        for name in ["f.txt", "f.conflict-", "f.conflict-C-20261121-095000-00112233.txt"] {
            assert!(!is_copy_name(name.as_bytes()), "{name}");
        }
        for time in [i64::MIN, -70_000_000_000, -1, 253_402_300_800, i64::MAX] {
            copy(b"f.txt", &file(b"x", time), 3);
        }
    }
}
