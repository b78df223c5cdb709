//! Everything that needs a real disk or a real socket, in one binary.

mod replica_bench;
mod replica_commit;
mod replica_hostile;
mod replica_publish;
mod replica_race;
mod replica_root;
mod replica_stage;
