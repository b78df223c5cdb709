//! The door for `lab3`: one connection, one request, one answer.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "connections, their tasks and their mailboxes"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use common::wire::client::{Answer, Request, told_holder};
use common::wire::connection::{Incoming, Outgoing};
use common::wire::handshake::{HANDSHAKE_TIME, greet, tune};
use common::wire::message::{Hello, Role};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::coordinator::event::{ClientId, Event};

/// Clients that are served at once; more of them wait.
const CLIENTS_MAX: usize = 256;
/// How long a client may take to say what it wants, after its hello.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Where answers go.
#[derive(Default)]
pub(crate) struct Desk {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: BTreeMap<ClientId, UnboundedSender<Answer>>,
    next: u64,
}

impl Desk {
    /// Answers a client, if it is still there.
    pub(crate) fn answer(&self, client: ClientId, answer: Answer) {
        let waiting = self.lock().waiting.get(&client).cloned();
        if let Some(waiting) = waiting {
            // A client that went away hears nothing.
            drop(waiting.send(answer));
        }
    }

    fn enter(&self) -> (ClientId, UnboundedReceiver<Answer>) {
        let (tell, told) = unbounded_channel();
        let mut inner = self.lock();
        inner.next += 1;
        let client = ClientId(inner.next);
        inner.waiting.insert(client, tell);
        (client, told)
    }

    fn leave(&self, client: ClientId) {
        self.lock().waiting.remove(&client);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts clients until the server stops.
pub(crate) async fn serve(
    listener: TcpListener,
    desk: Arc<Desk>,
    tell: impl Fn(Event) + Clone + Send + Sync + 'static,
) -> Result<()> {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: whoever is here goes on, and so do we.
                warn!(why = %error, "cannot accept a client");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        tune(&stream);
        let place = room.clone().acquire_owned().await;
        let (desk, tell) = (desk.clone(), tell.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = attend(stream, &desk, &tell).await {
                debug!(%from, why = %format!("{error:#}"), "a client was not served");
            }
        });
    }
}

async fn attend(stream: TcpStream, desk: &Desk, tell: &(impl Fn(Event) + Sync)) -> Result<()> {
    let (connection, hello) = greet(stream, HANDSHAKE_TIME, |hello| match hello.role {
        Role::Client => Ok(Hello::new(Role::Coordinator, None)),
        Role::Coordinator | Role::Agent => {
            Err("this is server A's door for clients: servers meet at server B".to_string())
        }
    })
    .await?;
    let (outgoing, mut incoming) = connection.start::<Answer, Request>();
    let request = timeout(REQUEST_TIME, incoming.next()).await??;
    let (client, told) = desk.enter();
    if let Some(holder) = told_holder(&hello.features) {
        tell(Event::Greeted(client, holder));
    }
    tell(Event::Asked(client, request));
    let end = converse(client, told, &outgoing, &mut incoming, tell).await;
    desk.leave(client);
    tell(Event::ClientGone(client));
    end
}

/// Passes the answer on, part by part, as fast as the client takes it.
async fn converse(
    client: ClientId,
    mut told: UnboundedReceiver<Answer>,
    outgoing: &Outgoing<Answer>,
    incoming: &mut Incoming<Request, TcpStream>,
    tell: &(impl Fn(Event) + Sync),
) -> Result<()> {
    loop {
        let answer = tokio::select! {
            answer = told.recv() => answer,
            // Nothing more is asked on one connection: this is the client going away.
            _ = incoming.next() => None,
        };
        let Some(answer) = answer else { return Ok(()) };
        let is_aside = matches!(answer, Answer::Broken(_));
        let more = answer.is_followed();
        outgoing.send_bulk(&answer).await?;
        if is_aside {
            continue;
        }
        if !more {
            return Ok(());
        }
        tell(Event::More(client));
    }
}
