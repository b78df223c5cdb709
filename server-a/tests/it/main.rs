//! What holds of server A's parts.

mod locks_model;
mod locks_overlap;
mod locks_state;
mod pending_crash;
mod pending_directory;
mod pending_problems;
mod pending_queue;
