//! Keeps what is known of a tree up to date: the outside of the observing thread.
//!
//! One thread owns the watches, the dirty set and all timers; others send it commands and never
//! touch its state. What it finds out leaves through [`Known`], in the order of knowing.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::path::RelPath;
use crate::replica::hashing::Hashed;
use crate::replica::known::Known;
use crate::replica::looks::Place;
use crate::replica::observing::Observing;
use crate::replica::read::{WriterProbe, is_open_for_writing};
use crate::replica::root::Root;
use crate::replica::watch::{Hint, WatchError};
use crate::wire::message::OrderId;

/// How to observe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At most so many directories are watched; `None` leaves it to the kernel.
    pub watches_max: Option<usize>,
    /// Directories without a watch, and what could not be read, are looked at this often.
    pub poll_ms: u64,
    /// Everything is looked at this often; `None` is never.
    pub scrub_ms: Option<u64>,
    /// The root's identity is looked at this often.
    pub guard_ms: u64,
    /// Larger files are read on a thread of their own.
    pub large_bytes: u64,
    /// When at least so many entries go at once and none is left, the root counts as emptied.
    pub emptied_min: usize,
    /// A barrier waits this long for its cookie before it looks at everything instead.
    pub cookie_ms: u64,
    /// Tells whether a file is open for writing.
    pub probe: Option<WriterProbe>,
    /// Abilities that the file system lacks, for the condition.
    pub lacks: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            watches_max: None,
            poll_ms: 10_000,
            scrub_ms: Some(600_000),
            guard_ms: 1000,
            large_bytes: 16 * 1024 * 1024,
            emptied_min: 10,
            cookie_ms: 2000,
            probe: Some(is_open_for_writing),
            lacks: Vec::new(),
        }
    }
}

/// What the observer can be told.
#[derive(Clone, Debug)]
pub enum Command {
    /// The same, and somebody counts what waits.
    Counted(Box<Command>, Place),
    /// Report everything that was done before now, then `Report::Settled`.
    Settle(OrderId),
    /// Look at a path and everything below, or at everything.
    Rescan(Option<RelPath>),
    /// Something may have changed there.
    MarkDirty(RelPath),
    /// Make these contents durable, then `Report::Synced`.
    Sync(OrderId, Vec<RelPath>),
    /// Look at everything now, and count what watching missed.
    Scrub,
    /// Take the root as it is, even when it is empty.
    Approve,
    /// End.
    Stop,
}

/// Why observing cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// Nothing can be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// What arrives at the observing thread.
#[derive(Debug)]
pub(super) enum Input {
    Command(Command),
    /// A hint, and when it came.
    Hint(Hint, Instant),
    Hashed(Hashed),
}

/// Starts observers.
pub struct Observer;

impl Observer {
    /// Starts to observe. The first look at everything begins at once.
    pub fn start(
        settings: Settings,
        root: Arc<Root>,
        known: Arc<Known>,
    ) -> Result<ObserverHandle, ObserverError> {
        crate::sys::ignore_sigio();
        let (inbox, arriving) = channel();
        let ready = Arc::new(Ready::default());
        let observing = Observing::new(settings, root, known, inbox.clone(), arriving)?;
        let signal = ready.clone();
        let thread = std::thread::Builder::new()
            .name("observing".into())
            .spawn(move || observing.run(&signal))
            .map_err(ObserverError::Thread)?;
        Ok(ObserverHandle { inbox, ready, thread: Mutex::new(Some(thread)) })
    }
}

/// Sends commands to an observer. Ends it when dropped.
pub struct ObserverHandle {
    inbox: Sender<Input>,
    ready: Arc<Ready>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ObserverHandle {
    /// Sends a command. After the end it leads nowhere.
    pub fn send(&self, command: Command) {
        let _ = self.inbox.send(Input::Command(command));
    }

    /// A sender for somebody else.
    pub fn sender(&self) -> impl Fn(Command) + Clone + Send + use<> {
        let inbox = self.inbox.clone();
        move |command| {
            let _ = inbox.send(Input::Command(command));
        }
    }

    /// Returns when the first look at everything is over. Before, what is known is what was
    /// remembered, and nobody should ask for it.
    pub fn wait_ready(&self) {
        self.ready.wait();
    }

    /// Calls `then` when the first look at everything is over, on whatever thread.
    pub fn when_ready(&self, then: impl FnOnce() + Send + 'static) {
        if self.ready.is_set() {
            return then();
        }
        let ready = self.ready.clone();
        std::thread::spawn(move || {
            ready.wait();
            then();
        });
    }

    /// Ends the observer and waits for its end.
    pub fn stop(&self) {
        self.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the observer ended by a bug");
        }
    }
}

impl Drop for ObserverHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Becomes true once.
#[derive(Default)]
pub(super) struct Ready {
    is_ready: Mutex<bool>,
    change: Condvar,
}

impl Ready {
    pub(super) fn set(&self) {
        *self.is_ready.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.change.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.is_ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let mut is_ready = self.is_ready.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_ready {
            is_ready = self.change.wait(is_ready).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
