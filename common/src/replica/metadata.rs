//! Setting mode and time of what is there, through a handle on it, after a look at it.
//!
//! Content is not touched. Under the lease nobody can have begun to write; without leases a write
//! in the last microseconds could lose its time, never its bytes. Set-id and sticky bits stay what
//! they are.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::entry::Entry;
use crate::replica::publish::Spot;
use crate::replica::root::stamp_of;
use crate::replica::stage::times;
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::sys::{Lease, Leased};

/// What became of it.
#[derive(Debug)]
pub(super) enum Set {
    /// Done; this is the stamp now. Its time is what the file system made of the one that was set.
    Done(Stamp),
    /// Somebody has it open for writing.
    Busy,
    /// It is not what was expected.
    Moved,
}

/// Sets what `after` says, if the inode is the one that was expected.
pub(super) fn set(
    spot: &Spot<'_>,
    expected: &Stamp,
    after: &Entry,
    durable: bool,
) -> Result<Set, StepError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::openat(&spot.dir, spot.name, OFlags::RDONLY | flags, Mode::empty()) {
        Ok(fd) => set_open(fd, expected, after, durable),
        Err(Errno::ACCESS) => set_unreadable(spot, expected, after),
        Err(Errno::NOENT | Errno::LOOP) => Ok(Set::Moved),
        Err(e) => Err(e).step("open to set mode and time"),
    }
}

fn set_open(fd: OwnedFd, expected: &Stamp, after: &Entry, durable: bool) -> Result<Set, StepError> {
    let file = File::from(fd);
    let lease = match after {
        Entry::File(_) => Lease::take(&file),
        _ => Leased::Unsupported,
    };
    if matches!(lease, Leased::Hot) {
        return Ok(Set::Busy);
    }
    let now = stamp_of(&rustix::fs::fstat(&file).step("look before setting mode and time")?);
    if !fits(&now, expected, after) {
        return Ok(Set::Moved);
    }
    let (mode, modified) = wanted(after);
    let bits = Mode::from_raw_mode(mode | now.mode & 0o7000);
    rustix::fs::fchmod(&file, bits).step("set the mode")?;
    let set = || match modified {
        Some(modified) => rustix::fs::futimens(&file, &times(modified)).step("set the time"),
        None => Ok(()),
    };
    let look = || rustix::fs::fstat(&file).step("look after setting mode and time");
    set()?;
    if durable {
        file.sync_all().step("flush mode and time")?;
    }
    let stamp = stamp_of(&look()?);
    if modified.is_none_or(|modified| modified == stamp.modified) {
        return Ok(Set::Done(stamp));
    }
    // The file system keeps times less exactly, or somebody was faster: that happens but once.
    set()?;
    let again = stamp_of(&look()?);
    Ok(if again.modified == stamp.modified { Set::Done(again) } else { Set::Moved })
}

/// What we own and may not read has a handle without access; its mode is set by that handle's name.
fn set_unreadable(spot: &Spot<'_>, expected: &Stamp, after: &Entry) -> Result<Set, StepError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&spot.dir, spot.name, flags, Mode::empty())
        .step("open to set mode and time")?;
    let now = stamp_of(&rustix::fs::fstat(fd.as_fd()).step("look before setting mode and time")?);
    if !fits(&now, expected, after) {
        return Ok(Set::Moved);
    }
    let (mode, modified) = wanted(after);
    let bits = Mode::from_raw_mode(mode | now.mode & 0o7000);
    rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), bits).step("set the mode")?;
    if let Some(modified) = modified {
        rustix::fs::utimensat(&fd, "", &times(modified), AtFlags::EMPTY_PATH)
            .step("set the time")?;
    }
    Ok(Set::Done(stamp_of(&rustix::fs::fstat(&fd).step("look after setting mode and time")?)))
}

/// A directory's size and times change with what is in it; that does not matter here.
fn fits(now: &Stamp, expected: &Stamp, after: &Entry) -> bool {
    match after {
        Entry::Dir { .. } => now.same_inode(expected),
        _ => now.same_but_renamed(expected),
    }
}

fn wanted(after: &Entry) -> (u32, Option<crate::time::Timestamp>) {
    match after {
        Entry::File(file) => (file.mode & 0o777, Some(file.modified)),
        Entry::Dir { mode } => (mode & 0o777, None),
        Entry::Link(link) => (0o777, Some(link.modified)),
    }
}
