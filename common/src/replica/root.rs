//! The one way into a replica: an open handle on its root.
//!
//! Every other access starts from this handle and a [`RelPath`], and goes through `openat2`, which
//! refuses to leave the tree, to follow a link and to cross a mount. No path string reaches the
//! kernel from the root down, so a name that is exchanged for a link while we work leads nowhere.
//! Nothing here decides what an error means, except this: a path whose parent is missing, is no
//! directory or is a link does not exist in our tree.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::limits::RESERVED_NAME;
use crate::path::RelPath;
use crate::replica::disk::{Handle, Open};
use crate::replica::stamp::Stamp;
use crate::time::{NANOS_MAX, Timestamp};

/// Longer paths are walked in steps: the kernel takes at most `PATH_MAX` bytes at once.
const STEP_BYTES_MAX: usize = 4000;

/// An open root.
#[derive(Debug)]
pub struct Root {
    dir: Handle,
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Our open `.lab3` in it, and its device and inode.
    mark: OnceLock<(Handle, (u64, u64))>,
}

/// Why a directory cannot be a root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Nothing is there.
    #[error("the directory `{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// Something else is there.
    #[error("`{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A step failed.
    #[error("cannot {step} the directory `{}`", .path.display())]
    Step {
        /// Which step.
        step: &'static str,
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Root {
    /// Opens a directory. Links in the given path are followed, once, here.
    pub fn open(path: impl AsRef<Path>) -> Result<Root, RootError> {
        let path = path.as_ref();
        let canonical = path.canonicalize().map_err(|e| root_error("find", path.to_owned(), e))?;
        let failed = |step, e: Errno| root_error(step, canonical.clone(), e.into());
        let dir = Handle::open_directory(&canonical).map_err(|e| failed("read", e))?;
        let stamp = dir.stat().map_err(|e| failed("look at", e))?;
        // Readable is not enough: without this every path would be an error, one by one.
        dir.stat_at(b".").map_err(|e| failed("enter", e))?;
        Ok(Root::within(dir, &stamp, canonical))
    }

    /// A directory that is open already and has this stamp.
    #[must_use]
    pub fn within(dir: Handle, stamp: &Stamp, path: PathBuf) -> Root {
        Root { dir, device: stamp.dev, inode: stamp.ino, path, mark: OnceLock::new() }
    }

    /// From now on this root is one only with this open directory in it as `.lab3`.
    pub fn mark(&self, ours: Handle) -> Result<(), Errno> {
        let stamp = ours.stat()?;
        // A root has one claim, which is the first.
        let _ = self.mark.set((ours, (stamp.dev, stamp.ino)));
        Ok(())
    }

    /// Our own directory, whatever name it has, if the root is claimed.
    #[must_use]
    pub fn ours(&self) -> Option<&Handle> {
        self.mark.get().map(|(ours, _)| ours)
    }

    /// Whether something is our own directory, whatever name it has.
    #[must_use]
    pub fn is_ours(&self, stamp: &Stamp) -> bool {
        self.mark.get().is_some_and(|(_, mark)| *mark == (stamp.dev, stamp.ino))
    }

    /// Where it was when it was opened. For messages and for the watcher, never for access.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device that the root is on. Below it, another device is a mount.
    #[must_use]
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The handle, for calls on names directly in the root.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.dir
    }

    /// A path that leads to the open root wherever it was moved: the watcher wants a string.
    #[must_use]
    pub fn entrance(&self) -> PathBuf {
        match self.dir.descriptor() {
            Some(open) => PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())),
            None => self.path.clone(),
        }
    }

    /// Opens a directory for reading, with a position of its own; `None` is the root. EXDEV says
    /// that there is a mount on the way, ELOOP a link, ENOTDIR a file.
    pub fn directory(&self, path: Option<&RelPath>) -> io::Result<Handle> {
        match path {
            None => Ok(self.dir.open_at(b".", Open::Directory)?),
            Some(path) => Ok(open_below(self.handle(), path.as_bytes(), Open::Directory)?),
        }
    }

    /// Opens the directory that holds a path, and answers the name in it. The handle can be
    /// flushed, unless we may not read the directory.
    pub fn parent<'p>(&self, path: &'p RelPath) -> io::Result<(Handle, &'p [u8])> {
        let name = path.name();
        let whole = path.as_bytes();
        if name.len() == whole.len() {
            return Ok((self.dir.clone(), name));
        }
        let above = &whole[..whole.len() - name.len() - 1];
        let dir = match open_below(self.handle(), above, Open::Directory) {
            Err(Errno::ACCESS) => open_below(self.handle(), above, Open::Passage)?,
            other => other?,
        };
        Ok((dir, name))
    }

    /// Looks at a path, without following it. `None`: there is nothing in our tree by that name.
    pub fn stat(&self, path: &RelPath) -> io::Result<Option<Stamp>> {
        match self.parent(path) {
            Ok((dir, name)) => stat_at(&dir, name),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens a file for reading. The caller looks at what it got: a fifo opens, too.
    pub fn open_file(&self, path: &RelPath) -> io::Result<Handle> {
        let (dir, name) = self.parent(path)?;
        open_file_at(&dir, name)
    }

    /// Reads where a link points.
    pub fn read_link(&self, path: &RelPath) -> io::Result<Vec<u8>> {
        let (dir, name) = self.parent(path)?;
        read_link_at(&dir, name)
    }

    /// Whether the configured path still leads to this root and the root is still marked as ours;
    /// otherwise why not. Must hold before anything is deleted because it is missing here.
    pub fn still_there(&self) -> Result<(), String> {
        let path = self.path.display();
        let now = match self.dir.stat_path(&self.path) {
            Ok(stamp) => stamp,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(format!("`{path}` is gone")),
            Err(e) => return Err(format!("cannot look at `{path}`: {e}")),
        };
        if (now.dev, now.ino) != (self.device, self.inode) {
            return Err(format!("`{path}` is another directory than the one that was opened"));
        }
        if self.ours().is_some()
            && let Ok(found) = self.dir.stat_at(RESERVED_NAME)
            && !self.is_ours(&found)
        {
            return Err(format!(
                "`{path}/.lab3` is not the directory any more that was opened: put that one back, \
                 or start the server again"
            ));
        }
        match open_below(self.handle(), &[RESERVED_NAME, b"/id"].concat(), Open::Mark) {
            Ok(_) => Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(format!("`{path}` has lost its `.lab3/id`, which marks it as ours"))
            }
            Err(e) => Err(format!("cannot look at `.lab3/id` in `{path}`: {e}")),
        }
    }
}

