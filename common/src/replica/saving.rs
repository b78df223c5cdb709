//! Saves what is known of a tree now and then, so that a restart need not read every file again;
//! prunes the trash meanwhile, and tries again to empty `stage/`. What was not saved is only read
//! again.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::replica::flush::keep_flushed;
use crate::replica::known::Known;
use crate::replica::publish::Publisher;
use crate::replica::remembered;
use crate::store::Store;
use crate::sys::return_memory;
use crate::time::Timestamp;

const SAVE_EVERY: Duration = Duration::from_secs(3);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Files of removed directories that get a name of their own in the trash in one round.
const UNFOLDED_AT_ONCE: usize = 1000;
/// After so many rows the heap may have much that nobody needs any more.
const ROWS_MUCH: usize = 1000;
/// … and so many times nothing was to be saved before it is asked.
const ROUNDS_OF_REST: u32 = 5;

/// The saving thread.
pub(super) struct Saving {
    inner: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Saving {
    pub(super) fn start(
        known: Arc<Known>,
        store: Arc<Store>,
        publisher: Arc<Publisher>,
    ) -> io::Result<Saving> {
        let (stop, stopped) = channel();
        let thread = Builder::new().name("saving".into());
        let thread = thread.spawn(move || run(&known, &store, &publisher, &stopped))?;
        Ok(Saving { inner: Mutex::new(Some((stop, thread))) })
    }

    /// Saves a last time, then ends.
    pub(super) fn stop(&self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = inner {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("saving ended by a bug");
            }
        }
    }
}

fn run(known: &Known, store: &Store, publisher: &Publisher, stopped: &Receiver<()>) {
    let mut pruned: Option<Instant> = None;
    // Starting is much.
    let (mut rows_since_rest, mut rounds_at_rest) = (ROWS_MUCH, 0);
    loop {
        if pruned.is_none_or(|then| then.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            publisher.unfold(usize::MAX);
            if let Err(error) = publisher.trash.prune(Timestamp::now()) {
                tracing::warn!(why = %error, "cannot prune the trash");
            }
        }
        let end = match stopped.recv_timeout(SAVE_EVERY) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        };
        publisher.unfold(UNFOLDED_AT_ONCE);
        let left = publisher.settle_left();
        *known.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = left;
        let mut rows = known.unsaved();
        rows_since_rest += rows.len();
        rounds_at_rest = if rows.is_empty() { rounds_at_rest + 1 } else { 0 };
        if rounds_at_rest >= ROUNDS_OF_REST && rows_since_rest >= ROWS_MUCH {
            rows_since_rest = 0;
            return_memory();
        }
        let flushed = keep_flushed(&publisher.root, &mut rows);
        let saved = if rows.is_empty() { Ok(()) } else { store.save_scan(&rows) };
        let saved = match end {
            true if flushed => saved.and_then(|()| remembered::ended(store)),
            true => saved.and_then(|()| store.flush()),
            false => saved,
        };
        if let Err(error) = saved {
            tracing::warn!(why = %error, "cannot save what is known of the files");
        }
        if end {
            return;
        }
    }
}
