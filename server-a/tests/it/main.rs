//! The laws of server A: its coordinator, its locks, its pending directory.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod arrival;
mod bounds;
mod broken_links;
mod checks;
mod clearing;
mod coordinator;
mod deep;
mod deep_gap;
mod deep_looks;
mod deep_shell;
mod deep_simulation;
#[path = "../../../common/tests/it/disk/mod.rs"]
mod disk;
mod durable;
mod fire_steps;
mod following;
mod fuzz;
#[path = "../../../common/tests/it/fuzzing.rs"]
#[allow(dead_code, reason = "not all targets need all of it")]
mod fuzzing;
mod journal;
mod kept;
mod kept_simulation;
mod lies;
mod locked;
mod locks_model;
mod locks_overlap;
mod locks_state;
mod model;
mod own_simulation;
mod pending_crash;
mod pending_directory;
mod pending_problems;
mod pending_queue;
mod rest;
mod scale;
mod simulation;
mod timing;
mod trash_model;
mod underway;
mod users;
mod world;
