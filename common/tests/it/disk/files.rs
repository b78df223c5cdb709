//! Inodes, names and contents in memory, and what of them would outlive a power cut.
//!
//! Every change of names and attributes is one record of a journal; a cut keeps a beginning of the
//! journal, at least up to what was forced. The bytes of a file are flushed by themselves: a cut
//! keeps any earlier state of them since the last flush, down to nothing at all.

use std::collections::BTreeMap;

use common::replica::stamp::Stamp;
use common::time::Timestamp;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::disk::{Account, Verdict};

/// An inode for ever; its number may be given out again.
pub(crate) type Uid = u64;
pub(crate) const ROOT: Uid = 1;
/// Every call takes so long.
const CALL_NANOS: i64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    File,
    Dir(BTreeMap<Vec<u8>, Uid>),
    Link(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) number: u64,
    pub(crate) body: Body,
    pub(crate) mode: u32,
    modified: i64,
    changed: i64,
    pub(crate) links: u64,
}

/// One step that a journal repeats.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    New(Uid, Inode),
    Name(Uid, Vec<u8>, Option<Uid>),
    Mode(Uid, u32),
    Times(Uid, i64, i64),
}

pub(super) type Inodes = BTreeMap<Uid, Inode>;

/// The bytes of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What they were since, in order.
    pub(super) since: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opened {
    pub(crate) all: u32,
    pub(crate) writers: u32,
}

/// What the file system can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    pub(crate) exchange: bool,
    pub(crate) noreplace: bool,
    pub(crate) lease: bool,
    /// Whether numbers of inodes that are gone are given out again at once.
    pub(crate) recycles: bool,
}

