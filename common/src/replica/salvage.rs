//! Says what is in trash, on a thread of its own: a trash may be large, and nothing waits for it.
//!
//! A version that is to be brought back is read anew: a program that still had it open may have
//! written to it since it came to trash, and what it is now is what comes back.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::limits::TRASH_ROWS_MAX;
use crate::path::RelPath;
use crate::replica::examine::{Seen, examine};
use crate::replica::known::Known;
use crate::replica::looks::Place;
use crate::replica::publish::Publisher;
use crate::replica::trash::{Reason, Trash, Trashed};
use crate::wire::message::{OrderId, Report};
use crate::wire::parts::parts;
use crate::wire::trashed::{TrashFound, TrashName, TrashReason, TrashRow};

enum Question {
    List(OrderId, Option<RelPath>),
    Find(OrderId, TrashName),
}

type Asked = (Question, Place);

/// The thread that answers.
pub struct Salvage {
    inner: Mutex<Option<(Sender<Asked>, JoinHandle<()>)>>,
}

impl Salvage {
    /// Starts the thread. What it finds goes where everything else is reported.
    pub fn start(known: Arc<Known>, publisher: Arc<Publisher>) -> io::Result<Salvage> {
        let (ask, asked) = channel();
        let thread = Builder::new().name("salvage".into());
        let thread = thread.spawn(move || run(&known, &publisher, &asked))?;
        Ok(Salvage { inner: Mutex::new(Some((ask, thread))) })
    }

    /// Reports what is in trash at and below a path.
    pub fn list(&self, id: OrderId, below: Option<RelPath>, place: Place) {
        self.ask((Question::List(id, below), place));
    }

    /// Reports what a version is now.
    pub fn find(&self, id: OrderId, name: TrashName, place: Place) {
        self.ask((Question::Find(id, name), place));
    }

    fn ask(&self, question: Asked) {
        if let Some((ask, _)) = &*self.inner.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends only after its sender.
            drop(ask.send(question));
        }
    }

    /// Answers what was asked, then ends.
    pub fn stop(&self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((ask, thread)) = inner {
            drop(ask);
            if thread.join().is_err() {
                tracing::error!("a look into the trash ended by a bug");
            }
        }
    }
}

fn run(known: &Known, publisher: &Publisher, asked: &Receiver<Asked>) {
    let trash = &publisher.trash;
    while let Ok((question, _place)) = asked.recv() {
        publisher.unfold(usize::MAX);
        match question {
            Question::List(id, below) => {
                list(trash, id, below.as_ref()).into_iter().for_each(|part| known.answer(part));
            }
            Question::Find(id, name) => {
                let found = find(trash, &name).map_err(|error| error.to_string());
                known.answer(Report::TrashFound { id, found });
            }
        }
    }
}

/// What is in trash at and below a path, the newest first, in parts that a message can carry.
fn list(trash: &Trash, id: OrderId, below: Option<&RelPath>) -> Vec<Report> {
    let all = match trash.list() {
        Ok(all) => all,
        Err(error) => {
            let rows = Err(error.to_string());
            return vec![Report::Trash { id, rows, left_out: 0, last: true }];
        }
    };
    let wanted = |t: &Trashed| below.is_none_or(|below| t.path == *below || t.path.is_below(below));
    let mut rows: Vec<TrashRow> = all.into_iter().rev().filter(wanted).filter_map(row).collect();
    let left_out = rows.len().saturating_sub(TRASH_ROWS_MAX) as u64;
    rows.truncate(TRASH_ROWS_MAX);
    let parts = parts(rows, |row| row.path.as_bytes().len());
    let count = parts.len();
    let part = |(at, rows): (usize, Vec<TrashRow>)| {
        let last = at + 1 == count;
        Report::Trash { id, rows: Ok(rows), left_out: if last { left_out } else { 0 }, last }
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn row(trashed: Trashed) -> Option<TrashRow> {
    let Trashed { id, path, time, reason, size, .. } = trashed;
    let reason = match reason {
        Reason::Replaced => TrashReason::Replaced,
        Reason::Deleted => TrashReason::Deleted,
        Reason::Recovered => TrashReason::Recovered,
        Reason::Discarded => TrashReason::Discarded,
    };
    Some(TrashRow { name: TrashName::new(&id)?, path, size, time, reason })
}

fn find(trash: &Trash, name: &TrashName) -> io::Result<Option<TrashFound>> {
    let Some(Trashed { path, .. }) = trash.about(name.as_str())? else { return Ok(None) };
    match examine(trash.handle(), name.as_str().as_bytes(), None)? {
        Seen::There(row) => Ok(Some(TrashFound { path, entry: row.entry })),
        Seen::Nothing => Ok(None),
        Seen::Moving => Err(io::Error::other("somebody is writing to it")),
        Seen::Special => Err(io::Error::other("it is no file")),
    }
}
