//! The laws of the core, and of the shared parts on real files and sockets.

mod delta_round_trip;
mod observed;
mod observer_barrier;
mod observer_guard;
mod reconcile_cases;
mod reconcile_exhaustive;
mod reconcile_random;
mod scan_ignore;
mod scan_kinds;
mod scan_names;
mod store;
mod store_crash;
mod store_damage;
mod watch_directories;
mod watch_files;
mod watch_limits;
mod wire_connection;
mod wire_golden;
mod wire_handshake;
mod wire_samples;
mod world;
