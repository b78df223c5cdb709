//! Server A: it watches its directory, decides for both sides, and serves the clients.
//!
//! Pure: `coordinator`, `locks`, `pending::queue`. The rest is the shell that carries out what
//! they decide. See `docs/architecture.md`.

pub mod coordinator;
pub mod locks;
pub mod pending;
