//! Trees: made, and listed.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "files and directories")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

use crate::dice::Dice;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A file of this size.
    File(u64),
    /// A directory.
    Directory,
    /// Something else.
    Other,
    /// Nothing.
    Absent,
}

impl Seen {
    /// Looks.
    pub(crate) fn at(path: &Path) -> Seen {
        match fs::symlink_metadata(path) {
            Ok(about) if about.is_file() => Seen::File(about.len()),
            Ok(about) if about.is_dir() => Seen::Directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Absent,
            _ => Seen::Other,
        }
    }
}

/// What is in a tree, by path below its root.
pub(crate) type Listing = BTreeMap<PathBuf, Seen>;

/// What is in a tree, but for lab3's own.
pub(crate) fn list(root: &Path) -> Listing {
    let walk = WalkDir::new(root).min_depth(1).into_iter();
    // What goes away meanwhile will be missed by the comparison, not here.
    walk.filter_entry(|entry| entry.depth() != 1 || entry.file_name() != ".lab3")
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(root).ok()?.to_owned();
            Some((path, Seen::at(entry.path())))
        })
        .collect()
}

/// Makes files of random sizes and contents, so many in each directory; answers their paths.
pub(crate) fn make(
    root: &Path,
    (count, each): (usize, usize),
    sizes: (u64, u64),
    dice: &mut Dice,
) -> Result<Vec<PathBuf>> {
    let mut made = Vec::with_capacity(count);
    for i in 0..count {
        let directory = PathBuf::from(format!("d{:05}", i / each));
        if i % each == 0 {
            fs::create_dir_all(root.join(&directory))?;
        }
        let path = directory.join(format!("f{i:06}"));
        let length = dice.between(sizes.0, sizes.1) as usize;
        fs::write(root.join(&path), dice.bytes(length))
            .with_context(|| format!("`{}`", path.display()))?;
        made.push(path);
    }
    Ok(made)
}

/// Writes one file of random content.
pub(crate) fn make_large(path: &Path, mib: usize, dice: &mut Dice) -> Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..mib {
        io::Write::write_all(&mut file, &dice.bytes(1 << 20))?;
    }
    Ok(())
}
