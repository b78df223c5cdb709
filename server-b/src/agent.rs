//! Serves one coordinator: its orders go to the replica, the replica's reports go to it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "connections, their tasks and their mailboxes"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use common::change::{Change, Operation, Outcome};
use common::entry::File;
use common::exchange::asker::Asker;
use common::exchange::giver::Giver;
use common::exchange::remote::Remote;
use common::identity::Identity;
use common::identity::trusted::Standing;
use common::limits::{CLEARED_ROWS_MAX, INLINE_BYTES_MAX, LOOKS_MAX, NEWS_BYTES_MAX, ORDERS_MAX};
use common::replica::known::Reporter;
use common::replica::service::Replica;
use common::replica::source::{Source, SourceError, Supplier};
use common::side::Side;
use common::talk;
use common::wire::connection::{Incoming, LinkError, Outgoing};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::lobby::{Guest, Lobby};
use common::wire::message::{Content, Hello, Order, OrderId, PeerMessage, ReplicaId, Report, Role};
use common::wire::secure::{Channel, distrusted, receive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// While more than this waits to be said, in bytes, news travel without content.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Names below directories that are to go, of which it is said that they went.
const NAMES_MAX: usize = 4 * CLEARED_ROWS_MAX;
/// So many of the last commits that were ordered are known by their numbers.
const ORDERED_MAX: usize = 10_000;

/// How many bytes may wait to be said to A.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// While more waits, news travel without content.
    pub(crate) with_content: usize,
    /// Whoever lets more wait is not there.
    pub(crate) at_all: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { with_content: WAITING_BYTES_MAX, at_all: NEWS_BYTES_MAX }
    }
}

/// Where reports go, and what they are about.
#[derive(Default)]
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    /// Held while a turn begins or ends, with all that belongs to it.
    turning: Mutex<()>,
    patience: Patience,
}

#[derive(Default)]
struct Inner {
    link: Option<Outgoing<PeerMessage>>,
    /// Which coordinator has the link, and what ends its turn.
    turn: Option<(Option<ReplicaId>, Arc<Notify>)>,
    /// What A asked for and has not heard of yet.
    under_way: BTreeMap<OrderId, Vec<Operation>>,
    /// The last commits that A asked for over this link.
    ordered: BTreeSet<OrderId>,
}

impl Inner {
    /// A commit is ordered; whether for the first time. Carried out twice, and at once, it would
    /// take its own work for a user's.
    fn is_new_order(&mut self, id: OrderId, parts: Vec<Operation>) -> bool {
        if !self.ordered.insert(id) {
            return false;
        }
        if self.ordered.len() > ORDERED_MAX {
            self.ordered.pop_first();
        }
        self.under_way.insert(id, parts);
        true
    }

    /// How many names may still be kept, so that they can be said.
    fn room(&self) -> usize {
        NAMES_MAX.saturating_sub(self.under_way.values().map(|parts| parts.len()).sum())
    }

    /// Whether no newer connection took the place of this one.
    fn is_turn_of(&self, ended: &Arc<Notify>) -> bool {
        self.turn.as_ref().is_some_and(|(_, turn)| Arc::ptr_eq(turn, ended))
    }
}

impl Desk {
    /// Does something of which nothing happens between the steps of the same of another link.
    fn one_at_a_time<T>(&self, turn: impl FnOnce() -> T) -> T {
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        turn()
    }

