//! A link between two of our programs: whole messages out, whole messages in.
//!
//! After the handshake a [`Connection`] becomes an [`Outgoing`], which any task or thread may
//! hold, and an [`Incoming`], which one task reads. Two lanes lead out. The urgent one never
//! blocks the sender; the bulk one, for content and long lists, is bounded in bytes and lets
//! everything urgent pass. A writer task empties them, as many frames in one write as wait.
//! A link on which nothing is heard for a while is lost, so both ends say `Ping` when they have
//! nothing else to say. No message is interpreted here, but for the heartbeat.
#![expect(clippy::disallowed_methods, reason = "a socket has deadlines and a writing task")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{
    UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::limits::FRAME_BYTES_MAX;
use crate::wire::cbor::{self, CborError};
use crate::wire::frame::{self, FrameError, Inbox};
use crate::wire::round::Rounds;
use crate::wire::speech::{Message, Pulse};

/// Bytes that may wait in the bulk lane.
pub const BULK_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A write is not made longer than this by what else waits, in bytes.
const WRITE_BYTES: usize = 128 * 1024;

const _: () = assert!(FRAME_BYTES_MAX + frame::PREFIX_BYTES < BULK_BYTES_MAX);

/// Why there is no link, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection came about.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The other end is not one of our programs.
    #[error("the other end does not speak lab3, it says {0}")]
    Foreign(String),
    /// The other end is of another version.
    #[error("the other end speaks protocol version {theirs}, this is version {ours}")]
    Version {
        /// What it speaks.
        theirs: u32,
        /// What we speak.
        ours: u32,
    },
    /// The other end would not have us.
    #[error("the other end refused: {0}")]
    Refused(String),
    /// We would not have the other end.
    #[error("turned away: {0}")]
    Turned(String),
    /// The other end did not prove to have any key.
    #[error("the other end cannot prove who it is")]
    Unproven(#[source] io::Error),
    /// Too many came at once, and this one had waited longest.
    #[error("too many connections are being made")]
    Crowded,
    /// The link ended.
    #[error("the link was lost")]
    Lost(#[source] Option<io::Error>),
    /// Something was not said in time.
    #[error("nothing was heard within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// A frame is longer than allowed, or empty.
    #[error("a frame is out of bounds")]
    Frame(#[source] FrameError),
    /// A frame does not hold what it should.
    #[error("a message cannot be read or written")]
    Malformed(#[source] CborError),
}

impl LinkError {
    pub(super) fn io(error: io::Error) -> LinkError {
        LinkError::Lost(Some(error))
    }
}

/// How long silence may last.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A ping is sent when nothing else was for this long.
    pub ping_after: Duration,
    /// The link is lost when nothing was heard for this long; only where there are pings.
    pub silence_max: Duration,
    /// What is still queued when the reader is gone has this long to leave.
    pub linger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            ping_after: Duration::from_secs(5),
            silence_max: Duration::from_secs(15),
            linger: Duration::from_secs(5),
        }
    }
}

/// A link after the handshake, on which nothing has been said yet.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    inbox: Inbox,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, inbox: Inbox) -> Connection<S> {
        Connection { stream, inbox }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection<S> {
    /// Starts to write and read, at the usual pace. Must be called within a tokio runtime.
    #[must_use]
    pub fn start<O: Message, I: Message>(self) -> (Outgoing<O>, Incoming<I, S>) {
        self.start_paced(Pace::default())
    }

    /// Starts to write and read.
    #[must_use]
    pub fn start_paced<O: Message, I: Message>(self, pace: Pace) -> (Outgoing<O>, Incoming<I, S>) {
        let (reader, writer) = tokio::io::split(self.stream);
        let (urgent, urgent_queue) = unbounded_channel();
        let (bulk, bulk_queue) = unbounded_channel();
        let (present, gone) = oneshot::channel();
        let bulk_room = Arc::new(Semaphore::new(BULK_BYTES_MAX));
        let pong = frame_of(O::pong().as_ref());
        let waiting = Arc::new(AtomicUsize::new(0));
        let lanes = Lanes {
            urgent: urgent_queue,
            bulk: bulk_queue,
            room: bulk_room.clone(),
            waiting: waiting.clone(),
        };
        let rounds = Arc::new(Rounds::default());
        let heart = Heart { ping: frame_of(O::ping().as_ref()), rounds: rounds.clone() };
        let writing = tokio::spawn(write(writer, lanes, heart, pace, gone));
        let incoming = Incoming {
            reader,
            inbox: self.inbox,
            silence_max: I::ping().map(|_| pace.silence_max),
            heard: Instant::now(),
            pong: pong.map(|frame| Pong {
                urgent: urgent.downgrade(),
                waiting: waiting.clone(),
                frame,
            }),
            rounds: rounds.clone(),
            writing,
            written: false,
            _present: present,
            message: std::marker::PhantomData,
        };
        let outgoing = Outgoing {
            urgent,
            bulk,
            bulk_room,
            waiting,
            rounds,
            runtime: Handle::current(),
            message: std::marker::PhantomData,
        };
        (outgoing, incoming)
    }
}

