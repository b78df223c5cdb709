//! One replica on a real directory, to carry out operations on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::change::{Change, Operation, Outcome};
use common::digest::Digest;
use common::entry::{Entry, File, Link};
use common::path::RelPath;
use common::replica::claim::{Claim, Terms};
use common::replica::commit::{Committer, Durability, Job};
use common::replica::examine::{Seen, examine};
use common::replica::known::Known;
use common::replica::publish::Publisher;
use common::replica::root::Root;
use common::replica::source::{Parts, Source, SourceError, Supplier};
use common::replica::trash::Keep;
use common::side::Side;
use common::time::Timestamp;
use common::wire::message::{Content, OrderId, Report};
use serde_bytes::ByteBuf;
use tempfile::TempDir;

pub(crate) const TIME: Timestamp = Timestamp { seconds: 1_600_000_000, nanos: 123_456_789 };

pub(crate) struct Bench {
    _dir: TempDir,
    pub(crate) tree: PathBuf,
    pub(crate) committer: Committer,
    pub(crate) again: Arc<Mutex<Vec<RelPath>>>,
    reports: Arc<Mutex<Vec<Report>>>,
    _claim: Claim,
}

/// Serves the contents it was given.
#[derive(Default)]
pub(crate) struct Shelf(pub(crate) BTreeMap<Digest, Vec<u8>>);

struct Served(Vec<u8>, VecDeque<(usize, usize)>);

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(tempfile::tempdir().unwrap(), Shelf::default(), Durability::Strict)
    }

    pub(crate) fn with(dir: TempDir, shelf: Shelf, durability: Durability) -> Bench {
        let tree = dir.path().canonicalize().unwrap().join("tree");
        fs::create_dir(&tree).unwrap();
        let root = Arc::new(Root::open(&tree).unwrap());
        let claim = Claim::take(&root, Terms::default()).unwrap();
        let publisher = Publisher::open(root, &claim, Side::B, Keep::default()).unwrap();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let heard = reports.clone();
        let reporter = Box::new(move |report| heard.lock().unwrap().push(report));
        let known = Arc::new(Known::new(BTreeMap::new(), reporter));
        known.inventory();
        let again = Arc::new(Mutex::new(Vec::new()));
        let dirty = again.clone();
        let committer = Committer {
            publisher: Arc::new(publisher),
            known,
            durability,
            supplier: Arc::new(shelf),
            dirty: Box::new(move |path| dirty.lock().unwrap().push(path)),
            follow: Box::new(|_| {}),
            turn: Default::default(),
        };
        Bench { _dir: dir, tree, committer, again, reports, _claim: claim }
    }

    /// What moves things, to be made otherwise.
    pub(crate) fn publisher(&mut self) -> &mut Publisher {
        Arc::get_mut(&mut self.committer.publisher).unwrap()
    }

    pub(crate) fn commit(&self, operation: Operation, content: Content) -> Outcome {
        self.commit_all(vec![(operation, content)]).remove(0)
    }

    pub(crate) fn commit_all(&self, operations: Vec<(Operation, Content)>) -> Vec<Outcome> {
        self.reports.lock().unwrap().clear();
        let count = operations.len();
        let jobs = operations.into_iter().enumerate();
        let jobs =
            jobs.map(|(i, (operation, content))| Job::new(OrderId(i as u64), operation, content));
        self.committer.commit_all(jobs.collect());
        let mut reports = std::mem::take(&mut *self.reports.lock().unwrap());
        assert_eq!(reports.len(), count, "one outcome for each job");
        reports
            .drain(..)
            .enumerate()
            .map(|(i, report)| match report {
                Report::Outcome { id: OrderId(id), outcome, .. } if id == i as u64 => outcome,
                other => panic!("not an outcome in order: {other:?}"),
            })
            .collect()
    }

    pub(crate) fn create(&self, name: &str, content: &[u8]) -> Outcome {
        self.commit(change(name, None, Some(file(content))), inline(content))
    }

    pub(crate) fn replace(&self, name: &str, before: &Entry, content: &[u8]) -> Outcome {
        self.commit(change(name, Some(before.clone()), Some(file(content))), inline(content))
    }

    pub(crate) fn delete(&self, name: &str, before: &Entry) -> Outcome {
        self.commit(change(name, Some(before.clone()), None), Content::None)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Entry {
        fs::write(self.tree.join(name), content).unwrap();
        self.see(name).expect("it was just written")
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.tree.join(name)).unwrap()
    }

    /// What is really there.
    pub(crate) fn see(&self, name: &str) -> Option<Entry> {
        let path = path(name);
        let root = &self.committer.publisher.root;
        let Ok((dir, name)) = root.parent(&path) else { return None };
        match examine(&dir, name, None).unwrap() {
            Seen::There(row) => Some(row.entry),
            _ => None,
        }
    }

    /// Everything in the tree but our own, by name.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.tree).into_iter().filter(|name| name != ".lab3").collect()
    }

    pub(crate) fn staged(&self) -> Vec<String> {
        names(&self.tree.join(".lab3/stage"))
    }

    /// The contents in the trash.
    pub(crate) fn trashed(&self) -> Vec<Vec<u8>> {
        let trash = &self.committer.publisher.trash;
        let list = trash.list().unwrap();
        list.iter()
            .map(|t| fs::read(self.tree.join(".lab3/trash").join(&t.id)).unwrap_or_default())
            .collect()
    }

    pub(crate) fn knows(&self, name: &str) -> Option<Entry> {
        self.committer.known.row(&path(name)).map(|row| row.entry)
    }

    /// What is known of a path is what is there, to the stamp: no look will find news.
    pub(crate) fn is_quiet(&self, name: &str) -> bool {
        let path = path(name);
        let known = self.committer.known.row(&path).map(|row| row.stamp);
        known == self.committer.publisher.root.stat(&path).unwrap()
    }

    pub(crate) fn dirty(&self) -> Vec<RelPath> {
        std::mem::take(&mut *self.again.lock().unwrap())
    }
}

