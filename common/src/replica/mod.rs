//! One directory on disk: seeing what is there, giving content, carrying out changes.
//!
//! All access goes through [`root::Root`], an open handle on the directory, component by
//! component, so that no link and no `..` leads out of it. This code blocks, and runs on threads
//! of its own; it has no opinion: what to do is decided by the coordinator.

mod barrier;
mod condition;
mod flush;
pub mod guard;
mod hashing;
pub mod ignore;
pub mod known;
pub mod listing;
pub mod observer;
mod observing;
pub mod read;
pub mod root;
pub mod scan;
mod sight;
pub mod stamp;
pub mod supply;
pub mod watch;
