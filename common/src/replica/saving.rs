//! Saves what is known of a tree now and then, so that a restart need not read every file again;
//! prunes the trash meanwhile, and tries again to empty `stage/`. What was not saved is only read
//! again.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::path::RelPath;
use crate::replica::flush::flush;
use crate::replica::known::{Known, Row};
use crate::replica::publish::Publisher;
use crate::store::Store;
use crate::time::Timestamp;

const SAVE_EVERY: Duration = Duration::from_secs(3);
const PRUNE_EVERY: Duration = Duration::from_secs(600);

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
    loop {
        if pruned.is_none_or(|then| then.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            if let Err(error) = publisher.trash.prune(Timestamp::now()) {
                tracing::warn!(why = %error, "cannot prune the trash");
            }
        }
        let end = match stopped.recv_timeout(SAVE_EVERY) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        };
        let left = publisher.settle_left();
        *known.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = left;
        let mut rows = known.unsaved();
        keep_flushed(publisher, &mut rows);
        let saved = if rows.is_empty() { Ok(()) } else { store.save_scan(&rows) };
        let saved = saved.and_then(|()| if end { store.flush() } else { Ok(()) });
        if let Err(error) = saved {
            tracing::warn!(why = %error, "cannot save what is known of the files");
        }
        if end {
            return;
        }
    }
}

/// A power cut may take bytes back whose time stamps are on the disk already; the stamp would then
/// vouch for a content that is not there. So a row is saved only when its bytes are flushed.
fn keep_flushed(publisher: &Publisher, rows: &mut Vec<(RelPath, Option<Row>)>) {
    let is_file = |row: &Option<Row>| row.as_ref().is_some_and(|row| row.entry.as_file().is_some());
    let files: Vec<RelPath> =
        rows.iter().filter(|(_, row)| is_file(row)).map(|(path, _)| path.clone()).collect();
    // No file at all would mean every one.
    if !files.is_empty() && !flush(&publisher.root, &files) {
        rows.retain(|(_, row)| !is_file(row));
    }
}
