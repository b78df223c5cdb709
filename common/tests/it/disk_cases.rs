//! Every kind of operation on a small tree on a disk in memory, and what must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use common::change::{Change, Operation, Outcome};
use common::digest::Digest;
use common::entry::{Entry, File, Link};
use common::merkle::{Question, Sum};
use common::path::RelPath;
use common::replica::source::{Source, SourceError, Supplier};
use common::side::Side;
use common::time::Timestamp;
use common::tree::Tree;
use common::wire::message::Content;
use serde_bytes::ByteBuf;

use crate::disk::files::Whim;
use crate::disk::side::disk;
use crate::disk::{Deed, Disk, Features, Killed, Place};

pub(crate) const OLD: &[u8] = b"old";
pub(crate) const NEW: &[u8] = b"new!";
pub(crate) const OTHER: &[u8] = b"other";
const TIME: Timestamp = Timestamp { seconds: 1_600_000_000, nanos: 7 };

/// What stands at the path before, and what is to stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Nothing,
    File,
    Link,
    Dir,
    /// The file or directory that is there, with another mode and time.
    Other,
    /// At another name.
    Moved,
    /// Nothing; it is a directory, which goes with all that is in it.
    Cleared,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) before: What,
    pub(crate) after: What,
    pub(crate) features: Features,
    /// Whether the directory of the path may not be written to.
    pub(crate) shut: bool,
}

/// A case that is set up.
pub(crate) struct Run {
    pub(crate) case: Case,
    pub(crate) disk: Disk,
    pub(crate) operation: Operation,
    pub(crate) content: Content,
}

pub(crate) struct Nowhere;

impl Supplier for Nowhere {
    fn source(&self, _: &Content, _: &File) -> Result<Box<dyn Source>, SourceError> {
        Err(SourceError::Gone)
    }
}

pub(crate) const WHOLE: Features =
    Features { exchange: true, noreplace: true, lease: true, recycles: true };

