//! What a check of the two trees found, as clients hear it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::path::RelPath;
use crate::side::Side;
use crate::time::Timestamp;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When.
    pub time: Timestamp,
    /// How it ended.
    pub end: CheckEnd,
    /// What differs, the first of it.
    pub differing: Vec<DifferingRow>,
    /// Whether more may differ.
    pub more: bool,
    /// What was not compared, and why, the first of it.
    pub exceptions: Vec<ExceptionRow>,
    /// How many exceptions there are.
    pub exception_count: u64,
    /// Files whose bytes are not what was written, though nobody wrote: only when all were read.
    #[serde(default)]
    pub rotten: Vec<RottenRow>,
    /// How many files were read, when they were.
    #[serde(default)]
    pub read: Option<u64>,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckEnd {
    /// Both replicas, A's picture of both, and the archive are the same.
    Identical {
        /// The digest of everything.
        digest: Digest,
        /// How many files, links and directories.
        entries: u64,
    },
    /// They are not.
    Different,
    /// It could not be found out: why.
    Unknown(String),
}

/// Somewhere the trees differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingRow {
    /// Where.
    pub path: RelPath,
    /// What stands there, in words: as A's replica says, as B's says, as A takes its own to be, as
    /// A takes B's to be, and as both agreed.
    pub at: [String; 5],
}

/// Somewhere that was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionRow {
    /// Where; all below it, too.
    pub path: RelPath,
    /// At which side the reason lies.
    pub side: Option<Side>,
    /// Why.
    pub reason: String,
}

/// A file whose bytes changed by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RottenRow {
    /// Where.
    pub path: RelPath,
    /// At which side.
    pub side: Side,
    /// What is wrong.
    pub detail: String,
}

/// The last check, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When.
    pub time: Timestamp,
    /// What it found, in words.
    pub found: String,
    /// Whether all was the same.
    pub identical: bool,
}
