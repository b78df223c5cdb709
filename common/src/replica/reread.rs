//! Reads every file again, to find bytes that changed by themselves.
//!
//! A file whose stamp is the one that is known must have the content that is known. What has
//! another stamp was written by somebody, and is looked at in the ordinary way; what changed
//! without one is named, and stays what it is: it is nobody's edit.

use crate::entry::Entry;
use crate::path::RelPath;
use crate::replica::known::Known;
use crate::replica::read::{Content, content, is_open_for_writing};
use crate::replica::root::{Root, is_absence};

/// Damaged files that are named.
const NAMED_MAX: usize = 100;

/// What came of reading everything.
#[derive(Debug, Default)]
pub(super) struct Reread {
    /// How many files were read.
    pub(super) read: u64,
    /// What is damaged, and how.
    pub(super) rotten: Vec<(RelPath, String)>,
}

/// Reads everything that is known. `dirty` hears of what must be looked at anew.
pub(super) fn reread(root: &Root, known: &Known, dirty: impl Fn(RelPath)) -> Reread {
    let mut all = Reread::default();
    for path in known.files() {
        if all.rotten.len() >= NAMED_MAX {
            break;
        }
        let Ok((directory, name)) = root.parent(&path) else {
            dirty(path);
            continue;
        };
        match content(&directory, name, 0, Some(is_open_for_writing), true) {
            Ok(Content::Whole(now, _)) => {
                all.read += 1;
                let Some(row) = known.row(&path) else { continue };
                if !row.stamp.same_version(&now.stamp) {
                    dirty(path);
                } else if !row.entry.same_content(&now.entry) {
                    let digest = |entry: &Entry| {
                        entry.as_file().map_or_else(String::new, |file| file.digest.short())
                    };
                    let (is, was) = (digest(&now.entry), digest(&row.entry));
                    let detail = format!("its bytes have digest {is}, and {was} was written");
                    all.rotten.push((path, detail));
                }
            }
            Ok(Content::Moving | Content::Replaced) => dirty(path),
            Err(error) if is_absence(&error) => dirty(path),
            Err(error) => all.rotten.push((path, format!("it cannot be read: {error}"))),
        }
    }
    all
}
