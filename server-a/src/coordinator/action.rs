//! Everything that the coordinator can ask for.

use common::change::Operation;
use common::entry::Entry;
use common::path::RelPath;
use common::side::Side;
use common::time::Moment;
use common::wire::client::Answer;
use common::wire::client::kept::ResolvedRow;
use common::wire::log::{LogQuery, LogRow};
use common::wire::message::{Order, OrderId, Peer};

use crate::broken::Broken;
use crate::coordinator::event::{ClientId, SaveId};
use crate::locks::LockTable;
use crate::pending::queue::HeldEdit;
use crate::underway::Trail;

/// Something to be done. The shell carries it out without an opinion of its own.
#[derive(Clone, Debug)]
pub enum Action {
    /// Tell a side what to do.
    Order(Side, Order),
    /// Write down how far an order is, where a kill leaves it, before anything else.
    Trail(Trail),
    /// Fetch the content of a held edit from B and write it to the pending directory.
    Hold(HeldEdit),
    /// Remove a held edit from the pending directory.
    Discard {
        /// Which.
        seq: u64,
        /// Whether its content goes to trash. Otherwise it is in the tree.
        keep: bool,
        /// What it would have left, for the trash's label.
        edit: HeldEdit,
    },
    /// Make something durable; answered by `Event::Saved`.
    Save(SaveId, Batch),
    /// Say something to a client. Only the parts of a listing are followed by more.
    Answer(ClientId, Answer),
    /// Go on with B no more on this link; this is why.
    HangUp(String),
    /// Send `Event::Woke` then.
    WakeAt(Moment),
    /// Tell people.
    Note(Note),
    /// Write down what happened.
    Record(LogRow),
    /// Answer a client what happened.
    Recall(ClientId, LogQuery),
    /// Tell people what happened at these paths of late.
    Explain(Vec<RelPath>),
}

/// What is saved in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Rows of the archive.
    pub archive: Vec<ArchiveRow>,
    /// Whether the archive is emptied first.
    pub forget: bool,
    /// The locks, when they changed.
    pub locks: Option<LockTable>,
    /// The broken locks whose holders have not heard of it, when they changed.
    pub broken: Option<Broken>,
    /// The replica of B that the archive is about, when it changed.
    pub peer: Option<Peer>,
    /// Orders that are over when this is durable.
    pub over: Vec<Landed>,
}

/// An order that was carried out, and of which the store does not know yet.
#[derive(Clone, Debug)]
pub struct Landed {
    /// Its number.
    pub id: OrderId,
    /// What the store must know of.
    pub at: Vec<RelPath>,
}

/// A row of the archive to be saved.
#[derive(Clone, Debug)]
pub struct ArchiveRow {
    /// Where.
    pub path: RelPath,
    /// What both sides agreed on.
    pub entry: Option<Entry>,
    /// The side whose user wrote it, and whose file must be made durable first; `None` when both
    /// sides had it already, and both must.
    pub source: Option<Side>,
}

/// A line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An operation was carried out at a side.
    Done(Side, Operation),
    /// Two versions met; the loser was kept beside.
    Conflict {
        /// The name they both had.
        path: RelPath,
        /// The side whose version lost the name.
        loser: Side,
        /// Where it is now.
        copy: RelPath,
    },
    /// An edit of B is held.
    Held(RelPath, u64),
    /// A held edit was applied.
    Drained(RelPath, u64),
    /// A held edit went to trash.
    DiscardedHeld(RelPath, u64),
    /// Locked.
    Locked(RelPath, String),
    /// Unlocked; by force when another held it.
    Unlocked {
        /// The path of the lock.
        path: RelPath,
        /// Who had it.
        holder: String,
        /// Who broke it, if it was not the holder.
        forced_by: Option<String>,
    },
    /// A lock's time was over.
    Expired(RelPath, String),
    /// B is there.
    Connected,
    /// B is away.
    Away(String),
    /// Something waits.
    Waits(RelPath, String),
    /// Nothing moves until somebody looks.
    Halted(String),
    /// Things move again.
    Resumed,
    /// Both sides are equal but for what is withheld.
    Settled {
        /// How many paths both sides have.
        agreed: usize,
        /// How many wait.
        waiting: usize,
    },
    /// All trees were compared.
    Checked {
        /// What was found.
        found: String,
        /// Whether they are the same.
        identical: bool,
    },
    /// The trees differ at a path, and nothing explains it.
    Differs {
        /// Where.
        path: RelPath,
        /// What stands where.
        detail: String,
    },
    /// A version in trash was brought back at a side.
    Restored(Side, RelPath),
    /// A conflict copy was settled.
    Resolved(ResolvedRow),
}