pub(crate) type Whim = Box<dyn FnMut(&mut Files, &'static str) -> Verdict + Send>;

pub(crate) struct Files {
    pub(super) inodes: Inodes,
    pub(super) bytes: BTreeMap<Uid, Bytes>,
    pub(super) base: Inodes,
    pub(super) journal: Vec<Vec<Edit>>,
    next: Uid,
    /// Nanoseconds since the epoch.
    pub(crate) clock: i64,
    pub(crate) calls: u64,
    /// Handles of an earlier boot are dead.
    pub(crate) boot: u64,
    pub(crate) whim: Option<Whim>,
    pub(crate) features: Features,
    pub(crate) opened: BTreeMap<Uid, Opened>,
    /// Leases, and whether each is broken.
    pub(crate) leases: BTreeMap<Uid, bool>,
    pub(crate) account: Account,
    /// So many bytes fit.
    pub(crate) room: usize,
    /// Directories in which something happened, for who watches.
    pub(crate) events: Option<Vec<(Uid, Vec<u8>)>>,
}

impl Files {
    pub(crate) fn new(features: Features) -> Files {
        let clock = 1_800_000_000_000_000_000;
        let root = Inode {
            number: 2,
            body: Body::Dir(BTreeMap::new()),
            mode: 0o755,
            modified: clock,
            changed: clock,
            links: 2,
        };
        let inodes = Inodes::from([(ROOT, root)]);
        Files {
            base: inodes.clone(),
            inodes,
            bytes: BTreeMap::new(),
            journal: Vec::new(),
            next: ROOT + 1,
            clock,
            calls: 0,
            boot: 0,
            whim: None,
            features,
            opened: BTreeMap::new(),
            leases: BTreeMap::new(),
            account: Account::default(),
            room: usize::MAX,
            events: None,
        }
    }

    pub(crate) fn tick(&mut self) -> i64 {
        self.clock += CALL_NANOS;
        self.clock
    }

    pub(crate) fn get(&self, uid: Uid) -> &Inode {
        &self.inodes[&uid]
    }

    pub(crate) fn content(&self, uid: Uid) -> &[u8] {
        self.bytes.get(&uid).map_or(&[], |bytes| &bytes.now)
    }

    pub(crate) fn names(&self, uid: Uid) -> Result<&BTreeMap<Vec<u8>, Uid>, Errno> {
        match &self.get(uid).body {
            Body::Dir(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(crate) fn find(&self, dir: Uid, name: &[u8]) -> Result<Uid, Errno> {
        self.names(dir)?.get(name).copied().ok_or(Errno::NOENT)
    }

    /// The inode at a path from the root, no link followed.
    pub(crate) fn at(&self, path: &[u8]) -> Option<Uid> {
        let mut uid = ROOT;
        for name in path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
            uid = self.find(uid, name).ok()?;
        }
        Some(uid)
    }

    pub(crate) fn stamp(&self, uid: Uid) -> Stamp {
        let inode = self.get(uid);
        let (kind, size) = match &inode.body {
            Body::File => (0o100_000, self.content(uid).len()),
            Body::Dir(_) => (0o040_000, 4096),
            Body::Link(target) => (0o120_000, target.len()),
        };
        Stamp {
            dev: 1,
            ino: inode.number,
            size: size as u64,
            modified: time(inode.modified),
            changed: time(inode.changed),
            mode: kind | inode.mode,
            links: inode.links,
        }
    }

    // What changes names and attributes.

    fn record(&mut self, edits: Vec<Edit>) {
        for edit in &edits {
            apply(&mut self.inodes, edit);
            if let (Some(events), Edit::Name(dir, name, _)) = (&mut self.events, edit) {
                events.push((*dir, name.clone()));
            }
        }
        self.journal.push(edits);
    }

    fn alive(&self, dir: Uid) -> Result<(), Errno> {
        self.names(dir)?;
        if self.get(dir).links == 0 { Err(Errno::NOENT) } else { Ok(()) }
    }

    pub(crate) fn make(
        &mut self,
        dir: Uid,
        name: &[u8],
        body: Body,
        mode: u32,
    ) -> Result<Uid, Errno> {
        self.alive(dir)?;
        if self.find(dir, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let now = self.tick();
        let uid = self.next;
        self.next += 1;
        let links = if matches!(body, Body::Dir(_)) { 2 } else { 1 };
        let number = self.free_number();
        if body == Body::File {
            self.bytes.insert(uid, Bytes::default());
        }
        let inode = Inode { number, body, mode, modified: now, changed: now, links };
        self.record(vec![
            Edit::New(uid, inode),
            Edit::Name(dir, name.to_vec(), Some(uid)),
            Edit::Times(dir, now, now),
        ]);
        Ok(uid)
    }

    fn free_number(&self) -> u64 {
        if !self.features.recycles {
            return self.next + 10;
        }
        let used: std::collections::BTreeSet<u64> =
            self.inodes.values().map(|inode| inode.number).collect();
        (10..).find(|number| !used.contains(number)).unwrap_or(0)
    }

    pub(crate) fn unlink(&mut self, dir: Uid, name: &[u8]) -> Result<(), Errno> {
        let uid = self.find(dir, name)?;
        if matches!(self.get(uid).body, Body::Dir(_)) {
            return Err(Errno::ISDIR);
        }
        self.take_name(dir, name, uid);
        Ok(())
    }

    pub(crate) fn rmdir(&mut self, dir: Uid, name: &[u8]) -> Result<(), Errno> {
        let uid = self.find(dir, name)?;
        if !self.names(uid)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.take_name(dir, name, uid);
        Ok(())
    }

    fn take_name(&mut self, dir: Uid, name: &[u8], uid: Uid) {
        let now = self.tick();
        let modified = self.get(uid).modified;
        self.record(vec![
            Edit::Name(dir, name.to_vec(), None),
            Edit::Times(dir, now, now),
            Edit::Times(uid, modified, now),
        ]);
        self.lose(uid);
    }

    /// One name less; without name and descriptor the inode is gone.
    fn lose(&mut self, uid: Uid) {
        if let Some(inode) = self.inodes.get_mut(&uid) {
            let whole = matches!(inode.body, Body::Dir(_));
            inode.links = if whole { 0 } else { inode.links - 1 };
        }
        self.forget(uid);
    }

    pub(crate) fn forget(&mut self, uid: Uid) {
        let open = self.opened.get(&uid).is_some_and(|opened| opened.all > 0);
        if !open && self.inodes.get(&uid).is_some_and(|inode| inode.links == 0) {
            self.inodes.remove(&uid);
        }
    }

    pub(crate) fn link(
        &mut self,
        from: Uid,
        name: &[u8],
        to: Uid,
        new: &[u8],
    ) -> Result<(), Errno> {
        let uid = self.find(from, name)?;
        self.alive(to)?;
        if matches!(self.get(uid).body, Body::Dir(_)) {
            return Err(Errno::PERM);
        }
        if self.find(to, new).is_ok() {
            return Err(Errno::EXIST);
        }
        let now = self.tick();
        let modified = self.get(uid).modified;
        self.record(vec![
            Edit::Name(to, new.to_vec(), Some(uid)),
            Edit::Times(to, now, now),
            Edit::Times(uid, modified, now),
        ]);
        if let Some(inode) = self.inodes.get_mut(&uid) {
            inode.links += 1;
        }
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        (from, name): (Uid, &[u8]),
        (to, new): (Uid, &[u8]),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let noreplace = flags.contains(RenameFlags::NOREPLACE);
        if exchange && !self.features.exchange || noreplace && !self.features.noreplace {
            return Err(Errno::INVAL);
        }
        let uid = self.find(from, name)?;
        self.alive(to)?;
        let target = self.find(to, new).ok();
        if self.is_inside(uid, to) || exchange && target.is_some_and(|t| self.is_inside(t, from)) {
            return Err(Errno::INVAL);
        }
        match target {
            None if exchange => return Err(Errno::NOENT),
            Some(_) if noreplace => return Err(Errno::EXIST),
            Some(target) if target == uid => return Ok(()),
            Some(target) if !exchange => self.may_replace(uid, target)?,
            _ => {}
        }
        let now = self.tick();
        let mut edits = vec![
            Edit::Name(from, name.to_vec(), target.filter(|_| exchange)),
            Edit::Name(to, new.to_vec(), Some(uid)),
            Edit::Times(from, now, now),
            Edit::Times(to, now, now),
            Edit::Times(uid, self.get(uid).modified, now),
        ];
        edits.extend(target.map(|target| Edit::Times(target, self.get(target).modified, now)));
        self.record(edits);
        if let Some(target) = target.filter(|_| !exchange) {
            self.lose(target);
        }
        Ok(())
    }

    fn may_replace(&self, uid: Uid, target: Uid) -> Result<(), Errno> {
        match (&self.get(uid).body, &self.get(target).body) {
            (Body::Dir(_), Body::Dir(names)) if names.is_empty() => Ok(()),
            (Body::Dir(_), Body::Dir(_)) => Err(Errno::NOTEMPTY),
            (Body::Dir(_), _) => Err(Errno::NOTDIR),
            (_, Body::Dir(_)) => Err(Errno::ISDIR),
            _ => Ok(()),
        }
    }

    fn is_inside(&self, outer: Uid, inner: Uid) -> bool {
        outer == inner
            || matches!(&self.get(outer).body, Body::Dir(names)
                if names.values().any(|&below| self.is_inside(below, inner)))
    }

    pub(crate) fn chmod(&mut self, uid: Uid, mode: u32) {
        let now = self.tick();
        let modified = self.get(uid).modified;
        self.record(vec![Edit::Mode(uid, mode), Edit::Times(uid, modified, now)]);
        self.attribute_event(uid);
    }

    pub(crate) fn utimens(&mut self, uid: Uid, modified: Timestamp) {
        let now = self.tick();
        let nanos = modified.seconds * 1_000_000_000 + i64::from(modified.nanos);
        self.record(vec![Edit::Times(uid, nanos, now)]);
        self.attribute_event(uid);
    }

    /// Tells those who watch the directories that an inode is in.
    fn attribute_event(&mut self, uid: Uid) {
        let Some(events) = &mut self.events else { return };
        for (&dir, inode) in &self.inodes {
            let Body::Dir(names) = &inode.body else { continue };
            let of_it = names.iter().filter(|(_, child)| **child == uid);
            events.extend(of_it.map(|(name, _)| (dir, name.clone())));
        }
    }

    // What changes contents.

    pub(crate) fn set_content(&mut self, uid: Uid, content: Vec<u8>) -> Result<(), Errno> {
        let others: usize =
            self.bytes.iter().filter(|(u, _)| **u != uid).map(|(_, b)| b.now.len()).sum();
        if others.saturating_add(content.len()) > self.room {
            return Err(Errno::NOSPC);
        }
        let now = self.tick();
        let Some(bytes) = self.bytes.get_mut(&uid) else { return Err(Errno::INVAL) };
        bytes.now.clone_from(&content);
        bytes.since.push(content);
        self.record(vec![Edit::Times(uid, now, now)]);
        self.attribute_event(uid);
        Ok(())
    }
}

pub(super) fn apply(inodes: &mut Inodes, edit: &Edit) {
    match edit {
        Edit::New(uid, inode) => {
            inodes.insert(*uid, inode.clone());
        }
        Edit::Name(dir, name, child) => {
            let Some(Body::Dir(names)) = inodes.get_mut(dir).map(|inode| &mut inode.body) else {
                return;
            };
            match child {
                Some(child) => names.insert(name.clone(), *child),
                None => names.remove(name),
            };
        }
        Edit::Mode(uid, mode) => {
            if let Some(inode) = inodes.get_mut(uid) {
                inode.mode = *mode;
            }
        }
        Edit::Times(uid, modified, changed) => {
            if let Some(inode) = inodes.get_mut(uid) {
                (inode.modified, inode.changed) = (*modified, *changed);
            }
        }
    }
}

fn time(nanos: i64) -> Timestamp {
    let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    Timestamp { seconds, nanos: nanos as u32 }
}
