//! The laws of the client, and of the whole system with real processes on real trees.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod answers;
mod asking;
mod errors;
mod errors_real;
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
mod proxy;
mod readme;
mod real;
mod real_names;
mod real_sizes;
mod real_storms;
mod real_trees;
mod real_writers;
mod refusals;
mod server;
mod servers;
mod spelling;
mod sweep;
mod sweep_laws;
mod sweep_reader;
mod sweep_round;
mod sweep_scenarios;
mod sweep_strace;
mod system;
mod trees;
mod unreachable;
