//! One request to server A, and the stream of its answers.
//!
//! Connecting has a deadline. Answering has none of its own: a drain takes as long as it takes,
//! and a dead machine is found by the kernel's keep-alive.
#![expect(clippy::disallowed_methods, reason = "a socket has deadlines, and a place")]

use std::io;
use std::time::Duration;

use common::identity::Identity;
use common::wire::client::{Answer, BrokenRow, Request};
use common::wire::connection::{Connection, Incoming, LinkError, Outgoing};
use common::wire::local;
use common::wire::message::{Hello, Role};
use common::wire::secure::{Channel, dial};

use crate::exit::Exit;

/// Where server A listens unless told otherwise.
pub const DEFAULT_SERVER: &str = "127.0.0.1:4320";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection came about.
    #[error("cannot reach Server A at `{server}`")]
    NotConnected {
        /// The address.
        server: String,
        /// Why not.
        source: io::Error,
    },
    /// Whoever listens there did not let us in.
    #[error("cannot reach Server A at `{server}`")]
    NotReceived {
        /// The address.
        server: String,
        /// Why not.
        source: LinkError,
    },
    /// One end does not trust the other.
    #[error("cannot talk to Server A at `{server}`")]
    NotAllowed {
        /// The address.
        server: String,
        /// Who does not trust whom.
        source: LinkError,
    },
    /// Another of our programs answered.
    #[error("`{server}` is not Server A")]
    NotServerA {
        /// The address.
        server: String,
    },
    /// The link broke before the answer was whole.
    #[error("cannot hear Server A at `{server}`")]
    Broken {
        /// The address.
        server: String,
        /// How.
        source: LinkError,
    },
    /// The answer did not come in the time that was given.
    #[error("Server A at `{server}` did not answer in time")]
    Late {
        /// The address.
        server: String,
    },
}

impl RequestError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotConnected { .. } | Self::NotReceived { .. } | Self::NotServerA { .. } => {
                Some("start `server-a`, or name another address with `--server`")
            }
            // The refusal itself says what can be done.
            Self::NotAllowed { .. } => None,
            Self::Broken { .. } | Self::Late { .. } => {
                Some("what was asked may have been done; ask again")
            }
        }
    }

    /// How to exit.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotAllowed { .. } => Exit::Refused,
            Self::Late { .. } => Exit::StillWaiting,
            _ => Exit::Unreachable,
        }
    }
}

/// The answers to one request.
#[derive(Debug)]
pub struct Answers {
    server: String,
    incoming: Incoming<Answer, Channel>,
    broken: Vec<BrokenRow>,
    // Dropping it would tell server A that this client has gone.
    _outgoing: Outgoing<Request>,
}

/// Connects within a time and asks.
pub async fn ask(
    server: &str,
    identity: &Identity,
    request: &Request,
    within: Duration,
) -> Result<Answers, RequestError> {
    let server = server.to_owned();
    let hello = Hello::new(Role::Client, None);
    let (connection, theirs) = match reach(&server, identity, &hello, within).await {
        Ok(connected) => connected,
        Err(LinkError::Connect(source)) => {
            return Err(RequestError::NotConnected { server, source });
        }
        Err(source @ (LinkError::Refused(_) | LinkError::Turned(_))) => {
            return Err(RequestError::NotAllowed { server, source });
        }
        Err(source) => return Err(RequestError::NotReceived { server, source }),
    };
    if theirs.role != Role::Coordinator {
        return Err(RequestError::NotServerA { server });
    }
    let (outgoing, incoming) = connection.start();
    match outgoing.send(request) {
        Ok(()) => Ok(Answers { server, incoming, broken: Vec::new(), _outgoing: outgoing }),
        Err(source) => Err(RequestError::Broken { server, source }),
    }
}

/// By the socket of this machine if there is one, else over the network.
async fn reach(
    server: &str,
    identity: &Identity,
    hello: &Hello,
    within: Duration,
) -> Result<(Connection<Channel>, Hello), LinkError> {
    if let Some(place) = local::place(|name| std::env::var_os(name))
        && let Some(stream) = local::find(&place, server, identity.id()).await
    {
        return local::dial(stream, hello, within).await;
    }
    let (connection, theirs, _) = dial(server, identity, hello, within).await?;
    Ok((connection, theirs))
}

impl Answers {
    /// The next answer.
    pub async fn next(&mut self) -> Result<Answer, RequestError> {
        loop {
            match self.incoming.next().await {
                Ok(Answer::Broken(rows)) => self.broken.extend(rows),
                Ok(answer) => return Ok(answer),
                Err(source) => {
                    return Err(RequestError::Broken { server: self.server.clone(), source });
                }
            }
        }
    }

    /// Locks of the one who asked that another broke, as far as server A has told.
    #[must_use]
    pub fn broken(&self) -> &[BrokenRow] {
        &self.broken
    }

    /// The next answer, unless it takes longer.
    pub async fn next_within(&mut self, within: Duration) -> Result<Answer, RequestError> {
        match tokio::time::timeout(within, self.next()).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Late { server: self.server.clone() }),
        }
    }
}
