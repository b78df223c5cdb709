//! Finds the bytes for what is decided: small contents travel with the order that needs them.
//!
//! What a side just showed is kept for a moment, for it is what the next order will want. Large
//! contents are never here: their receiver pulls them itself.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "reads on a thread of its own"
)]

use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;

use common::change::{Operation, Outcome};
use common::entry::{Entry, File};
use common::exchange::asker::Asker;
use common::exchange::giver::Read;
use common::exchange::remote::Remote;
use common::limits::INLINE_BYTES_MAX;
use common::path::RelPath;
use common::replica::service::Replica;
use common::replica::source::{Parts, Source, SourceError, Supplier};
use common::side::Side;
use common::wire::message::{
    Ask, AskId, Content, Given, Order, OrderId, PeerMessage, Report, Want,
};
use serde_bytes::ByteBuf;

use crate::coordinator::event::Event;
use crate::mail::Mail;
use crate::peer::Link;
use crate::pending::directory::PendingDirectory;
use crate::recent::Recent;

/// Bytes of what was just seen that are kept.
const RECENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Small contents that were just seen, and the way to others.
pub(crate) struct Contents {
    recent: Recent,
    asker: Arc<Asker>,
    replica: Arc<Replica>,
    reads: Sender<Wanted>,
    mail: Sender<Mail>,
}

/// An order for B whose content is to be read at A first.
struct Wanted {
    id: OrderId,
    operation: Operation,
    path: RelPath,
    file: File,
}

impl Contents {
    pub(crate) fn new(
        replica: Arc<Replica>,
        asker: Arc<Asker>,
        link: Arc<Link>,
        mail: Sender<Mail>,
    ) -> std::io::Result<Contents> {
        let (reads, wanted) = channel::<Wanted>();
        let (read, answers) = (replica.reader(), mail.clone());
        Builder::new().name("reader".into()).spawn(move || {
            while let Ok(wanted) = wanted.recv() {
                send_with_content(wanted, &read, &link, &answers);
            }
        })?;
        Ok(Contents { recent: Recent::of_at_most(RECENT_BYTES_MAX), asker, replica, reads, mail })
    }

    /// Takes the contents out of what a side showed.
    pub(crate) fn remember(&mut self, mut event: Event) -> Event {
        if let Event::Reported(_, Report::Observed(observation)) = &mut event {
            for row in &mut observation.rows {
                if let (Some(Entry::File(file)), Some(content)) = (&row.entry, row.content.take())
                    && content.len() as u64 == file.size
                {
                    self.recent.keep(file.digest, content.into_vec());
                }
            }
        }
        event
    }

    /// The content of an entry, when it was seen a moment ago.
    pub(crate) fn at_hand(&self, entry: Option<&Entry>) -> Option<Vec<u8>> {
        self.recent.get(&entry?.as_file()?.digest).cloned()
    }

    /// Puts small content into an order. `None`: it has to be fetched first, and the order goes
    /// out, or its outcome comes in, when it is there.
    pub(crate) fn furnish(&mut self, side: Side, order: Order) -> Option<Order> {
        let Order::Commit { id, operation, content: Content::Pull(path) } = order else {
            return Some(order);
        };
        let after = match &operation {
            Operation::Change(change) => change.after.clone(),
            Operation::Rename { .. } | Operation::Clear { .. } => None,
        };
        let small = after.as_ref().and_then(Entry::as_file).filter(|f| f.size <= INLINE_BYTES_MAX);
        let Some(file) = small.cloned() else {
            return Some(Order::Commit { id, operation, content: Content::Pull(path) });
        };
        if let Some(content) = self.at_hand(after.as_ref()) {
            let content = Content::Inline(ByteBuf::from(content));
            return Some(Order::Commit { id, operation, content });
        }
        match side {
            // The reader outlives the driver.
            Side::B => drop(self.reads.send(Wanted { id, operation, path, file })),
            Side::A => self.fetch(id, operation, &path, &file),
        }
        None
    }

