//! The laws of the client, and of the whole system with real processes on real trees.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod answers;
mod asking;
mod fake_a;
mod faults;
mod files;
mod golden;
mod guards;
mod hostile;
mod index;
mod listing;
mod locks;
mod matrix;
mod moves;
mod power;
mod power_acts;
mod power_again;
mod power_disk;
mod power_locks;
mod power_stop;
mod proxy;
mod readme;
mod real;
mod real_names;
mod real_sizes;
mod real_storms;
mod real_trees;
mod real_writers;
mod refusals;
mod roots;
mod roots_memory;
mod server;
mod servers;
mod spelling;
mod system;
mod trees;
mod unreachable;
