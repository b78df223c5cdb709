//! The real binary against a scripted server A over a real socket.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod answers;
mod fake_a;
mod golden;
mod index;
mod listing;
mod readme;
mod spelling;
mod unreachable;