    /// The turn of this connection is over; whether it was still its own.
    fn end_turn(&self, ended: &Arc<Notify>) -> bool {
        let mut inner = self.lock();
        let is_its_own = inner.is_turn_of(ended);
        if is_its_own {
            (inner.turn, inner.link) = (None, None);
        }
        is_its_own
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what the replica reports over the link that stands, and says it.
pub(crate) fn reporter(desk: Arc<Desk>) -> Reporter {
    Box::new(move |mut report| {
        let mut inner = desk.lock();
        match &report {
            Report::Outcome { id, outcome, .. } => {
                let parts = inner.under_way.remove(id).unwrap_or_default();
                if matches!(outcome, Outcome::Done { .. }) {
                    parts.iter().for_each(|part| talk::did(Side::B, part));
                }
            }
            Report::Observed(observation) => talk::saw(Side::B, observation),
            Report::Condition(condition) => {
                if let Some(why) = &condition.halted {
                    warn!(why = %why, "halted");
                }
            }
            _ => {}
        }
        if let Some(link) = &inner.link {
            if let Report::Observed(observation) = &mut report
                && link.waiting() > desk.patience.with_content
            {
                // A does not listen, or not as fast as users write: it asks for content then.
                observation.rows.iter_mut().for_each(|row| row.content = None);
            }
            let is_news = matches!(report, Report::Observed(_));
            if is_news && link.waiting() > desk.patience.at_all {
                // Nobody reads there: the next connection begins with everything anew.
                inner.link = None;
                inner.turn.iter().for_each(|(_, ended)| ended.notify_one());
                return;
            }
            // A link that is lost is noticed by its reader; the next one starts with everything.
            let _ = link.send(&PeerMessage::Report(report));
        }
    })
}

struct FromA(Arc<Asker>);

impl Supplier for FromA {
    fn source(&self, content: &Content, file: &File) -> Result<Box<dyn Source>, SourceError> {
        match content {
            Content::Pull(path) => {
                Ok(Box::new(Remote::new(self.0.clone(), path.clone(), file.digest)))
            }
            _ => Err(SourceError::Gone),
        }
    }
}

/// Content that is pulled comes from A.
pub(crate) fn supplier(asker: Arc<Asker>) -> Arc<dyn Supplier> {
    Arc::new(FromA(asker))
}

/// What serves coordinators.
#[derive(Clone)]
pub(crate) struct Agent {
    identity: Arc<Identity>,
    replica: Arc<Replica>,
    asker: Arc<Asker>,
    desk: Arc<Desk>,
    giver: Arc<Giver>,
    lobby: Lobby,
}

impl Agent {
    pub(crate) fn new(
        identity: Arc<Identity>,
        replica: Arc<Replica>,
        asker: Arc<Asker>,
        desk: Arc<Desk>,
    ) -> Result<Agent> {
        let giver = Arc::new(Giver::start(replica.reader()).context("cannot start a thread")?);
        Ok(Agent { identity, replica, asker, desk, giver, lobby: Lobby::default() })
    }

    /// Accepts coordinators, one at a time.
    pub(crate) async fn serve(self, listener: TcpListener) -> Result<()> {
        loop {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: what is connected goes on, and so do we.
                    warn!(why = %error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (agent, guest) = (self.clone(), self.lobby.enter(from.ip()));
            tokio::spawn(async move {
                match agent.attend(stream, guest).await {
                    Ok(()) => info!("server A went away"),
                    // Whoever was not let in may come as often as it likes.
                    Err(error) if error.is::<LinkError>() && !agent.lobby.may_say() => {}
                    Err(error) => info!(why = %format!("{error:#}"), %from, "a connection ended"),
                }
            });
        }
    }

    async fn attend(&self, stream: TcpStream, guest: Guest) -> Result<()> {
        let Agent { identity, replica, asker, desk, giver, .. } = self;
        let ended = Arc::new(Notify::new());
        let ours = replica.hello(Role::Agent);
        let (connection, hello, grant) =
            receive(stream, guest, (identity, Standing::Peer), HANDSHAKE_TIME, |hello| {
                admit(hello, desk)?;
                replica.clash(hello).map_or(Ok(ours), Err)
            })
            .await?;
        let (outgoing, incoming) = connection.start();
        desk.one_at_a_time(|| {
            take_turn(desk, replica, &hello, &ended, &outgoing)?;
            asker.connect(outgoing.clone());
            anyhow::Ok(())
        })?;
        info!("server A is connected");
        let end = tokio::select! {
            end = hear(incoming, &outgoing, replica, asker, (desk, &ended), giver) => {
                end.context("the link to server A")
            }
            () = ended.notified() => Ok(()),
            () = distrusted(identity, &grant.id, Standing::Peer) => {
                Err(anyhow!("{} is trusted as a peer no longer", grant.id))
            }
        };
        // RACE: whoever comes next must not be hushed for the sake of who left.
        desk.one_at_a_time(|| {
            if desk.end_turn(&ended) {
                replica.hush();
                asker.disconnect();
            }
        });
        end
    }
}

/// The connection becomes the one over which B is told what to do.
fn take_turn(
    desk: &Desk,
    replica: &Replica,
    hello: &Hello,
    ended: &Arc<Notify>,
    outgoing: &Outgoing<PeerMessage>,
) -> Result<()> {
    {
        let mut inner = desk.lock();
        // RACE: two coordinators may have been welcomed at once; the first to come here stays.
        if inner.turn.as_ref().is_some_and(|(id, _)| *id != hello.replica) {
            bail!("another server A was faster");
        }
        // The newest connection of one coordinator is the true one: the old one is half dead.
        if let Some((_, old)) = inner.turn.replace((hello.replica, ended.clone())) {
            old.notify_one();
        }
        inner.link = None;
        inner.under_way.clear();
        inner.ordered.clear();
    }
    // Not under the lock of the desk: who reports holds another lock that this takes, and wants
    // that of the desk.
    replica.hush();
    let mut inner = desk.lock();
    if !inner.is_turn_of(ended) {
        bail!("a newer connection took its place");
    }
    inner.link = Some(outgoing.clone());
    Ok(())
}

/// Only a coordinator may come in, and no second one beside the first.
fn admit(hello: &Hello, desk: &Desk) -> Result<(), String> {
    if hello.role != Role::Coordinator {
        return Err("this is server B: clients talk to server A".to_string());
    }
    match &desk.lock().turn {
        Some((id, _)) if *id != hello.replica => {
            Err("another server A is connected to this server B".to_string())
        }
        _ => Ok(()),
    }
}

/// Waits while much is to be looked at, or to be said, that was ordered before. The commits that
/// are under way, and who gives and takes their content, do not need us for that.
async fn wait_for_room(replica: &Replica, outgoing: &Outgoing<PeerMessage>) {
    let is_full =
        || replica.looks_waiting() >= LOOKS_MAX || outgoing.waiting() > 16 * WAITING_BYTES_MAX;
    while is_full() && !outgoing.is_closed() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// What an operation is in words: of a directory that goes with all that is in it, what that is.
/// Not under the lock of the desk, see [`take_turn`].
fn parts(replica: &Replica, operation: &Operation, desk: &Desk) -> Vec<Operation> {
    let Operation::Clear { path, .. } = operation else { return vec![operation.clone()] };
    let mut below = replica.known_below(path);
    below.truncate(desk.lock().room());
    let gone = |path| Operation::Change(Change { path, before: None, after: None, copy: None });
    below.into_iter().rev().chain([path.clone()]).map(gone).collect()
}

async fn hear(
    mut incoming: Incoming<PeerMessage, Channel>,
    outgoing: &Outgoing<PeerMessage>,
    replica: &Replica,
    asker: &Asker,
    (desk, ended): (&Desk, &Arc<Notify>),
    giver: &Giver,
) -> Result<()> {
    loop {
        match incoming.next().await? {
            PeerMessage::Order(order) => {
                if !matches!(order, Order::Commit { .. }) {
                    wait_for_room(replica, outgoing).await;
                }
                let parts = match &order {
                    Order::Commit { operation, .. } => parts(replica, operation, desk),
                    _ => Vec::new(),
                };
                let mut inner = desk.lock();
                if !inner.is_turn_of(ended) {
                    bail!("a newer connection took its place");
                }
                if let Order::Commit { id, content, .. } = &order {
                    if inner.under_way.len() >= ORDERS_MAX {
                        bail!("it orders more than may be under way");
                    }
                    if let Content::Inline(bytes) = content
                        && bytes.len() as u64 > INLINE_BYTES_MAX
                    {
                        bail!("it sends content that is too large for an order");
                    }
                    // RACE: queued before a newer connection can have taken the place of this one.
                    if inner.is_new_order(*id, parts) {
                        replica.order(order);
                    }
                    continue;
                }
                drop(inner);
                replica.order(order);
            }
            PeerMessage::Ask(ask) => {
                if !giver.answer(ask, outgoing) {
                    bail!("it asks for more than anybody needs");
                }
            }
            PeerMessage::Give(give) => asker.take(give),
            PeerMessage::Report(_) => debug!("a report from the coordinator is ignored"),
            PeerMessage::Ping | PeerMessage::Pong => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::digest::Digest;
    use common::entry::Entry;
    use common::path::RelPath;
    use common::time::Timestamp;
    use common::wire::handshake::{greet, open};
    use common::wire::message::{Observation, Row};
    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    const GENEROUS: Duration = Duration::from_secs(60);
    const PATIENCE: Patience = Patience { with_content: 64 * 1024, at_all: 256 * 1024 };

    /// A thousand bytes of content at a path, as they are told.
    fn news(number: usize) -> Report {
        let content = vec![7; 1000];
        let (digest, modified) = (Digest::of(&content), Timestamp { seconds: 0, nanos: 0 });
        let file = File { digest, size: 1000, mode: 0o644, modified };
        let row = Row {
            path: RelPath::new(format!("{number:0>200}")).expect("lawful"),
            entry: Some(Entry::from(file)),
            content: Some(content.into()),
            seen: None,
        };
        Report::Observed(Observation { rows: vec![row], ..Observation::default() })
    }

    #[tokio::test]
    async fn to_who_reads_nothing_content_is_left_out_and_then_nothing_is_said() {
        let (a, b) = duplex(1024);
        let (ours, theirs) = (Hello::new(Role::Coordinator, None), Hello::new(Role::Agent, None));
        let (a, b) = tokio::join!(open(a, &ours, GENEROUS), greet(b, GENEROUS, |_| Ok(theirs)));
        let (_a_says, mut a_hears) = a.expect("welcome").0.start::<PeerMessage, PeerMessage>();
        let (b_says, _b_hears) = b.expect("welcome").0.start::<PeerMessage, PeerMessage>();
        let ended = Arc::new(Notify::new());
        let inner = Inner {
            link: Some(b_says.clone()),
            turn: Some((None, ended.clone())),
            ..Inner::default()
        };
        let desk =
            Arc::new(Desk { inner: Mutex::new(inner), patience: PATIENCE, ..Desk::default() });
        let say = reporter(desk.clone());
        let mut said = 0;
        while desk.lock().link.is_some() {
            say(news(said));
            said += 1;
            assert!(b_says.waiting() < PATIENCE.at_all + 2000, "{} wait", b_says.waiting());
        }
        timeout(GENEROUS, ended.notified()).await.expect("its turn is over");
        say(news(said));
        drop(b_says);
        let (mut whole, mut bare) = (0, 0);
        while let Ok(message) = timeout(GENEROUS, a_hears.next()).await.expect("not for ever") {
            let PeerMessage::Report(Report::Observed(told)) = message else { continue };
            match told.rows[0].content {
                Some(_) if bare > 0 => panic!("content after it was left out"),
                Some(_) => whole += 1,
                None => bare += 1,
            }
        }
        let fit = PATIENCE.with_content / 1200;
        assert!((fit / 2..2 * fit).contains(&whole), "{whole} with content");
        assert!(bare > 2 * whole, "{bare} without content");
        assert_eq!(whole + bare, said - 1, "the last one was too much");
    }
}
