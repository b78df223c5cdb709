//! What holds of server A's parts.

mod coordinator;
mod locked;
mod locks_overlap;
mod locks_state;
mod model;
mod pending_directory;
mod pending_problems;
mod pending_queue;
mod rest;
mod scale;
mod simulation;
mod users;
mod world;
