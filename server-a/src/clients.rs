//! The door for `lab3`: one connection, one request, one answer.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "connections, their tasks and their mailboxes"
)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use common::identity::Identity;
use common::identity::id::Id;
use common::identity::trusted::{Grant, Standing};
use common::wire::client::{Answer, Request};
use common::wire::connection::{Connection, Incoming, LinkError, Outgoing};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::lobby::{Guest, Lobby};
use common::wire::local::{self, Listening};
use common::wire::message::{Hello, Role};
use common::wire::secure::{Channel, distrusted, receive};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::coordinator::event::{ClientId, Event};
use crate::roles;

/// Connections that one identity may have at once.
const PLACES_MAX: usize = 128;
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

/// Where clients come in.
pub(crate) struct Door<T> {
    identity: Arc<Identity>,
    desk: Arc<Desk>,
    lobby: Lobby,
    places: Places,
    /// Who holds the locks of our own identity.
    ourselves: String,
    tell: T,
}

impl<T: Fn(Event) + Send + Sync + 'static> Door<T> {
    pub(crate) fn new(identity: Arc<Identity>, desk: Arc<Desk>, tell: T) -> Door<T> {
        let (lobby, places) = (Lobby::default(), Places::default());
        Door { identity, desk, lobby, places, ourselves: ourselves(), tell }
    }

    /// Accepts clients until the server stops.
    pub(crate) async fn serve(self, listener: TcpListener, local: Option<Listening>) -> Result<()> {
        let door = Arc::new(self);
        let mut tasks = JoinSet::new();
        if let Some(local) = local {
            tasks.spawn(door.clone().serve_locally(local));
        }
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
            let (door, guest) = (door.clone(), door.lobby.enter(from.ip()));
            tokio::spawn(async move {
                match door.attend(stream, guest).await {
                    Ok(()) => {}
                    Err(error) if is_worth_a_line(&error) && door.lobby.may_say() => {
                        info!(%from, why = %format!("{error:#}"), "a client was turned away");
                    }
                    Err(error) => {
                        debug!(%from, why = %format!("{error:#}"), "a client was not served");
                    }
                }
            });
        }
    }

    /// The same on the socket of this machine.
    async fn serve_locally(self: Arc<Self>, local: Listening) {
        loop {
            let stream = match local.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(why = %error, "cannot accept a client");
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (door, guest) = (self.clone(), self.lobby.enter(Ipv4Addr::LOCALHOST.into()));
            tokio::spawn(async move {
                if let Err(error) = door.attend_locally(stream, guest).await {
                    debug!(why = %format!("{error:#}"), "a client was not served");
                }
            });
        }
    }

    async fn attend_locally(&self, stream: UnixStream, guest: Guest) -> Result<()> {
        let (connection, _) = local::receive(stream, guest, HANDSHAKE_TIME, decide).await?;
        let id = *self.identity.id();
        self.serve_one(connection, &Grant { id, standing: Standing::Own, name: None }).await
    }

    async fn attend(&self, stream: TcpStream, guest: Guest) -> Result<()> {
        let least = (&*self.identity, Standing::Reader);
        let (connection, _, grant) = receive(stream, guest, least, HANDSHAKE_TIME, decide).await?;
        self.serve_one(connection, &grant).await
    }

    /// One request of somebody who may come in.
    async fn serve_one(&self, connection: Connection<Channel>, grant: &Grant) -> Result<()> {
        let (outgoing, mut incoming) = connection.start::<Answer, Request>();
        let Some(_place) = self.places.take(&grant.id) else {
            outgoing.send_bulk(&Answer::Refused(roles::too_many(PLACES_MAX))).await?;
            return Ok(());
        };
        let mut request = timeout(REQUEST_TIME, incoming.next()).await??;
        if let Err(refusal) = roles::check(&request, grant) {
            outgoing.send_bulk(&Answer::Refused(refusal)).await?;
            return Ok(());
        }
        let holder = roles::holder(grant, &self.ourselves);
        request.asked_by(&holder);
        let least = roles::needs(&request);
        let (client, told) = self.desk.enter();
        (self.tell)(Event::Greeted(client, holder));
        (self.tell)(Event::Asked(client, request));
        let end = tokio::select! {
            end = converse(client, told, &outgoing, &mut incoming, &self.tell) => end,
            () = distrusted(&self.identity, &grant.id, least) => {
                info!(id = %grant.id, "a client is trusted no longer, and closed");
                Ok(())
            }
        };
        self.desk.leave(client);
        (self.tell)(Event::ClientGone(client));
        end
    }
}

fn decide(hello: &Hello) -> Result<Hello, String> {
    match hello.role {
        Role::Client => Ok(Hello::new(Role::Coordinator, None)),
        Role::Coordinator | Role::Agent => {
            Err("this is server A's door for clients: servers meet at server B".to_string())
        }
    }
}

/// Whether it says something of who came, and not only that he went.
fn is_worth_a_line(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<LinkError>() {
        Some(LinkError::Lost(_) | LinkError::Timeout(_) | LinkError::Crowded) | None => false,
        Some(_) => true,
    }
}

/// A socket for the clients of this machine, beside the port that was bound.
pub(crate) async fn listen_locally(address: SocketAddr, id: &Id) -> Option<Listening> {
    let Some(place) = local::place(|name| std::env::var_os(name)) else {
        debug!("there is no directory for a socket: clients of this machine come over TCP");
        return None;
    };
    match local::listen(&place, address, id).await {
        Ok(listening) => Some(listening),
        Err(error) => {
            let place = place.display();
            debug!(%place, why = %error, "there is no socket for clients of this machine");
            None
        }
    }
}

/// The user that runs the server, and the machine.
fn ourselves() -> String {
    let variable = |name| {
        let value = std::env::var_os(name)?.to_string_lossy().trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| {
        let uid = std::fs::metadata("/proc/self").map(|process| process.uid());
        uid.map_or_else(|_| "unknown".to_owned(), |uid| uid.to_string())
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => format!("{user}@localhost"),
        host => format!("{user}@{host}"),
    }
}

/// How many connections each identity has.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<BTreeMap<Id, usize>>>);

/// One of them, until it is dropped.
struct Place(Places, Id);

impl Places {
    fn take(&self, id: &Id) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(*id).or_default();
        (*count < PLACES_MAX).then(|| {
            *count += 1;
            Place(self.clone(), *id)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Place(Places(taken), id) = self;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                taken.remove(id);
            }
        }
    }
}

/// Passes the answer on, part by part, as fast as the client takes it.
async fn converse(
    client: ClientId,
    mut told: UnboundedReceiver<Answer>,
    outgoing: &Outgoing<Answer>,
    incoming: &mut Incoming<Request, Channel>,
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