/// Writes a message as a frame.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, LinkError> {
    let mut frame = frame::begin();
    cbor::append(message, &mut frame).map_err(LinkError::Malformed)?;
    frame::finish(&mut frame, limit).map_err(LinkError::Frame)?;
    Ok(frame)
}

fn frame_of<M: Message>(message: Option<&M>) -> Option<Vec<u8>> {
    message.map(|message| encode(message, FRAME_BYTES_MAX).expect("a heartbeat is a short frame"))
}

/// The end of a link that speaks. Clones share it; when the last one is dropped, what is queued
/// is still written, then the other end hears the end of the link.
#[derive(Debug)]
pub struct Outgoing<M> {
    urgent: UnboundedSender<Vec<u8>>,
    bulk: UnboundedSender<(Vec<u8>, OwnedSemaphorePermit)>,
    bulk_room: Arc<Semaphore>,
    /// Bytes in the urgent lane.
    waiting: Arc<AtomicUsize>,
    rounds: Arc<Rounds>,
    runtime: Handle,
    message: std::marker::PhantomData<fn(M)>,
}

impl<M> Clone for Outgoing<M> {
    fn clone(&self) -> Self {
        Outgoing {
            urgent: self.urgent.clone(),
            bulk: self.bulk.clone(),
            bulk_room: self.bulk_room.clone(),
            waiting: self.waiting.clone(),
            rounds: self.rounds.clone(),
            runtime: self.runtime.clone(),
            message: std::marker::PhantomData,
        }
    }
}

impl<M: Message> Outgoing<M> {
    /// Queues a message in the urgent lane. Never blocks.
    pub fn send(&self, message: &M) -> Result<(), LinkError> {
        let frame = encode(message, FRAME_BYTES_MAX)?;
        self.waiting.fetch_add(frame.len(), Ordering::Relaxed);
        self.urgent.send(frame).map_err(|_| LinkError::Lost(None))
    }

    /// Asks for a sign of life, to learn how long the way is; not more than once a second.
    pub fn measure(&self) {
        if let Some(ping) = M::ping().filter(|_| self.rounds.ask_again()) {
            // A lost link is noticed by its reader.
            let _ = self.send(&ping);
        }
    }

    /// How long the last sign of life took to be asked for and given.
    #[must_use]
    pub fn round(&self) -> Option<Duration> {
        self.rounds.last()
    }

    /// How long the shortest one took.
    #[must_use]
    pub fn least_round(&self) -> Option<Duration> {
        self.rounds.least()
    }

    /// Bytes that wait in the urgent lane. It has no bound of its own, so a speaker that could as
    /// well say less looks here first.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Queues a message in the bulk lane, as soon as there is room in it.
    pub async fn send_bulk(&self, message: &M) -> Result<(), LinkError> {
        let frame = encode(message, FRAME_BYTES_MAX)?;
        self.queue_bulk(frame).await
    }

    /// [`Outgoing::send_bulk`] for threads that may block. Never from an async task.
    pub fn blocking_send_bulk(&self, message: &M) -> Result<(), LinkError> {
        let frame = encode(message, FRAME_BYTES_MAX)?;
        self.runtime.block_on(self.queue_bulk(frame))
    }

    /// Whether the link is over: nothing that is sent now would leave.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.urgent.is_closed()
    }

    async fn queue_bulk(&self, frame: Vec<u8>) -> Result<(), LinkError> {
        let bytes = u32::try_from(frame.len()).expect("the frame limit is below u32");
        let room = self.bulk_room.clone().acquire_many_owned(bytes).await;
        let room = room.map_err(|_| LinkError::Lost(None))?;
        self.bulk.send((frame, room)).map_err(|_| LinkError::Lost(None))
    }
}

/// What is said when nothing else is.
struct Heart {
    ping: Option<Vec<u8>>,
    rounds: Arc<Rounds>,
}

