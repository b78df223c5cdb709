//! The file of the trusted, as it is now: looked at whenever somebody asks, read when it changed.
//!
//! What is granted counts from the next question on, and what is taken away no longer. A file that
//! cannot be read, has a bad line or may be written by others grants nothing to anybody.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the trusted file")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::identity::id::Id;
use crate::identity::key::{IdentityError, check};
use crate::identity::trusted::{Grant, LineError, parse, with, without};

/// The name of the file.
pub const TRUSTED: &str = "trusted";
/// The longest that the file may be, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// A file that changed so lately may change again without a new stamp.
const FRESH: Duration = Duration::from_secs(1);

/// Why nobody is trusted, or nothing can be changed.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file cannot be read.
    #[error("cannot {step} `{}`", path.display())]
    Place {
        /// What was tried.
        step: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not for us to believe.
    #[error(transparent)]
    Exposed(#[from] IdentityError),
    /// It has a line that nobody understands.
    #[error("`{}`, {why}: until that is mended, it grants nothing", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        why: LineError,
    },
    /// Another has that name.
    #[error("`{0}` is the name of another: names are given once")]
    NameTaken(String),
}

/// What tells one version of the file from another.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    grants: Arc<Vec<Grant>>,
}

/// The trusted file of an identity.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    seen: Mutex<Seen>,
}

impl Book {
    pub(super) fn of(directory: &Path) -> Book {
        Book { path: directory.join(TRUSTED), seen: Mutex::default() }
    }

    /// Everybody who is trusted now.
    pub(super) fn grants(&self) -> Result<Arc<Vec<Grant>>, BookError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = match fs::metadata(&self.path) {
            Ok(about) => Some(stamp(&about)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(self.place("look at", source)),
        };
        if stamp.is_none() {
            *seen = Seen::default();
        } else if seen.stamp != stamp {
            *seen = Seen::default();
            let (text, about) = self.read()?;
            let grants = Arc::new(self.parse(&text)?);
            // It may have been replaced since: then it is read again the next time.
            let is_fresh = about.modified().is_ok_and(|time| {
                SystemTime::now().duration_since(time).is_ok_and(|age| age < FRESH)
            });
            let stamp = (!is_fresh).then(|| self::stamp(&about));
            *seen = Seen { stamp, grants };
        }
        Ok(seen.grants.clone())
    }

    /// What one identity is granted now.
    pub(super) fn grant(&self, id: &Id) -> Result<Option<Grant>, BookError> {
        Ok(self.grants()?.iter().find(|grant| grant.id == *id).cloned())
    }

    /// Grants something to somebody, instead of what he had.
    pub(super) fn add(&self, grant: &Grant) -> Result<(), BookError> {
        self.change(|text, grants| {
            let is_another = |other: &&Grant| other.id != grant.id && other.name == grant.name;
            match (&grant.name, grants.iter().find(is_another)) {
                (Some(name), Some(_)) => Err(BookError::NameTaken(name.clone())),
                _ => Ok(with(text, grant)),
            }
        })
    }

    /// Takes everything from somebody; answers whether he had anything.
    pub(super) fn remove(&self, id: &Id) -> Result<bool, BookError> {
        let mut had = false;
        self.change(|text, grants| {
            had = grants.iter().any(|grant| grant.id == *id);
            Ok(without(text, id))
        })?;
        Ok(had)
    }

    /// Changes the file, one at a time, so that whoever reads it has the old one or the new one.
    fn change(
        &self,
        change: impl FnOnce(&str, &[Grant]) -> Result<String, BookError>,
    ) -> Result<(), BookError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let held = File::open(directory).map_err(|error| self.place("lock", error))?;
        let lock = flock(&held, FlockOperation::LockExclusive);
        lock.map_err(|error| self.place("lock", error.into()))?;
        let text = match self.read() {
            Ok((text, _)) => text,
            Err(BookError::Place { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                String::new()
            }
            Err(error) => return Err(error),
        };
        let text = change(&text, &self.parse(&text)?)?;
        let aside = self.path.with_extension("new");
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &self.path)?;
            held.sync_all()
        })();
        written.map_err(|error| self.place("write", error))
    }

    fn read(&self) -> Result<(String, fs::Metadata), BookError> {
        let file = File::open(&self.path).map_err(|error| self.place("open", error))?;
        let about = file.metadata().map_err(|error| self.place("look at", error))?;
        check(&self.path, &about, 0o022, 0o600)?;
        let mut text = String::new();
        let count = file.take(BYTES_MAX + 1).read_to_string(&mut text);
        match count.map_err(|error| self.place("read", error))? as u64 {
            0..=BYTES_MAX => Ok((text, about)),
            _ => Err(self.place("read", io::ErrorKind::FileTooLarge.into())),
        }
    }

    fn parse(&self, text: &str) -> Result<Vec<Grant>, BookError> {
        parse(text).map_err(|why| BookError::Line { path: self.path.clone(), why })
    }

    fn place(&self, step: &'static str, source: io::Error) -> BookError {
        BookError::Place { step, path: self.path.clone(), source }
    }
}

fn stamp(about: &fs::Metadata) -> Stamp {
    (
        about.dev(),
        about.ino(),
        about.size(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
    )
}
