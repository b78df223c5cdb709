//! What is sent to the driver, by all who have something to say to the coordinator.
#![expect(clippy::disallowed_methods, reason = "says when something was sent")]

use std::time::Instant;

use crate::coordinator::event::Event;

/// What arrives at the driver.
pub(crate) enum Mail {
    /// Something happened, and was sent then.
    Event(Event, Instant),
    /// The server stops.
    Stop,
}

impl Mail {
    /// Something happens now.
    pub(crate) fn now(event: Event) -> Mail {
        Mail::Event(event, Instant::now())
    }
}
