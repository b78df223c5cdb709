//! A connection that says whatever a test wants, be it a message, a frame or bytes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::change::Outcome;
use common::entry::Entry;
use common::path::RelPath;
use common::wire::cbor;
use common::wire::message::{
    Hello, Order, OrderId, PeerMessage, Reception, ReplicaId, Report, Role,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::system::System;

/// A raw connection.
pub(crate) struct Raw(TcpStream);

/// Whom the servers of a system take for one of theirs when they connect.
pub(crate) struct Host;

impl Host {
    pub(crate) fn of(_system: &System) -> Host {
        Host
    }

    /// Whoever connects next, welcomed with these words; `None` when it is nobody of ours.
    pub(crate) fn accept(&self, listener: &TcpListener, hello: &Hello) -> Option<Raw> {
        let (stream, _) = listener.accept().ok()?;
        let mut raw = Raw::over(stream);
        raw.hear::<Hello>()?;
        raw.say(&Reception::Welcome(hello.clone()));
        Some(raw)
    }
}

impl Raw {
    /// To a port of these servers; nothing was said yet.
    pub(crate) fn to(_system: &System, port: u16) -> Raw {
        Raw::over(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"))
    }

    /// Connected, and welcome as what it says to be.
    pub(crate) fn welcome(system: &System, port: u16, role: Role) -> Raw {
        let mut raw = Raw::to(system, port);
        raw.say(&Hello::new(role, (role == Role::Coordinator).then_some(ReplicaId(7))));
        match raw.hear::<Reception>() {
            Some(Reception::Welcome(_)) => {
                if role == Role::Coordinator {
                    // Nobody is told anything before he asks what there is.
                    raw.say(&PeerMessage::Order(Order::Inventory));
                }
                raw
            }
            other => panic!("{other:?}"),
        }
    }

    fn over(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a limit");
        Raw(stream)
    }

    /// Sends bytes; answers whether they left.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> bool {
        // The other end may have had enough already.
        self.0.write_all(bytes).is_ok()
    }

    /// Sends a frame with this body.
    pub(crate) fn frame(&mut self, body: &[u8]) -> bool {
        self.bytes(&[&(body.len() as u32).to_be_bytes(), body].concat())
    }

    /// Sends a message.
    pub(crate) fn say<T: Serialize>(&mut self, message: &T) -> bool {
        self.frame(&cbor::to_vec(message).expect("written"))
    }

    /// The next message; `None` when there is none.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).ok()?;
        Some(cbor::from_slice(&body).expect("a message"))
    }

    /// Whether the other end closes the connection.
    pub(crate) fn dropped(mut self) -> bool {
        let mut rest = [0; 4096];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// All that a server B has, after it was asked.
    pub(crate) fn inventory(&mut self) -> Vec<(RelPath, Entry)> {
        let mut all = Vec::new();
        loop {
            if let PeerMessage::Report(Report::Inventory { rows, last, .. }) =
                self.hear().expect("an inventory")
            {
                all.extend(rows);
                if last {
                    return all;
                }
            }
        }
    }

    /// What becomes of an operation; `None` when the connection ends before.
    pub(crate) fn outcome(&mut self, of: u64) -> Option<Outcome> {
        loop {
            if let PeerMessage::Report(Report::Outcome { id: OrderId(id), outcome, .. }) =
                self.hear()?
                && id == of
            {
                return Some(outcome);
            }
        }
    }
}
