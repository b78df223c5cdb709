//! Barriers: "everything that was done before this call has been seen".
//!
//! A cookie is a file in a watched directory of ours. Events arrive in order, so when the
//! cookie's does, all earlier ones have. A cookie that does not come in time is replaced by a look
//! at everything.

use std::collections::BTreeSet;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::path::RelPath;
use crate::replica::root::Root;
use crate::replica::watch::COOKIES;
use crate::time::Moment;
use crate::wire::message::OrderId;

/// A barrier that has not been reached.
#[derive(Debug)]
pub(super) struct Barrier {
    pub(super) id: OrderId,
    pub(super) stage: Stage,
}

/// How far a barrier is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The cookie of this name has not arrived; waiting ends at the given moment.
    Cookie(String, Moment),
    /// Everything that may have changed is looked at. What does not hold still until the given
    /// moment is left to the next barrier.
    Looking(Moment),
    /// These large files are still being read.
    Reading(BTreeSet<RelPath>),
}

/// Puts a cookie; `None` when that fails.
pub(super) fn put_cookie(root: &Root, number: u64) -> Option<String> {
    let name = format!("{}-{number}", std::process::id());
    let path = format!("{COOKIES}/{name}");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // One left over by an earlier process of this number would keep the new one from arriving.
    let _ = rustix::fs::unlinkat(root.handle(), &path, AtFlags::empty());
    match rustix::fs::openat(root.handle(), &path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Some(name),
        Err(error) => {
            tracing::warn!(%error, path, "a cookie cannot be put");
            None
        }
    }
}

/// Takes a cookie away.
pub(super) fn take_cookie(root: &Root, name: &str) {
    let _ = rustix::fs::unlinkat(root.handle(), format!("{COOKIES}/{name}"), AtFlags::empty());
}

/// Whether two edits within one tick of a clock may leave the same time stamp on this file system.
pub(super) fn stamps_are_coarse(root: &Root) -> bool {
    let Some(name) = put_cookie(root, u64::MAX) else { return true };
    let path = format!("{COOKIES}/{name}");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let changes = || -> rustix::io::Result<bool> {
        let file = rustix::fs::openat(root.handle(), &path, flags, Mode::empty())?;
        let time = || rustix::fs::fstat(&file).map(|s| (s.st_mtime, s.st_mtime_nsec));
        let mut last = time()?;
        for _ in 0..8 {
            rustix::io::pwrite(&file, b"x", 0)?;
            let now = time()?;
            if now == last {
                return Ok(false);
            }
            last = now;
        }
        Ok(true)
    };
    let fine = changes().unwrap_or(false);
    take_cookie(root, &name);
    !fine
}
