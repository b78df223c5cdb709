//! Reads large files on a thread of its own, so that they do not delay small edits.
//!
//! A result is told from here, under a ticket that was taken before reading began; what became of
//! a job goes back to the observer, who alone decides what is looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::path::RelPath;
use crate::problem::{Problem, ProblemKind};
use crate::replica::hinted::age;
use crate::replica::known::{Finding, Known};
use crate::replica::read::{self, Content, WriterProbe};
use crate::replica::root::{Root, is_absence};

/// A file to be read.
pub(super) struct Wanted {
    pub(super) path: RelPath,
    /// When the first hint of it came.
    pub(super) since: Option<Instant>,
}

/// What became of a job.
#[derive(Debug)]
pub(super) struct Hashed {
    /// The file.
    pub(super) path: RelPath,
    /// Whether it must be looked at again.
    pub(super) again: bool,
    /// When the first hint of it came.
    pub(super) since: Option<Instant>,
}

/// What the thread needs.
pub(super) struct Bench {
    pub(super) root: Arc<Root>,
    pub(super) known: Arc<Known>,
    pub(super) probe: Option<WriterProbe>,
    /// While set, nothing is told.
    pub(super) halted: Arc<AtomicBool>,
}

/// Starts the thread. It ends when the sender is dropped.
pub(super) fn start(
    bench: Bench,
    done: impl Fn(Hashed) + Send + 'static,
) -> std::io::Result<Sender<Wanted>> {
    let (jobs, inbox): (Sender<Wanted>, Receiver<Wanted>) = channel();
    std::thread::Builder::new().name("hashing".into()).spawn(move || {
        for Wanted { path, since } in inbox {
            let again = bench.hash(&path, since);
            done(Hashed { path, again, since });
        }
    })?;
    Ok(jobs)
}

impl Bench {
    fn hash(&self, path: &RelPath, since: Option<Instant>) -> bool {
        let ticket = self.known.look();
        let (finding, mut again) = self.read(path);
        let mut findings = BTreeMap::new();
        if let Some(finding) = finding
            && !self.halted.load(Ordering::SeqCst)
        {
            findings.insert(path.clone(), finding);
        }
        again |= !self.known.tell_aged(ticket, findings, &|_| since.map(age)).is_empty();
        again
    }

    fn read(&self, path: &RelPath) -> (Option<Finding>, bool) {
        let content = self
            .root
            .parent(path)
            .and_then(|(dir, name)| read::content(&dir, name, 0, self.probe, false));
        match content {
            Ok(Content::Whole(row, _)) => (Some(Finding::Present(row, None)), false),
            Ok(Content::Moving | Content::Replaced) => (None, true),
            Err(error) if is_absence(&error) => (None, true),
            Err(error) => {
                let detail = format!("cannot read it: {error}");
                let problem = Problem { kind: ProblemKind::Unreadable, detail };
                (Some(Finding::Unknown(problem)), false)
            }
        }
    }
}
