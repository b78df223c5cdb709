//! What a client hears of how fast edits travel: spreads of all, and the trace of one.
//!
//! No part is a difference of two clocks: each was measured at one side, on a clock that only runs
//! forward, and the way over the link is half of a round that A measured.

use serde::{Deserialize, Serialize};

use crate::side::Side;
use crate::time::{Micros, Timestamp};

/// The parts of the time of an edit, one after the other, but for the last: each is named after
/// what it ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages<T> {
    /// From the first hint of it, until its side had looked, and told.
    pub told: T,
    /// Over the link, once: half of there and back.
    pub link: T,
    /// From when A heard of it, until it gave the order.
    pub ordered: T,
    /// From the arrival of the order, until the content was there, verified and flushed.
    pub durable: T,
    /// Until it had its name.
    pub visible: T,
    /// Until A heard of that.
    pub reported: T,
}

impl<T> Stages<T> {
    /// The parts, in order, with their names.
    pub fn named(&self) -> [(&'static str, &T); 6] {
        let Stages { told, link, ordered, durable, visible, reported } = self;
        [
            ("told", told),
            ("link", link),
            ("ordered", ordered),
            ("durable", durable),
            ("visible", visible),
            ("reported", reported),
        ]
    }
}

impl Stages<Micros> {
    /// From the first hint until the edit had its name at the other side.
    #[must_use]
    pub fn until_visible(&self) -> Micros {
        self.named().into_iter().take(5).map(|(_, part)| *part).sum()
    }

    /// From the first hint until A heard that it had.
    #[must_use]
    pub fn until_reported(&self) -> Micros {
        self.named().into_iter().map(|(_, part)| *part).sum()
    }
}

/// How many durations there were, and how they were spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Half of them are not above it.
    pub p50: Micros,
    /// Of twenty, nineteen are not above it.
    pub p95: Micros,
    /// Of a hundred, ninety-nine are not above it.
    pub p99: Micros,
    /// The longest.
    pub max: Micros,
}

/// How fast the edits of one side reached the other, since A started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    /// Whose user made them.
    pub from: Side,
    /// Part by part.
    pub stages: Stages<Spread>,
    /// From when A heard that it was done, until it was saved in the archive.
    pub agreed: Spread,
    /// From the first hint until it had its name: the sum of its parts.
    pub seen_to_visible: Spread,
    /// From the first hint until it was saved in the archive.
    pub seen_to_agreed: Spread,
}

/// How the last edit of a path travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Whose user made it.
    pub from: Side,
    /// When A heard of it.
    pub time: Timestamp,
    /// Part by part.
    pub stages: Stages<Micros>,
    /// From when A heard that it was done, until it was saved in the archive, if it was yet.
    pub agreed: Option<Micros>,
}

impl Trace {
    /// From the first hint until it was saved in the archive, if it was yet.
    #[must_use]
    pub fn until_agreed(&self) -> Option<Micros> {
        self.agreed.map(|agreed| [self.stages.until_reported(), agreed].into_iter().sum())
    }
}
