//! What touches the disk: looks at a tree, transactions of the archive, commits.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "directories, and what is heard from another owner"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use common::change::{Change, Operation, Outcome};
use common::digest::Digest;
use common::dirty::{Dirty, Place};
use common::entry::{Entry, File};
use common::path::RelPath;
use common::replica::commit::{Committer, Durability, Job};
use common::replica::disk::Handle;
use common::replica::ignore::Patterns;
use common::replica::known::Known;
use common::replica::probe::probe;
use common::replica::publish::Publisher;
use common::replica::root::Root;
use common::replica::scan::{Follow, Ground as Look, Manner, scan};
use common::replica::source::{Source, SourceError, Supplier};
use common::replica::stage::Stage;
use common::replica::trash::{Keep, Trash};
use common::side::Side;
use common::store;
use common::time::{Moment, Timestamp};
use common::wire::message::{Content, OrderId, Report};

use super::{Ground, Work, made, stepped};
use crate::dice::Dice;
use crate::tree;

/// Files in each directory of the tree that is looked at.
const FILES_EACH: usize = 20;
/// Bytes of a file that is committed.
const FILE_BYTES: usize = 1024;

/// Opens a directory as the programs do, or step by step.
fn open(path: &Path, ground: &Ground) -> Result<Handle> {
    let handle = Handle::open_directory(path)?;
    Ok(if ground.stepped { stepped::stepped(handle) } else { handle })
}

fn root(path: &Path, ground: &Ground) -> Result<Root> {
    let handle = open(path, ground)?;
    let stamp = handle.stat()?;
    Ok(Root::within(handle, &stamp, path.to_owned()))
}

/// What is followed, so that a directory that is known is not looked into in vain.
#[derive(Default)]
struct Followed(BTreeSet<Place>);

impl Follow for Followed {
    fn follows(&self, directory: &Place) -> bool {
        self.0.contains(directory)
    }

    fn enter(&mut self, directory: &Place) {
        self.0.insert(directory.clone());
    }

    fn leave(&mut self, path: &RelPath) {
        self.0.remove(&Some(path.clone()));
    }
}

/// A tree on disk, and what is known of it.
struct Looked {
    root: Root,
    known: Known,
    patterns: Patterns,
    followed: Followed,
    files: usize,
}

impl Looked {
    fn make(ground: &mut Ground, files: usize) -> Result<Looked> {
        let place = ground.place.join("tree");
        tree::make(&place, (files, FILES_EACH), (1024, 8192), &mut ground.dice)?;
        let root = root(&place, ground)?;
        let (patterns, followed) = (Patterns::default(), Followed::default());
        Ok(Looked { root, known: nothing(), patterns, followed, files })
    }

    /// Looks at everything, as the observer does at a start; answers how many files were read.
    fn look(&mut self) -> Result<usize> {
        let mut dirty = Dirty::default();
        dirty.all(Moment(0));
        let manner = Manner {
            keep_bytes: 0,
            keep_bytes_together: 0,
            postpone_bytes: u64::MAX,
            probe: None,
            coarse: false,
            patient: false,
        };
        let ticket = self.known.look();
        let look = Look {
            root: &self.root,
            known: &self.known,
            patterns: &mut self.patterns,
            follow: &mut self.followed,
            manner,
        };
        let seen = scan(look, &dirty.take(Moment(0), true));
        ensure!(seen.again.is_empty(), "the tree does not hold still");
        self.known.tell(ticket, seen.findings);
        ensure!(self.known.files().len() == self.files, "not all files were seen");
        Ok(seen.read as usize)
    }
}

/// Nothing is known, and nobody listens.
fn nothing() -> Known {
    Known::new(BTreeMap::new(), Box::new(|_| {}))
}

/// Everything is new, and read.
pub(super) fn scan_new(ground: &mut Ground, files: usize) -> Result<Box<dyn Work>> {
    let mut looked = Looked::make(ground, files)?;
    Ok(Box::new(move || {
        (looked.known, looked.followed) = (nothing(), Followed::default());
        looked.look()
    }))
}

/// Everything is known, and nothing is read.
pub(super) fn scan_known(ground: &mut Ground, files: usize) -> Result<Box<dyn Work>> {
    let mut looked = Looked::make(ground, files)?;
    looked.look()?;
    Ok(Box::new(move || {
        let read = looked.look()?;
        ensure!(read == 0, "{read} files were read again");
        Ok(looked.files)
    }))
}

/// Rows into the archive.
pub(super) fn archive(ground: &mut Ground, rows: usize) -> Result<Box<dyn Work>> {
    let opened = store::open(&ground.place.join("store"), store::Durability::Strict)?;
    let mut batch = Vec::new();
    for number in 0..rows {
        batch.push((made::path(number)?, Some(made::file(&mut ground.dice))));
    }
    Ok(Box::new(move || {
        opened.store.save_archive(&batch)?;
        Ok(batch.len())
    }))
}

