//! What is sent to the driver, by all who have something to say to the coordinator.

use crate::coordinator::event::Event;

/// What arrives at the driver.
pub(crate) enum Mail {
    /// Something happened.
    Event(Event),
    /// The server stops.
    Stop,
}
