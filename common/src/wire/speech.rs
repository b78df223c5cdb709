//! What can travel on a link: how it is read, and which of it is the heartbeat.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::cbor::{self, CborError};
use crate::wire::client::{Answer, Request};
use crate::wire::message::PeerMessage;
use crate::wire::piece;

/// Whether a message belongs to the heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It is an ordinary message.
    None,
    /// It asks for a sign of life.
    Ping,
    /// It is one.
    Pong,
}

/// What can travel on a link.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The message that asks for a sign of life; `None` where silence is in order.
    fn ping() -> Option<Self> {
        None
    }

    /// The answer to it.
    fn pong() -> Option<Self> {
        None
    }

    /// Whether this is one of them.
    fn pulse(&self) -> Pulse {
        Pulse::None
    }

    /// Reads a message.
    fn read(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::from_slice(bytes)
    }
}

impl Message for PeerMessage {
    fn ping() -> Option<Self> {
        Some(PeerMessage::Ping)
    }

    fn pong() -> Option<Self> {
        Some(PeerMessage::Pong)
    }

    fn pulse(&self) -> Pulse {
        match self {
            PeerMessage::Ping => Pulse::Ping,
            PeerMessage::Pong => Pulse::Pong,
            _ => Pulse::None,
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, CborError> {
        // Most of what travels is content, which is copied once that way.
        piece::read(bytes)
            .map_or_else(|| cbor::from_slice(bytes), |give| Ok(PeerMessage::Give(give)))
    }
}

impl Message for Request {}
impl Message for Answer {}
