//! What a client says to server A, and what it hears.
//!
//! One request a connection. The answer is one [`Answer`], but for what may be long, which comes in
//! parts so that neither end ever holds it whole in one message.

pub mod kept;
pub mod timed;

use serde::{Deserialize, Serialize};

use self::kept::{ConflictPart, Resolve, Resolved, Restore, Restored, TrashPart};
use self::timed::{Speed, Trace};
use crate::entry::Kind;
use crate::path::RelPath;
use crate::side::Side;
use crate::time::Timestamp;
use crate::wire::log::{LogPart, LogQuery};
use crate::wire::message::Condition;
use crate::wire::verify::{LastCheck, Verified};

/// A moment in the life of server A, to which a printed listing belongs.
///
/// `epoch` changes whenever A starts; `number` grows with everything that A learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Which run of server A.
    pub epoch: u64,
    /// How far in it.
    pub number: u64,
}

/// A file that a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// By name.
    Path(RelPath),
    /// The file that had this name when it was shown in a listing of that generation. A file that
    /// has since moved to another name is not that file, even when a newcomer has its old one.
    Shown {
        /// The name that was shown.
        path: RelPath,
        /// The listing.
        generation: Generation,
    },
}

/// A question or a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The merged listing: answered by `Answer::Listing`s.
    List,
    /// Lock a file or a directory.
    Lock {
        /// Which.
        target: Target,
        /// Who. Never travels: server A knows who is there.
        #[serde(skip)]
        holder: String,
        /// Why, for others to read.
        comment: Option<String>,
        /// For how long, in seconds; for ever when absent.
        ttl_s: Option<u64>,
    },
    /// Unlock, and drain what was held.
    Unlock {
        /// Which.
        target: Target,
        /// Who. Never travels: server A knows who is there.
        #[serde(skip)]
        holder: String,
        /// Also when another holds it.
        force: bool,
        /// What becomes of the held edits.
        mode: DrainMode,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// All locks.
    Locks,
    /// The held edits, of all or of one path and below.
    Held {
        /// Of which.
        target: Option<Target>,
    },
    /// How the system does, or how one path does.
    Status {
        /// Which path.
        path: Option<RelPath>,
    },
    /// Answer when everything done before now is on both sides.
    Wait {
        /// But not later than this, in milliseconds.
        timeout_ms: u64,
    },
    /// Go on after a halt, taking what was found as meant.
    Approve,
    /// Go on after a halt, restoring from the other side.
    Reject,
    /// Scan everything now.
    Scrub,
    /// Compare the two trees.
    Verify {
        /// But not longer than this, in milliseconds.
        timeout_ms: u64,
        /// Whether all files are read first.
        deep: bool,
    },
    /// What happened.
    Log(LogQuery),
    /// What both sides have in trash, at and below a path: answered by `Answer::Trash`es.
    Trash {
        /// Where; everything when absent.
        below: Option<RelPath>,
    },
    /// Bring a version in trash back.
    Restore(Restore),
    /// The conflict copies: answered by `Answer::Conflicts`.
    Conflicts,
    /// Say what becomes of conflict copies: answered by `Answer::Resolved`s.
    Resolve(Resolve),
}

impl Request {
    /// Server A writes in who asks, as the connection proved.
    pub fn asked_by(&mut self, who: &str) {
        if let Request::Lock { holder, .. } | Request::Unlock { holder, .. } = self {
            who.clone_into(holder);
        }
    }
}

/// What becomes of the held edits at an unlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainMode {
    /// Applied in order; an A version edited meanwhile is kept beside.
    #[default]
    Apply,
    /// A's version keeps the name; the last held version is set aside.
    KeepA,
    /// The held edits go to trash; A's version goes to B.
    Discard,
}

/// What server A answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A part of the listing, in order.
    Listing(ListingPart),
    /// The lock is held and durable.
    Locked(LockRow),
    /// The unlock is done, or what it would do.
    Unlocked(Receipt),
    /// All locks.
    Locks(Vec<LockRow>),
    /// Held edits, in order.
    Held(Vec<HeldRow>),
    /// How the system does.
    Status(Box<Status>),
    /// How one path does.
    PathStatus(PathStatus),
    /// The end of a wait.
    Waited(Waited),
    /// Done, with a line for people.
    Done(String),
    /// Not done.
    Refused(Refusal),
    /// What a check found.
    Verified(Box<Verified>),
    /// What happened.
    Log(LogPart),
    /// A part of what is in trash.
    Trash(TrashPart),
    /// A version in trash is in the tree again.
    Restored(Restored),
    /// A part of the conflict copies.
    Conflicts(ConflictPart),
    /// A part of what became of conflict copies.
    Resolved(Resolved),
    /// Locks of the one who asks that another broke; comes before the answer, and only to who said
    /// in its hello who asks.
    Broken(Vec<BrokenRow>),
}

impl Answer {
    /// Whether another answer to the same request follows.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        match self {
            Answer::Listing(part) => !part.last,
            Answer::Trash(part) => !part.last,
            Answer::Conflicts(part) => !part.last,
            Answer::Resolved(part) => !part.last,
            _ => false,
        }
    }
}

/// A part of the listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingPart {
    /// To which moment it belongs.
    pub generation: Generation,
    /// B's link.
    pub b: Link,
    /// The next rows.
    pub rows: Vec<ListingRow>,
    /// Whether it is the last part.
    pub last: bool,
}

