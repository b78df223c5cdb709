//! Who speaks to whom, and in which words.
//!
//! Server A dials server B and says [`message::Order`]s; B answers with [`message::Report`]s.
//! Either may ask the other for content. A client dials server A and says one
//! [`client::Request`]. Every frame is a length and a CBOR value, see `docs/protocol.md`.

pub mod cbor;
pub mod client;
pub mod connection;
pub mod frame;
pub mod handshake;
pub mod lobby;
pub mod local;
pub mod log;
pub mod message;
pub mod parts;
mod piece;
mod round;
pub mod secure;
pub mod speech;
pub mod trashed;
pub mod verify;
