//! Barriers: "everything that was done before this call has been seen".
//!
//! A cookie is a file in a watched directory of ours. Events arrive in order, so when the
//! cookie's does, all earlier ones have. A cookie that does not come in time is replaced by a look
//! at everything.

use std::collections::BTreeSet;

use rustix::io::Errno;

use crate::dirty::Depth;
use crate::path::RelPath;
use crate::replica::disk::{Handle, Open};
use crate::replica::observing::Observing;
use crate::replica::root::Root;
use crate::replica::watch::COOKIES;
use crate::time::Moment;
use crate::wire::message::{OrderId, Report};

/// So long a barrier looks again at what does not hold still.
const BARRIER_MS: u64 = 2000;

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

impl Observing {
    pub(super) fn settle(&mut self, id: OrderId) {
        let now = self.now();
        self.cookies += 1;
        let stage = match put_cookie(&self.root, self.cookies) {
            Some(name) => Stage::Cookie(name, now.after_ms(self.settings.cookie_ms)),
            None => {
                self.dirty.all(now);
                Stage::Looking(now.after_ms(BARRIER_MS))
            }
        };
        self.barriers.push(Barrier { id, stage });
    }

    pub(super) fn cookie_arrived(&mut self, arrived: &str) {
        take_cookie(&self.root, arrived);
        let now = self.now();
        let mut is_ours = false;
        for barrier in &mut self.barriers {
            if matches!(&barrier.stage, Stage::Cookie(name, _) if name == arrived) {
                barrier.stage = Stage::Looking(now.after_ms(BARRIER_MS));
                is_ours = true;
            }
        }
        if is_ours {
            self.watch_less(now);
        }
    }

    /// For directories without a watch no event stands before the cookie.
    fn watch_less(&mut self, now: Moment) {
        for place in self.watch.polled() {
            self.dirty.mark(place.clone(), Depth::Listing, now);
        }
    }

    /// Whether what is not quiet yet must be looked at, too.
    pub(super) fn is_barrier_looking(&self) -> bool {
        self.barriers.iter().any(|b| matches!(b.stage, Stage::Looking(_)))
    }

    pub(super) fn advance_barriers(&mut self) {
        let now = self.now();
        let mut reached = Vec::new();
        let mut barriers = std::mem::take(&mut self.barriers);
        for barrier in &mut barriers {
            match &barrier.stage {
                _ if self.halt.is_some() => barrier.stage = Stage::Reading(BTreeSet::new()),
                Stage::Cookie(name, deadline) if now >= *deadline => {
                    take_cookie(&self.root, name);
                    tracing::warn!("a cookie did not arrive; everything is looked at");
                    self.renew();
                    barrier.stage = Stage::Looking(now.after_ms(BARRIER_MS));
                }
                Stage::Looking(deadline) if !self.unsettled || now >= *deadline => {
                    barrier.stage = Stage::Reading(self.hashing.keys().cloned().collect());
                }
                _ => {}
            }
            if matches!(&barrier.stage, Stage::Reading(paths) if paths.is_empty()) {
                reached.push(barrier.id);
            }
        }
        barriers.retain(|b| !reached.contains(&b.id));
        self.barriers = barriers;
        for id in reached {
            self.known.say(Report::Settled { id });
        }
    }
}

/// Puts a cookie; `None` when that fails.
pub(super) fn put_cookie(root: &Root, number: u64) -> Option<String> {
    let name = format!("{}-{number}", std::process::id());
    let put = || {
        let cookies = cookies(root)?;
        // One left over by an earlier process of this number would keep the new one from arriving.
        let _ = cookies.remove(name.as_bytes());
        cookies.open_at(name.as_bytes(), Open::New)
    };
    match put() {
        Ok(_) => Some(name),
        Err(error) => {
            tracing::warn!(%error, name, "a cookie cannot be put");
            None
        }
    }
}

/// Takes a cookie away.
pub(super) fn take_cookie(root: &Root, name: &str) {
    let _ = cookies(root).and_then(|cookies| cookies.remove(name.as_bytes()));
}

fn cookies(root: &Root) -> Result<Handle, Errno> {
    match root.ours() {
        Some(ours) => ours.open_at(b"cookies", Open::Directory),
        None => root.handle().open_beneath(COOKIES.as_bytes(), Open::Directory),
    }
}

/// Whether two edits within one tick of a clock may leave the same time stamp on this file system.
pub(super) fn stamps_are_coarse(root: &Root) -> bool {
    let Some(name) = put_cookie(root, u64::MAX) else { return true };
    let changes = || {
        let file = cookies(root)?.open_at(name.as_bytes(), Open::Write)?;
        let mut last = file.stat()?.modified;
        for _ in 0..8 {
            file.write_at(b"x", 0)?;
            let now = file.stat()?.modified;
            if now == last {
                return Ok(false);
            }
            last = now;
        }
        Ok::<bool, Errno>(true)
    };
    let fine = changes().unwrap_or(false);
    take_cookie(root, &name);
    !fine
}
