//! What is sent to the driver, by all who have something to say to the coordinator.
#![expect(clippy::disallowed_methods, reason = "says when something was sent")]

use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use crate::coordinator::event::Event;

/// Room in the mailbox, given back when what took it has been handled.
pub(crate) type Room = OwnedSemaphorePermit;

/// What arrives at the driver.
#[expect(clippy::large_enum_variant, reason = "all mail but the last is an event")]
pub(crate) enum Mail {
    /// Something happened, and was sent then. What somebody else sends takes room.
    Event(Event, Instant, Option<Room>),
    /// The server stops.
    Stop,
}

impl Mail {
    /// Something happens now.
    pub(crate) fn now(event: Event) -> Mail {
        Mail::Event(event, Instant::now(), None)
    }

    /// B says something now.
    pub(crate) fn of_b(event: Event, room: Option<Room>) -> Mail {
        Mail::Event(event, Instant::now(), room)
    }
}