/// All kinds of operations, on disks that can do all or not.
pub(crate) fn cases() -> Vec<Case> {
    use What::{Cleared, Dir, File, Link, Moved, Nothing, Other};
    let pairs = [
        (Nothing, File),
        (Nothing, Link),
        (Nothing, Dir),
        (File, File),
        (File, Link),
        (File, Dir),
        (Link, File),
        (Link, Link),
        (Link, Dir),
        (Dir, File),
        (Dir, Link),
        (File, Nothing),
        (Link, Nothing),
        (Dir, Nothing),
        (File, Other),
        (Dir, Other),
        (File, Moved),
        (Link, Moved),
        (Dir, Moved),
        (Dir, Cleared),
    ];
    let disks = [
        WHOLE,
        Features { recycles: false, ..WHOLE },
        Features { exchange: false, ..WHOLE },
        Features { noreplace: false, ..WHOLE },
        Features { lease: false, ..WHOLE },
        Features { exchange: false, noreplace: false, lease: false, recycles: true },
    ];
    let mut cases = Vec::new();
    for features in disks {
        let as_one = features.noreplace && features.lease;
        for (before, after) in pairs.into_iter().filter(|(_, after)| as_one || *after != Cleared) {
            for shut in [false, true] {
                cases.push(Case { before, after, features, shut });
            }
        }
    }
    cases
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

/// The sum of what is known below a path.
fn sum_below(place: &Place, path: &RelPath) -> Sum {
    let rows = place.known.below(path).into_iter();
    let mut tree: Tree = rows.filter_map(|at| Some((at.clone(), place.entry(&at)?))).collect();
    let directory = Some(path.clone());
    let question = Question { except: Vec::new(), directory, rows: false, after: None };
    tree.level(&question, &BTreeSet::new()).sum
}

fn wanted(case: Case, before: Option<&Entry>) -> Option<Entry> {
    let new = File { digest: Digest::of(NEW), size: NEW.len() as u64, mode: 0o640, modified: TIME };
    match (case.after, before) {
        (What::File, _) => Some(Entry::from(new)),
        (What::Link, _) => Some(Entry::from(Link { target: NEW.into(), modified: TIME })),
        (What::Dir, _) => Some(Entry::Dir { mode: 0o750 }),
        (What::Other, Some(Entry::File(file))) => {
            Some(Entry::from(File { mode: 0o600, modified: TIME, ..**file }))
        }
        (What::Other, _) => Some(Entry::Dir { mode: 0o500 }),
        _ => None,
    }
}

impl Run {
    /// The tree: `d/f` is the path of interest, `d/g` stands beside it, `e` is another directory.
    pub(crate) fn new(case: Case) -> Run {
        let disk = disk(case.features);
        {
            let mut files = disk.lock();
            let mut deeds = vec![Deed::Directory("d"), Deed::Directory("e")];
            deeds.push(Deed::Write("d/g", OTHER.to_vec()));
            match case.before {
                What::File => deeds.push(Deed::Write("d/f", OLD.to_vec())),
                What::Link => deeds.push(Deed::Link("d/f", OLD.to_vec())),
                What::Dir if case.after == What::Moved => {
                    deeds.push(Deed::Filled("d/f", OLD.to_vec()));
                }
                What::Dir if case.after == What::Cleared => {
                    deeds.push(Deed::Filled("d/f", OLD.to_vec()));
                    deeds.push(Deed::Filled("d/f/sub", b"deep".to_vec()));
                    deeds.push(Deed::Link("d/f/sub/link", b"target".to_vec()));
                    deeds.push(Deed::Directory("d/f/empty"));
                }
                What::Dir => deeds.push(Deed::Directory("d/f")),
                _ => {}
            }
            if case.shut {
                deeds.push(Deed::Mode("d", 0o500));
            }
            deeds.iter().for_each(|deed| files.deed(deed));
            files.syncfs();
        }
        let mut place = Place::open(&disk, Side::A, Arc::new(Nowhere));
        place.look_around();
        let f = path("d/f");
        let before = place.entry(&f);
        let after = wanted(case, before.as_ref());
        let content = match &after {
            Some(Entry::File(_)) if case.after == What::File => {
                Content::Inline(ByteBuf::from(NEW.to_vec()))
            }
            _ => Content::None,
        };
        let operation = match (case.after, before) {
            (What::Cleared, Some(before)) => {
                let below = sum_below(&place, &f);
                Operation::Clear { path: f, before, below }
            }
            (What::Moved, Some(before)) => Operation::Rename { from: f, to: path("e/f"), before },
            (_, before) => Operation::Change(Change { path: f, before, after, copy: None }),
        };
        disk.lock().calls = 0;
        Run { case, disk, operation, content }
    }

    /// A process in which everything was seen; the whim begins after that.
    pub(crate) fn place(&self) -> Place {
        let mut place = Place::open(&self.disk, Side::A, Arc::new(Nowhere));
        place.look_around();
        self.disk.lock().calls = 0;
        place
    }

    pub(crate) fn commit(&self, place: &Place) -> Outcome {
        place.commit(&self.operation, &self.content)
    }

    pub(crate) fn whim(&self, whim: Option<Whim>) {
        let mut files = self.disk.lock();
        files.calls = 0;
        files.whim = whim;
    }

    /// Runs what may be killed; `None` when it was.
    pub(crate) fn killable<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(act));
        self.disk.lock().whim = None;
        match result {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Killed>() => {
                self.disk.lock().stop();
                None
            }
            Err(cause) => resume_unwind(cause),
        }
    }

    /// Starts again: recovers, and again; nothing stays in `stage/`.
    pub(crate) fn recover(&self) -> Result<(), String> {
        self.disk.lock().stop();
        let place = Place::open(&self.disk, Side::A, Arc::new(Nowhere));
        let (_, failed) = place.recover();
        if failed > 0 {
            return Err(format!("{failed} steps of recovery failed"));
        }
        let left = self.disk.lock().walk(".lab3/stage");
        if !left.is_empty() {
            return Err(format!("in stage after recovery: {:?}", left.keys()));
        }
        let (again, _) = place.recover();
        if again.is_empty() { Ok(()) } else { Err(format!("recovered twice: {again:?}")) }
    }

    /// Nothing is lost, nothing invented.
    pub(crate) fn check(&self) -> Result<(), String> {
        let files = self.disk.lock();
        let tree = files.contents("");
        let trash = files.walk(".lab3/trash");
        let mut there: BTreeSet<Vec<u8>> = files.contents(".lab3/trash");
        there.extend(tree.iter().cloned());
        for live in &files.account.live {
            if !there.contains(live) {
                let text = live.escape_ascii();
                return Err(format!("lost: `{text}`; {}", self.show(&files)));
            }
        }
        let known = |content: &[u8]| content == NEW || files.account.written.contains(content);
        for content in &tree {
            if !known(content) {
                return Err(format!("invented: `{}`", content.escape_ascii()));
            }
        }
        for (name, uid) in trash.iter().filter(|(name, _)| !name.ends_with(".about")) {
            let content = files.content(*uid);
            if files.get(*uid).body == crate::disk::files::Body::File && !known(content) {
                return Err(format!("invented in trash: `{name}` {}", content.escape_ascii()));
            }
        }
        Ok(())
    }

    fn show(&self, files: &crate::disk::Files) -> String {
        let all = [files.walk(""), files.walk(".lab3")].map(|tree| {
            tree.into_iter().map(|(p, u)| format!("{p}: {}", files.likeness(u))).collect()
        });
        let all: Vec<Vec<String>> = all.into();
        format!("{all:?}")
    }

    /// The tree in words.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        let files = self.disk.lock();
        let mut tree: BTreeMap<String, String> =
            files.walk("").into_iter().map(|(p, uid)| (p, files.likeness(uid))).collect();
        // A directory that may not be written is made writable for the moment of a rename; an end
        // or an error in that moment leaves it so.
        if self.case.shut {
            tree.values_mut().filter(|it| *it == "700/").for_each(|it| *it = "500/".into());
        }
        tree
    }

    /// The same without conflict copies: when in doubt, a version that was displaced is one.
    pub(crate) fn tree_without_copies(&self) -> BTreeMap<String, String> {
        let mut tree = self.tree();
        tree.retain(|path, _| !path.contains(".conflict-A-"));
        // Where a rename may replace, a file that is stopped on its way has both names: the next
        // decision takes the old one away.
        if self.case.after == What::Moved
            && !self.case.features.noreplace
            && tree.get("d/f") == tree.get("e/f")
        {
            tree.remove("d/f");
        }
        tree
    }

    /// What a reader finds at the path: the old version or the new one.
    pub(crate) fn readable(files: &crate::disk::Files) -> Result<(), String> {
        let Some(uid) = files.at(b"d/f") else { return Err("a reader finds nothing".into()) };
        let content = match &files.get(uid).body {
            crate::disk::files::Body::File => files.content(uid),
            crate::disk::files::Body::Link(target) => target,
            crate::disk::files::Body::Dir(_) => return Ok(()),
        };
        if [OLD, NEW].contains(&content) {
            return Ok(());
        }
        Err(format!("a reader finds `{}`", content.escape_ascii()))
    }
}
