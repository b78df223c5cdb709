//! Tests of the shared library against real files and real sockets.

mod wire_connection;
mod wire_golden;
mod wire_handshake;
mod wire_samples;
