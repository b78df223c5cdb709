//! The link to B: dials it again and again, and passes on what it says.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the link to B")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::entry::Entry;
use common::exchange::asker::Asker;
use common::exchange::giver::Giver;
use common::identity::Identity;
use common::identity::id::Id;
use common::identity::trusted::Standing;
use common::limits::{FLUSHED_SINGLY_MAX, FRAME_BYTES_MAX, MAIL_BYTES_MAX};
use common::path::RelPath;
use common::replica::met;
use common::replica::service::Replica;
use common::side::Side;
use common::wire::connection::{Incoming, LinkError, Outgoing};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::message::{
    Hello, Observation, Order, OrderId, PeerMessage, ReplicaId, Report, Role, Row,
};
use common::wire::secure::{self, distrusted};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use crate::coordinator::event::Event;
use crate::mail::Room;

/// The first pause between two attempts to reach B; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest one.
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// Orders of the saver have numbers from here on, so that they meet no order of the coordinator.
const SYNC_IDS: u64 = 1 << 63;

/// What is said to B, as long as it is there.
pub(crate) struct Link {
    inner: Mutex<Inner>,
    over: Notify,
    /// So many bytes may wait until B reads them.
    news_bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    outgoing: Option<Outgoing<PeerMessage>>,
    /// The server stops: when this link is lost, no other takes its place.
    is_last: bool,
    syncs: BTreeMap<OrderId, Sender<bool>>,
    next: u64,
    /// Why we go on with B no more, as soon as that is so.
    hung_up: Option<String>,
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
    /// No link yet; over the one to come so many bytes may wait.
    pub(crate) fn of_at_most(news_bytes_max: usize) -> Link {
        Link { inner: Mutex::default(), over: Notify::new(), news_bytes_max }
    }

    /// Says something to B, if it is there. What B does not hear, its next inventory makes good.
    pub(crate) fn send(&self, message: &PeerMessage) {
        let inner = self.lock();
        let Some(outgoing) = &inner.outgoing else { return };
        if outgoing.waiting() <= self.news_bytes_max {
            // A lost link is noticed by its reader.
            drop(outgoing.send(message));
            return;
        }
        drop(inner);
        self.hang_up("it does not read what it is told");
    }

