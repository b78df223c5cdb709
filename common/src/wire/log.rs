//! What happened to the files, as the journal keeps it and clients hear it.

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Kind};
use crate::path::RelPath;
use crate::side::Side;
use crate::time::Timestamp;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Its place in the journal.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    pub what: Happened,
    /// Where; absent when it is about everything.
    pub path: Option<RelPath>,
    /// The new name of a rename, the copy of a conflict.
    pub to: Option<RelPath>,
    /// At which side its user did it.
    pub by: Option<Side>,
    /// To which side it was carried.
    pub carried: Option<Side>,
    /// What was there, at the side to which it was carried.
    pub before: Option<Version>,
    /// What is there since.
    pub after: Option<Version>,
    /// In whose trash the old version is.
    pub trash: Option<Side>,
    /// Who holds, held, or broke the lock.
    pub who: Option<String>,
    /// More, in words.
    pub detail: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Something appeared.
    Created,
    /// Another content.
    Written,
    /// Other permissions or another time.
    Metadata,
    /// Another kind of entry took the name.
    Replaced,
    /// It went.
    Deleted,
    /// It has another name.
    Renamed,
    /// Two versions met; the loser's is to be kept beside.
    Conflict,
    /// A conflict copy was made.
    Copied,
    /// Both sides had it already: done at both, or carried before a crash.
    Agreed,
    /// An edit of B is held.
    Held,
    /// A held edit was applied.
    Drained,
    /// A held edit was put in the trash.
    Discarded,
    /// It came back from the trash, after a rejected loss.
    Restored,
    /// Locked.
    Locked,
    /// Unlocked by its holder.
    Unlocked,
    /// Unlocked by another.
    ForcedUnlock,
    /// Unlocked because its time was over.
    Expired,
    /// Nothing moves until somebody has looked.
    Halted,
    /// It goes on.
    Resumed,
    /// A halt was approved.
    Approved,
    /// A halt was rejected.
    Rejected,
    /// A check found a difference.
    Differed,
    /// The journal could not be written for a while.
    Gap,
}

/// A version, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// The first digits of its digest, of a file.
    pub digest: Option<String>,
}

impl Version {
    /// An entry in short.
    #[must_use]
    pub fn of(entry: &Entry) -> Version {
        let digest = entry.as_file().map(|file| file.digest.short());
        Version { kind: entry.kind(), size: entry.size(), digest }
    }
}

impl LogRow {
    /// Something that happened, about which no more is known.
    #[must_use]
    pub fn new(what: Happened, path: Option<RelPath>) -> LogRow {
        LogRow {
            seq: 0,
            time: Timestamp::default(),
            what,
            path,
            to: None,
            by: None,
            carried: None,
            before: None,
            after: None,
            trash: None,
            who: None,
            detail: None,
        }
    }

    /// The bytes that it takes in a message, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let path = |path: &Option<RelPath>| path.as_ref().map_or(0, |p| p.as_bytes().len());
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        300 + path(&self.path) + path(&self.to) + text(&self.who) + text(&self.detail)
    }
}

/// What is wanted of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// At this path and below, under its older names, too; everything when absent.
    pub path: Option<RelPath>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// So many at most, the newest.
    pub limit: u32,
}

/// What the journal has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// The rows, the oldest first.
    pub rows: Vec<LogRow>,
    /// Whether there are older ones that match.
    pub more: bool,
    /// What is wrong with the journal.
    pub problem: Option<String>,
}
