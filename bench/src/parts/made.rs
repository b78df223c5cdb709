//! Trees that are made up: paths and entries from a seed, on no disk; pure.

use anyhow::Result;
use common::digest::Digest;
use common::entry::{Entry, File};
use common::path::RelPath;
use common::time::Timestamp;

use crate::dice::Dice;

/// Files in each directory.
const FILES_EACH: usize = 20;

/// An entry of random content and time.
pub(super) fn file(dice: &mut Dice) -> Entry {
    let digest = Digest::of(&dice.between(0, u64::MAX - 1).to_le_bytes());
    let seconds = dice.between(1_500_000_000, 1_700_000_000).cast_signed();
    let nanos = dice.between(1 << 20, 999_999_999) as u32;
    let modified = Timestamp { seconds, nanos };
    Entry::from(File { digest, size: dice.between(1 << 16, 1 << 24), mode: 0o644, modified })
}

/// The path of a file.
pub(super) fn path(number: usize) -> Result<RelPath> {
    let (directory, name) = (directory(number)?, format!("file-{number:06}.txt"));
    Ok(directory.join(name)?)
}

/// The path of its directory.
pub(super) fn directory(number: usize) -> Result<RelPath> {
    let number = number / FILES_EACH;
    Ok(RelPath::new(format!("part-{:03}/directory-{number:05}", number % 50))?)
}

/// So many files, and the directories that they are in.
pub(super) fn rows(files: usize, dice: &mut Dice) -> Result<Vec<(RelPath, Entry)>> {
    let mut rows = Vec::new();
    for number in 0..files {
        if number.is_multiple_of(FILES_EACH) {
            let directory = directory(number)?;
            rows.extend(directory.parent().map(|above| (above, Entry::Dir { mode: 0o755 })));
            rows.push((directory, Entry::Dir { mode: 0o755 }));
        }
        rows.push((path(number)?, file(dice)));
    }
    Ok(rows)
}