/// The link to B.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// B is there.
    Connected,
    /// B is away, since when and why.
    Away {
        /// Since when; absent when it was never there.
        since: Option<Timestamp>,
        /// The last reason.
        reason: String,
    },
}

/// A file or link in the listing; its index is its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingRow {
    /// Its path.
    pub path: RelPath,
    /// File or link.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified.
    pub modified: Timestamp,
    /// How the two sides stand.
    pub state: State,
    /// The lock that covers it.
    pub lock: Option<LockRow>,
    /// How many edits are held.
    pub held: u64,
}

/// How the two sides stand at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Equal on both sides.
    Agreed,
    /// Only at A.
    OnlyA,
    /// Only at B.
    OnlyB,
    /// Different; on its way, or withheld.
    Differs,
    /// B's edits are held.
    Held,
    /// It cannot be read on one side.
    Problem,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// Its number.
    pub id: u64,
    /// What it covers: this path and all below.
    pub path: RelPath,
    /// Who holds it.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub comment: Option<String>,
    /// Until when, if not for ever.
    pub expires: Option<Timestamp>,
    /// How many edits are held under it.
    pub held: u64,
    /// Whether it is being drained.
    pub draining: bool,
}

/// A lock that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRow {
    /// Its path.
    pub path: RelPath,
    /// Who broke it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A held edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRow {
    /// Its place in the queue.
    pub seq: u64,
    /// Its path.
    pub path: RelPath,
    /// What it does.
    pub op: HeldOp,
    /// The size that it leaves, in bytes.
    pub size: u64,
    /// When it arrived at A.
    pub time: Timestamp,
}

/// What a held edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOp {
    /// Something appears.
    Create,
    /// Content changes.
    Write,
    /// Only metadata changes.
    Metadata,
    /// Another kind of entry takes the name.
    Replace,
    /// It disappears.
    Delete,
}

/// What an unlock did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The path of the lock.
    pub path: RelPath,
    /// Whether nothing was done: what would be.
    pub dry_run: bool,
    /// How the held edits were treated.
    pub mode: DrainMode,
    /// The edits, in the order in which they were applied.
    pub applied: Vec<HeldRow>,
    /// Edits that were not applied but kept in trash.
    pub discarded: u64,
    /// Versions that were kept beside.
    pub conflicts: Vec<RelPath>,
    /// Whether both sides now have the same at the path and below.
    pub agreed: bool,
    /// What still waits, and why.
    pub waiting: Vec<WaitingRow>,
}

/// Something that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRow {
    /// Which path.
    pub path: RelPath,
    /// At which side something is to be done; absent when both wait.
    pub side: Option<Side>,
    /// Why it waits.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again, if at a certain time.
    pub next_try: Option<Timestamp>,
}

/// A problem, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemRow {
    /// Which path.
    pub path: RelPath,
    /// At which side.
    pub side: Side,
    /// What.
    pub detail: String,
}

/// How the system does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of server A.
    pub version: String,
    /// Why nothing moves, if it does not.
    pub halted: Option<String>,
    /// B's link.
    pub b: Link,
    /// A's replica.
    pub side_a: Condition,
    /// B's replica, as it last said.
    pub side_b: Condition,
    /// Paths known at A and B.
    pub known: (u64, u64),
    /// Paths that both sides agreed on.
    pub agreed: u64,
    /// Changes under way.
    pub in_flight: u64,
    /// How many paths wait.
    pub waiting_count: u64,
    /// Some of them.
    pub waiting: Vec<WaitingRow>,
    /// How many problems there are.
    pub problem_count: u64,
    /// Some of them.
    pub problems: Vec<ProblemRow>,
    /// How many locks there are.
    pub locks: u64,
    /// How many edits are held, and their bytes.
    pub held: (u64, u64),
    /// The last check of the two trees.
    #[serde(default)]
    pub checked: Option<LastCheck>,
    /// What is wrong with the journal.
    #[serde(default)]
    pub journal: Option<String>,
    /// How fast edits travel, each way.
    #[serde(default)]
    pub speed: Vec<Speed>,
}

/// How one path does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// Which path.
    pub path: RelPath,
    /// What stands at A, B and in the archive, in words.
    pub at: [String; 3],
    /// How the two sides stand.
    pub state: Option<State>,
    /// The lock that covers it.
    pub lock: Option<LockRow>,
    /// How many edits are held.
    pub held: u64,
    /// Why it waits, at and below the path.
    pub waiting: Vec<WaitingRow>,
    /// Problems at, above and below it.
    pub problems: Vec<ProblemRow>,
    /// How its last edit travelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_edit: Option<Box<Trace>>,
}

/// The end of a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waited {
    /// Everything done before the call is on both sides.
    Done,
    /// Some things are withheld, or the time is over.
    Waiting {
        /// Whether the time was over.
        timed_out: bool,
        /// Why, if one reason holds for all: B is away, a side is halted.
        reason: Option<String>,
        /// What waits, some of it.
        waiting: Vec<WaitingRow>,
    },
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which sort of refusal.
    pub kind: RefusalKind,
    /// In words: what and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The sorts of refusals; each has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// No such file, nothing locked there, a stale index.
    Refused,
    /// Another holds the lock.
    LockedByAnother,
    /// It could not be done in time; what is left goes on by itself.
    StillWaiting,
}
