//! The link to B: dials it again and again, and passes on what it says.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the link to B")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use common::exchange::asker::Asker;
use common::exchange::giver::Giver;
use common::identity::Identity;
use common::identity::id::Id;
use common::identity::trusted::Standing;
use common::limits::FLUSHED_SINGLY_MAX;
use common::path::RelPath;
use common::replica::met;
use common::replica::service::Replica;
use common::side::Side;
use common::wire::connection::{Incoming, LinkError, Outgoing};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::message::{Hello, Order, OrderId, PeerMessage, ReplicaId, Report, Role};
use common::wire::secure::{self, Channel, distrusted};
use tokio::time::sleep;

use crate::coordinator::event::Event;

/// The first pause between two attempts to reach B; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest one.
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// Orders of the saver have numbers from here on, so that they meet no order of the coordinator.
const SYNC_IDS: u64 = 1 << 63;

/// What is said to B, as long as it is there.
#[derive(Default)]
pub(crate) struct Link {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    outgoing: Option<Outgoing<PeerMessage>>,
    /// The server stops: when this link is lost, no other takes its place.
    is_last: bool,
    syncs: BTreeMap<OrderId, Sender<bool>>,
    next: u64,
}

/// An answer to `Order::Sync` that is still to come.
pub(crate) struct SyncAnswer(Receiver<bool>);

impl SyncAnswer {
    /// Whether everything is durable; no answer in time is a no.
    pub(crate) fn within(self, time: Duration) -> bool {
        self.0.recv_timeout(time).unwrap_or(false)
    }
}

impl Link {
    /// Says something to B, if it is there. What B does not hear, its next inventory makes good.
    pub(crate) fn send(&self, message: &PeerMessage) {
        if let Some(outgoing) = &self.lock().outgoing {
            // A lost link is noticed by its reader.
            drop(outgoing.send(message));
        }
    }

    /// Asks B to make files durable. `None` when there is nothing to ask, or nobody.
    pub(crate) fn sync(&self, paths: &[RelPath]) -> Option<SyncAnswer> {
        if paths.is_empty() {
            return None;
        }
        let mut inner = self.lock();
        inner.next += 1;
        let id = OrderId(SYNC_IDS + inner.next);
        // Many are flushed together, so they need no names, which would not fit into one message.
        let paths = if paths.len() > FLUSHED_SINGLY_MAX { &[] } else { paths };
        let order = Order::Sync { id, paths: paths.to_vec() };
        inner.outgoing.as_ref()?.send(&PeerMessage::Order(order)).ok()?;
        let (tell, told) = channel();
        inner.syncs.insert(id, tell);
        Some(SyncAnswer(told))
    }

    /// How long it lately took to B and back.
    pub(crate) fn round(&self) -> Option<Duration> {
        self.lock().outgoing.as_ref().and_then(Outgoing::round)
    }

    fn synced(&self, id: OrderId, durable: bool) {
        if let Some(tell) = self.lock().syncs.remove(&id) {
            // Nobody waits any more: it took too long.
            let _ = tell.send(durable);
        }
    }

    /// No other link takes the place of this one: nobody would tell B what to do, and without that
    /// it answers nothing.
    pub(crate) fn be_last(&self) {
        self.lock().is_last = true;
    }

    /// Says nothing more to B, and waits for no answer of it.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.outgoing = None;
        inner.syncs.clear();
    }

    /// B is there; answers whether anything will be said to it.
    fn open(&self, outgoing: Outgoing<PeerMessage>) -> bool {
        let mut inner = self.lock();
        if inner.is_last {
            return false;
        }
        inner.outgoing = Some(outgoing);
        inner.syncs.clear();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where B is, and who we are to it.
pub(crate) struct At {
    pub(crate) address: String,
    pub(crate) identity: Arc<Identity>,
}

/// Dials B until the server stops. Ends only when B's directory is one that must not be joined
/// with ours.
pub(crate) async fn dial(
    At { address, identity }: At,
    replica: Arc<Replica>,
    link: Arc<Link>,
    asker: Arc<Asker>,
    giver: Arc<Giver>,
    tell: impl Fn(Event),
) -> Result<Infallible> {
    let hello = replica.hello(Role::Coordinator);
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match secure::dial(&address, &identity, &hello, HANDSHAKE_TIME).await {
            Ok((_, theirs, _)) if replica.clash(&theirs).is_some() => {
                let clash = replica.clash(&theirs).map(|clash| clash.to_string());
                bail!("`{}` {}", replica.root().display(), clash.unwrap_or_default());
            }
            Ok((connection, theirs, b)) => match peer_of(&theirs) {
                Ok(id) => {
                    pause = PAUSE_FIRST;
                    let (outgoing, incoming) = connection.start();
                    if !link.open(outgoing.clone()) {
                        return pending().await;
                    }
                    asker.connect(outgoing.clone());
                    outgoing.measure();
                    let (met, run) = (met::told(&theirs.features), met::told_run(&theirs.features));
                    tell(Event::PeerUp(id, met, run));
                    let hearing = hear(incoming, &outgoing, &link, &asker, &giver, &tell);
                    let why = tokio::select! {
                        error = hearing => words(&error),
                        why = no_longer(&identity, &b) => why,
                    };
                    link.close();
                    asker.disconnect();
                    why
                }
                Err(why) => format!("{address}: {why}"),
            },
            Err(error) => format!("cannot reach server B at {address}: {}", words(&error)),
        };
        tell(Event::PeerDown(error));
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(PAUSE_MOST);
    }
}

/// Comes with the reason when B is to be spoken to no longer.
async fn no_longer(identity: &Identity, b: &Id) -> String {
    distrusted(identity, b, Standing::Peer).await;
    identity.admit(b, Standing::Peer).err().unwrap_or_else(|| "it was distrusted".to_owned())
}

/// The pause, more or less: two that lost each other do not meet again in step.
fn jittered(pause: Duration) -> Duration {
    let nanos = common::time::Timestamp::now().nanos;
    pause.mul_f64(0.75 + f64::from(nanos % 1000) / 2000.0)
}

fn peer_of(hello: &Hello) -> Result<ReplicaId, &'static str> {
    match (hello.role, hello.replica) {
        (Role::Agent, Some(id)) => Ok(id),
        _ => Err("this is not a server B"),
    }
}

fn words(error: &LinkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

async fn hear(
    mut incoming: Incoming<PeerMessage, Channel>,
    outgoing: &Outgoing<PeerMessage>,
    link: &Link,
    asker: &Asker,
    giver: &Giver,
    tell: &impl Fn(Event),
) -> LinkError {
    loop {
        match incoming.next().await {
            Ok(PeerMessage::Report(Report::Synced { id, durable })) => link.synced(id, durable),
            Ok(PeerMessage::Report(report)) => {
                tell(Event::Reported(Side::B, report));
                outgoing.measure();
            }
            Ok(PeerMessage::Ask(ask)) => giver.answer(ask, outgoing),
            Ok(PeerMessage::Give(give)) => asker.take(give),
            // An agent gives no orders.
            Ok(PeerMessage::Order(_) | PeerMessage::Ping | PeerMessage::Pong) => {}
            Err(error) => return error,
        }
    }
}
