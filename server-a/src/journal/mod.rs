//! The journal: what happened to the files, for whoever asks later.
//!
//! A thread of its own writes what the coordinator tells, as many rows in one go as have come
//! meanwhile; the coordinator never waits for it. The archive does: it learns of a change only
//! after its row is written, so that no crash can take a deletion out of the journal. A disk that
//! is full stops the journal and nothing else; what it missed is counted, and said.
#![expect(clippy::disallowed_methods, reason = "threads and a clock of its own")]

pub mod search;
pub mod segments;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use common::path::RelPath;
use common::replica::kept::{Kept, shown};
use common::time::Timestamp;
use common::wire::client::Answer;
use common::wire::log::{Happened, LogQuery, LogRow};
use tracing::{error, warn};

use crate::clients::Desk;
use crate::coordinator::event::{ClientId, Event};
use crate::mail::Mail;
use segments::{Segments, Snapshot, Terms};

/// Rows that wait for a disk that takes none; more are counted and dropped.
const WAITING_MAX: usize = 10_000;
/// Rows that are written in one go.
const BATCH_MAX: usize = 4096;
/// When the disk takes none, it is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// Rows that explain a difference, for each path.
const EXPLAINING: u32 = 5;

/// What the journal is told.
enum Told {
    Row(LogRow),
    Recall(ClientId, LogQuery),
    Explain(Vec<RelPath>),
    /// Say when everything before is written, or cannot be.
    Flush(Sender<()>),
}

/// What the reading thread is told.
enum Read {
    Recall(ClientId, LogQuery, Snapshot, Vec<LogRow>, Option<String>),
    Explain(Vec<RelPath>, Snapshot),
}

/// Speaks to the journal.
#[derive(Clone)]
pub(crate) struct Journal {
    tell: Sender<Told>,
}

struct Writer {
    segments: Result<Segments, String>,
    /// Rows that are not written yet.
    waiting: Vec<LogRow>,
    lost: u64,
    trouble: Option<String>,
    /// What was found at the start, said once.
    found: Option<String>,
    read: Sender<Read>,
    mail: Sender<Mail>,
}

/// Starts the journal's threads. They end when nobody can tell it more and all is written.
pub(crate) fn start(
    dir: Kept,
    terms: Terms,
    desk: Arc<Desk>,
    mail: Sender<Mail>,
) -> io::Result<(Journal, JoinHandle<()>)> {
    let (segments, found) = match Segments::open(dir.clone(), terms) {
        Ok((segments, found)) => (Ok(segments), found),
        Err(cause) => (Err(format!("cannot use `{}`: {cause}", shown(&dir).display())), None),
    };
    if let Some(why) = &found {
        warn!(%why, "the journal:");
    }
    let (read, reads) = channel();
    Builder::new().name("recalling".into()).spawn(move || recall(&reads, &desk))?;
    let (tell, told) = channel();
    let (waiting, lost, trouble) = (Vec::new(), 0, None);
    let mut writer = Writer { segments, waiting, lost, trouble, found, read, mail };
    if let Err(why) = &writer.segments {
        let why = why.clone();
        writer.is_in_trouble(Some(why));
    }
    let writing = Builder::new().name("journal".into()).spawn(move || writer.write(&told))?;
    Ok((Journal { tell }, writing))
}

impl Journal {
    /// Writes down what happened, soon.
    pub(crate) fn record(&self, row: LogRow) {
        // The journal outlives all who speak to it.
        drop(self.tell.send(Told::Row(row)));
    }

    /// Answers a client what happened, with all that was written down before.
    pub(crate) fn recall(&self, client: ClientId, query: LogQuery) {
        drop(self.tell.send(Told::Recall(client, query)));
    }

    /// Says what happened at these paths of late.
    pub(crate) fn explain(&self, paths: Vec<RelPath>) {
        drop(self.tell.send(Told::Explain(paths)));
    }

    /// Returns when everything before is written, or cannot be.
    pub(crate) fn flush(&self) {
        let (done, wait) = channel();
        if self.tell.send(Told::Flush(done)).is_ok() {
            // A journal that ended has said why.
            let _ = wait.recv();
        }
    }
}

