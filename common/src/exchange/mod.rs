//! Content between the two servers: asked for by the end that receives it, piece by piece.
//!
//! The receiver pulls, so it is never sent more than it can write; it asks for what it lacks, so
//! an interrupted transfer goes on where it stopped and a changed file costs its changes. `asker`
//! sends questions and keeps what becomes of them, `giver` answers the other end's, `packing` makes
//! pieces smaller where the way is long, `remote` is a file of the other end as a
//! [`crate::replica::source::Source`].
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "threads that read, and questions on their way"
)]

pub mod asker;
pub mod giver;
pub mod packing;
pub mod remote;
