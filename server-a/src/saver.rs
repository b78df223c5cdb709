//! Makes what was agreed durable: the sources first, then the archive, many rows in one go.
#![expect(clippy::disallowed_methods, reason = "a thread of its own")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use common::path::RelPath;
use common::replica::service::Replica;
use common::side::Side;
use common::store::{Batch as Rows, Store, StoreError};
use common::tree::Tree;
use common::wire::message::Peer;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::broken::Broken;
use crate::coordinator::action::{ArchiveRow, Batch};
use crate::coordinator::event::{Event, SaveId};
use crate::journal::Journal;
use crate::locks::{Lock, LockTable};
use crate::mail::Mail;
use crate::peer::Link;

/// How long B may take to make its files durable before they are agreed on again later.
const SYNC_TIME: Duration = Duration::from_secs(60);
/// Batches that are saved in one transaction.
const BATCHES_MAX: usize = 1024;

const PEER: &str = "peer";
const NEXT_LOCK: &str = "next_lock";
const BROKEN: &str = "broken_locks";

/// What the saver is told.
pub(crate) enum Save {
    /// Make this durable, then say so.
    Batch(SaveId, Batch),
}

/// What an earlier run saved.
pub(crate) struct Saved {
    pub(crate) archive: Tree,
    pub(crate) peer: Option<Peer>,
    pub(crate) locks: LockTable,
    pub(crate) broken: Broken,
}

#[derive(Serialize, Deserialize)]
struct NextLock(u64);

/// Loads what an earlier run saved.
pub(crate) fn load(store: &Store) -> Result<Saved, StoreError> {
    let archive = store.load_archive()?;
    let locks = store.load_locks::<Lock>()?;
    let (rows, locked) = (archive.dropped.len(), locks.dropped.len());
    if rows + locked > 0 {
        warn!(rows, locked, "the store has damaged rows; they count as never agreed on");
    }
    let next = store.get_doc::<NextLock>(NEXT_LOCK)?.map_or(1, |next| next.0);
    Ok(Saved {
        archive: archive.rows,
        peer: store.get_doc(PEER)?,
        broken: store.get_doc(BROKEN)?.unwrap_or_default(),
        locks: LockTable::restore(locks.rows.into_values(), next),
    })
}

struct Saver {
    replica: Arc<Replica>,
    link: Arc<Link>,
    journal: Journal,
    mail: Sender<Mail>,
    /// The locks as they were saved last.
    locks: BTreeMap<u64, Lock>,
}

/// Starts the saver's thread. It ends when everything it was told is saved and nobody can tell it
/// more.
pub(crate) fn start(
    replica: Arc<Replica>,
    link: Arc<Link>,
    journal: Journal,
    mail: Sender<Mail>,
) -> anyhow::Result<(Sender<Save>, JoinHandle<()>)> {
    let locks = replica.store().load_locks::<Lock>()?.rows;
    let (tell, told) = channel();
    let mut saver = Saver { replica, link, journal, mail, locks };
    let saving = Builder::new().name("saver".into()).spawn(move || saver.save(&told))?;
    Ok((tell, saving))
}

impl Saver {
    fn save(&mut self, told: &Receiver<Save>) {
        while let Ok(Save::Batch(id, batch)) = told.recv() {
            let mut group = vec![(id, batch)];
            while group.len() < BATCHES_MAX
                && let Ok(Save::Batch(id, batch)) = told.try_recv()
            {
                group.push((id, batch));
            }
            self.save_group(group);
        }
    }

    fn save_group(&mut self, group: Vec<(SaveId, Batch)>) {
        let (mut rows, mut ids) = (Rows::default(), Vec::new());
        let mut archive: BTreeMap<RelPath, ArchiveRow> = BTreeMap::new();
        let mut forget = Ok(());
        for (id, batch) in group {
            ids.push(id);
            if batch.forget {
                archive.clear();
                forget = self.forget(&mut rows);
            }
            archive.extend(batch.archive.into_iter().map(|row| (row.path.clone(), row)));
            if let Some(peer) = batch.peer {
                rows.doc(PEER, Some(&peer));
            }
            if let Some(broken) = batch.broken {
                rows.doc(BROKEN, Some(&broken));
            }
            if let Some(locks) = batch.locks {
                self.lock_rows(&locks, &mut rows);
            }
        }
        let late = self.make_durable(&archive);
        for (path, row) in &archive {
            if !late.contains(path) {
                rows.archive(path, row.entry.as_ref());
            }
        }
        // What the archive knows, the journal has.
        self.journal.flush();
        let saved = forget.and_then(|()| self.replica.store().save(&rows));
        let saved = saved.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
        if !late.is_empty() {
            self.post(Event::NotDurable(late));
        }
        for id in ids {
            self.post(Event::Saved(id, saved.clone()));
        }
    }

    fn post(&self, event: Event) {
        // The driver is gone when the server stops.
        drop(self.mail.send(Mail::now(event)));
    }

    fn forget(&self, rows: &mut Rows) -> Result<(), StoreError> {
        for (path, _) in self.replica.store().load_archive()?.rows.iter() {
            rows.archive(path, None);
        }
        Ok(())
    }

    fn lock_rows(&mut self, locks: &LockTable, rows: &mut Rows) {
        let now: BTreeMap<u64, Lock> = locks.iter().map(|lock| (lock.id, lock.clone())).collect();
        for id in self.locks.keys().filter(|id| !now.contains_key(id)) {
            rows.lock::<Lock>(*id, None);
        }
        for (id, lock) in &now {
            rows.lock(*id, Some(lock));
        }
        rows.doc(NEXT_LOCK, Some(&NextLock(locks.next_id())));
        self.locks = now;
    }

    /// Flushes what the sides had first, and what they removed; answers what could not be.
    fn make_durable(&self, archive: &BTreeMap<RelPath, ArchiveRow>) -> Vec<RelPath> {
        if !self.replica.is_strict() {
            return Vec::new();
        }
        let of = |side: Side| -> Vec<RelPath> {
            let rows = archive.values();
            let theirs = rows.filter(|row| row.source.is_none_or(|source| source == side));
            theirs.map(|row| row.path.clone()).collect()
        };
        let (ours, theirs) = (of(Side::A), of(Side::B));
        let asked = self.link.sync(&theirs);
        let mut late = Vec::new();
        if !ours.is_empty() && !self.replica.sync(&ours) {
            late.extend(ours);
        }
        if !theirs.is_empty() && !asked.is_some_and(|answer| answer.within(SYNC_TIME)) {
            late.extend(theirs);
        }
        late
    }
}
