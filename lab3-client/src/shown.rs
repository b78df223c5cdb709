//! What this user was shown last: the meaning of an index.
//!
//! One file for each address of a server, with the generation of the listing and its paths in
//! order. The old file is removed before the first row of a new listing is printed, and the new
//! one appears whole after the last: an index never means a row of a listing that is no longer
//! the one on the screen. Paths are written as they come and read one by one, so that a listing
//! of any length needs no memory.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what was shown is remembered in a file"
)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use common::path::{RelPath, escape};
use common::wire::client::{Generation, Target};

use crate::aside::Aside;

const MAGIC: &str = "lab3 shown 1";

/// Why an index means nothing, or a listing cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub enum ShownError {
    /// No listing was printed yet.
    #[error("an index means nothing before a listing was printed")]
    Nothing,
    /// The last listing is shorter.
    #[error("there is no index {index}: the last listing {}", range(*.count))]
    Beyond {
        /// The index.
        index: u64,
        /// How many rows there were.
        count: u64,
    },
    /// There is no place for it.
    #[error("no folder is known for what was shown last")]
    NoPlace,
    /// The file cannot be read.
    #[error("cannot read what was shown last, `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error("what was shown last is damaged, `{path}`")]
    Damaged {
        /// The file.
        path: String,
    },
    /// The file cannot be written.
    #[error("cannot remember what was shown, `{path}`")]
    Write {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

impl ShownError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            ShownError::Nothing | ShownError::Damaged { .. } => "run `lab3` first",
            ShownError::Beyond { .. } => "run `lab3` to list again",
            ShownError::NoPlace | ShownError::Read { .. } | ShownError::Write { .. } => {
                "name a folder that can be written in `LAB3_CACHE_DIR`"
            }
        }
    }
}

fn range(count: u64) -> String {
    match count {
        0 => "was empty".to_owned(),
        1 => "has only 0".to_owned(),
        count => format!("has 0 to {}", count - 1),
    }
}

/// The folder for what was shown, from the environment.
pub fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A relative XDG path is to be ignored, and so is a relative home.
    let absolute = |name| path(name).filter(|path| path.is_absolute());
    path("LAB3_CACHE_DIR")
        .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("lab3")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/lab3")))
}

/// What was shown of one server.
#[derive(Clone, Debug)]
pub struct Shown {
    file: PathBuf,
}

impl Shown {
    /// Of the server at this address, in this folder.
    #[must_use]
    pub fn of(folder: &Path, server: &str) -> Shown {
        let mut name = "shown-".to_owned();
        for byte in server.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => name.push(byte as char),
                byte => name.push_str(&format!("%{byte:02x}")),
            }
        }
        // An address may be longer than a file name may be.
        name.truncate(200);
        Shown { file: folder.join(name) }
    }

    /// The file that was shown under an index.
    pub fn target(&self, index: u64) -> Result<Target, ShownError> {
        let read = |source| ShownError::Read { path: self.name(), source };
        let mut file = match File::open(&self.file) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ShownError::Nothing);
            }
            Err(error) => return Err(read(error)),
        };
        let damaged = || ShownError::Damaged { path: self.name() };
        let mut head = String::new();
        file.read_line(&mut head).map_err(read)?;
        let generation = generation(&head).ok_or_else(damaged)?;
        let mut path = Vec::new();
        for count in 0.. {
            path.clear();
            file.read_until(0, &mut path).map_err(read)?;
            match path.pop() {
                Some(0) if path.is_empty() => return Err(ShownError::Beyond { index, count }),
                Some(0) if count == index => {
                    let path = RelPath::new(&path).map_err(|_| damaged())?;
                    return Ok(Target::Shown { path, generation });
                }
                Some(0) => {}
                _ => break,
            }
        }
        Err(damaged())
    }

    /// Forgets the last listing and begins to remember a new one.
    pub fn begin(&self, generation: Generation) -> Result<Recorder, ShownError> {
        self.start(generation).map_err(|source| ShownError::Write { path: self.name(), source })
    }

    /// Whether an earlier listing is still remembered.
    #[must_use]
    pub fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.file).is_ok()
    }

    fn start(&self, generation: Generation) -> io::Result<Recorder> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = Aside::begin(&self.file)?;
        writeln!(out, "{MAGIC} {} {}", generation.epoch, generation.number)?;
        Ok(Recorder { out, shown: self.clone() })
    }

    fn name(&self) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        escape(self.file.as_os_str().as_bytes())
    }
}

fn generation(head: &str) -> Option<Generation> {
    let mut numbers = head.strip_prefix(MAGIC)?.strip_prefix(' ')?.strip_suffix('\n')?.split(' ');
    let epoch = numbers.next()?.parse().ok()?;
    let number = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some(Generation { epoch, number })
}

/// Remembers a listing while it is printed. Nothing is remembered unless it is finished.
#[derive(Debug)]
pub struct Recorder {
    out: Aside,
    shown: Shown,
}

impl Recorder {
    /// Takes the next row.
    pub fn add(&mut self, path: &RelPath) -> Result<(), ShownError> {
        let out = &mut self.out;
        let written = out.write_all(path.as_bytes()).and_then(|()| out.write_all(&[0]));
        written.map_err(|source| ShownError::Write { path: self.shown.name(), source })
    }

    /// The listing is whole: from now on it is what an index means.
    pub fn finish(mut self) -> Result<(), ShownError> {
        // The empty path marks the end, so that a file cut short is known as such.
        let written = self.out.write_all(&[0]).and_then(|()| self.out.finish());
        written.map_err(|source| ShownError::Write { path: self.shown.name(), source })
    }
}
