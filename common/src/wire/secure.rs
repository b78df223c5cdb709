//! Connections that have proved who is at the other end: TLS over TCP, or a socket of this machine.
//!
//! There is no connection between our programs without such a proof. The handshake of TLS takes
//! any key; who has it is looked up before a hello is heard, or said, so that a stranger hears
//! nothing but that he is one. One deadline covers connecting, TLS and both hellos. `tokio-rustls`
//! stops here.
#![expect(clippy::disallowed_methods, reason = "sockets have deadlines")]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::identity::Identity;
use crate::identity::id::Id;
use crate::identity::proof::proven;
use crate::identity::trusted::{Grant, Standing};
use crate::wire::connection::{Connection, LinkError};
use crate::wire::handshake::{SHOWN_BYTES_MAX, foreign, hear, refuse, say};
use crate::wire::lobby::Guest;
use crate::wire::message::Hello;

/// What is encrypted at once and not yet taken by the kernel, in bytes: a whole write of a link.
const SEALED_BYTES_MAX: usize = 256 * 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 32 * 1024;
/// How often it is looked up whether somebody who is connected is still trusted.
const DOUBT: Duration = Duration::from_secs(1);

/// A way to somebody who has proved who he is.
#[derive(Debug)]
pub enum Channel {
    /// Over the network: encrypted.
    Secure(Box<TlsStream<Heard>>),
    /// Within this machine, between processes of one user.
    Local(UnixStream),
}

/// Connects, looks who is there, and says hello; answers the other end's hello and id, too.
pub async fn dial(
    address: impl ToSocketAddrs,
    identity: &Identity,
    hello: &Hello,
    within: Duration,
) -> Result<(Connection<Channel>, Hello, Id), LinkError> {
    let dial = async {
        let stream = TcpStream::connect(address).await.map_err(LinkError::Connect)?;
        introduce(stream, identity, hello).await
    };
    timeout(within, dial).await.unwrap_or(Err(LinkError::Timeout(within)))
}

/// The same on a connection that is made.
pub async fn introduce(
    stream: TcpStream,
    identity: &Identity,
    hello: &Hello,
) -> Result<(Connection<Channel>, Hello, Id), LinkError> {
    tune(&stream);
    let (mut channel, id) = dialled(stream, identity).await?;
    if let Err(reason) = identity.admit(&id, Standing::Peer) {
        // It may be gone already, and then hears nothing of it.
        let _ = refuse(&mut channel, reason.clone()).await;
        return Err(LinkError::Turned(reason));
    }
    let (connection, theirs) = say(channel, hello).await?;
    Ok((connection, theirs, id))
}

/// Lets in who proves a key that may do at least this much, hears its hello, and answers as
/// `decide` says.
pub async fn receive(
    stream: TcpStream,
    guest: Guest,
    (identity, least): (&Identity, Standing),
    within: Duration,
    decide: impl FnOnce(&Hello) -> Result<Hello, String>,
) -> Result<(Connection<Channel>, Hello, Grant), LinkError> {
    tune(&stream);
    let receive = async {
        let (mut channel, id) = accepted(stream, identity).await?;
        let grant = match identity.admit(&id, least) {
            Ok(grant) => grant,
            Err(reason) => {
                refuse(&mut channel, reason.clone()).await?;
                return Err(LinkError::Turned(reason));
            }
        };
        let (connection, theirs) = hear(channel, decide).await?;
        Ok((connection, theirs, grant))
    };
    tokio::select! {
        received = timeout(within, receive) => {
            received.unwrap_or(Err(LinkError::Timeout(within)))
        }
        () = guest.sent_away() => Err(LinkError::Crowded),
    }
}

/// Comes when somebody may no longer do so much.
pub async fn distrusted(identity: &Identity, id: &Id, least: Standing) {
    while identity.admit(id, least).is_ok() {
        sleep(DOUBT).await;
    }
}

/// Sets what every TCP connection of ours wants: small writes go at once, and the kernel looks
/// after a peer that says nothing for long.
pub fn tune(stream: &TcpStream) {
    use rustix::net::sockopt;
    // A socket that refuses any of these still works, only slower to send or to notice a loss.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(15));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5));
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
}

async fn dialled(stream: TcpStream, identity: &Identity) -> Result<(Channel, Id), LinkError> {
    // Whom we want is known by the key, and no name is ever said.
    let nobody = ServerName::try_from("lab3").map_err(|_| LinkError::Lost(None))?;
    let connector = TlsConnector::from(identity.dialling());
    let connecting = connector.connect_with(nobody, Heard::from(stream), |session| {
        session.set_buffer_limit(Some(SEALED_BYTES_MAX));
    });
    match connecting.into_fallible().await {
        Ok(stream) => known(TlsStream::Client(stream)),
        Err((error, heard)) => Err(heard.failed(error)),
    }
}

async fn accepted(stream: TcpStream, identity: &Identity) -> Result<(Channel, Id), LinkError> {
    let acceptor = TlsAcceptor::from(identity.dialled());
    let accepting = acceptor.accept_with(Heard::from(stream), |session| {
        session.set_buffer_limit(Some(SEALED_BYTES_MAX));
    });
    match accepting.into_fallible().await {
        Ok(stream) => known(TlsStream::Server(stream)),
        Err((error, heard)) => Err(heard.failed(error)),
    }
}

fn known(stream: TlsStream<Heard>) -> Result<(Channel, Id), LinkError> {
    let id = proven(stream.get_ref().1.peer_certificates());
    let nothing = || LinkError::Unproven(io::Error::other("it shows no key"));
    Ok((Channel::Secure(Box::new(stream)), id.ok_or_else(nothing)?))
}

/// A TCP connection that remembers its first bytes, by which a stranger is recognised.
#[derive(Debug)]
pub struct Heard {
    stream: BufReader<TcpStream>,
    first: Vec<u8>,
}

impl From<TcpStream> for Heard {
    fn from(stream: TcpStream) -> Heard {
        let stream = BufReader::with_capacity(READ_BYTES, stream);
        Heard { stream, first: Vec::with_capacity(SHOWN_BYTES_MAX) }
    }
}

impl Heard {
    /// Why there is no connection.
    fn failed(&self, error: io::Error) -> LinkError {
        match (&self.first[..], error.kind()) {
            ([], io::ErrorKind::UnexpectedEof) => LinkError::Lost(None),
            ([0x14..=0x17, 3, ..] | [], io::ErrorKind::InvalidData) => LinkError::Unproven(error),
            ([0x14..=0x17, 3, ..] | [], _) => LinkError::io(error),
            (first, _) => foreign(first),
        }
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let missing = SHOWN_BYTES_MAX - self.first.len();
        if missing > 0 {
            self.first.extend(buffer.filled()[before..].iter().take(missing));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Channel::Secure(stream) => match Pin::new(stream).poll_read(context, buffer) {
                // A process that was killed says no goodbye. Where the talk may end is known by
                // its frames, so an end without one is an end like any other.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
            Channel::Local(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Channel::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
            Channel::Local(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Channel::Secure(stream) => Pin::new(stream).poll_flush(context),
            Channel::Local(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Channel::Secure(stream) => Pin::new(stream).poll_shutdown(context),
            Channel::Local(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
