//! The real binary against a scripted server A over a real socket; and all three real programs
//! together, on real directories.

mod answers;
mod asking;
mod fake_a;
mod golden;
mod guards;
mod index;
mod listing;
mod locks;
mod matrix;
mod moves;
mod refusals;
mod server;
mod servers;
mod spelling;
mod system;
mod trees;
mod unreachable;