    /// Asks B for the content of an order for A.
    fn fetch(&self, id: OrderId, operation: Operation, path: &RelPath, file: &File) {
        let (replica, mail, size) = (self.replica.clone(), self.mail.clone(), file.size);
        let mut operation = Some(operation);
        let answered = move |given: Option<Given>| {
            let Some(operation) = operation.take() else { return };
            match given {
                Some(Given::Piece(bytes)) if bytes.len() as u64 == size => {
                    replica.order(Order::Commit { id, operation, content: Content::Inline(bytes) });
                }
                _ => moved(Side::A, id, &mail),
            }
        };
        let length = u32::try_from(size).unwrap_or(u32::MAX);
        let want = Want::Piece { offset: 0, length };
        self.asker.ask(path, file.digest, want, Box::new(answered));
    }
}

fn send_with_content(wanted: Wanted, read: &Read, link: &Link, mail: &Sender<Mail>) {
    let Wanted { id, operation, path, file } = wanted;
    let length = u32::try_from(file.size).unwrap_or(u32::MAX);
    let want = Want::Piece { offset: 0, length };
    let mut given = None;
    read(&Ask { id: AskId(0), path, digest: file.digest, want }, &mut |piece| {
        given = Some(piece);
        true
    });
    match given {
        Some(Given::Piece(bytes)) if bytes.len() as u64 == file.size => {
            let content = Content::Inline(bytes);
            link.send(&PeerMessage::Order(Order::Commit { id, operation, content }));
        }
        _ => moved(Side::B, id, mail),
    }
}

/// The content is not what it was: to the coordinator, as if the side had said so.
fn moved(side: Side, id: OrderId, mail: &Sender<Mail>) {
    let report = Report::Outcome { id, outcome: Outcome::Moved, spent: None };
    drop(mail.send(Mail::now(Event::Reported(side, report))));
}

/// The pending directory, once it is open: it opens after the replica that needs it.
pub(crate) type LatePending = Arc<OnceLock<Arc<PendingDirectory>>>;

struct FromBOrHeld {
    asker: Arc<Asker>,
    pending: LatePending,
}

impl Supplier for FromBOrHeld {
    fn source(&self, content: &Content, file: &File) -> Result<Box<dyn Source>, SourceError> {
        match content {
            Content::Pull(path) => {
                Ok(Box::new(Remote::new(self.asker.clone(), path.clone(), file.digest)))
            }
            Content::Held(seq) => {
                let pending = self.pending.get().ok_or(SourceError::Gone)?;
                let opened = pending.open_content(*seq);
                let (held, length) =
                    opened.map_err(|error| SourceError::Io(std::io::Error::other(error)))?;
                Ok(Box::new(HeldContent { held, length, asked: VecDeque::new() }))
            }
            _ => Err(SourceError::Gone),
        }
    }
}

/// The content of a held edit: the end of its file.
struct HeldContent {
    held: std::fs::File,
    length: u64,
    asked: VecDeque<(u64, u32)>,
}

impl Source for HeldContent {
    fn recipe(&mut self, _size: u64) -> Result<Option<Parts>, SourceError> {
        Ok(None)
    }

    fn ask(&mut self, offset: u64, length: u32) {
        self.asked.push_back((offset, length));
    }

    fn take(&mut self, _patient: bool) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((offset, length)) = self.asked.pop_front() else { return Ok(None) };
        let start = self.held.metadata()?.len().saturating_sub(self.length);
        let mut piece = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        self.held.read_exact_at(&mut piece, start + offset)?;
        Ok(Some(piece))
    }
}

/// Content that is pulled comes from B; held content from the pending directory.
pub(crate) fn supplier(asker: Arc<Asker>, pending: LatePending) -> Arc<dyn Supplier> {
    Arc::new(FromBOrHeld { asker, pending })
}
