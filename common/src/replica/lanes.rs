//! Threads that carry out commits: one lane for small ones, in groups; others for large ones.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::replica::commit::{Committer, Job};
use crate::wire::message::Content;

/// Large commits that are carried out at once.
const LARGE_LANES: usize = 2;
/// Small commits that share their flushes.
const GROUP_MAX: usize = 512;

/// The lanes. Commits of one path, or of a directory and what is in it, are never ordered before
/// the outcome of the earlier one, so lanes need not know of each other.
pub(super) struct Lanes {
    small: Mutex<Option<Sender<Job>>>,
    large: Mutex<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Lanes {
    pub(super) fn start(committer: Committer) -> io::Result<Lanes> {
        let committer = Arc::new(committer);
        let (small, small_jobs) = channel();
        let (large, large_jobs) = channel();
        let large_jobs = Arc::new(Mutex::new(large_jobs));
        let mut threads = Vec::new();
        let grouping = committer.clone();
        let thread = Builder::new().name("commit".into());
        threads.push(thread.spawn(move || commit_groups(&grouping, &small_jobs))?);
        for _ in 0..LARGE_LANES {
            let (committer, jobs) = (committer.clone(), large_jobs.clone());
            let thread = Builder::new().name("receive".into());
            threads.push(thread.spawn(move || commit_singly(&committer, &jobs))?);
        }
        Ok(Lanes {
            small: Mutex::new(Some(small)),
            large: Mutex::new(Some(large)),
            threads: Mutex::new(threads),
        })
    }

    /// Queues a commit.
    pub(super) fn commit(&self, job: Job) {
        let lane = match job.content {
            Content::None | Content::Inline(_) => &self.small,
            _ => &self.large,
        };
        if let Some(lane) = &*lane.lock().unwrap_or_else(PoisonError::into_inner) {
            // A lane ends only after its sender.
            drop(lane.send(job));
        }
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

fn commit_groups(committer: &Committer, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let mut group = vec![job];
        group.extend(jobs.try_iter().take(GROUP_MAX - 1));
        committer.commit_all(group);
    }
}

fn commit_singly(committer: &Committer, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        committer.commit_all(vec![job]);
    }
}
