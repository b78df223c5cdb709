//! Everything that can happen to the coordinator.

use common::path::RelPath;
use common::side::Side;
use common::time::{Moment, Timestamp};
use common::wire::client::Request;
use common::wire::message::{ReplicaId, Report};

/// The time at which an event is handled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// For deadlines: a clock that only runs forward.
    pub moment: Moment,
    /// For records that people read, and for locks that expire.
    pub wall: Timestamp,
}

/// Names a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// Names a save until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SaveId(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A side said something.
    Reported(Side, Report),
    /// The link to B stands. Says which replica it is, how many meetings it remembers, and which
    /// run of it this is, if it says so.
    PeerUp(ReplicaId, Option<u64>, Option<u64>),
    /// The link to B is lost, or was not to be had.
    PeerDown(String),
    /// A save is durable, or why it is not.
    Saved(SaveId, Result<(), String>),
    /// These paths could not be made durable at their source; they are agreed on again later.
    NotDurable(Vec<RelPath>),
    /// A held edit is in the pending directory, or why not.
    Held(u64, Result<(), HoldFailure>),
    /// A held edit is no longer in the pending directory, or why it still is.
    Discarded(u64, Result<(), String>),
    /// Who a client says it is, before it asks.
    Greeted(ClientId, String),
    /// A client asks.
    Asked(ClientId, Request),
    /// A client took a part of the listing and wants the next.
    More(ClientId),
    /// A client went away.
    ClientGone(ClientId),
    /// The time that was asked for has come.
    Woke,
    /// What is wrong with the journal, or that nothing is any more.
    JournalIs(Option<String>),
}

/// Why an edit could not be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldFailure {
    /// B's file has moved on; the newer version is on its way.
    Gone,
    /// The link to B was lost.
    Lost,
    /// The pending directory refused it.
    Refused(String),
}
