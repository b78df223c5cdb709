//! The pending directory: one file per held edit, its place in the queue in its name.
//!
//! The directory is the queue. A file `SEQ.held` is written as `SEQ.part`, flushed, renamed, and
//! the directory flushed; only then does the edit count as held. A `.part` was never promised to
//! anybody and goes at the next start. A file that does not parse is set aside as `.bad`, never
//! deleted. A directory that is missing or cannot be read is an error, never an empty queue.
//!
//! A place is never used twice, though files go: `SEQ.next` says that all places below are used.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the queue is files")]

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::digest::Hasher;
use common::limits::PIECE_BYTES_MAX;
use common::replica::kept::{Kept, shown};
use common::replica::room::{Room, Spared};

use super::header::{self, HeaderError};
use super::queue::HeldEdit;

/// The pending directory of one replica. Any thread may put and discard.
#[derive(Debug)]
pub struct PendingDirectory {
    dir: Kept,
    places: Mutex<Places>,
    room: Room,
}

#[derive(Debug, Default)]
struct Places {
    /// Places with a file.
    live: BTreeSet<u64>,
    /// What the marker on disk says: all places below are used.
    marker: u64,
}

/// What [`PendingDirectory::open`] found.
#[derive(Debug)]
pub struct OpenedPending {
    /// The directory.
    pub directory: PendingDirectory,
    /// The held edits, in order.
    pub edits: Vec<HeldEdit>,
    /// The lowest place that was never used.
    pub next_seq: u64,
    /// What was set aside, and names that do not belong here.
    pub problems: Vec<PendingProblem>,
}

/// Something in the directory that is not a held edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingProblem {
    /// The file, under the name that it has now.
    pub path: PathBuf,
    /// What is wrong with it, for people.
    pub detail: String,
}

/// Why the pending directory did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// The directory is missing, cannot be listed or cannot be written.
    #[error("cannot use the pending directory `{}`", shown(path).display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A held edit cannot be read, for a reason that is not its content.
    #[error("cannot read the held edit `{}`", shown(path).display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A held edit is not what was written.
    #[error("the held edit `{}` is damaged", shown(path).display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// A newer program wrote a held edit; nothing was touched.
    #[error("the held edit `{}` has format {found}, which this program does not know",
        shown(path).display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: u32,
    },
    /// A held edit cannot be written or discarded.
    #[error("cannot write `{}`", shown(path).display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The content that was to be held cannot be read.
    #[error("cannot read the content of held edit {seq}")]
    Content {
        /// Its place.
        seq: u64,
        /// The cause.
        source: io::Error,
    },
    /// The content is another one than the edit says. Nothing is held.
    #[error("the content of held edit {seq} is another one than was said")]
    OtherContent {
        /// Its place.
        seq: u64,
    },
    /// There is a held edit at that place already.
    #[error("there is a held edit {seq} already")]
    Taken {
        /// The place.
        seq: u64,
    },
}

impl PendingDirectory {
    /// Makes the directory of a replica that never had one. One that is there is left as it is.
    pub fn create(dir: &Path) -> Result<(), PendingError> {
        let failed = |source| PendingError::Directory { path: dir.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => flush_dir(dir.parent().unwrap_or(Path::new("."))).map_err(failed),
        }
    }

