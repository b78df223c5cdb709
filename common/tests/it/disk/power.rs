//! What makes things durable on the disk in memory, and what is left of those that are not.

use std::collections::BTreeMap;

use crate::disk::files::{Body, Edit, Files, ROOT, Uid, apply};

impl Files {
    /// The bytes of a file, and its attributes and names as far as the journal has them.
    pub(crate) fn fsync(&mut self, uid: Uid) {
        if let Some(bytes) = self.bytes.get_mut(&uid) {
            bytes.durable.clone_from(&bytes.now);
            bytes.since.clear();
        }
        let concerns = |edit: &Edit| match edit {
            Edit::New(u, _) | Edit::Mode(u, _) | Edit::Times(u, ..) => *u == uid,
            Edit::Name(dir, _, child) => *dir == uid || *child == Some(uid),
        };
        let last = self.journal.iter().rposition(|edits| edits.iter().any(concerns));
        self.force(last.map_or(0, |last| last + 1));
    }

    pub(crate) fn syncfs(&mut self) {
        for bytes in self.bytes.values_mut() {
            bytes.durable.clone_from(&bytes.now);
            bytes.since.clear();
        }
        self.force(self.journal.len());
    }

    /// Pages whose flush failed are clean afterwards, and never reach the disk.
    pub(crate) fn fail_flush(&mut self, uid: Option<Uid>) {
        for (_, bytes) in self.bytes.iter_mut().filter(|(u, _)| uid.is_none_or(|uid| **u == uid)) {
            bytes.since.clear();
        }
    }

    fn force(&mut self, records: usize) {
        for edits in self.journal.drain(..records) {
            for edit in &edits {
                apply(&mut self.base, edit);
            }
        }
    }

    /// The power goes and comes again. `pick(n)` answers a number below `n`.
    pub(crate) fn cut(&mut self, mut pick: impl FnMut(usize) -> usize) {
        let kept = pick(self.journal.len() + 1);
        self.force(kept);
        self.journal.clear();
        for bytes in self.bytes.values_mut() {
            let state = pick(bytes.since.len() + 1);
            if state > 0 {
                bytes.durable = bytes.since.swap_remove(state - 1);
            }
            bytes.now.clone_from(&bytes.durable);
            bytes.since.clear();
        }
        self.sweep();
        self.inodes = self.base.clone();
        self.users_are_cut();
        self.stop();
    }

    /// The process is gone: only users have files open, and nobody waits for a lease.
    pub(crate) fn stop(&mut self) {
        self.boot += 1;
        self.opened.clear();
        self.users_go_on();
        self.leases.clear();
        let lost: Vec<Uid> =
            self.inodes.iter().filter(|(_, inode)| inode.links == 0).map(|(u, _)| *u).collect();
        for uid in lost {
            self.forget(uid);
        }
    }

    /// Counts the names of everything; drops what has none.
    fn sweep(&mut self) {
        let mut counts: BTreeMap<Uid, u64> = BTreeMap::from([(ROOT, 1)]);
        let mut work = vec![ROOT];
        while let Some(uid) = work.pop() {
            let Body::Dir(names) = &self.base[&uid].body else { continue };
            for &child in names.values() {
                *counts.entry(child).or_default() += 1;
                if matches!(self.base[&child].body, Body::Dir(_)) {
                    work.push(child);
                }
            }
        }
        self.base.retain(|uid, _| counts.contains_key(uid));
        for (uid, inode) in &mut self.base {
            inode.links = if matches!(inode.body, Body::Dir(_)) { 2 } else { counts[uid] };
        }
    }
}
