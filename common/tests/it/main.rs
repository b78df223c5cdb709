//! The laws of the core, and of the shared parts on real files and sockets.

mod delta_round_trip;
mod reconcile_cases;
mod reconcile_exhaustive;
mod reconcile_random;
mod store;
mod store_crash;
mod store_damage;
mod wire_connection;
mod wire_golden;
mod wire_handshake;
mod wire_samples;
mod world;
