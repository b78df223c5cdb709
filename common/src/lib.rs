//! What the two servers and the client share.
//!
//! Read in this order: the model (what is true), `reconcile` (what to do about it), `delta` (less
//! to send), `wire` (how it is said), `replica` (one directory on disk), `store` (what is
//! remembered). The model, `reconcile`, `delta::{recipe, assemble}` and `wire::{frame, message}`
//! are pure: no disk, no socket, no clock, no thread. See `docs/architecture.md`.

pub mod limits;

pub mod change;
pub mod digest;
pub mod dirty;
pub mod entry;
pub mod merkle;
pub mod path;
pub mod problem;
pub mod side;
pub mod time;
pub mod tree;

pub mod delta;
pub mod exchange;
pub mod identity;
pub mod options;
pub mod reconcile;
pub mod replica;
pub mod stop;
pub mod store;
pub mod sys;
pub mod takeover;
pub mod talk;
pub mod wire;
