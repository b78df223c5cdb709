//! Setting mode and time of what is there, through a handle on it, after a look at it.
//!
//! Content is not touched. Under the lease nobody can have begun to write; without leases a write
//! in the last microseconds could lose its time, never its bytes. Set-id and sticky bits stay what
//! they are.

use rustix::io::Errno;

use crate::entry::Entry;
use crate::replica::disk::{Handle, Lease, Leased, Open};
use crate::replica::publish::Spot;
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};

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
    match spot.dir.open_at(spot.name, Open::Read) {
        Ok(file) => set_open(&file, expected, after, durable),
        Err(Errno::ACCESS) => set_unreadable(spot, expected, after),
        Err(Errno::NOENT | Errno::LOOP) => Ok(Set::Moved),
        Err(e) => Err(e).step("open to set mode and time"),
    }
}

fn set_open(
    file: &Handle,
    expected: &Stamp,
    after: &Entry,
    durable: bool,
) -> Result<Set, StepError> {
    let lease = match after {
        Entry::File(_) => Lease::take(file),
        _ => Leased::Unsupported,
    };
    if matches!(lease, Leased::Hot) {
        return Ok(Set::Busy);
    }
    let now = file.stat().step("look before setting mode and time")?;
    if !fits(&now, expected, after) {
        return Ok(Set::Moved);
    }
    let (mode, modified) = wanted(after);
    file.set_mode(mode | now.mode & 0o7000).step("set the mode")?;
    let set = || match modified {
        Some(modified) => file.set_modified(modified).step("set the time"),
        None => Ok(()),
    };
    let look = || file.stat().step("look after setting mode and time");
    set()?;
    if durable {
        file.sync().step("flush mode and time")?;
    }
    let stamp = look()?;
    if modified.is_none_or(|modified| modified == stamp.modified) {
        return Ok(Set::Done(stamp));
    }
    // The file system keeps times less exactly, or somebody was faster: that happens but once.
    set()?;
    let again = look()?;
    Ok(if again.modified == stamp.modified { Set::Done(again) } else { Set::Moved })
}

/// What we own and may not read can still be marked.
fn set_unreadable(spot: &Spot<'_>, expected: &Stamp, after: &Entry) -> Result<Set, StepError> {
    let mark = spot.dir.open_at(spot.name, Open::Mark).step("open to set mode and time")?;
    let now = mark.stat().step("look before setting mode and time")?;
    if !fits(&now, expected, after) {
        return Ok(Set::Moved);
    }
    let (mode, modified) = wanted(after);
    mark.set_mode(mode | now.mode & 0o7000).step("set the mode")?;
    if let Some(modified) = modified {
        mark.set_modified(modified).step("set the time")?;
    }
    Ok(Set::Done(mark.stat().step("look after setting mode and time")?))
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
