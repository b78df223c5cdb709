//! Writes held edits into the pending directory and takes them out, in the order of the orders.
#![expect(clippy::disallowed_methods, reason = "a thread of its own")]

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use common::entry::{Entry, File};
use common::exchange::asker::Asker;
use common::exchange::remote::Remote;
use common::limits::PIECE_BYTES_MAX;
use common::replica::service::Replica;
use common::replica::source::{Source, SourceError};

use crate::coordinator::event::{Event, HoldFailure};
use crate::mail::Mail;
use crate::pending::directory::{PendingDirectory, PendingError};
use crate::pending::queue::HeldEdit;

/// What the keeper is told.
pub(crate) enum Keep {
    /// Hold an edit, whose content may be at hand.
    Hold(HeldEdit, Option<Vec<u8>>),
    /// Let an edit go; its content goes to trash first, or not.
    Discard {
        /// Which.
        seq: u64,
        /// Whether its content goes to trash.
        keep: bool,
        /// What it was.
        edit: HeldEdit,
    },
}

struct Keeper {
    pending: Arc<PendingDirectory>,
    replica: Arc<Replica>,
    asker: Arc<Asker>,
    mail: Sender<Mail>,
}

/// Starts the keeper's thread.
pub(crate) fn start(
    pending: Arc<PendingDirectory>,
    replica: Arc<Replica>,
    asker: Arc<Asker>,
    mail: Sender<Mail>,
) -> io::Result<Sender<Keep>> {
    let (tell, told) = channel();
    let keeper = Keeper { pending, replica, asker, mail };
    Builder::new().name("keeper".into()).spawn(move || keeper.keep(&told))?;
    Ok(tell)
}

impl Keeper {
    fn keep(&self, told: &Receiver<Keep>) {
        while let Ok(keep) = told.recv() {
            let event = match keep {
                Keep::Hold(edit, content) => Event::Held(edit.seq, self.hold(&edit, content)),
                Keep::Discard { seq, keep, edit } => {
                    Event::Discarded(seq, self.discard(keep, &edit))
                }
            };
            // The driver is gone when the server stops; what is held is on disk.
            drop(self.mail.send(Mail::now(event)));
        }
    }

    fn hold(&self, edit: &HeldEdit, content: Option<Vec<u8>>) -> Result<(), HoldFailure> {
        let put = |content: &mut dyn Read| self.pending.put(edit, content);
        let result = match (edit.after.as_ref().and_then(Entry::as_file), content) {
            (None, _) => put(&mut io::empty()),
            (Some(_), Some(content)) => put(&mut Cursor::new(content)),
            (Some(file), None) => {
                let mut fetched = Fetched::new(self.asker.clone(), edit, file);
                let result = put(&mut fetched);
                match fetched.failed {
                    Some(SourceError::Gone) => return Err(HoldFailure::Gone),
                    Some(SourceError::Lost) => return Err(HoldFailure::Lost),
                    Some(SourceError::Io(_)) | None => result,
                }
            }
        };
        result.map_err(|error| match error {
            PendingError::Content { .. } => HoldFailure::Gone,
            error => HoldFailure::Refused(chain(&error)),
        })
    }

    fn discard(&self, keep: bool, edit: &HeldEdit) -> Result<(), String> {
        if keep && edit.content_bytes() > 0 {
            let opened = self.pending.open_content(edit.seq);
            let (mut content, _) = opened.map_err(|error| chain(&error))?;
            let after = edit.after.as_ref();
            self.replica.keep_in_trash(&edit.path, after, &mut content).map_err(|e| chain(&e))?;
        }
        self.pending.discard(edit.seq).map_err(|error| chain(&error))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A file of B, read from its beginning to its end.
struct Fetched {
    source: Remote,
    size: u64,
    at: u64,
    window: Cursor<Vec<u8>>,
    failed: Option<SourceError>,
}

impl Fetched {
    fn new(asker: Arc<Asker>, edit: &HeldEdit, file: &File) -> Fetched {
        let source = Remote::new(asker, edit.path.clone(), file.digest);
        Fetched { source, size: file.size, at: 0, window: Cursor::default(), failed: None }
    }

    fn fill(&mut self) -> io::Result<()> {
        let length = (self.size - self.at).min(16 * PIECE_BYTES_MAX as u64);
        let mut window = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let start = self.at;
        let range = u32::try_from(length).map_err(io::Error::other)?;
        let fetched = self.source.fetch(&[(start, range)], &mut |offset, piece| {
            let from = usize::try_from(offset - start).map_err(io::Error::other)?;
            window[from..from + piece.len()].copy_from_slice(piece);
            Ok(())
        });
        if let Err(error) = fetched {
            self.failed = Some(error);
            return Err(io::Error::other("the content was not to be had"));
        }
        self.at += length;
        self.window = Cursor::new(window);
        Ok(())
    }
}

impl Read for Fetched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.window.position() >= self.window.get_ref().len() as u64 && self.at < self.size {
            self.fill()?;
        }
        self.window.read(buffer)
    }
}