/// Nobody is asked: all content travels with its order.
struct Nobody;

impl Supplier for Nobody {
    fn source(&self, _: &Content, _: &File) -> Result<Box<dyn Source>, SourceError> {
        Err(SourceError::Gone)
    }
}

/// A replica to commit to, and the next group.
struct Commits {
    committer: Committer,
    done: Arc<Mutex<usize>>,
    dice: Dice,
    /// What is at each path; a new group replaces it.
    there: BTreeMap<RelPath, Option<Entry>>,
    again: bool,
    group: Vec<Job>,
    groups: usize,
}

impl Commits {
    fn make(ground: &mut Ground, files: usize, durability: Durability) -> Result<Commits> {
        let tree = ground.place.join("tree");
        for name in ["d1", "d2", ".lab3/stage", ".lab3/trash"] {
            fs::create_dir_all(tree.join(name))?;
        }
        let stage = Stage::new(open(&tree.join(".lab3/stage"), ground)?, 1);
        let trash = open(&tree.join(".lab3/trash"), ground)?;
        let trash = Trash::new(trash, Side::B, Keep::default(), 1);
        let abilities = probe(&stage)?;
        let root = Arc::new(root(&tree, ground)?);
        let publisher = Publisher::of(root, stage, trash, abilities, Side::B);
        let done = Arc::new(Mutex::new(0));
        let heard = Arc::clone(&done);
        let known = Known::new(
            BTreeMap::new(),
            Box::new(move |report| {
                if let Report::Outcome { outcome: Outcome::Done { aside: None, .. }, .. } = report {
                    *heard.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                }
            }),
        );
        known.inventory();
        let committer = Committer {
            publisher: Arc::new(publisher),
            known: Arc::new(known),
            durability,
            supplier: Arc::new(Nobody),
            dirty: Box::new(|_| {}),
            follow: Box::new(|_| {}),
            turn: Default::default(),
        };
        let (group, groups, again) = (Vec::new(), 0, false);
        let there = BTreeMap::new();
        let dice = ground.dice.clone();
        let mut commits = Commits { committer, done, dice, there, again, group, groups };
        commits.name(files)?;
        Ok(commits)
    }

    /// The same files are replaced again and again.
    fn replacing(mut self) -> Result<Commits> {
        self.ready()?;
        self.run()?;
        self.again = true;
        Ok(self)
    }

    /// Names that nothing has.
    fn name(&mut self, files: usize) -> Result<()> {
        self.there.clear();
        for n in 0..files {
            let path = RelPath::new(format!("d{}/file-{}-{n:04}", 1 + n % 2, self.groups))?;
            self.there.insert(path, None);
        }
        Ok(())
    }
}

impl Work for Commits {
    fn ready(&mut self) -> Result<()> {
        if !self.again && self.groups > 0 {
            self.name(self.there.len())?;
        }
        self.groups += 1;
        self.group.clear();
        for (n, (path, there)) in self.there.iter_mut().enumerate() {
            let bytes = self.dice.bytes(FILE_BYTES);
            let after = Some(Entry::from(File {
                digest: Digest::of(&bytes),
                size: bytes.len() as u64,
                mode: 0o640,
                modified: Timestamp { seconds: 1_600_000_000, nanos: 123_456_789 },
            }));
            let (path, before) = (path.clone(), there.take());
            there.clone_from(&after);
            let operation = Operation::Change(Change { path, before, after, copy: None });
            let content = Content::Inline(bytes.into());
            self.group.push(Job::new(OrderId(n as u64), operation, content));
        }
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        Ok(())
    }

    fn run(&mut self) -> Result<usize> {
        if self.group.is_empty() {
            bail!("there is no group to commit");
        }
        self.committer.commit_all(std::mem::take(&mut self.group));
        Ok(*self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// New files.
pub(super) fn commit_new(ground: &mut Ground, files: usize) -> Result<Box<dyn Work>> {
    Ok(Box::new(Commits::make(ground, files, Durability::Strict)?))
}

/// Files that are there get another content.
pub(super) fn commit_replace(ground: &mut Ground, files: usize) -> Result<Box<dyn Work>> {
    Ok(Box::new(Commits::make(ground, files, Durability::Strict)?.replacing()?))
}

/// The same, and nothing is flushed.
pub(super) fn commit_relaxed(ground: &mut Ground, files: usize) -> Result<Box<dyn Work>> {
    Ok(Box::new(Commits::make(ground, files, Durability::Relaxed)?.replacing()?))
}
