//! One replica on a disk in memory: the real committer, recovery and scan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use common::change::{Operation, Outcome};
use common::dirty::{Depth, Dirty, Mark, Place as Spot};
use common::entry::Entry;
use common::path::RelPath;
use common::replica::begun::Progress;
use common::replica::commit::{Committer, Durability, Job};
use common::replica::ignore::Patterns;
use common::replica::known::{Known, Row, Ticket};
use common::replica::probe::Abilities;
use common::replica::publish::Publisher;
use common::replica::recover::Recovered;
use common::replica::root::Root;
use common::replica::scan::{Follow, Ground, Manner, Seen, scan};
use common::replica::source::Supplier;
use common::replica::stage::Stage;
use common::replica::trash::{Keep, Trash};
use common::side::Side;
use common::time::Moment;
use common::wire::message::{Content, OrderId, Report};

use crate::disk::Disk;
use crate::disk::files::{Body, Features, Files, ROOT};

/// A replica in care.
pub(crate) struct Place {
    pub(crate) root: Arc<Root>,
    pub(crate) known: Arc<Known>,
    pub(crate) committer: Committer,
    pub(crate) reports: Arc<Mutex<Vec<Report>>>,
    pub(crate) again: Arc<Mutex<Vec<RelPath>>>,
    /// How the operations came along.
    pub(crate) progress: Arc<Mutex<Vec<Progress>>>,
    pub(crate) patterns: Patterns,
    pub(crate) followed: Followed,
}

/// A look that is under way: begun, then seen, then told.
pub(crate) struct Look {
    ticket: Ticket,
    marks: BTreeMap<Spot, Mark>,
    pub(crate) seen: Option<Seen>,
}

/// The directories that are watched.
#[derive(Debug, Default)]
pub(crate) struct Followed(pub(crate) BTreeSet<Spot>);

impl Follow for Followed {
    fn follows(&self, directory: &Spot) -> bool {
        self.0.contains(directory)
    }

    fn enter(&mut self, directory: &Spot) {
        self.0.insert(directory.clone());
    }

    fn leave(&mut self, path: &RelPath) {
        self.0.retain(|at| at.as_ref().is_none_or(|at| at != path && !at.is_below(path)));
    }
}

/// An empty disk that holds a replica, flushed.
pub(crate) fn disk(features: Features) -> Disk {
    let mut files = Files::new(features);
    let dir = || Body::Dir(BTreeMap::new());
    let own = files.make(ROOT, b".lab3", dir(), 0o700).expect("room");
    for name in [b"stage", b"trash"] {
        files.make(own, name, dir(), 0o700).expect("room");
    }
    files.make(own, b"id", Body::File, 0o600).expect("room");
    files.syncfs();
    Disk::new(files)
}

impl Place {
    pub(crate) fn open(disk: &Disk, side: Side, supplier: Arc<dyn Supplier>) -> Place {
        Place::remembering(disk, side, supplier, BTreeMap::new())
    }

    /// A process that starts with what an earlier one had saved of its tree.
    pub(crate) fn remembering(
        disk: &Disk,
        side: Side,
        supplier: Arc<dyn Supplier>,
        rows: BTreeMap<RelPath, Row>,
    ) -> Place {
        let (features, run) = {
            let files = disk.lock();
            (files.features, files.boot)
        };
        let (reports, again) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let heard = reports.clone();
        let say = move |r| heard.lock().unwrap_or_else(PoisonError::into_inner).push(r);
        let known = Arc::new(Known::new(rows, Box::new(say)));
        let handle = disk.open(b"");
        let stamp = disk.lock().stamp(ROOT);
        let root = Arc::new(Root::within(handle, &stamp, PathBuf::from("/model")));
        let abilities = Abilities {
            exchange: features.exchange,
            noreplace: features.noreplace,
            lease: features.lease,
        };
        let stage = Stage::new(disk.open(b".lab3/stage"), run);
        let trash = Trash::new(disk.open(b".lab3/trash"), side, Keep::default(), run);
        let publisher = Publisher::of(root.clone(), stage, trash, abilities, side);
        let progress = Arc::new(Mutex::new(Vec::new()));
        let (dirty, carried_out) = (again.clone(), progress.clone());
        let committer = Committer {
            publisher: Arc::new(publisher),
            known: known.clone(),
            durability: Durability::Strict,
            supplier,
            dirty: Box::new(move |path| {
                dirty.lock().unwrap_or_else(PoisonError::into_inner).push(path);
            }),
            follow: Box::new(move |step| {
                carried_out.lock().unwrap_or_else(PoisonError::into_inner).push(step);
            }),
            turn: Default::default(),
        };
        let (patterns, followed) = (Patterns::default(), Followed::default());
        Place { root, known, committer, reports, again, progress, patterns, followed }
    }

    /// Begins a look at some places.
    pub(crate) fn begin(&self, marks: BTreeMap<Spot, Mark>) -> Look {
        Look { ticket: self.known.look(), marks, seen: None }
    }

    /// Looks.
    pub(crate) fn see(&mut self, look: &mut Look) {
        let manner = Manner {
            keep_bytes: 1 << 16,
            keep_bytes_together: 1 << 20,
            postpone_bytes: u64::MAX,
            probe: None,
            coarse: false,
            patient: false,
        };
        let ground = Ground {
            root: &self.root,
            known: &self.known,
            patterns: &mut self.patterns,
            follow: &mut self.followed,
            manner,
        };
        look.seen = Some(scan(ground, &look.marks));
    }

    /// Tells what was seen; what moved, or was touched meanwhile, is to be looked at again.
    pub(crate) fn end(&mut self, mut look: Look) -> Seen {
        if look.seen.is_none() {
            self.see(&mut look);
        }
        let mut seen = look.seen.unwrap_or_default();
        let findings = std::mem::take(&mut seen.findings);
        for path in self.known.tell(look.ticket, findings) {
            seen.again.insert(Some(path), (Depth::Listing, false));
        }
        seen
    }

    /// Looks at some places, all at once.
    pub(crate) fn look(&mut self, marks: &BTreeMap<Spot, Mark>) -> Seen {
        let look = self.begin(marks.clone());
        self.end(look)
    }

    /// Looks at everything until it holds still.
    pub(crate) fn look_around(&mut self) {
        let mut dirty = Dirty::default();
        dirty.all(Moment(0));
        let all = dirty.take(Moment(0), true);
        for _ in 0..8 {
            if self.look(&all).again.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn entry(&self, path: &RelPath) -> Option<Entry> {
        self.known.row(path).map(|row| row.entry)
    }

    /// Carries out one operation.
    pub(crate) fn commit(&self, operation: &Operation, content: &Content) -> Outcome {
        self.known.inventory();
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (operation, content) = (operation.clone(), content.clone());
        self.committer.commit_all(vec![Job::new(OrderId(1), operation, content)]);
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        match reports.last() {
            Some(Report::Outcome { outcome, .. }) => outcome.clone(),
            other => panic!("no outcome but {other:?}"),
        }
    }

    pub(crate) fn recover(&self) -> (Vec<Recovered>, usize) {
        match self.committer.publisher.recover() {
            Ok((done, failed)) => (done, failed.len()),
            Err(_) => (Vec::new(), 1),
        }
    }
}
