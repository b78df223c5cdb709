//! A connection on which a test says what it likes, after it has proved who it is, or without.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::entry::Entry;
use common::identity::Identity;
use common::path::RelPath;
use common::wire::cbor;
use common::wire::message::{
    Hello, Order, OrderId, PeerMessage, Reception, ReplicaId, Report, Role,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use serde::Serialize;

use crate::system::System;

/// A connection, encrypted, on which nothing is said by itself.
pub(crate) struct Raw(Session);

/// Its end: who dials, or who is dialled.
enum Session {
    Dialling(StreamOwned<ClientConnection, TcpStream>),
    Dialled(StreamOwned<ServerConnection, TcpStream>),
}

/// Somebody whom the servers of a system take for one of theirs when they dial.
pub(crate) struct Host(Identity);

impl Host {
    pub(crate) fn of(system: &System) -> Host {
        Host(system.identity())
    }

    /// Whoever dials next, welcomed with these words; `None` when it is nobody of ours.
    pub(crate) fn accept(&self, listener: &TcpListener, hello: &Hello) -> Option<Raw> {
        let (stream, _) = listener.accept().ok()?;
        let session = ServerConnection::new(self.0.dialled()).expect("a session");
        let mut raw = Raw(Session::Dialled(StreamOwned::new(session, timed(stream))));
        raw.hear::<Hello>()?;
        raw.say(&Reception::Welcome(hello.clone()));
        Some(raw)
    }
}

fn timed(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.set_nodelay(true).expect("an option");
    stream
}

impl Session {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Session::Dialling(stream) => stream.read(bytes),
            Session::Dialled(stream) => stream.read(bytes),
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        match self {
            Session::Dialling(stream) => stream.read_exact(bytes),
            Session::Dialled(stream) => stream.read_exact(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Session::Dialling(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Session::Dialled(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Says no more.
    fn close(&mut self) {
        let socket = match self {
            Session::Dialling(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                &stream.sock
            }
            Session::Dialled(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                &stream.sock
            }
        };
        let _ = socket.shutdown(std::net::Shutdown::Write);
    }
}

impl Raw {
    /// To a port of these servers, with their own identity.
    pub(crate) fn to(system: &System, port: u16) -> Raw {
        Raw::by(&system.identity(), port)
    }

    /// With any identity.
    pub(crate) fn by(identity: &Identity, port: u16) -> Raw {
        let stream = timed(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"));
        let nobody = ServerName::try_from("lab3").expect("a name");
        let session = ClientConnection::new(identity.dialling(), nobody).expect("a session");
        Raw(Session::Dialling(StreamOwned::new(session, stream)))
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

    /// Sends bytes; answers whether they left: the other end may have had enough already.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    pub(crate) fn frame(&mut self, body: &[u8]) -> bool {
        self.bytes(&[&(body.len() as u32).to_be_bytes(), body].concat())
    }

    pub(crate) fn say<T: Serialize>(&mut self, message: &T) -> bool {
        self.frame(&cbor::to_vec(message).expect("written"))
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
        self.0.close();
        let (mut rest, mut part) = (Vec::new(), [0; 4096]);
        // However it ends.
        while let Ok(count @ 1..) = self.0.read(&mut part) {
            rest.extend_from_slice(&part[..count]);
        }
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
