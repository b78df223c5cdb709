//! The first two frames of every connection: a hello, and its reception.
//!
//! The end that dialled says what it is; the other one decides and answers. Who it is has been
//! proved before, by [`secure`](crate::wire::secure). Until that is over
//! frames are small and one deadline covers everything. Whoever speaks something else is
//! recognised by its first bytes, and named. Nothing here knows what follows.
#![expect(clippy::disallowed_methods, reason = "a socket has deadlines")]

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::HELLO_BYTES_MAX;
use crate::path::escape;
use crate::wire::cbor;
use crate::wire::connection::{Connection, LinkError, encode};
use crate::wire::frame::Inbox;
use crate::wire::message::{Hello, PROTOCOL_VERSION, Reception, ReplicaId, Role};

/// What every hello starts with.
pub const MAGIC: &str = "lab3";
/// The time that connecting and both hellos may take together.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// So many of the first bytes tell what somebody speaks.
pub(super) const SHOWN_BYTES_MAX: usize = 16;
/// The time that a refused peer has to read why.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

impl Hello {
    /// The hello of this version of the protocol.
    #[must_use]
    pub fn new(role: Role, replica: Option<ReplicaId>) -> Hello {
        Hello {
            magic: MAGIC.to_owned(),
            version: PROTOCOL_VERSION,
            role,
            replica,
            features: Vec::new(),
        }
    }
}

/// Says hello on a connected stream.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    hello: &Hello,
    within: Duration,
) -> Result<(Connection<S>, Hello), LinkError> {
    timeout(within, say(stream, hello)).await.unwrap_or(Err(LinkError::Timeout(within)))
}

/// Hears the hello of whoever connected, and answers as `decide` says: with our own hello, or
/// with the reason why not.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    within: Duration,
    decide: impl FnOnce(&Hello) -> Result<Hello, String>,
) -> Result<(Connection<S>, Hello), LinkError> {
    timeout(within, hear(stream, decide)).await.unwrap_or(Err(LinkError::Timeout(within)))
}

pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    hello: &Hello,
) -> Result<(Connection<S>, Hello), LinkError> {
    stream.write_all(&encode(hello, HELLO_BYTES_MAX)?).await.map_err(LinkError::io)?;
    stream.flush().await.map_err(LinkError::io)?;
    let mut inbox = Inbox::default();
    let body = first_frame(&mut stream, &mut inbox).await?;
    // The version is looked at before the rest, which another version may have changed.
    if let Ok(FirstLook::Welcome(look)) = cbor::from_slice(&body) {
        check(&look)?;
    }
    match cbor::from_slice(&body) {
        Ok(Reception::Welcome(theirs)) => Ok((Connection::new(stream, inbox), theirs)),
        Ok(Reception::Refused(reason)) => Err(LinkError::Refused(escape(reason.as_bytes()))),
        Err(_) => Err(foreign(&body)),
    }
}

pub(super) async fn hear<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    decide: impl FnOnce(&Hello) -> Result<Hello, String>,
) -> Result<(Connection<S>, Hello), LinkError> {
    let mut inbox = Inbox::default();
    let body = first_frame(&mut stream, &mut inbox).await?;
    let Ok(look) = cbor::from_slice::<Look>(&body) else {
        // Who dialled may not want us once it knows who we are.
        return Err(match cbor::from_slice(&body) {
            Ok(Reception::Refused(reason)) => LinkError::Refused(escape(reason.as_bytes())),
            _ => foreign(&body),
        });
    };
    if let Err(error) = check(&look) {
        if matches!(error, LinkError::Version { .. }) {
            let reason = format!(
                "this end speaks protocol version {PROTOCOL_VERSION}, yours is {}",
                look.version
            );
            refuse(&mut stream, reason).await?;
        }
        return Err(error);
    }
    let theirs: Hello = cbor::from_slice(&body).map_err(LinkError::Malformed)?;
    let reception = match decide(&theirs) {
        Ok(ours) => Reception::Welcome(ours),
        Err(reason) => {
            refuse(&mut stream, reason.clone()).await?;
            return Err(LinkError::Turned(reason));
        }
    };
    stream.write_all(&encode(&reception, HELLO_BYTES_MAX)?).await.map_err(LinkError::io)?;
    stream.flush().await.map_err(LinkError::io)?;
    Ok((Connection::new(stream, inbox), theirs))
}

/// The part of a hello that no version changes.
#[derive(Deserialize)]
struct Look {
    magic: String,
    version: u32,
}

/// The part of a reception that no version changes.
#[derive(Deserialize)]
enum FirstLook {
    Welcome(Look),
}

fn check(look: &Look) -> Result<(), LinkError> {
    if look.magic != MAGIC {
        return Err(LinkError::Foreign(format!("`{}`", escape(look.magic.as_bytes()))));
    }
    if look.version != PROTOCOL_VERSION {
        return Err(LinkError::Version { theirs: look.version, ours: PROTOCOL_VERSION });
    }
    Ok(())
}

async fn first_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut Inbox,
) -> Result<Vec<u8>, LinkError> {
    loop {
        match inbox.take(HELLO_BYTES_MAX) {
            Ok(Some(body)) => return Ok(body.to_vec()),
            Ok(None) => {}
            Err(_) => return Err(foreign(inbox.rest())),
        }
        let Ok(room) = inbox.room(HELLO_BYTES_MAX) else {
            return Err(foreign(inbox.rest()));
        };
        if stream.read_buf(room).await.map_err(LinkError::io)? == 0 {
            return Err(if inbox.rest().is_empty() {
                LinkError::Lost(None)
            } else {
                foreign(inbox.rest())
            });
        }
    }
}

/// Says why not, and waits a moment for the other end to have read it: closing with bytes unread
/// would make the kernel throw the reason away.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    reason: String,
) -> Result<(), LinkError> {
    let frame = encode(&Reception::Refused(reason), HELLO_BYTES_MAX)?;
    stream.write_all(&frame).await.map_err(LinkError::io)?;
    stream.shutdown().await.map_err(LinkError::io)?;
    let mut rest = [0; 1024];
    let _ = timeout(FAREWELL_TIME, async {
        while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    Ok(())
}

pub(super) fn foreign(bytes: &[u8]) -> LinkError {
    let first = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let begins = |words: &[&[u8]]| words.iter().any(|word| first.starts_with(word));
    LinkError::Foreign(match first {
        _ if begins(&[b"HTTP", b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"PRI "]) => {
            "HTTP".to_owned()
        }
        [0x15 | 0x16, 3, ..] => "TLS".to_owned(),
        _ if first.windows(10).any(|word| word == b"magicdlab3") => {
            "lab3 without encryption".to_owned()
        }
        _ if begins(&[b"SSH-"]) => "SSH".to_owned(),
        _ => format!("`{}`", escape(first)),
    })
}