/// Looks at a name in a directory, without following it.
pub fn stat_at(dir: &Handle, name: &[u8]) -> io::Result<Option<Stamp>> {
    match dir.stat_at(name) {
        Ok(stamp) => Ok(Some(stamp)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Opens a file in a directory for reading, without following it and without waiting.
pub fn open_file_at(dir: &Handle, name: &[u8]) -> io::Result<Handle> {
    Ok(dir.open_at(name, Open::Read)?)
}

/// Reads where a link in a directory points.
pub fn read_link_at(dir: &Handle, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(dir.read_link(name)?)
}

/// Whether an error of resolving a path says that there is no such path in our tree. A link on the
/// way leads elsewhere, so what lies behind it is not ours.
#[must_use]
pub fn is_absence(error: &io::Error) -> bool {
    let absent = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    Errno::from_io_error(error).is_some_and(|e| absent.contains(&e))
}

/// What a stat call tells.
#[must_use]
pub fn stamp_of(stat: &Stat) -> Stamp {
    // A damaged disk may say more nanoseconds than a second has.
    let time = |seconds, nanos: u32| Timestamp { seconds, nanos: nanos.min(NANOS_MAX) };
    Stamp {
        dev: stat.st_dev as _,
        ino: stat.st_ino as _,
        size: stat.st_size as _,
        modified: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
        changed: time(stat.st_ctime as _, stat.st_ctime_nsec as _),
        mode: stat.st_mode as _,
        links: stat.st_nlink as _,
    }
}

/// Opens a path of any length below a handle.
pub(super) fn open_below(start: &Handle, path: &[u8], how: Open) -> Result<Handle, Errno> {
    let mut rest = path;
    let mut reached: Option<Handle> = None;
    while rest.len() > STEP_BYTES_MAX {
        let cut = rest[..STEP_BYTES_MAX].iter().rposition(|&b| b == b'/');
        let cut = cut.ok_or(Errno::NAMETOOLONG)?;
        let from = reached.as_ref().unwrap_or(start);
        reached = Some(from.open_beneath(&rest[..cut], Open::Passage)?);
        rest = &rest[cut + 1..];
    }
    reached.as_ref().unwrap_or(start).open_beneath(rest, how)
}

fn root_error(step: &'static str, path: PathBuf, source: io::Error) -> RootError {
    match source.kind() {
        io::ErrorKind::NotFound => RootError::Missing(path),
        io::ErrorKind::NotADirectory => RootError::NotADirectory(path),
        _ => RootError::Step { step, path, source },
    }
}
