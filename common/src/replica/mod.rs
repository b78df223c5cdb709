//! One directory on disk: seeing what is there, giving content, carrying out changes.
//!
//! All access goes through [`root::Root`], an open handle on the directory, component by
//! component, so that no link and no `..` leads out of it. This code blocks, and runs on threads
//! of its own; it has no opinion: what to do is decided by the coordinator.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the disk, its threads and their mailboxes"
)]

mod ahead;
pub mod apply;
pub mod barrier;
pub mod begun;
mod beside;
mod burst;
pub mod claim;
mod clear;
#[cfg(test)]
mod clear_tests;
pub mod commit;
pub mod condition;
#[cfg(test)]
mod crash_tests;
pub mod disk;
mod displaced;
pub mod examine;
mod failpoint;
pub mod flush;
pub mod guard;
pub mod hashing;
pub mod heed;
mod hinted;
pub mod ignore;
pub mod intent;
pub mod kept;
pub mod known;
mod lanes;
pub mod life;
pub mod listing;
pub mod looks;
pub mod met;
pub mod metadata;
mod moved;
pub mod note;
pub mod observer;
pub mod observing;
pub mod place;
pub mod probe;
pub mod publish;
pub mod read;
mod rebuild;
mod receive;
pub mod recover;
mod remembered;
mod reread;
pub mod room;
pub mod root;
pub mod salvage;
mod saving;
pub mod scan;
pub mod service;
mod sift;
pub mod sight;
pub mod source;
pub mod stage;
pub mod stamp;
pub mod step;
pub mod supply;
pub mod trash;
mod unfold;
pub mod watch;
