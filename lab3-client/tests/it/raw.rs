//! A connection on which a test says what it likes, after it has proved who it is, or without.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use common::identity::Identity;
use common::wire::cbor;
use common::wire::message::{
    Hello, Order, OrderId, PeerMessage, Reception, ReplicaId, Report, Role,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde::Serialize;

use crate::system::System;

/// A connection, encrypted, on which nothing is said by itself.
pub(crate) struct Raw(StreamOwned<ClientConnection, TcpStream>);

impl Raw {
    /// To a port of these servers, with their own identity.
    pub(crate) fn to(system: &System, port: u16) -> Raw {
        Raw::by(&system.identity(), port)
    }

    /// With any identity.
    pub(crate) fn by(identity: &Identity, port: u16) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        stream.set_nodelay(true).expect("an option");
        let nobody = ServerName::try_from("lab3").expect("a name");
        let session = ClientConnection::new(identity.dialling(), nobody).expect("a session");
        Raw(StreamOwned::new(session, stream))
    }

    /// Connected and welcome.
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

    /// Why a hello is refused.
    pub(crate) fn refused(mut self, hello: &Hello) -> String {
        self.say(hello);
        match self.hear::<Reception>() {
            Some(Reception::Refused(why)) => why,
            other => panic!("{hello:?}: {other:?}"),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // The other end may have had enough already.
        let _ = self.0.write_all(bytes);
    }

    pub(crate) fn frame(&mut self, body: &[u8]) {
        self.bytes(&[&(body.len() as u32).to_be_bytes(), body].concat());
    }

    pub(crate) fn say<T: Serialize>(&mut self, message: &T) {
        self.frame(&cbor::to_vec(message).expect("written"));
    }

    pub(crate) fn hear<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).ok()?;
        Some(cbor::from_slice(&body).expect("a message"))
    }

    /// Says no more, and hears what the other end still says.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
        let _ = self.0.sock.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        // However it ends.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }

    /// Whether the other end closes the connection.
    pub(crate) fn dropped(mut self) -> bool {
        use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
        let mut rest = [0; 4096];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return matches!(error.kind(), ConnectionReset | UnexpectedEof),
            }
        }
    }

    /// What becomes of an operation.
    pub(crate) fn outcome(&mut self, of: u64) -> Option<common::change::Outcome> {
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