    /// Ends this link.
    pub(crate) fn hang_up(&self, why: &str) {
        let mut inner = self.lock();
        if inner.outgoing.take().is_some() {
            inner.hung_up = Some(why.to_owned());
            self.over.notify_one();
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

    /// Says nothing more to B, and waits for no answer of it. Answers why that is so, when it was
    /// us who ended the link.
    pub(crate) fn close(&self) -> Option<String> {
        let mut inner = self.lock();
        inner.outgoing = None;
        inner.syncs.clear();
        inner.hung_up.take()
    }

    /// B is there; answers whether anything will be said to it.
    fn open(&self, outgoing: Outgoing<PeerMessage>) -> bool {
        let mut inner = self.lock();
        if inner.is_last {
            return false;
        }
        inner.outgoing = Some(outgoing);
        inner.hung_up = None;
        inner.syncs.clear();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where B is, who we are to it, and how much it may tell before it has told everything.
pub(crate) struct At {
    pub(crate) address: String,
    pub(crate) identity: Arc<Identity>,
    pub(crate) tells_bytes_max: u64,
}

/// Dials B until the server stops.
pub(crate) async fn dial(
    At { address, identity, tells_bytes_max }: At,
    replica: Arc<Replica>,
    link: Arc<Link>,
    asker: Arc<Asker>,
    giver: Arc<Giver>,
    tell: impl Fn(Event, Option<Room>),
) -> Infallible {
    let hello = replica.hello(Role::Coordinator);
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match secure::dial(&address, &identity, &hello, HANDSHAKE_TIME).await {
            Ok((connection, theirs, b)) => match partner(&theirs, &replica) {
                Ok(id) => {
                    pause = PAUSE_FIRST;
                    let (outgoing, incoming) = connection.start();
                    if !link.open(outgoing.clone()) {
                        return pending().await;
                    }
                    asker.connect(outgoing.clone());
                    outgoing.measure();
                    let (met, run) = (met::told(&theirs.features), met::told_run(&theirs.features));
                    tell(Event::PeerUp(id, met, run), None);
                    let ears = Ears { link: &link, asker: &asker, giver: &giver, tells_bytes_max };
                    let hearing = ears.hear(incoming, &outgoing, &tell);
                    let why = tokio::select! {
                        error = hearing => words(&error),
                        why = no_longer(&identity, &b) => why,
                        () = link.over.notified() => "hung up".to_owned(),
                    };
                    let hung_up = link.close();
                    asker.disconnect();
                    if hung_up.is_some() {
                        pause = PAUSE_MOST;
                    }
                    hung_up.unwrap_or(why)
                }
                Err(why) => format!("{address}: {why}"),
            },
            Err(error) => format!("cannot reach server B at {address}: {}", words(&error)),
        };
        tell(Event::PeerDown(error), None);
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

/// Which replica of B this is, if it may be joined with ours.
fn partner(theirs: &Hello, ours: &Replica) -> Result<ReplicaId, String> {
    let (Role::Agent, Some(id)) = (theirs.role, theirs.replica) else {
        return Err("this is not a server B".to_owned());
    };
    ours.clash(theirs).map_or(Ok(id), Err)
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

/// About how much of our memory a report takes, in bytes.
fn weight(report: &Report) -> u32 {
    /// What a row takes beside its name and content.
    const ROW_BYTES: usize = 256;
    let named = |path: &RelPath| path.as_bytes().len() + ROW_BYTES;
    let entry = |entry: Option<&Entry>| match entry {
        Some(Entry::Link(link)) => link.target.len(),
        _ => 0,
    };
    let pairs = |pairs: &[(RelPath, RelPath)]| -> usize {
        pairs.iter().map(|(from, to)| named(from) + named(to)).sum()
    };
    let bytes = match report {
        Report::Inventory { rows, problems, .. } => {
            let problems = problems.iter().map(|(path, p)| named(path) + p.detail.len());
            let rows = rows.iter().map(|(path, row)| named(path) + entry(Some(row)));
            rows.sum::<usize>() + problems.sum::<usize>()
        }
        Report::Observed(Observation { carried, rows, moved, strayed, problems, .. }) => {
            let problems = problems
                .iter()
                .map(|(path, p)| named(path) + p.as_ref().map_or(0, |p| p.detail.len()));
            let content = |row: &Row| row.content.as_ref().map_or(0, |content| content.len());
            let rows = rows.iter().map(|r| named(&r.path) + entry(r.entry.as_ref()) + content(r));
            let moves = pairs(carried) + pairs(moved) + pairs(strayed);
            rows.sum::<usize>() + problems.sum::<usize>() + moves
        }
        Report::Outcome { .. }
        | Report::Settled { .. }
        | Report::Synced { .. }
        | Report::Met { .. } => 16 * ROW_BYTES,
        Report::Condition(_)
        | Report::Compared { .. }
        | Report::Reread { .. }
        | Report::Trash { .. }
        | Report::TrashFound { .. } => FRAME_BYTES_MAX,
    };
    u32::try_from((bytes + ROW_BYTES).min(MAIL_BYTES_MAX)).unwrap_or(u32::MAX)
}

/// Who hears what B says.
struct Ears<'e> {
    link: &'e Link,
    asker: &'e Asker,
    giver: &'e Giver,
    tells_bytes_max: u64,
}

impl Ears<'_> {
    /// Hears until the link is over; answers why it is.
    async fn hear<S: AsyncRead + AsyncWrite>(
        &self,
        mut incoming: Incoming<PeerMessage, S>,
        outgoing: &Outgoing<PeerMessage>,
        tell: &impl Fn(Event, Option<Room>),
    ) -> LinkError {
        let room = Arc::new(Semaphore::new(MAIL_BYTES_MAX));
        let mut inventory = 0;
        loop {
            match incoming.next().await {
                Ok(PeerMessage::Report(Report::Synced { id, durable })) => {
                    self.link.synced(id, durable);
                }
                Ok(PeerMessage::Report(report)) => {
                    let weight = weight(&report);
                    match &report {
                        Report::Inventory { last: true, .. } => inventory = 0,
                        Report::Inventory { .. } => inventory += u64::from(weight),
                        _ => {}
                    }
                    if inventory > self.tells_bytes_max {
                        return LinkError::Turned("it never ends to tell what it has".to_owned());
                    }
                    // Whoever tells more than we hear has to wait: it stays in his machine.
                    let taken = room.clone().acquire_many_owned(weight).await;
                    tell(Event::Reported(Side::B, report), taken.ok());
                    outgoing.measure();
                }
                Ok(PeerMessage::Ask(ask)) => {
                    if !self.giver.answer(ask, outgoing) {
                        return LinkError::Turned("it asks for more than anybody needs".to_owned());
                    }
                }
                Ok(PeerMessage::Give(give)) => self.asker.take(give),
                // An agent gives no orders.
                Ok(PeerMessage::Order(_) | PeerMessage::Ping | PeerMessage::Pong) => {}
                Err(error) => return error,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use common::wire::handshake::{greet, open};
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    type Ends<S> = (Outgoing<PeerMessage>, Incoming<PeerMessage, S>);

    const GENEROUS: Duration = Duration::from_secs(60);

    /// The two ends of a link that holds little by itself.
    async fn linked() -> (Ends<DuplexStream>, Ends<DuplexStream>) {
        let (a, b) = duplex(1024);
        let (ours, theirs) = (Hello::new(Role::Coordinator, None), Hello::new(Role::Agent, None));
        let (a, b) = tokio::join!(open(a, &ours, GENEROUS), greet(b, GENEROUS, |_| Ok(theirs)));
        (a.expect("welcome").0.start(), b.expect("welcome").0.start())
    }

    fn inventory(rows: usize, last: bool) -> PeerMessage {
        let row = |n| RelPath::new(format!("{n}")).map(|path| (path, Entry::Dir { mode: 0o755 }));
        let rows = (0..rows).map(row).collect::<Result<_, _>>().expect("lawful");
        PeerMessage::Report(Report::Inventory { rows, problems: Vec::new(), last })
    }

    #[tokio::test]
    async fn who_never_ends_to_tell_what_it_has_is_heard_no_longer() {
        let ((a_says, a_hears), (b_says, _b_hears)) = linked().await;
        let giver = Giver::start(Arc::new(|_, _| {})).expect("threads");
        let (link, asker) = (Link::of_at_most(0), Asker::default());
        let ears = Ears { link: &link, asker: &asker, giver: &giver, tells_bytes_max: 1024 * 1024 };
        let heard = std::cell::Cell::new(0);
        let tell = |_, _| heard.set(heard.get() + 1);
        let say = |message: &PeerMessage| b_says.send(message).expect("said");
        // What is told again and again, and ends each time, is no inventory without an end.
        for _ in 0..10 {
            say(&inventory(1000, false));
            say(&inventory(1000, true));
        }
        for _ in 0..1000 {
            say(&inventory(100, false));
        }
        let error = timeout(GENEROUS, ears.hear(a_hears, &a_says, &tell)).await.expect("ended");
        assert!(matches!(&error, LinkError::Turned(why) if why.contains("never ends")), "{error}");
        let parts = heard.get() - 20;
        assert!((30..60).contains(&parts), "{parts} parts of 100 rows in a mebibyte");
    }

    #[tokio::test]
    async fn who_reads_nothing_is_told_nothing_more() {
        const MAX: usize = 256 * 1024;
        let ((a_says, _a_hears), (_b_says, mut b_hears)) = linked().await;
        let link = Link::of_at_most(MAX);
        assert!(link.open(a_says.clone()));
        let paths = vec![RelPath::new(vec![b'x'; 200]).expect("lawful"); 100];
        let order = |n| PeerMessage::Order(Order::Sync { id: OrderId(n), paths: paths.clone() });
        let frame = common::wire::cbor::to_vec(&order(0)).expect("written").len();
        let mut said = 0;
        while link.lock().outgoing.is_some() {
            link.send(&order(said));
            said += 1;
            assert!(a_says.waiting() < MAX + 2 * frame, "{} bytes wait", a_says.waiting());
        }
        assert!(said as usize > MAX / frame, "said {said} times");
        timeout(GENEROUS, link.over.notified()).await.expect("the link is given up");
        assert_eq!(link.close().as_deref(), Some("it does not read what it is told"));
        // What was said before is still to be had, in order, and nothing else.
        drop(a_says);
        let mut read = 0;
        while let Ok(message) = timeout(GENEROUS, b_hears.next()).await.expect("not for ever") {
            assert_eq!(message, order(read));
            read += 1;
        }
        assert_eq!(read, said - 1, "the last one was too much");
    }
}
