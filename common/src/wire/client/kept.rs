//! What a client asks about what was saved, and hears: versions in trash, and conflict copies.
//!
//! A conflict copy is named together with what it held when it was shown, so that an index never
//! acts on a version that nobody has seen.

use serde::{Deserialize, Serialize};

use super::{Link, Refusal, WaitingRow};
use crate::digest::Digest;
use crate::entry::Kind;
use crate::path::RelPath;
use crate::side::Side;
use crate::time::Timestamp;
use crate::wire::trashed::{TrashId, TrashRow};

/// A part of what both sides have in trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashPart {
    /// B's link: when it is away, its trash is not in the list.
    pub b: Link,
    /// The next rows, the newest first.
    pub rows: Vec<(Side, TrashRow)>,
    /// How many more there are that no part has, because they are too many.
    pub left_out: u64,
    /// Whether it is the last part.
    pub last: bool,
}

/// What a version in trash is to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Which.
    pub id: TrashId,
    /// Under which name, when not under its own.
    pub to: Option<RelPath>,
    /// Whether what is there now goes to trash.
    pub over: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// At which side it was restored.
    pub side: Side,
    /// Under which name.
    pub path: RelPath,
    /// Whether both sides have it now.
    pub agreed: bool,
    /// What it still waits for.
    pub waiting: Vec<WaitingRow>,
}

/// A conflict copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// Its own name.
    pub path: RelPath,
    /// The name that it lost.
    pub original: RelPath,
    /// The side whose version it is.
    pub side: Side,
    /// File, link or directory.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified.
    pub modified: Timestamp,
    /// What it holds.
    pub digest: Digest,
    /// What stands under the name that it lost, when something does.
    pub rival: Option<Digest>,
    /// Whether it holds something else than its name says: it was edited since, or it is no
    /// conflict copy and is only called like one.
    pub edited: bool,
}

/// A part of the conflict copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictPart {
    /// The next rows, in the order of paths.
    pub rows: Vec<ConflictRow>,
    /// Whether it is the last part.
    pub last: bool,
}

/// Which conflict copies are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// All that hold what their names say.
    All,
    /// The one with this name, or all that lost this name.
    Path(RelPath),
    /// The one that was shown, as long as it and its rival are what they were.
    Shown {
        /// Its name.
        path: RelPath,
        /// What it held.
        digest: Digest,
        /// What stood under the name that it lost.
        rival: Option<Digest>,
    },
}

/// Which version is wanted under the plain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// Side A's.
    A,
    /// Side B's.
    B,
    /// The one that was modified last.
    Newest,
    /// The one that is there; the copy becomes an ordinary file beside it.
    Both,
}

/// What becomes of conflict copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// Of which.
    pub which: Which,
    /// Which version is wanted.
    pub take: Take,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What became of one conflict copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedRow {
    /// The copy.
    pub path: RelPath,
    /// The name that it had lost.
    pub original: RelPath,
    /// What became of it.
    pub fate: Fate,
}

/// What becomes of a conflict copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It takes the name; what was there goes to trash.
    TakesName,
    /// It goes to trash.
    Trashed,
    /// It is an ordinary file of this name.
    Renamed(RelPath),
    /// It stays as it is, and why.
    Left(Refusal),
}

/// A part of what was done about conflict copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Whether nothing was done: what would be.
    pub dry_run: bool,
    /// The next rows.
    pub rows: Vec<ResolvedRow>,
    /// Whether both sides now have the same there.
    pub agreed: bool,
    /// What still waits, and why.
    pub waiting: Vec<WaitingRow>,
    /// Whether it is the last part.
    pub last: bool,
}
