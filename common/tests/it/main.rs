//! The laws of the core and of a replica on a real disk, one module per subject.

mod delta_round_trip;
mod reconcile_cases;
mod reconcile_exhaustive;
mod reconcile_random;
mod world;
