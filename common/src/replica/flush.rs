//! Makes what a user did durable, on a thread of its own.
//!
//! The archive may call a version agreed only when it is on the disk of both sides; here the side
//! that had it first does its part. A user flushes nothing: neither what he wrote nor its name, and
//! that something is gone or is elsewhere now is a name, too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::io::Errno;

use crate::limits::FLUSHED_SINGLY_MAX;
use crate::path::RelPath;
use crate::replica::disk::Handle;
use crate::replica::known::{Known, Row};
use crate::replica::root::{Root, is_absence};
use crate::wire::message::{OrderId, Report};

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

/// Makes what is now at these paths durable, or that nothing is. No path is everything.
pub fn flush(root: &Root, paths: &[RelPath]) -> bool {
    let all = || root.handle().sync_all().is_ok();
    if paths.is_empty() || paths.len() > FLUSHED_SINGLY_MAX {
        return all();
    }
    let above: BTreeSet<Option<RelPath>> = paths.iter().map(RelPath::parent).collect();
    let flushes = paths.iter().map(|path| content(root, path));
    let mut flushes = flushes.chain(above.into_iter().map(|above| names(root, above)));
    match flushes.try_for_each(|flushed| flushed.map_err(|error| error == Singly::Failed)) {
        Ok(()) => true,
        Err(failed) => !failed && all(),
    }
}

/// A power cut may take bytes back whose time stamps are on the disk already; the stamp would then
/// vouch for a content that is not there. So a row is saved only when its bytes are flushed, and
/// else forgotten. Answers whether all are flushed.
pub fn keep_flushed(root: &Root, rows: &mut [(RelPath, Option<Row>)]) -> bool {
    let is_file = |row: &Option<Row>| row.as_ref().is_some_and(|row| row.entry.as_file().is_some());
    let files: Vec<RelPath> =
        rows.iter().filter(|(_, row)| is_file(row)).map(|(path, _)| path.clone()).collect();
    let flushed = files.is_empty() || flush(root, &files);
    if !flushed {
        rows.iter_mut().filter(|(_, row)| is_file(row)).for_each(|(_, row)| *row = None);
    }
    flushed
}

/// Why something was not flushed by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Singly {
    /// It cannot be opened for that; a flush of everything does it.
    Impossible,
    /// It was tried. No later flush can be believed.
    Failed,
}

/// What is at a path. What is gone, and a link, has nothing but a name.
fn content(root: &Root, path: &RelPath) -> Result<(), Singly> {
    match root.open_file(path) {
        // Mode and time count as well, so all of it and not only the data.
        Ok(file) => fsync(&file),
        Err(error) if is_absence(&error) => Ok(()),
        Err(_) => Err(Singly::Impossible),
    }
}

/// The names in a directory; where it is gone itself, that it is.
fn names(root: &Root, mut path: Option<RelPath>) -> Result<(), Singly> {
    loop {
        match root.directory(path.as_ref()) {
            Ok(dir) => return fsync(&dir),
            Err(error) if is_absence(&error) && path.is_some() => {
                path = path.and_then(|path| path.parent());
            }
            Err(_) => return Err(Singly::Impossible),
        }
    }
}

fn fsync(file: &Handle) -> Result<(), Singly> {
    match file.sync() {
        Ok(()) => Ok(()),
        // A fifo, or a file system that knows no flush of this.
        Err(Errno::INVAL | Errno::ROFS) => Err(Singly::Impossible),
        Err(_) => Err(Singly::Failed),
    }
}
