//! Threads that carry out commits: lanes for small ones, in groups; others for large ones.
//!
//! Who ordered them may be gone before they are over, and whoever comes next is told what is there:
//! never before the last of the old commits is over, so that none ends behind his back.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::replica::commit::{Committer, Job};
use crate::wire::message::Content;

/// Groups of small commits that are carried out at once: while one waits for the disk, the other
/// is received.
const SMALL_LANES: usize = 2;
/// Large commits that are carried out at once.
const LARGE_LANES: usize = 2;
/// Small commits that share their flushes.
const GROUP_MAX: usize = 512;

/// The lanes. Commits of one path, or of a directory and what is in it, are never ordered before
/// the outcome of the earlier one, so lanes need not know of each other.
pub(super) struct Lanes {
    small: Mutex<Option<Sender<Queued>>>,
    large: Mutex<Option<Sender<Queued>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    line: Arc<Line>,
}

/// A commit, and which listener ordered it.
struct Queued {
    job: Job,
    era: u64,
}

/// Everything that is queued or under way, in all lanes.
#[derive(Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    /// Counts listeners.
    era: u64,
    /// How many commits are not over.
    left: usize,
    /// What is to be done when all are over.
    then: Vec<Box<dyn FnOnce() + Send>>,
}

impl Lanes {
    pub(super) fn start(committer: Committer) -> io::Result<Lanes> {
        let committer = Arc::new(committer);
        let line = Arc::new(Line::default());
        let (small, small_jobs) = channel();
        let (large, large_jobs) = channel();
        let small_jobs = Arc::new(Mutex::new(small_jobs));
        let large_jobs = Arc::new(Mutex::new(large_jobs));
        let mut threads = Vec::new();
        for _ in 0..SMALL_LANES {
            let (committer, line, jobs) = (committer.clone(), line.clone(), small_jobs.clone());
            let thread = Builder::new().name("commit".into());
            threads.push(thread.spawn(move || commit_groups(&committer, &line, &jobs))?);
        }
        for _ in 0..LARGE_LANES {
            let (committer, line, jobs) = (committer.clone(), line.clone(), large_jobs.clone());
            let thread = Builder::new().name("receive".into());
            threads.push(thread.spawn(move || commit_singly(&committer, &line, &jobs))?);
        }
        Ok(Lanes {
            small: Mutex::new(Some(small)),
            large: Mutex::new(Some(large)),
            threads: Mutex::new(threads),
            line,
        })
    }

    /// Queues a commit.
    pub(super) fn commit(&self, job: Job) {
        let lane = match job.content {
            Content::None | Content::Inline(_) => &self.small,
            _ => &self.large,
        };
        if let Some(lane) = &*lane.lock().unwrap_or_else(PoisonError::into_inner) {
            let era = self.line.enter();
            // A lane ends only after its sender.
            drop(lane.send(Queued { job, era }));
        }
    }

    /// What is queued and under way.
    pub(super) fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    /// Finishes what was queued, then ends.
    pub(super) fn stop(&self) {
        for lane in [&self.small, &self.large] {
            lane.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a commit ended by a bug");
            }
        }
    }
}

impl Line {
    /// Who ordered what is queued is gone: what has not begun is dropped.
    pub(super) fn forget(&self) {
        self.lock().era += 1;
    }

    /// Does something as soon as nothing is queued or under way.
    pub(super) fn when_over(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.left > 0 {
            state.then.push(Box::new(then));
            return;
        }
        drop(state);
        then();
    }

    fn enter(&self) -> u64 {
        let mut state = self.lock();
        state.left += 1;
        state.era
    }

    fn is_wanted(&self, queued: &Queued) -> bool {
        self.lock().era == queued.era
    }

    fn left(&self, count: usize) {
        let mut state = self.lock();
        state.left -= count;
        let then = if state.left == 0 { std::mem::take(&mut state.then) } else { Vec::new() };
        drop(state);
        then.into_iter().for_each(|then| then());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn commit_groups(committer: &Committer, line: &Line, jobs: &Mutex<Receiver<Queued>>) {
    loop {
        let Some(mut group) = next_group(jobs) else { return };
        let count = group.len();
        group.retain(|queued| line.is_wanted(queued));
        if !group.is_empty() {
            committer.commit_all(group.into_iter().map(|queued| queued.job).collect());
        }
        line.left(count);
    }
}

/// The first commit that comes, and what waits by then; `None` when no more will come.
fn next_group(jobs: &Mutex<Receiver<Queued>>) -> Option<Vec<Queued>> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut group = vec![jobs.recv().ok()?];
    group.extend(jobs.try_iter().take(GROUP_MAX - 1));
    Some(group)
}

fn commit_singly(committer: &Committer, line: &Line, jobs: &Mutex<Receiver<Queued>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(queued) = job else { return };
        if line.is_wanted(&queued) {
            committer.commit_all(vec![queued.job]);
        }
        line.left(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_waits_for_the_last_commit_is_done_after_it_and_at_once_when_there_is_none() {
        let line = Line::default();
        let told = Arc::new(AtomicBool::new(false));
        let tell = || {
            let told = told.clone();
            line.when_over(move || told.store(true, Ordering::SeqCst));
        };
        tell();
        assert!(told.swap(false, Ordering::SeqCst), "nothing was queued");
        let _ = (line.enter(), line.enter());
        line.forget();
        tell();
        line.left(1);
        assert!(!told.load(Ordering::SeqCst), "one is still under way");
        line.left(1);
        assert!(told.load(Ordering::SeqCst));
    }
}
