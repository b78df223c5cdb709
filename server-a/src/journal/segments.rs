//! The files of the journal: rows are appended to the last one, and when all together are too
//! large the oldest goes.
//!
//! A file's name is the place of its first row. What a crash tore off the end of the last file is
//! cut away at the next start, and said.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the journal is files")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use common::replica::kept::{Kept, shown};
use common::wire::log::{LogPart, LogQuery, LogRow};

use super::search::Search;
use crate::frame;

/// What every file of the journal begins with: what it is, and in which format.
pub const HEADER: &[u8] = b"lab3 journal 2\n";
/// The journal is in so many files, about.
const SEGMENTS: u64 = 8;
const END: &str = ".log";

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// So many bytes at most, in all files.
    pub bytes_max: u64,
    /// Whether rows are on disk before they count.
    pub durable: bool,
}

/// The journal's files, opened to be appended to.
#[derive(Debug)]
pub struct Segments {
    dir: Kept,
    terms: Terms,
    /// The files, oldest first: the place of the first row, and the length.
    files: Vec<(u64, u64)>,
    last: Option<File>,
    next_seq: u64,
}

/// A part of the journal as it was at one moment, to be read without holding it up.
#[derive(Clone, Debug)]
pub struct Snapshot {
    dir: Kept,
    files: Vec<(u64, u64)>,
}

impl Segments {
    /// Opens a journal, and makes it when there is none. Answers what was wrong with it, too.
    pub fn open(dir: impl Into<Kept>, terms: Terms) -> io::Result<(Segments, Option<String>)> {
        let dir = dir.into();
        match DirBuilder::new().mode(0o700).create(&*dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&*dir)? {
            let entry = entry?;
            if let Some(first) = place(&entry.file_name().to_string_lossy()) {
                files.push((first, entry.metadata()?.len()));
            }
        }
        files.sort_unstable();
        let next_seq = files.last().map_or(1, |(first, _)| *first);
        let mut segments = Segments { dir, terms, files, last: None, next_seq };
        let problem = segments.mend()?;
        Ok((segments, problem))
    }

    /// Cuts a torn row off the end of the last file, and goes on behind the last whole one.
    fn mend(&mut self) -> io::Result<Option<String>> {
        let Some((first, length)) = self.files.last().copied() else { return Ok(None) };
        let path = self.path(first);
        let parsed = frame::parse::<LogRow>(HEADER, &fs::read(&path)?);
        if parsed.foreign {
            self.next_seq = first + (1 << 32);
            let name = shown(&path);
            let name = name.display();
            return Ok(Some(format!("`{name}` has another format; it is left alone")));
        }
        if let Some(row) = parsed.rows.last() {
            self.next_seq = row.seq + 1;
        }
        let end = parsed.end as u64;
        let file = OpenOptions::new().append(true).open(&path)?;
        if end == 0 {
            file.set_len(0)?;
            (&file).write_all(HEADER)?;
        } else if end < length {
            file.set_len(end)?;
        }
        self.last = Some(file);
        let end = end.max(HEADER.len() as u64);
        if let Some(last) = self.files.last_mut() {
            last.1 = end;
        }
        let torn = length.saturating_sub(end);
        Ok((torn > 0).then(|| format!("{torn} bytes at its end were torn by a crash, and dropped")))
    }

    /// Appends rows, and gives each its place. Either all of them are there afterwards, or, when
    /// there is an error, none.
    pub fn append(&mut self, rows: &mut [LogRow]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (row, seq) in rows.iter_mut().zip(self.next_seq..) {
            row.seq = seq;
            frame::append(row, &mut bytes);
        }
        self.make_room()?;
        let Some((file, last)) = self.last.as_mut().zip(self.files.last_mut()) else {
            return Err(io::Error::other("there is no file to write to"));
        };
        let mut written = file.write_all(&bytes);
        if self.terms.durable {
            written = written.and_then(|()| file.sync_data());
        }
        if let Err(error) = written {
            // Half a row would be passed over, but a whole one would stand there twice.
            file.set_len(last.1)?;
            return Err(error);
        }
        last.1 += bytes.len() as u64;
        self.next_seq += rows.len() as u64;
        Ok(())
    }

    /// Begins a new file when the last one is full, and lets the oldest go.
    fn make_room(&mut self) -> io::Result<()> {
        let full = (self.terms.bytes_max / SEGMENTS).max(HEADER.len() as u64 + 1);
        if self.last.is_some() && self.files.last().is_some_and(|(_, length)| *length < full) {
            return Ok(());
        }
        let path = self.path(self.next_seq);
        let open = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let mut file = match open {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().append(true).open(&path)?
            }
            opened => opened?,
        };
        file.set_len(0)?;
        if let Err(error) = file.write_all(HEADER) {
            // An empty file with the place of a row that is to come is in nobody's way.
            drop(fs::remove_file(&path));
            return Err(error);
        }
        if self.terms.durable {
            File::open(&*self.dir)?.sync_all()?;
        }
        self.last = Some(file);
        self.files.retain(|(first, _)| *first != self.next_seq);
        self.files.push((self.next_seq, HEADER.len() as u64));
        let mut total: u64 = self.files.iter().map(|(_, length)| *length).sum();
        while total + full > self.terms.bytes_max && self.files.len() > 1 {
            let (first, length) = self.files.remove(0);
            total -= length;
            fs::remove_file(self.path(first))?;
        }
        Ok(())
    }

    /// What there is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { dir: self.dir.clone(), files: self.files.clone() }
    }

    fn path(&self, first: u64) -> PathBuf {
        path_of(&self.dir, first)
    }
}

impl Snapshot {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Snapshot {
        Snapshot { dir: Kept::default(), files: Vec::new() }
    }

    /// Finds what a query asks for. `newer` are rows that are not in the files yet.
    #[must_use]
    pub fn search(&self, query: LogQuery, newer: Vec<LogRow>) -> LogPart {
        let mut search = Search::new(query);
        let mut problems = Vec::new();
        let mut wanted = newer.into_iter().rev().all(|row| search.take(row));
        for &(first, length) in self.files.iter().rev() {
            if !wanted {
                break;
            }
            match self.read(first, length) {
                Ok(parsed) => {
                    let name = shown(&path_of(&self.dir, first));
                    if parsed.foreign || parsed.damaged > 0 {
                        problems.push(format!("`{}` is damaged", name.display()));
                    }
                    wanted = parsed.rows.into_iter().rev().all(|row| search.take(row));
                }
                // The oldest went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => problems.push(error.to_string()),
            }
        }
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        LogPart { problem, ..search.found() }
    }

    fn read(&self, first: u64, length: u64) -> io::Result<frame::Parsed<LogRow>> {
        let mut bytes = Vec::new();
        File::open(path_of(&self.dir, first))?.take(length).read_to_end(&mut bytes)?;
        Ok(frame::parse(HEADER, &bytes))
    }
}

fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{END}"))
}

/// The place of the first row of a file of ours.
fn place(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(END)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}