    /// Opens the directory and lists what it holds. No place below `floor` is given out again, even
    /// when nothing here tells that it was used.
    pub fn open(dir: impl Into<Kept>, floor: u64) -> Result<OpenedPending, PendingError> {
        let kept = dir.into();
        let dir: &Path = &kept;
        let failed = |source| PendingError::Directory { path: dir.to_owned(), source };
        let names = Names::list(dir).map_err(failed)?;
        let mut edits = Vec::new();
        let mut problems = Vec::new();
        // All are read before anything is touched: a newer program's edits stop the start.
        let mut bad = Vec::new();
        for &seq in &names.held {
            let path = held_path(dir, seq);
            match header::read(&path, seq) {
                Ok((edit, _)) => edits.push(edit),
                Err(HeaderError::Newer(found)) => return Err(PendingError::Newer { path, found }),
                Err(HeaderError::Io(source)) => return Err(PendingError::Read { path, source }),
                Err(error) => bad.push((path, error)),
            }
        }
        probe(dir).map_err(failed)?;
        for part in &names.parts {
            match fs::remove_file(part) {
                // The probe of a start that was killed: this one's had the same name.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(failed)?,
            }
        }
        for (path, error) in bad {
            let aside = free_name(&path);
            fs::rename(&path, &aside).map_err(failed)?;
            problems.push(PendingProblem { path: aside, detail: error.to_string() });
        }
        problems.extend(names.foreign.iter().map(|path| PendingProblem {
            path: path.clone(),
            detail: "not a held edit".to_owned(),
        }));
        let next_seq = names.used.max(floor).max(1);
        let live = edits.iter().map(|edit| edit.seq).collect();
        let places = Mutex::new(Places { live, marker: names.marker });
        let room = Room::boundless();
        let directory = PendingDirectory { dir: kept.clone(), places, room };
        // A place that only a `.bad` file or the floor remembers may lose that witness.
        directory.mark(&mut directory.places(), next_seq)?;
        flush_dir(dir).map_err(failed)?;
        Ok(OpenedPending { directory, edits, next_seq, problems })
    }

    /// The same, which holds nothing that would take what is to stay free of its disk.
    pub fn sparing(self, spared: Spared) -> Result<PendingDirectory, PendingError> {
        let failed = |source| PendingError::Directory { path: self.dir.to_path_buf(), source };
        let room =
            Room::on(File::open(&*self.dir).map_err(failed)?.into(), shown(&self.dir), spared);
        Ok(PendingDirectory { room, ..self })
    }

    /// Holds an edit: durable when it returns. Reads `content` only when a file is left by the
    /// edit, and answers [`PendingError::OtherContent`] when it is not the file's content.
    pub fn put(&self, edit: &HeldEdit, content: &mut dyn Read) -> Result<(), PendingError> {
        if self.places().live.contains(&edit.seq) {
            return Err(PendingError::Taken { seq: edit.seq });
        }
        let part = self.dir.join(format!("{:020}.part", edit.seq));
        let held = held_path(&self.dir, edit.seq);
        let room = self.room.take_whole(edit.content_bytes());
        room.map_err(|source| PendingError::Write { path: held.clone(), source })?;
        let written = write_part(&part, edit, content).and_then(|()| {
            fs::rename(&part, &held)
                .and_then(|()| flush_dir(&self.dir))
                .map_err(|source| PendingError::Write { path: held.clone(), source })
        });
        match written {
            Ok(()) => drop(self.places().live.insert(edit.seq)),
            Err(_) => {
                // It was not promised, so it should not be found at the next start either.
                drop(fs::remove_file(&part));
                drop(fs::remove_file(&held));
            }
        }
        written
    }

    /// The content of a held edit, to be read from where the file stands, and its length.
    pub fn open_content(&self, seq: u64) -> Result<(File, u64), PendingError> {
        let path = self.path_of_content(seq);
        match header::read(&path, seq) {
            Ok((edit, mut file)) => {
                let length = edit.content_bytes();
                let back = i64::try_from(length).unwrap_or(i64::MAX);
                match file.seek(SeekFrom::End(-back)) {
                    Ok(_) => Ok((file, length)),
                    Err(source) => Err(PendingError::Read { path, source }),
                }
            }
            Err(HeaderError::Io(source)) => Err(PendingError::Read { path, source }),
            Err(HeaderError::Newer(found)) => Err(PendingError::Newer { path, found }),
            Err(source) => Err(PendingError::Damaged { path, source }),
        }
    }

    /// The file of a held edit; its content is at the end, behind a header.
    #[must_use]
    pub fn path_of_content(&self, seq: u64) -> PathBuf {
        held_path(&self.dir, seq)
    }

