//! As long as a directory has one life, nothing that the kernel took for it is lost: no start of
//! the machine, no unmount. A process that was killed finds all as it left it; after a power cut,
//! what was not flushed may be gone.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::digest::Digest;
use crate::replica::place::boot;

/// `STATX_MNT_ID_UNIQUE`: the number of a mount, never used again (since Linux 6.8).
const MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The life that a directory has; `None` where that cannot be told.
#[must_use]
pub fn of(directory: &Path) -> Option<u64> {
    let boot = boot()?;
    let about = statx(CWD, directory, AtFlags::empty(), MOUNT).ok()?;
    if about.stx_mask & MOUNT.bits() == 0 {
        return None;
    }
    let digest = Digest::of(format!("{boot} {}", about.stx_mnt_id).as_bytes());
    let (first, _) = digest.0.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*first))
}
