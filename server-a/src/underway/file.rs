//! The file in which the orders under way outlive a kill.
//!
//! It is written and never flushed: what a kill leaves is all that it is for. After a power cut the
//! trees themselves may have lost what it speaks of, so it counts only within one life of the
//! directory. A file that cannot be written is emptied: with no memory two sides are united, with
//! half a memory an old version could pass for the last one.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a file of its own")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::{Mutex, PoisonError};

use common::change::{Operation, Witness};
use common::replica::begun::Progress;
use common::replica::kept::{Kept, shown};
use tracing::warn;

use super::{Trail, Underway};
use crate::frame;

/// A file with nothing open is emptied when it is larger than this.
const EMPTIED_BYTES: u64 = 64 * 1024;
/// A file with something open is written anew when it is larger than this, and four times as large
/// as after the last time.
const RENEWED_BYTES: u64 = 8 * 1024 * 1024;

/// The recorder, for all who know of a step.
pub(crate) struct Recording(Mutex<Recorder>);

impl Recording {
    /// All write down with this one.
    pub(crate) fn of(recorder: Recorder) -> Recording {
        Recording(Mutex::new(recorder))
    }

    /// Writes a step down.
    pub(crate) fn record(&self, trail: &Trail) {
        self.record_all(std::iter::once(trail));
    }

    /// Writes steps down.
    pub(crate) fn record_all<'t>(&self, trails: impl Iterator<Item = &'t Trail>) {
        let mut trails = trails.peekable();
        if trails.peek().is_some() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).record(trails);
        }
    }
}

impl Trail {
    /// The step that whoever carries it out has taken.
    #[must_use]
    pub fn of(progress: Progress) -> Trail {
        match progress {
            Progress::Begun(begun) => Trail::Begun(begun),
            Progress::Missed(id) => Trail::Missed(id),
            Progress::Effected(id) => Trail::Done(id),
        }
    }
}

/// Writes each step down.
pub struct Recorder {
    path: Kept,
    header: Vec<u8>,
    file: Option<File>,
    bytes: u64,
    /// How large it was when it was written anew last.
    renewed: u64,
    open: Underway,
    /// People were told that it cannot be written.
    is_failing: bool,
}

impl Recorder {
    /// Opens the file of this life, or begins it; answers what was under way. What had begun is
    /// decided by `took_effect`, and that is written down.
    pub fn open(
        path: impl Into<Kept>,
        life: u64,
        took_effect: impl Fn(&Operation, &Witness) -> bool,
    ) -> io::Result<(Recorder, Underway)> {
        let path = path.into();
        let header = format!("lab3 underway 1 {life:016x}\n").into_bytes();
        let bytes = match fs::read(&*path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let mut open = Underway::default();
        let found = frame::parse::<Trail>(&header, &bytes);
        // Half a memory is none.
        if found.damaged == 0 {
            found.rows.into_iter().for_each(|trail| open.note(trail));
        }
        open.decide(took_effect);
        let mut recorder =
            Recorder { path, header, open, file: None, bytes: 0, renewed: 0, is_failing: false };
        recorder.renew()?;
        let open = recorder.open.clone();
        Ok((recorder, open))
    }

    /// Writes steps down, before anything is done about them.
    pub fn record<'t>(&mut self, trails: impl IntoIterator<Item = &'t Trail>) {
        let mut bytes = Vec::new();
        let mut is_too_long = false;
        for trail in trails {
            let Some(trail) = self.open.news(trail.clone()) else { continue };
            let before = bytes.len();
            frame::append(&trail, &mut bytes);
            // Nothing to append is a step that is too long for a row.
            is_too_long |= bytes.len() == before;
            self.open.note(trail);
        }
        if bytes.is_empty() && !is_too_long {
            return;
        }
        let is_due = self.bytes > RENEWED_BYTES.max(4 * self.renewed)
            || self.open.is_empty() && self.bytes > EMPTIED_BYTES
            || self.file.is_none()
            || is_too_long;
        let written = if is_due { self.renew() } else { self.append(&bytes) };
        match written {
            Ok(()) => self.is_failing = false,
            Err(error) => self.give_up(&error),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.bytes)?;
            self.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Writes all that is open into a new file, which takes the place of the old one.
    fn renew(&mut self) -> io::Result<()> {
        let part = self.path.with_extension("part");
        let mut bytes = self.header.clone();
        self.open.trails().for_each(|trail| frame::append(&trail, &mut bytes));
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all_at(&bytes, 0)?;
        fs::rename(&part, &*self.path)?;
        self.bytes = bytes.len() as u64;
        self.renewed = self.bytes;
        self.file = Some(file);
        Ok(())
    }

    /// Forgets all, rather than to remember some.
    fn give_up(&mut self, error: &io::Error) {
        let emptied = match self.file.take() {
            Some(file) => file.set_len(0),
            None => Ok(()),
        };
        let is_emptied = emptied.or_else(|_| fs::remove_file(&*self.path)).is_ok();
        self.open = Underway::default();
        if !std::mem::replace(&mut self.is_failing, true) {
            let path = shown(&self.path);
            let path = path.display();
            warn!(%path, why = %error, is_emptied, "cannot remember what is under way;");
        }
    }
}
