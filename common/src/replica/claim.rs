//! Taking a directory into care: its identity, its reserved place, and the lock on both.
//!
//! `.lab3/` is the mount guard, too: it lies on the disk that holds the tree, so a root without it
//! is not the tree that it was. The lock is the kernel's, on an open file: no lock outlives its
//! process. Nothing in the tree itself is touched here.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::replica::disk::Handle;
use crate::replica::kept::Kept;
use crate::replica::root::Root;
use crate::takeover::wait_for;
use crate::wire::message::ReplicaId;

const RESERVED: &str = ".lab3";
/// More than an id has digits.
const ID_BYTES_MAX: u64 = 256;
const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory in our care, as long as this lives.
#[derive(Debug)]
pub struct Claim {
    id: ReplicaId,
    new: bool,
    own: Arc<OwnedFd>,
    state: PathBuf,
    /// State goes elsewhere than into `.lab3/`.
    elsewhere: bool,
    trash_here: bool,
    _locks: Vec<File>,
}

/// How a directory is to be taken into care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'t> {
    /// Where all state but the id and `stage/` goes, when not into `.lab3/`.
    pub state_dir: Option<&'t Path>,
    /// The replica that this directory is known to have been.
    pub expected: Option<ReplicaId>,
    /// Somebody said that another replica than the expected one is right.
    pub approved: bool,
}

/// Why a directory cannot be taken into care.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process has it.
    #[error("`{}` is in use by another process{}", .path.display(), pid_text(.pid))]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Which process, when it said so.
        pid: Option<u32>,
    },
    /// It was a replica once, and its mark is gone: perhaps a disk is not mounted.
    #[error("`{}` has lost its `.lab3/id`: it was replica {expected} before", .path.display())]
    Unmarked {
        /// The directory.
        path: PathBuf,
        /// What it was.
        expected: ReplicaId,
    },
    /// It is another replica than it was.
    #[error("`{}` is replica {found}, and was {expected} before", .path.display())]
    Another {
        /// The directory.
        path: PathBuf,
        /// What it was.
        expected: ReplicaId,
        /// What it is.
        found: ReplicaId,
    },
    /// Somebody else has made it, or may write to it: what it says would be his.
    #[error("`{}` belongs to another user, or others may write to it", .0.display())]
    Foreign(PathBuf),
    /// Its id is not one.
    #[error("`{}` does not hold a replica id", .0.display())]
    BadId(PathBuf),
    /// A step failed.
    #[error("cannot {step} `{}`", .path.display())]
    Step {
        /// Which step.
        step: &'static str,
        /// What it was about.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Claim {
    /// Takes a directory into care; makes it a replica when it is none.
    pub fn take(root: &Root, terms: Terms<'_>) -> Result<Claim, ClaimError> {
        let inside = root.path().join(RESERVED);
        let top = root.handle().descriptor().ok_or_else(|| Errno::NOSYS.into());
        let own = top
            .and_then(|top| subdirectory(top, RESERVED))
            .map_err(|e| failed("create the directory", &inside, e))?;
        be_ours(&own, &inside)?;
        let mut locks = vec![lock(&own, root.path(), &inside)?];
        for name in ["stage", "cookies"] {
            subdirectory(own.as_fd(), name)
                .map_err(|e| failed("create the directory", &inside.join(name), e))?;
        }
        let state = match terms.state_dir {
            None => inside.clone(),
            Some(dir) => {
                let state = private_directory(dir)?;
                let open = File::open(&state).map_err(|e| failed("open", &state, e))?;
                if !same_place(&open, &own) {
                    locks.push(lock(&open.into(), &state, &state)?);
                }
                state
            }
        };
        let (id, new) = identity(root, &own, &state, &inside, terms)?;
        let handle = own.try_clone().map(Handle::from);
        let marked = handle.and_then(|ours| Ok(root.mark(ours)?));
        marked.map_err(|e| failed("look at", &inside, e))?;
        let (elsewhere, own) = (state != inside, Arc::new(own));
        let mut claim = Claim { id, new, own, state, elsewhere, trash_here: false, _locks: locks };
        claim.trash_here = claim.trash_must_be_here()?;
        Ok(claim)
    }

    /// The identity of the replica.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Whether the directory became a replica just now.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Where state goes, by its name: for what is opened once, at the start.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where state of this name goes as long as the server runs: in the `.lab3` that was opened.
    #[must_use]
    pub fn keeping(&self, name: &str) -> Kept {
        match self.elsewhere {
            true => Kept::from(self.state.join(name)),
            false => Kept::within(self.own.clone(), name),
        }
    }

    /// A directory for state, made when it is not there.
    pub fn state_directory(&self, name: &str) -> Result<PathBuf, ClaimError> {
        private_directory(&self.state.join(name))
    }

    /// The open `.lab3` itself, whatever has its name by now.
    pub fn inside(&self) -> io::Result<Handle> {
        Ok(self.own.try_clone()?.into())
    }

    /// Opens `stage/`.
    pub fn stage(&self) -> Result<OwnedFd, ClaimError> {
        self.own_directory("stage")
    }

    /// Opens `cookies/`.
    pub fn cookies(&self) -> Result<OwnedFd, ClaimError> {
        self.own_directory("cookies")
    }

    /// Opens `trash/`: where state goes, unless a rename does not reach that place from the tree.
    pub fn trash(&self) -> Result<OwnedFd, ClaimError> {
        if self.trash_here {
            return self.own_directory("trash");
        }
        let path = self.state_directory("trash")?;
        Ok(File::open(&path).map_err(|e| failed("open", &path, e))?.into())
    }

    fn own_directory(&self, name: &str) -> Result<OwnedFd, ClaimError> {
        subdirectory(self.own.as_fd(), name)
            .map_err(|e| failed("open the directory", Path::new(name), e))
    }

    fn trash_must_be_here(&self) -> Result<bool, ClaimError> {
        let stage = self.stage()?;
        let trash = self.state_directory("trash")?;
        let name = format!("n-trash-{:032x}", random(&self.state)?);
        rustix::fs::symlinkat("x", &stage, &name)
            .map_err(|e| failed("write into", Path::new("stage"), e.into()))?;
        let open = File::open(&trash).map_err(|e| failed("open", &trash, e))?;
        let reached = rustix::fs::renameat(&stage, &name, &open, &name).is_ok();
        let place = if reached { open.as_fd() } else { stage.as_fd() };
        rustix::fs::unlinkat(place, &name, AtFlags::empty())
            .map_err(|e| failed("remove a probe from", &trash, e.into()))?;
        Ok(!reached)
    }
}

