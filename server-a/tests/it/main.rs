//! What holds of server A's parts.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod locks_model;
mod locks_overlap;
mod locks_state;
mod pending_crash;
mod pending_directory;
mod pending_problems;
mod pending_queue;
