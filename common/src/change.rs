//! What a side is told to do, and what it answers.
//!
//! A change names the entry that it expects and the one that it leaves. It is applied only while
//! `before` holds, so sending it twice changes nothing (after Csirmaz: commands that carry path,
//! old value and new value are checkable before they are applied).

use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::merkle::Sum;
use crate::path::RelPath;
use crate::problem::Problem;

/// From one entry to another at one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub path: RelPath,
    /// What must be there.
    pub before: Option<Entry>,
    /// What is there afterwards.
    pub after: Option<Entry>,
    /// Where a copy of `before` stands, when that loses its name to a conflict. When the copy is
    /// gone, what was at the path is kept beside it: somebody may just have moved the copy there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<RelPath>,
}

/// One operation at one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Create, replace, delete, or set metadata.
    Change(Change),
    /// Move a file, link or whole directory to a name that is free. What is below moves along.
    Rename {
        /// The old name.
        from: RelPath,
        /// The new name, at which nothing stands.
        to: RelPath,
        /// What must be at the old name. Of a directory only the kind matters.
        before: Entry,
    },
    /// Remove a directory with all that is in it, if that is what is known of it there.
    Clear {
        /// Where.
        path: RelPath,
        /// The directory itself.
        before: Entry,
        /// All that is in it.
        below: Sum,
    },
}

impl Operation {
    /// The path whose entry it leaves behind: the new name of a rename.
    #[must_use]
    pub fn path(&self) -> &RelPath {
        match self {
            Operation::Change(change) => &change.path,
            Operation::Rename { to, .. } => to,
            Operation::Clear { path, .. } => path,
        }
    }

    /// All paths that it touches; of a directory that goes with all that is in it, its own.
    #[must_use]
    pub fn paths(&self) -> Vec<&RelPath> {
        match self {
            Operation::Change(change) => vec![&change.path],
            Operation::Rename { from, to, .. } => vec![from, to],
            Operation::Clear { path, .. } => vec![path],
        }
    }
}

/// What tells after a kill whether an operation that had begun took effect: something leaves its
/// place by that, and by nothing else that would matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Witness {
    /// A new version in `stage/`.
    Staged {
        /// Its name there, which nothing else ever gets.
        name: Vec<u8>,
        /// Its inode.
        inode: u64,
    },
    /// What is at the path, and goes or gets other metadata.
    Standing {
        /// Its inode.
        inode: u64,
    },
    /// What is at the old name, and gets the new one.
    Named,
}

/// What became of an [`Operation`]. All but `Done` left the path as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Applied and durable. Holds what is at the path now, and where an unseen edit that was
    /// displaced went, if there was one.
    Done {
        /// The entry at the path.
        now: Option<Entry>,
        /// The conflict copy that now holds an edit which nobody had seen.
        aside: Option<RelPath>,
    },
    /// `before` did not hold. Holds what is there, as far as it is known: the rest is told when it
    /// has been looked at.
    Stale {
        /// The entry at the path (for a rename: at its old name).
        now: Option<Entry>,
    },
    /// Somebody has the file open for writing.
    Busy,
    /// The content is no longer to be had where it was said to be.
    Moved,
    /// A step failed. The side tries nothing more by itself.
    Failed(Problem),
}
