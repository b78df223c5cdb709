//! Everything that needs a real disk or a real socket, in one binary.

mod observed;
mod observer_barrier;
mod observer_guard;
mod replica_bench;
mod replica_commit;
mod replica_hostile;
mod replica_race;
mod replica_root;
mod replica_stage;
mod scan_ignore;
mod scan_kinds;
mod scan_names;
mod watch_directories;
mod watch_files;
mod watch_limits;