impl Writer {
    fn write(&mut self, told: &Receiver<Told>) {
        loop {
            let first = match self.waiting.is_empty() {
                true => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => told.recv_timeout(AGAIN),
            };
            let mut flushes = Vec::new();
            let mut next = match first {
                Ok(told) => Some(told),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.put(),
            };
            let mut count = 0;
            while let Some(told_now) = next {
                count += 1;
                match told_now {
                    Told::Row(row) => self.take(row),
                    Told::Flush(done) => flushes.push(done),
                    Told::Recall(client, query) => {
                        self.put();
                        self.pass_on(|snapshot, rows, trouble| {
                            Read::Recall(client, query, snapshot, rows, trouble)
                        });
                    }
                    Told::Explain(paths) => {
                        self.put();
                        self.pass_on(|snapshot, _, _| Read::Explain(paths, snapshot));
                    }
                }
                next = if count < BATCH_MAX { told.try_recv().ok() } else { None };
            }
            self.put();
            for done in flushes {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }

    fn take(&mut self, row: LogRow) {
        if self.segments.is_err() || self.waiting.len() >= WAITING_MAX {
            self.lost += 1;
        } else {
            self.waiting.push(row);
        }
    }

    /// Writes what waits.
    fn put(&mut self) {
        let Ok(segments) = &mut self.segments else { return };
        if self.waiting.is_empty() && self.lost == 0 {
            return;
        }
        let mut rows = std::mem::take(&mut self.waiting);
        if self.lost > 0 {
            let detail = Some(format!("{} rows could not be written", self.lost));
            let gap = LogRow::new(Happened::Gap, None);
            rows.push(LogRow { time: Timestamp::now(), detail, ..gap });
        }
        match segments.append(&mut rows) {
            Ok(()) => {
                self.lost = 0;
                self.is_in_trouble(None);
            }
            Err(cause) => {
                if self.lost > 0 {
                    rows.pop();
                }
                self.waiting = rows;
                let rows = self.waiting.len() as u64 + self.lost;
                self.is_in_trouble(Some(format!("cannot be written, {rows} rows wait: {cause}")));
            }
        }
    }

    /// Tells people and the coordinator, once for each sort of trouble.
    fn is_in_trouble(&mut self, trouble: Option<String>) {
        if self.trouble.is_none() && trouble.is_some() {
            error!(why = %trouble.as_deref().unwrap_or_default(), "the journal stands still;");
        } else if self.trouble.is_some() && trouble.is_none() {
            warn!("the journal goes on");
        }
        if self.trouble != trouble {
            self.trouble.clone_from(&trouble);
            drop(self.mail.send(Mail::now(Event::JournalIs(trouble))));
        }
    }

    fn pass_on(&mut self, read: impl FnOnce(Snapshot, Vec<LogRow>, Option<String>) -> Read) {
        let snapshot = match &self.segments {
            Ok(segments) => segments.snapshot(),
            Err(_) => Snapshot::empty(),
        };
        let trouble = self.trouble.clone().or_else(|| self.found.take());
        drop(self.read.send(read(snapshot, self.waiting.clone(), trouble)));
    }
}

/// Reads for clients, one after the other.
fn recall(told: &Receiver<Read>, desk: &Desk) {
    while let Ok(read) = told.recv() {
        match read {
            Read::Recall(client, query, snapshot, rows, trouble) => {
                let mut part = snapshot.search(query, rows);
                part.problem = match (part.problem, trouble) {
                    (Some(one), Some(other)) => Some(format!("{one}; {other}")),
                    (one, other) => one.or(other),
                };
                desk.answer(client, Answer::Log(part));
            }
            Read::Explain(paths, snapshot) => {
                for path in paths.into_iter().take(10) {
                    explain(path, &snapshot);
                }
            }
        }
    }
}

fn explain(path: RelPath, snapshot: &Snapshot) {
    let query = LogQuery { path: Some(path.clone()), since: None, limit: EXPLAINING };
    for row in snapshot.search(query, Vec::new()).rows {
        let by = row.by.map_or_else(String::new, |side| format!(" by {side}"));
        let what = format!("{:?}{by} at {}", row.what, row.time.rfc3339()).to_lowercase();
        error!(%path, why = %what, "before that, at");
    }
}
