//! The laws of server B.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod agent;
mod door;
