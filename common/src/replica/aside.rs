//! The name of a conflict copy.

use crate::digest::Digest;
use crate::entry::Entry;
use crate::path::RelPath;
use crate::side::Side;

/// The name for the version of `side` beside `path`; `attempt` counts the names that were taken.
#[must_use]
pub fn copy_path(path: &RelPath, side: Side, entry: &Entry, attempt: u32) -> RelPath {
    let digest = match entry {
        Entry::File(file) => file.digest,
        Entry::Link(link) => Digest::of(&link.target),
        Entry::Dir { .. } => Digest::of(b""),
    };
    let time = entry.modified().unwrap_or_default().compact();
    let mut mark = format!(".conflict-{side}-{time}-{}", digest.short());
    if attempt > 0 {
        mark.push_str(&format!("-{attempt}"));
    }
    let name = path.name();
    let dot = name.iter().rposition(|&b| b == b'.').filter(|&at| at > 0 && name.len() - at < 32);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let stem = &stem[..stem.len().min(255 - mark.len() - extension.len())];
    let copy = [stem, mark.as_bytes(), extension].concat();
    std::iter::once(path.parent())
        .chain(path.ancestors().map(|above| above.parent()))
        .find_map(|parent| RelPath::within(parent.as_ref(), &copy).ok())
        .expect("in the root a name of at most 255 bytes, with the mark in it, is a path")
}
