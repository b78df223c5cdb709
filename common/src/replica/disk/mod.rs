//! The disk as everything that commits, judges, looks and recovers sees it: calls on open handles.
//!
//! Each call is one call of the system, so between any two of them anything may happen: a user's
//! write, an error, an end. A [`Handle`] is an open file or directory; `real` makes the calls of
//! the kernel. The tests have a disk in memory behind the same calls, which stops, fails and
//! forgets at every one of them. Only what watches, locks and stores goes other ways.

mod names;
mod real;

use std::any::Any;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::replica::stamp::Stamp;
use crate::time::Timestamp;

/// How something is opened. Links are never followed, and nothing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// A directory, to list it and to work in it.
    Directory,
    /// A directory, to work in it only: reading it is not needed.
    Passage,
    /// Anything, to see that it is there and to set its mode and time.
    Mark,
    /// Anything, for reading.
    Read,
    /// A file, for reading and writing.
    Write,
    /// A new file that only we may read and write.
    New,
}

/// The answer to asking for a read lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nobody has the file open for writing.
    Granted,
    /// Somebody has.
    Hot,
    /// The file system has no leases, or the file is not ours.
    Unsupported,
}

/// An open file or directory, at the level of system calls. Names are single components.
pub trait Node: Any + fmt::Debug + Send + Sync {
    /// For another node of the same disk, in calls that take two.
    fn as_any(&self) -> &dyn Any;
    /// The descriptor, where there is one: for what only a kernel can do.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// `fstat`.
    fn stat(&self) -> Result<Stamp, Errno>;
    /// `fchmod`, also of a mark.
    fn set_mode(&self, mode: u32) -> Result<(), Errno>;
    /// `futimens`, also of a mark; the time of the last access stays.
    fn set_modified(&self, modified: Timestamp) -> Result<(), Errno>;
    /// `fsync`.
    fn sync(&self) -> Result<(), Errno>;
    /// `fdatasync`.
    fn sync_data(&self) -> Result<(), Errno>;
    /// `syncfs`.
    fn sync_all(&self) -> Result<(), Errno>;

    /// `pread`: may read less than there is room for.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;
    /// `pwrite`: may write less than was given.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno>;
    /// `pwritev2` with `RWF_DONTCACHE`: may write less than was given. What is written sets out for
    /// the disk at once and leaves memory when it is there.
    fn pass_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.write_at(bytes, offset)
    }
    /// `ftruncate`.
    fn set_len(&self, size: u64) -> Result<(), Errno>;
    /// `FICLONE`: becomes what the other file is, where blocks can be shared.
    fn take_blocks(&self, other: &Handle) -> Result<(), Errno>;
    /// `F_SETLEASE` with `F_RDLCK`.
    fn ask_lease(&self) -> Asked;
    /// `F_GETLEASE`: whether nobody opened the file for writing since.
    fn holds_lease(&self) -> bool;
    /// `F_SETLEASE` with `F_UNLCK`.
    fn end_lease(&self);

    /// `openat2` beneath this directory, without links and mounts on the way: the one call that
    /// takes a whole path.
    fn open_beneath(&self, path: &[u8], how: Open) -> Result<Handle, Errno>;
    /// `openat`.
    fn open_at(&self, name: &[u8], how: Open) -> Result<Handle, Errno>;
    /// `fstatat`, not following.
    fn stat_at(&self, name: &[u8]) -> Result<Stamp, Errno>;
    /// `statx`: whether something is mounted on the name.
    fn is_mount_at(&self, name: &[u8]) -> Result<bool, Errno>;
    /// All names in this directory but `.` and `..`, from the beginning, in no order.
    fn names(&self) -> Result<Vec<Vec<u8>>, Errno>;
    /// `mkdirat`.
    fn make_directory(&self, name: &[u8], mode: u32) -> Result<(), Errno>;
    /// `symlinkat`.
    fn make_link(&self, target: &[u8], name: &[u8]) -> Result<(), Errno>;
    /// `readlinkat`.
    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno>;
    /// `renameat2`.
    fn rename(&self, name: &[u8], to: &Handle, new: &[u8], flags: RenameFlags)
    -> Result<(), Errno>;
    /// `linkat`, not following.
    fn link(&self, name: &[u8], to: &Handle, new: &[u8]) -> Result<(), Errno>;
    /// `unlinkat`.
    fn remove(&self, name: &[u8]) -> Result<(), Errno>;
    /// `unlinkat` with `AT_REMOVEDIR`.
    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno>;
    /// `fchmodat`, of what is no link.
    fn set_mode_at(&self, name: &[u8], mode: u32) -> Result<(), Errno>;
    /// `utimensat`, not following.
    fn set_modified_at(&self, name: &[u8], modified: Timestamp) -> Result<(), Errno>;

    /// `stat` from the top, following links: for the root's own place, and nothing else.
    fn stat_path(&self, path: &Path) -> Result<Stamp, Errno>;
    /// Lets time pass.
    fn pause(&self, time: Duration);
}

/// An open file or directory. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Handle(Arc<dyn Node>);

impl Handle {
    /// A handle on a node.
    pub fn new(node: impl Node) -> Handle {
        Handle(Arc::new(node))
    }

    /// Opens a directory by its path from the top, following links.
    pub fn open_directory(path: &Path) -> Result<Handle, Errno> {
        real::open_directory(path)
    }

    /// Fills the whole buffer.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => (buffer, offset) = (&mut buffer[n..], offset + n as u64),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Writes all bytes.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        all_at(bytes, offset, |bytes: &[u8], offset| self.write_at(bytes, offset))
    }

    /// Writes all bytes, and has them leave memory for the disk: for what nobody will soon read.
    pub fn pass_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        all_at(bytes, offset, |bytes: &[u8], offset| self.pass_at(bytes, offset))
    }

    /// Reads from the beginning, with a position of its own.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { handle: self, offset: 0 }
    }
}

fn all_at(
    mut bytes: &[u8],
    mut offset: u64,
    mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => (bytes, offset) = (&bytes[n..], offset + n as u64),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

impl Deref for Handle {
    type Target = dyn Node;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Reads a file from its beginning to its end.
#[derive(Debug)]
pub struct Reader<'h> {
    handle: &'h Handle,
    offset: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.handle.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

/// A read lease, given back when dropped. While it is held, who wants to open the file for writing
/// waits: hold it for milliseconds.
#[derive(Debug)]
pub struct Lease<'h>(&'h Handle);

/// The lease, or why there is none.
#[derive(Debug)]
pub enum Leased<'h> {
    /// Nobody has the file open for writing.
    Granted(Lease<'h>),
    /// Somebody has.
    Hot,
    /// The file system has no leases, or the file is not ours.
    Unsupported,
}

impl Lease<'_> {
    /// Asks for a lease on a file that is open for reading only.
    #[must_use]
    pub fn take(file: &Handle) -> Leased<'_> {
        match file.ask_lease() {
            Asked::Granted => Leased::Granted(Lease(file)),
            Asked::Hot => Leased::Hot,
            Asked::Unsupported => Leased::Unsupported,
        }
    }

    /// Whether nobody tried to open the file for writing since the lease was taken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.holds_lease()
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.0.end_lease();
    }
}
