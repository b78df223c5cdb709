//! What the two servers say to each other.
//!
//! The same `Order` and `Report` serve A's own replica, which lives in the same process: to the
//! coordinator both sides look alike.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::change::{Operation, Outcome};
use crate::digest::{Digest, Mark};
use crate::entry::Entry;
use crate::merkle::{Level, Question};
use crate::path::RelPath;
use crate::problem::Problem;
use crate::time::Micros;
use crate::wire::trashed::{TrashFound, TrashName, TrashRow};

/// The version of the protocol; both ends must say the same.
pub const PROTOCOL_VERSION: u32 = 3;

/// The first message of either end of every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always `lab3`, so that another protocol is recognised at once.
    pub magic: String,
    /// [`PROTOCOL_VERSION`] of the speaker.
    pub version: u32,
    /// What the speaker is.
    pub role: Role,
    /// The replica that the speaker has, when it is a server.
    pub replica: Option<ReplicaId>,
    /// What the speaker can do beyond the minimum of this version.
    pub features: Vec<String>,
}

/// What one end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Server A.
    Coordinator,
    /// Server B.
    Agent,
    /// The one-shot client.
    Client,
}

/// The random identity of a replica, made when its directory is first taken into care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId(pub u128);

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The replica of B that an archive is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Which.
    pub id: ReplicaId,
    /// How often it was met: a replica that remembers fewer meetings is an old copy.
    pub met: u64,
}

/// The answer to a hello: welcome, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reception {
    /// The connection goes on.
    Welcome(Hello),
    /// The connection ends, with a reason for people.
    Refused(String),
}

/// Everything that travels between the servers after the hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// From the coordinator to a side.
    Order(Order),
    /// From a side to the coordinator.
    Report(Report),
    /// Either way: give me content.
    Ask(Ask),
    /// Either way: here it is.
    Give(Give),
    /// Sent when nothing else was for a while; answered by `Pong`.
    Ping,
    /// The answer to `Ping`.
    Pong,
}

/// Names one operation, barrier or question of the coordinator until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId(pub u64);

/// What the coordinator wants of a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Carry out an operation; answered by `Report::Outcome`.
    Commit {
        /// Its name.
        id: OrderId,
        /// What to do.
        operation: Operation,
        /// Where the content of `after` comes from.
        content: Content,
    },
    /// Say everything that is known; answered by `Report::Inventory`s, the last one marked.
    Inventory,
    /// Say everything that was done before now; then `Report::Settled`.
    Settle {
        /// Its name.
        id: OrderId,
    },
    /// Look again at a path and all below, or at everything.
    Rescan {
        /// Where; everything when absent.
        path: Option<RelPath>,
    },
    /// Make what is now at these paths durable, or that nothing is; answered by `Report::Synced`.
    Sync {
        /// Its name.
        id: OrderId,
        /// Where; everywhere when there is none.
        paths: Vec<RelPath>,
    },
    /// Go on after a halt: take the root as it is now.
    Approve,
    /// Remember, durably, that this was the meeting with this number; answered by `Report::Met`.
    Meet {
        /// The number.
        number: u64,
    },
    /// Say what is known of a directory, to be compared; answered by `Report::Compared`.
    Compare {
        /// Its name.
        id: OrderId,
        /// What is asked.
        question: Question,
    },
    /// Read all files again; answered by `Report::Reread`.
    Reread {
        /// Its name.
        id: OrderId,
    },
    /// Say what is in trash, at and below a path, the newest first; answered by `Report::Trash`s.
    ListTrash {
        /// Its name.
        id: OrderId,
        /// Where; everything when absent.
        below: Option<RelPath>,
    },
    /// Look closely at a version in trash; answered by `Report::TrashFound`.
    FindTrash {
        /// Its name.
        id: OrderId,
        /// Which version.
        name: TrashName,
    },
}

/// Where the content of a new or changed file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// There is none: a directory, a link, a deletion, metadata only.
    None,
    /// Here it is.
    Inline(ByteBuf),
    /// Ask the other end for it: it is the content of this path there.
    Pull(RelPath),
    /// It is the content of another path of the same replica.
    Local(RelPath),
    /// It is the content of a held edit. Only at A.
    Held(u64),
    /// It is in this side's trash, under the path and digest of `after`.
    Trash,
    /// It is this version in this side's trash.
    Trashed(TrashName),
}

