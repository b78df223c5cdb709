//! Edits of B that wait for an unlock.
//!
//! `queue` is the order in memory, pure; `directory` is the same on disk, one file per held edit.
//! The directory is the truth: the queue is rebuilt by listing it.

pub mod directory;
pub mod header;
pub mod queue;
