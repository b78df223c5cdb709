//! What holds of the shared parts on real files and sockets.

mod store;
mod store_crash;
mod store_damage;
