//! One directory on disk: seeing what is there, giving content, carrying out changes.
//!
//! All access goes through [`root::Root`], an open handle on the directory, component by
//! component, so that no link and no `..` leads out of it. This code blocks, and runs on threads
//! of its own; it has no opinion: what to do is decided by the coordinator.

mod apply;
pub mod aside;
mod barrier;
pub mod claim;
pub mod commit;
mod condition;
mod displaced;
pub mod examine;
mod failpoint;
mod flush;
pub mod guard;
mod hashing;
mod heed;
pub mod ignore;
pub mod intent;
pub mod known;
pub mod listing;
mod metadata;
pub mod note;
pub mod observer;
mod observing;
pub mod probe;
pub mod publish;
pub mod read;
mod receive;
pub mod recover;
pub mod root;
pub mod scan;
mod sight;
pub mod source;
pub mod stage;
pub mod stamp;
pub mod step;
pub mod supply;
pub mod trash;
pub mod watch;
