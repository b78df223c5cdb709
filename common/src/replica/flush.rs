//! Makes contents durable, on a thread of its own.
//!
//! The archive may call a version agreed only when it is on the disk of both sides; here the side
//! that had it first does its part.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::path::RelPath;
use crate::replica::known::Known;
use crate::replica::root::{Root, is_absence};
use crate::wire::message::{OrderId, Report};

/// From so many files on, one flush of the whole file system is cheaper.
const SINGLY_MAX: usize = 32;

/// One order.
pub(super) type Job = (OrderId, Vec<RelPath>);

/// Starts the thread. It ends when the sender is dropped.
pub(super) fn start(root: Arc<Root>, known: Arc<Known>) -> std::io::Result<Sender<Job>> {
    let (jobs, inbox): (Sender<Job>, Receiver<Job>) = channel();
    std::thread::Builder::new().name("flushing".into()).spawn(move || {
        for (id, paths) in inbox {
            let durable = flush(&root, &paths);
            known.say(Report::Synced { id, durable });
        }
    })?;
    Ok(jobs)
}

/// Makes the present content of these files durable. What is gone needs nothing.
pub(super) fn flush(root: &Root, paths: &[RelPath]) -> bool {
    if paths.len() > SINGLY_MAX {
        return root.handle().sync_all().is_ok();
    }
    paths.iter().all(|path| match root.open_file(path) {
        Ok(file) => file.sync_data().is_ok(),
        Err(error) => is_absence(&error),
    })
}
