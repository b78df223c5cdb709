//! The laws of server B as a program: who may come in, and how it ends.
//!
//! That they are here makes cargo build the program for every run of all tests, and those of other
//! packages run it, too.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod door;
