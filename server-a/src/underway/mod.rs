//! What was ordered of a side and is not in the store yet. Pure; `file` keeps it through a kill.
//!
//! Between the moment in which a side carries an order out and the one in which the store knows of
//! it, a server that is killed forgets that both sides had agreed. If the user who wrote that
//! version first does something else meanwhile, his other deed would look like one of two: a copy
//! too many, or a name that comes back. So each order that repeats at one side what the other side
//! has is noted before it goes out, when it is done, and when it is over.

pub mod file;

use std::collections::BTreeMap;

use common::change::{Operation, Witness};
use common::entry::Entry;
use common::path::RelPath;
use common::side::Side;
use common::wire::message::OrderId;
use serde::{Deserialize, Serialize};

/// An order that repeats at a side what the other one has, or had when it was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Its number.
    pub id: OrderId,
    /// Who is to carry it out.
    pub side: Side,
    /// Which run of B there was, if it said so.
    pub run: Option<u64>,
    /// What.
    pub operation: Operation,
    /// What B had and where, when this applies a held edit of it: both may differ at A.
    pub held: Option<(RelPath, Option<Entry>)>,
}

/// A step on the way of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trail {
    /// It goes out.
    Ordered(Box<Ordered>),
    /// These are about to take effect at A, and by these it is known after a kill which did.
    Begun(Vec<(OrderId, Witness)>),
    /// It did not take effect, and its witness goes.
    Missed(OrderId),
    /// It was carried out: both sides had the same. At A it is noted when it takes effect, at B
    /// when A hears of it.
    Done(OrderId),
    /// These need no memory any more: the store knows, or there is nothing to know.
    Over(Vec<OrderId>),
}

/// An order of which the store does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What was ordered.
    pub ordered: Ordered,
    /// Whether it is known to have been carried out.
    pub done: bool,
    /// What tells whether it took effect, when it has begun.
    pub begun: Option<Witness>,
}

/// The orders that are not over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Underway {
    open: BTreeMap<OrderId, Open>,
}

impl Underway {
    /// Takes a step over.
    pub fn note(&mut self, trail: Trail) {
        match trail {
            Trail::Ordered(ordered) => {
                self.open.insert(ordered.id, Open { ordered: *ordered, done: false, begun: None });
            }
            Trail::Begun(begun) => {
                for (id, witness) in begun {
                    self.set_begun(id, Some(witness));
                }
            }
            Trail::Missed(id) => self.set_begun(id, None),
            Trail::Done(id) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.done = true;
                }
            }
            Trail::Over(ids) => ids.iter().for_each(|id| drop(self.open.remove(id))),
        }
    }

    fn set_begun(&mut self, id: OrderId, witness: Option<Witness>) {
        if let Some(open) = self.open.get_mut(&id) {
            open.begun = witness;
        }
    }

    /// Who had begun what is open is gone: it took effect, or it did not.
    pub fn decide(&mut self, took_effect: impl Fn(&Operation, &Witness) -> bool) {
        for open in self.open.values_mut() {
            if let Some(witness) = open.begun.take() {
                open.done = open.done || took_effect(&open.ordered.operation, &witness);
            }
        }
    }

    /// What of a step is news about something that is open.
    #[must_use]
    pub fn news(&self, trail: Trail) -> Option<Trail> {
        match trail {
            Trail::Begun(mut begun) => {
                begun.retain(|(id, _)| self.is_unknown(*id));
                (!begun.is_empty()).then_some(Trail::Begun(begun))
            }
            Trail::Done(id) | Trail::Missed(id) if !self.is_unknown(id) => None,
            trail => Some(trail),
        }
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether this order is open and not known to have been carried out.
    #[must_use]
    pub fn is_unknown(&self, id: OrderId) -> bool {
        self.open.get(&id).is_some_and(|open| !open.done)
    }

    /// The highest number; none that is given later may be lower.
    #[must_use]
    pub fn last(&self) -> Option<OrderId> {
        self.open.keys().next_back().copied()
    }

    /// The open orders, as they went out.
    pub fn iter(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// The steps that lead here.
    pub fn trails(&self) -> impl Iterator<Item = Trail> {
        self.iter().flat_map(|open| {
            let id = open.ordered.id;
            let begun = open.begun.clone().map(|witness| Trail::Begun(vec![(id, witness)]));
            let done = open.done.then_some(Trail::Done(id));
            let ordered = Trail::Ordered(Box::new(open.ordered.clone()));
            std::iter::once(ordered).chain(begun).chain(done)
        })
    }
}