    /// Forgets a held edit: gone for good when it returns. One that is gone already is no error.
    pub fn discard(&self, seq: u64) -> Result<(), PendingError> {
        let path = held_path(&self.dir, seq);
        {
            let mut places = self.places();
            let above = places.live.range(seq.saturating_add(1)..).next_back();
            if above.is_none() && places.live.contains(&seq) {
                // The last witness of its place goes; the marker has to be there before.
                self.mark(&mut places, seq.saturating_add(1))?;
            }
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Nothing to forget, provided that the directory itself is still there.
                self.flush()?;
            }
            Err(source) => return Err(PendingError::Write { path, source }),
            Ok(()) => self.flush()?,
        }
        self.places().live.remove(&seq);
        Ok(())
    }

    fn flush(&self) -> Result<(), PendingError> {
        flush_dir(&self.dir)
            .map_err(|source| PendingError::Directory { path: self.dir.to_path_buf(), source })
    }

    /// Makes durable that all places below `next` are used.
    fn mark(&self, places: &mut Places, next: u64) -> Result<(), PendingError> {
        if next <= places.marker {
            return Ok(());
        }
        let name = |seq| self.dir.join(format!("{seq:020}.next"));
        let path = name(next);
        // Renamed where possible: that works on a full disk, which discarding is to relieve.
        fs::rename(name(places.marker), &path)
            .or_else(|_| {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false).mode(0o600);
                options.open(&path).map(drop)
            })
            .and_then(|()| flush_dir(&self.dir))
            .map_err(|source| PendingError::Write { path, source })?;
        places.marker = next;
        Ok(())
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in the directory, sorted out.
#[derive(Default)]
struct Names {
    held: BTreeSet<u64>,
    parts: Vec<PathBuf>,
    foreign: Vec<PathBuf>,
    marker: u64,
    /// The lowest place above all that any name knows of.
    used: u64,
}

impl Names {
    fn list(dir: &Path) -> io::Result<Names> {
        let mut names = Names::default();
        let mut markers = Vec::new();
        for item in fs::read_dir(dir)? {
            let item = item?;
            let path = item.path();
            let name = item.file_name();
            let parsed = name.to_str().and_then(|name| name.split_once('.'));
            let Some((seq, kind)) = parsed.and_then(|(seq, kind)| Some((place(seq)?, kind))) else {
                names.foreign.push(path);
                continue;
            };
            let after = seq.saturating_add(1);
            match kind {
                "held" => {
                    names.held.insert(seq);
                    names.used = names.used.max(after);
                }
                "part" => names.parts.push(path),
                "next" => markers.push(seq),
                bad if bad.starts_with("bad") => names.used = names.used.max(after),
                _ => names.foreign.push(path),
            }
        }
        names.marker = markers.into_iter().max().unwrap_or(0);
        names.used = names.used.max(names.marker);
        Ok(names)
    }
}

fn place(digits: &str) -> Option<u64> {
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

fn held_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:020}.held"))
}

/// Whether a file can be made here, found out before anything is promised.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!("{:020}.part", 0));
    fresh(&path)?;
    fs::remove_file(&path)
}

/// A new file. Whatever has its name is no place to write to: a file of an earlier try, or a link
/// that somebody put there.
fn fresh(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    }
}

fn write_part(path: &Path, edit: &HeldEdit, content: &mut dyn Read) -> Result<(), PendingError> {
    let failed = |source| PendingError::Write { path: path.to_owned(), source };
    let mut file = fresh(path).map_err(failed)?;
    file.write_all(&header::bytes(edit)).map_err(failed)?;
    if let Some(expected) = edit.after.as_ref().and_then(|after| after.as_file()) {
        let seq = edit.seq;
        let mut hasher = Hasher::default();
        let mut piece = vec![0; PIECE_BYTES_MAX];
        let mut size: u64 = 0;
        loop {
            let n = match content.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(|source| PendingError::Content { seq, source })?,
            };
            if n == 0 {
                break;
            }
            size += n as u64;
            if size > expected.size {
                return Err(PendingError::OtherContent { seq });
            }
            hasher.update(&piece[..n]);
            file.write_all(&piece[..n]).map_err(failed)?;
        }
        if size != expected.size || hasher.finish() != expected.digest {
            return Err(PendingError::OtherContent { seq });
        }
    }
    file.sync_all().map_err(failed)
}

fn flush_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// `SEQ.bad`, with a number when that is taken.
fn free_name(path: &Path) -> PathBuf {
    let base = path.with_extension("bad");
    let taken = |name: &PathBuf| fs::symlink_metadata(name).is_ok();
    std::iter::once(base.clone())
        .chain((2_u32..).map(|n| path.with_extension(format!("bad-{n}"))))
        .find(|name| !taken(name))
        .unwrap_or(base)
}
