//! The laws of the core, and of the shared parts on real files and sockets.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod arrows;
mod coverage;
mod delta_round_trip;
mod dependencies;
mod disk;
mod disk_cases;
mod disk_commit;
mod disk_gone;
mod disk_unfold;
mod documents;
mod fuzz;
mod fuzz_programs;
mod fuzzing;
mod identity;
mod ignore_long;
mod merkle;
mod observed;
mod observer_barrier;
mod observer_carry;
mod observer_guard;
mod observer_hints;
mod reconcile_cases;
mod reconcile_exhaustive;
mod reconcile_random;
mod replica_bench;
mod replica_clear;
mod replica_commit;
mod replica_hostile;
mod replica_publish;
mod replica_race;
mod replica_room;
mod replica_root;
mod replica_salvage;
mod replica_stage;
mod scan_ignore;
mod scan_kinds;
mod scan_names;
mod secure;
mod store;
mod store_crash;
mod store_damage;
mod tidy;
mod wall;
mod watch_directories;
mod watch_files;
mod watch_limits;
mod wire_connection;
mod wire_golden;
mod wire_handshake;
mod wire_kept;
mod wire_samples;
mod wire_unread;
mod world;