/// What a side has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// A part of everything that is known; replaces what was said before.
    Inventory {
        /// The entries, in order.
        rows: Vec<(RelPath, Entry)>,
        /// The problems.
        problems: Vec<(RelPath, Problem)>,
        /// Whether it is the last part.
        last: bool,
    },
    /// Something was seen to be otherwise than was said before.
    Observed(Observation),
    /// What became of an operation.
    Outcome {
        /// Which.
        id: OrderId,
        /// What became of it.
        outcome: Outcome,
        /// How long that took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Spent>,
    },
    /// Everything before `Order::Settle` has been said.
    Settled {
        /// Which.
        id: OrderId,
    },
    /// The answer to `Order::Sync`.
    Synced {
        /// Which.
        id: OrderId,
        /// Whether all is durable.
        durable: bool,
    },
    /// The side's condition, whenever it changes.
    Condition(Condition),
    /// The answer to `Order::Meet`.
    Met {
        /// The number.
        number: u64,
    },
    /// The answer to `Order::Compare`.
    Compared {
        /// Which.
        id: OrderId,
        /// What is known.
        level: Level,
    },
    /// The answer to `Order::Reread`.
    Reread {
        /// Which.
        id: OrderId,
        /// How many files were read.
        read: u64,
        /// Files whose bytes are not what was written, and how, some of them.
        rotten: Vec<(RelPath, String)>,
    },
    /// A part of the answer to `Order::ListTrash`.
    Trash {
        /// Which.
        id: OrderId,
        /// The next rows, or why there are none.
        rows: Result<Vec<TrashRow>, String>,
        /// How many more there are that no part has, because they are too many.
        left_out: u64,
        /// Whether it is the last part.
        last: bool,
    },
    /// The answer to `Order::FindTrash`.
    TrashFound {
        /// Which.
        id: OrderId,
        /// The version, if it is there; or why that cannot be said.
        found: Result<Option<TrashFound>, String>,
    },
}

/// What a side saw of some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Directories that have another name now, from and to, with all that was told of what is in
    /// them. That comes first; what is otherwise in them since is told later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<(RelPath, RelPath)>,
    /// Paths and what is there now, parents before children.
    pub rows: Vec<Row>,
    /// Renames, from and to, that explain some of the rows.
    pub moved: Vec<(RelPath, RelPath)>,
    /// Files that were found under another name than at an earlier look, from and to. The names
    /// mean other files now; there is nothing to repeat by a rename.
    pub strayed: Vec<(RelPath, RelPath)>,
    /// Problems that came (`Some`) and went (`None`).
    pub problems: Vec<(RelPath, Option<Problem>)>,
    /// Whether the next observation belongs to the same look: nothing is decided before its end.
    pub more: bool,
}

/// A path and what is there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Where.
    pub path: RelPath,
    /// What.
    pub entry: Option<Entry>,
    /// The content, when it is a small file.
    pub content: Option<ByteBuf>,
    /// How long ago the first hint of it came, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Micros>,
}

/// How long a side took for an operation, phase by phase, on its own clock. One after the other
/// they are all of its time: from the arrival of the order until its outcome was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Until the content was there, verified and flushed, with all of its group.
    pub durable: Micros,
    /// Then, until it had its name.
    pub visible: Micros,
    /// Then, until that was flushed, too, and said.
    pub reported: Micros,
}

/// How a side does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Why nothing is taken from or brought to this side, when it is halted.
    pub halted: Option<String>,
    /// Directories with a watch.
    pub watched: u64,
    /// Directories without a watch that are looked at every ten seconds.
    pub polled: u64,
    /// Directories that are neither watched nor polled.
    pub unwatched: u64,
    /// What would let the polled directories be watched.
    pub watch_hint: Option<String>,
    /// Full scans that were made to find what watching missed.
    pub scrubs: u64,
    /// Changes that only a scrub found.
    pub scrub_found: u64,
    /// Abilities that the file system lacks.
    pub lacks: Vec<String>,
    /// Files that have another name outside the tree, some of them.
    pub linked_outside: Vec<RelPath>,
    /// Versions that could not be brought where they belong; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<String>,
}

/// Names a question for content until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AskId(pub u64);

/// A question for content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Its name.
    pub id: AskId,
    /// The file.
    pub path: RelPath,
    /// The version; another one is `Given::Gone`.
    pub digest: Digest,
    /// What of it.
    pub want: Want,
}

/// What is wanted of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// Its chunks: lengths and digests, and where it has holes.
    Recipe,
    /// Some of its bytes.
    Piece {
        /// From here.
        offset: u64,
        /// So many, at most [`crate::limits::PIECE_BYTES_MAX`].
        length: u32,
    },
}

/// An answer to [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Give {
    /// Which question.
    pub id: AskId,
    /// The answer.
    pub given: Given,
}

/// Content, or that it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Given {
    /// The chunks, in order, in parts that come as soon as they are known; `last` marks the end.
    Recipe {
        /// The next chunks.
        chunks: Vec<Chunk>,
        /// Whether that was the last part.
        last: bool,
    },
    /// The bytes that were asked for.
    Piece(ByteBuf),
    /// The same, as a block of LZ4.
    Packed {
        /// The block.
        bytes: ByteBuf,
        /// How many bytes come out of it.
        length: u32,
    },
    /// The file is no longer that version.
    Gone,
}

/// One chunk of a content, cut where the content says so. A recipe has very many, so on the wire it
/// is a pair without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, Option<Mark>)", into = "(u32, Option<Mark>)")]
pub struct Chunk {
    /// Its length in bytes.
    pub length: u32,
    /// What it is found by; `None` for a hole, which is all zero bytes.
    pub mark: Option<Mark>,
}

impl From<(u32, Option<Mark>)> for Chunk {
    fn from((length, mark): (u32, Option<Mark>)) -> Chunk {
        Chunk { length, mark }
    }
}

impl From<Chunk> for (u32, Option<Mark>) {
    fn from(chunk: Chunk) -> (u32, Option<Mark>) {
        (chunk.length, chunk.mark)
    }
}
