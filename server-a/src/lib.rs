//! stub

pub mod locks;
pub mod pending;
