//! The calls of the kernel.

use std::any::Any;
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, StatxAttributes, StatxFlags, Timespec,
    Timestamps,
};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use crate::replica::disk::{Asked, Handle, Node, Open, names};
use crate::replica::root::stamp_of;
use crate::replica::stamp::Stamp;
use crate::sys;
use crate::time::Timestamp;

/// `openat2` answers EAGAIN when the tree moved under it; more often than this is no accident.
const TRIES_MAX: u32 = 128;
/// `RWF_DONTCACHE`, since Linux 6.14.
const PASSING: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A descriptor.
#[derive(Debug)]
struct Real {
    fd: OwnedFd,
    /// It gives no access by itself: mode and time are set by its name.
    is_mark: bool,
}

impl From<OwnedFd> for Handle {
    fn from(fd: OwnedFd) -> Handle {
        Handle::new(Real { fd, is_mark: false })
    }
}

impl From<File> for Handle {
    fn from(file: File) -> Handle {
        OwnedFd::from(file).into()
    }
}

pub(super) fn open_directory(path: &Path) -> Result<Handle, Errno> {
    let (flags, mode) = flags(Open::Directory);
    Ok(rustix::fs::open(path, flags, mode)?.into())
}

fn flags(how: Open) -> (OFlags, Mode) {
    let flags = match how {
        Open::Directory => OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK,
        Open::Passage => OFlags::PATH | OFlags::DIRECTORY,
        Open::Mark => OFlags::PATH,
        Open::Read => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        Open::Write => OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY,
        Open::New => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
    };
    let mode = if how == Open::New { Mode::from_raw_mode(0o600) } else { Mode::empty() };
    (flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
}

/// The descriptor of a handle that is of this disk; any other is elsewhere.
fn fd(handle: &Handle) -> Result<BorrowedFd<'_>, Errno> {
    handle.as_any().downcast_ref::<Real>().map(|real| real.fd.as_fd()).ok_or(Errno::XDEV)
}

/// A name in a directory. One that is a path would be followed wherever it leads, so it is none,
/// whoever made it.
fn single(name: &[u8]) -> Result<&[u8], Errno> {
    match name {
        b"" | b".." => Err(Errno::INVAL),
        name if name.contains(&b'/') => Err(Errno::INVAL),
        name => Ok(name),
    }
}

fn times(modified: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() },
    }
}

impl Node for Real {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn stat(&self) -> Result<Stamp, Errno> {
        Ok(stamp_of(&rustix::fs::fstat(&self.fd)?))
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode);
        if self.is_mark {
            return rustix::fs::chmod(format!("/proc/self/fd/{}", self.fd.as_raw_fd()), mode);
        }
        rustix::fs::fchmod(&self.fd, mode)
    }

    fn set_modified(&self, modified: Timestamp) -> Result<(), Errno> {
        if self.is_mark {
            let flags = AtFlags::EMPTY_PATH;
            return rustix::fs::utimensat(&self.fd, "", &times(modified), flags);
        }
        rustix::fs::futimens(&self.fd, &times(modified))
    }

    fn sync(&self) -> Result<(), Errno> {
        retry_on_intr(|| rustix::fs::fsync(&self.fd))
    }

    fn sync_data(&self) -> Result<(), Errno> {
        rustix::fs::fdatasync(&self.fd)
    }

    fn sync_all(&self) -> Result<(), Errno> {
        rustix::fs::syncfs(&self.fd)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        rustix::io::pread(&self.fd, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        rustix::io::pwrite(&self.fd, bytes, offset)
    }

    fn pass_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        match rustix::io::pwritev2(&self.fd, &[IoSlice::new(bytes)], offset, PASSING) {
            // The kernel or the file system does not know that: it is asked at least to begin.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let written = self.write_at(bytes, offset)?;
                sys::write_part_out(self.fd.as_fd(), offset, written);
                Ok(written)
            }
            written => written,
        }
    }

    fn set_len(&self, size: u64) -> Result<(), Errno> {
        retry_on_intr(|| rustix::fs::ftruncate(&self.fd, size))
    }

    fn take_blocks(&self, other: &Handle) -> Result<(), Errno> {
        rustix::fs::ioctl_ficlone(&self.fd, fd(other)?)
    }

    fn ask_lease(&self) -> Asked {
        match sys::take_lease(self.fd.as_fd()) {
            Ok(true) => Asked::Granted,
            Ok(false) => Asked::Hot,
            Err(_) => Asked::Unsupported,
        }
    }

    fn holds_lease(&self) -> bool {
        sys::holds_lease(self.fd.as_fd())
    }

    fn end_lease(&self) {
        sys::end_lease(self.fd.as_fd());
    }

    fn open_beneath(&self, path: &[u8], how: Open) -> Result<Handle, Errno> {
        let (flags, mode) = flags(how);
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, mode, RESOLVE) {
                Err(Errno::AGAIN | Errno::INTR) if tries < TRIES_MAX => tries += 1,
                fd => return Ok(opened(fd?, how)),
            }
        }
    }

    fn open_at(&self, name: &[u8], how: Open) -> Result<Handle, Errno> {
        let (flags, mode) = flags(how);
        Ok(opened(rustix::fs::openat(&self.fd, single(name)?, flags, mode)?, how))
    }

    fn stat_at(&self, name: &[u8]) -> Result<Stamp, Errno> {
        Ok(stamp_of(&rustix::fs::statat(&self.fd, single(name)?, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn is_mount_at(&self, name: &[u8]) -> Result<bool, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(&self.fd, single(name)?, flags, StatxFlags::TYPE)?;
        Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        names::names(self.fd.as_fd())
    }

    fn make_directory(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.fd, single(name)?, Mode::from_raw_mode(mode))
    }

    fn make_link(&self, target: &[u8], name: &[u8]) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, &self.fd, single(name)?)
    }

    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, single(name)?, Vec::new())?.into_bytes())
    }

    fn rename(
        &self,
        name: &[u8],
        to: &Handle,
        new: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if flags.is_empty() {
            return rustix::fs::renameat(&self.fd, single(name)?, fd(to)?, single(new)?);
        }
        rustix::fs::renameat_with(&self.fd, single(name)?, fd(to)?, single(new)?, flags)
    }

    fn link(&self, name: &[u8], to: &Handle, new: &[u8]) -> Result<(), Errno> {
        rustix::fs::linkat(&self.fd, single(name)?, fd(to)?, single(new)?, AtFlags::empty())
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, single(name)?, AtFlags::empty())
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, single(name)?, AtFlags::REMOVEDIR)
    }

    fn set_mode_at(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        rustix::fs::chmodat(&self.fd, single(name)?, Mode::from_raw_mode(mode), AtFlags::empty())
    }

    fn set_modified_at(&self, name: &[u8], modified: Timestamp) -> Result<(), Errno> {
        rustix::fs::utimensat(&self.fd, single(name)?, &times(modified), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn stat_path(&self, path: &Path) -> Result<Stamp, Errno> {
        Ok(stamp_of(&rustix::fs::stat(path)?))
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

fn opened(fd: OwnedFd, how: Open) -> Handle {
    Handle::new(Real { fd, is_mark: how == Open::Mark })
}
