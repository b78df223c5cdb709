//! What a user does while the power goes: what was there before, and what he makes of it.

use std::fs::{self, File};
use std::path::Path;

use crate::trees::{chmod, put, remove, rename};

/// Something that a user does, in a directory of its own.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    /// Makes what is there before.
    pub(crate) before: fn(&Path),
    /// Does it.
    pub(crate) act: fn(&Path),
}

/// Large enough to be sent as chunks against the version before.
const LARGE: usize = 1_200_000;
const TREE: usize = 30;

/// A large content without repetitions, of which every version differs a little.
pub(crate) fn large(version: &str) -> Vec<u8> {
    let mut state = 42_u64;
    let mut bytes: Vec<u8> = (0..LARGE)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (state >> 33) as u8
        })
        .collect();
    bytes.extend_from_slice(version.as_bytes());
    bytes[..version.len()].copy_from_slice(version.as_bytes());
    bytes
}

fn tree(root: &Path) {
    for number in 0..TREE {
        put(root, format!("t/{}/{number}", number % 4), format!("file {number} of the tree"));
    }
}

/// Everything that users do.
pub(crate) const ACTS: [Act; 12] = [
    Act { name: "create", before: |_| {}, act: |root| put(root, "f", "a new file") },
    Act { name: "create-large", before: |_| {}, act: |root| put(root, "f", large("new")) },
    Act {
        name: "replace",
        before: |root| put(root, "f", "the old version"),
        act: |root| put(root, "f", "the new version, which is longer"),
    },
    Act {
        name: "replace-large",
        before: |root| put(root, "f", large("old")),
        act: |root| put(root, "f", large("another")),
    },
    Act {
        name: "save-by-rename",
        before: |root| {
            put(root, "f", "the old version");
            put(root, "f~", "the new version, which is longer");
        },
        act: |root| rename(root, "f~", "f"),
    },
    Act {
        name: "delete",
        before: |root| put(root, "f", "to be deleted"),
        act: |root| remove(root, "f"),
    },
    Act {
        name: "rename",
        before: |root| put(root, "f", "to be renamed"),
        act: |root| rename(root, "f", "g"),
    },
    Act { name: "rename-tree", before: tree, act: |root| rename(root, "t", "u") },
    Act {
        name: "chmod",
        before: |root| put(root, "f", "to be a program"),
        act: |root| chmod(root, "f", 0o755),
    },
    Act { name: "create-tree", before: |_| {}, act: tree },
    Act { name: "delete-tree", before: tree, act: |root| remove(root, "t") },
    Act {
        name: "file-for-directory",
        before: |root| put(root, "d/f", "in a directory"),
        act: |root| {
            remove(root, "d");
            put(root, "d", "a file now");
        },
    },
];

/// Makes everything in a directory durable, as a careful user does.
pub(crate) fn flush(root: &Path) {
    for item in fs::read_dir(root).expect("a directory") {
        let item = item.expect("an entry");
        let kind = item.file_type().expect("its kind");
        if kind.is_dir() {
            flush(&item.path());
        } else if kind.is_file() {
            File::open(item.path()).and_then(|file| file.sync_all()).expect("flushed");
        }
    }
    File::open(root).and_then(|dir| dir.sync_all()).expect("flushed");
}