struct Lanes {
    urgent: UnboundedReceiver<Vec<u8>>,
    bulk: UnboundedReceiver<(Vec<u8>, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Lanes {
    /// Accounts for a frame that leaves the urgent lane.
    fn leaves(&self, frame: Vec<u8>) -> Vec<u8> {
        self.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
        frame
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Whoever waits for room learns that there will be none.
        self.room.close();
    }
}

async fn write<S: AsyncWrite>(
    mut stream: WriteHalf<S>,
    mut lanes: Lanes,
    heart: Heart,
    pace: Pace,
    gone: oneshot::Receiver<()>,
) -> Result<(), LinkError> {
    let deserted = async {
        let _ = gone.await;
        sleep(pace.linger).await;
    };
    tokio::select! {
        end = drain(&mut stream, &mut lanes, &heart, pace.ping_after) => end.map_err(LinkError::io),
        () = deserted => Err(LinkError::Lost(None)),
    }
}

/// Writes until every sender is gone and both lanes are empty.
async fn drain<S: AsyncWrite>(
    stream: &mut WriteHalf<S>,
    lanes: &mut Lanes,
    heart: &Heart,
    ping_after: Duration,
) -> io::Result<()> {
    let mut sent = Instant::now();
    loop {
        let quiet = async {
            match &heart.ping {
                Some(ping) => {
                    sleep_until(sent + ping_after).await;
                    ping.clone()
                }
                None => std::future::pending().await,
            }
        };
        let mut batch = tokio::select! {
            biased;
            Some(frame) = lanes.urgent.recv() => lanes.leaves(frame),
            frame = lanes.bulk.recv() => match frame {
                Some((frame, _room)) => frame,
                // The senders of both lanes are dropped together, but the last urgent message
                // may have come between the two looks.
                None => match lanes.urgent.try_recv() {
                    Ok(frame) => lanes.leaves(frame),
                    Err(_) => return stream.shutdown().await,
                },
            },
            frame = quiet => {
                heart.rounds.asked();
                frame
            }
        };
        while batch.len() < WRITE_BYTES
            && let Ok(frame) = lanes.urgent.try_recv()
        {
            batch.extend_from_slice(&lanes.leaves(frame));
        }
        stream.write_all(&batch).await?;
        stream.flush().await?;
        sent = Instant::now();
    }
}

/// The answer to a ping, and the lane that it leaves by.
#[derive(Debug)]
struct Pong {
    urgent: WeakUnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    frame: Vec<u8>,
}

/// The end of a link that hears.
#[derive(Debug)]
pub struct Incoming<M, S> {
    reader: ReadHalf<S>,
    inbox: Inbox,
    silence_max: Option<Duration>,
    heard: Instant,
    pong: Option<Pong>,
    rounds: Arc<Rounds>,
    writing: JoinHandle<Result<(), LinkError>>,
    written: bool,
    _present: oneshot::Sender<()>,
    message: std::marker::PhantomData<fn() -> M>,
}

impl<M: Message, S: AsyncRead + AsyncWrite> Incoming<M, S> {
    /// The next message. After an error the link is over. May be dropped while it waits, and
    /// called again: nothing is lost.
    pub async fn next(&mut self) -> Result<M, LinkError> {
        loop {
            while let Some(body) = self.inbox.take(FRAME_BYTES_MAX).map_err(LinkError::Frame)? {
                let message = M::read(body).map_err(LinkError::Malformed)?;
                match message.pulse() {
                    Pulse::None => return Ok(message),
                    Pulse::Ping => self.answer_ping(),
                    Pulse::Pong => self.rounds.answered(),
                }
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), LinkError> {
        let room = self.inbox.room(FRAME_BYTES_MAX).map_err(LinkError::Frame)?;
        let (reader, silence_max, heard) = (&mut self.reader, self.silence_max, self.heard);
        // Reading is tried first: what waits in the kernel while this task was busy counts.
        let read = async {
            match silence_max {
                Some(max) => match timeout_at(heard + max, reader.read_buf(room)).await {
                    Ok(count) => count.map_err(LinkError::io),
                    Err(_) => Err(LinkError::Timeout(max)),
                },
                None => reader.read_buf(room).await.map_err(LinkError::io),
            }
        };
        let count = if self.written {
            read.await?
        } else {
            tokio::select! {
                biased;
                count = read => count?,
                end = &mut self.writing => {
                    // A writer that failed takes the link with it; one that had nothing left to
                    // say leaves the other half open.
                    self.written = true;
                    return end.unwrap_or(Err(LinkError::Lost(None)));
                }
            }
        };
        if count == 0 {
            return Err(LinkError::Lost(None));
        }
        self.heard = Instant::now();
        Ok(())
    }

    fn answer_ping(&self) {
        // Whoever is told as much as that hears a sign of life in it.
        if let Some(Pong { urgent, waiting, frame }) = &self.pong
            && waiting.load(Ordering::Relaxed) < WRITE_BYTES
            && let Some(urgent) = urgent.upgrade()
        {
            waiting.fetch_add(frame.len(), Ordering::Relaxed);
            // When the writer is gone, the next read says so.
            let _ = urgent.send(frame.clone());
        }
    }
}