/// Sixteen random bytes from the kernel.
pub fn random(about: &Path) -> Result<u128, ClaimError> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    read.map_err(|e| failed("find random bytes for", about, e))?;
    Ok(u128::from_ne_bytes(bytes))
}

/// Finds the id or makes one, and compares it with what was expected.
fn identity(
    root: &Root,
    own: &OwnedFd,
    state: &Path,
    inside: &Path,
    terms: Terms<'_>,
) -> Result<(ReplicaId, bool), ClaimError> {
    let elsewhere = state != inside;
    let remembered = state.join("replica");
    let mut expected = terms.expected;
    if elsewhere && expected.is_none() {
        expected = read_id(&remembered)?;
    }
    let found = read_id_in(own, inside)?;
    if let Some(expected) = expected
        && !terms.approved
    {
        let path = root.path().to_owned();
        match found {
            None => return Err(ClaimError::Unmarked { path, expected }),
            Some(found) if found != expected => {
                return Err(ClaimError::Another { path, expected, found });
            }
            Some(_) => {}
        }
    }
    let id = match found {
        Some(id) => id,
        None => {
            let id = ReplicaId(random(inside)?);
            write_id(own.as_fd(), "id", id).map_err(|e| failed("write the id in", inside, e))?;
            id
        }
    };
    if elsewhere {
        let dir = File::open(state).map_err(|e| failed("open", state, e))?;
        write_id(dir.as_fd(), "replica", id).map_err(|e| failed("write into", state, e))?;
    }
    Ok((id, found.is_none()))
}

fn read_id(path: &Path) -> Result<Option<ReplicaId>, ClaimError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("read", path, e)),
    };
    match u128::from_str_radix(text.trim(), 16) {
        Ok(id) => Ok(Some(ReplicaId(id))),
        Err(_) => Err(ClaimError::BadId(path.to_owned())),
    }
}

/// The id in the open directory, not through a link.
fn read_id_in(own: &OwnedFd, inside: &Path) -> Result<Option<ReplicaId>, ClaimError> {
    let failed = |e| failed("read", &inside.join("id"), e);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(own, "id", flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(failed(e.into())),
    };
    let mut text = String::new();
    file.take(ID_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    match u128::from_str_radix(text.trim(), 16) {
        Ok(id) => Ok(Some(ReplicaId(id))),
        Err(_) => Err(ClaimError::BadId(inside.join("id"))),
    }
}

/// Who may write into our reserved directory decides what becomes of the tree and, through links,
/// of whatever we may write to.
fn be_ours(own: &OwnedFd, inside: &Path) -> Result<(), ClaimError> {
    let stat = rustix::fs::fstat(own).map_err(|e| failed("look at", inside, e.into()))?;
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Err(ClaimError::Foreign(inside.to_owned()));
    }
    Ok(())
}

fn write_id(dir: BorrowedFd<'_>, name: &str, id: ReplicaId) -> io::Result<()> {
    let aside = format!("{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o600);
    let mut file = File::from(rustix::fs::openat(dir, &aside, flags | OFlags::CLOEXEC, mode)?);
    writeln!(file, "{id}")?;
    file.sync_all()?;
    rustix::fs::renameat(dir, &aside, dir, name)?;
    Ok(rustix::fs::fsync(dir)?)
}

fn lock(dir: &OwnedFd, of: &Path, path: &Path) -> Result<File, ClaimError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, "lock", flags, Mode::from_raw_mode(0o600))
        .map_err(|e| failed("open the lock in", path, e.into()))?;
    let mut file = File::from(fd);
    let attempt = || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    match wait_for(attempt, |error| *error == Errno::WOULDBLOCK) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            let pid = text.trim().parse().ok();
            return Err(ClaimError::Taken { path: of.to_owned(), pid });
        }
        Err(e) => return Err(failed("lock", path, e.into())),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|e| failed("write the lock in", path, e))?;
    Ok(file)
}

fn subdirectory(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(rustix::fs::openat(dir, name, OPEN_DIR, Mode::empty())?)
}

fn private_directory(path: &Path) -> Result<PathBuf, ClaimError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| path.canonicalize())
        .map_err(|e| failed("create the directory", path, e))
}

fn same_place(a: &File, b: &OwnedFd) -> bool {
    let place = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|s| (s.st_dev, s.st_ino)).ok();
    place(a.as_fd()) == place(b.as_fd())
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> ClaimError {
    ClaimError::Step { step, path: path.to_owned(), source }
}

fn pid_text(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
