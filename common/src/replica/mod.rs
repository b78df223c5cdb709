//! One directory on disk: seeing what is there, giving content, carrying out changes.
//!
//! All access goes through [`root::Root`], an open handle on the directory, component by
//! component, so that no link and no `..` leads out of it. This code blocks, and runs on threads
//! of its own; it has no opinion: what to do is decided by the coordinator.

mod apply;
pub mod aside;
pub mod claim;
pub mod commit;
#[cfg(test)]
mod crash_tests;
mod displaced;
pub mod examine;
mod failpoint;
pub mod intent;
pub mod known;
mod metadata;
pub mod note;
pub mod probe;
pub mod publish;
mod receive;
pub mod recover;
pub mod root;
pub mod source;
pub mod stage;
pub mod stamp;
pub mod step;
pub mod trash;