impl Supplier for Shelf {
    fn source(&self, _: &Content, file: &File) -> Result<Box<dyn Source>, SourceError> {
        let content = self.0.get(&file.digest).ok_or(SourceError::Gone)?;
        Ok(Box::new(Served(content.clone(), VecDeque::new())))
    }
}

impl Source for Served {
    fn recipe(&mut self, _size: u64) -> Result<Option<Parts>, SourceError> {
        Ok(None)
    }

    fn ask(&mut self, offset: u64, length: u32) {
        self.1.push_back((offset as usize, length as usize));
    }

    fn take(&mut self, _patient: bool) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((start, length)) = self.1.pop_front() else { return Ok(None) };
        // What is shorter than announced is a link that broke.
        let piece = self.0.get(start..start + length).ok_or(SourceError::Lost)?;
        Ok(Some(piece.to_vec()))
    }
}

pub(crate) fn path(name: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(name).unwrap()
}

pub(crate) fn file(content: &[u8]) -> Entry {
    let (digest, size) = (Digest::of(content), content.len() as u64);
    Entry::from(File { digest, size, mode: 0o640, modified: TIME })
}

pub(crate) fn link(target: &str) -> Entry {
    Entry::from(Link { target: target.as_bytes().into(), modified: TIME })
}

pub(crate) fn dir(mode: u32) -> Entry {
    Entry::Dir { mode }
}

pub(crate) fn inline(content: &[u8]) -> Content {
    Content::Inline(ByteBuf::from(content))
}

pub(crate) fn change(name: &str, before: Option<Entry>, after: Option<Entry>) -> Operation {
    Operation::Change(Change { path: path(name), before, after, copy: None })
}

pub(crate) fn done(now: Option<Entry>) -> Outcome {
    Outcome::Done { now, aside: None }
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
