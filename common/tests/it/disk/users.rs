//! Users of the disk in memory, and the account of what they must not lose.

use std::collections::{BTreeMap, BTreeSet};

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::disk::files::{Body, Files, ROOT, Uid};

/// Contents, which are all different: what was ever written, what nobody overwrote or deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) written: BTreeSet<Vec<u8>>,
    pub(crate) live: BTreeSet<Vec<u8>>,
    pub(crate) superseded: BTreeSet<Vec<u8>>,
    /// Files that a user has open for writing.
    open: Vec<Uid>,
    /// Writes that wait for a lease to end.
    waiting: Vec<(Uid, Vec<u8>)>,
}

/// What a user does; what cannot be done is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Writes into the file that is there, from its beginning; or makes it.
    Write(&'static str, Vec<u8>),
    /// Writes another file and renames it over.
    Save(&'static str, Vec<u8>),
    Remove(&'static str),
    /// Removes it and makes it anew.
    Again(&'static str, Vec<u8>),
    /// Removes what is there and makes a directory.
    Directory(&'static str),
    /// Removes what is there and makes a directory with a file `in`.
    Filled(&'static str, Vec<u8>),
    Link(&'static str, Vec<u8>),
    Move(&'static str, &'static str),
    Mode(&'static str, u32),
    /// Opens a file for writing.
    Open(&'static str),
    /// Replaces what is in all open files, and closes them.
    Finish(Vec<u8>),
}

fn split(path: &str) -> (&str, &[u8]) {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    (dir, name.as_bytes())
}

impl Files {
    /// A user does something.
    pub(crate) fn deed(&mut self, deed: &Deed) {
        // What is in the way of a deed is the user's to know.
        let _ = self.try_deed(deed);
    }

    fn spot<'p>(&self, path: &'p str) -> Result<(Uid, &'p [u8]), Errno> {
        let (dir, name) = split(path);
        Ok((self.at(dir.as_bytes()).ok_or(Errno::NOENT)?, name))
    }

    fn try_deed(&mut self, deed: &Deed) -> Result<(), Errno> {
        match deed {
            Deed::Write(path, content) => self.write(self.spot(path)?, content),
            Deed::Save(path, content) => {
                let spot = self.spot(path)?;
                let aside = self.make(spot.0, b"user-temporary", Body::File, 0o644)?;
                self.set_content(aside, content.clone())?;
                // A power cut may leave it under this name.
                self.account.written.insert(content.clone());
                let target = self.find(spot.0, spot.1).ok();
                if target.is_some_and(|t| matches!(self.get(t).body, Body::Dir(_))) {
                    return self.unlink(spot.0, b"user-temporary");
                }
                self.supersede(target);
                self.wrote(content);
                self.rename((spot.0, b"user-temporary"), spot, RenameFlags::empty())
            }
            Deed::Remove(path) => self.remove(self.spot(path)?),
            Deed::Again(path, content) => {
                let spot = self.spot(path)?;
                self.remove(spot)?;
                self.write(spot, content)
            }
            Deed::Directory(path) => {
                let spot = self.spot(path)?;
                let _ = self.remove(spot);
                self.make(spot.0, spot.1, Body::Dir(BTreeMap::new()), 0o755).map(drop)
            }
            Deed::Filled(path, content) => {
                let spot = self.spot(path)?;
                let _ = self.remove(spot);
                let dir = self.make(spot.0, spot.1, Body::Dir(BTreeMap::new()), 0o755);
                let dir = dir.or_else(|_| self.find(spot.0, spot.1))?;
                self.write((dir, b"in"), content)
            }
            Deed::Link(path, target) => {
                let spot = self.spot(path)?;
                let _ = self.remove(spot);
                self.make(spot.0, spot.1, Body::Link(target.clone()), 0o777)?;
                self.wrote(target);
                Ok(())
            }
            Deed::Move(from, to) => {
                let (from, to) = (self.spot(from)?, self.spot(to)?);
                self.rename(from, to, RenameFlags::NOREPLACE)
            }
            Deed::Mode(path, mode) => {
                let uid = self.at(path.as_bytes()).ok_or(Errno::NOENT)?;
                self.chmod(uid, *mode);
                Ok(())
            }
            Deed::Open(path) => {
                let uid = self.at(path.as_bytes()).ok_or(Errno::NOENT)?;
                self.open_writer(uid);
                Ok(())
            }
            Deed::Finish(content) => {
                for (i, uid) in std::mem::take(&mut self.account.open).into_iter().enumerate() {
                    let content = [content.as_slice(), &[b'+'; 8][..i.min(8)]].concat();
                    self.change(uid, &content);
                    self.close_writer(uid);
                }
                Ok(())
            }
        }
    }

    fn open_writer(&mut self, uid: Uid) {
        if self.get(uid).body != Body::File {
            return;
        }
        // With a lease on it the open would wait; the lease is gone for who asks.
        self.leases.entry(uid).and_modify(|broken| *broken = true);
        let opened = self.opened.entry(uid).or_default();
        opened.all += 1;
        opened.writers += 1;
        self.account.open.push(uid);
    }

    fn close_writer(&mut self, uid: Uid) {
        if let Some(opened) = self.opened.get_mut(&uid) {
            opened.all = opened.all.saturating_sub(1);
            opened.writers = opened.writers.saturating_sub(1);
        }
        self.forget(uid);
    }

    fn write(&mut self, (dir, name): (Uid, &[u8]), content: &[u8]) -> Result<(), Errno> {
        let uid = match self.find(dir, name) {
            Ok(uid) if self.get(uid).body == Body::File => uid,
            Ok(_) => return Err(Errno::ISDIR),
            Err(_) => self.make(dir, name, Body::File, 0o644)?,
        };
        if let Some(broken) = self.leases.get_mut(&uid) {
            *broken = true;
            let opened = self.opened.entry(uid).or_default();
            opened.all += 1;
            self.account.waiting.push((uid, content.to_vec()));
            return Ok(());
        }
        self.change(uid, content);
        Ok(())
    }

    fn change(&mut self, uid: Uid, content: &[u8]) {
        self.supersede(Some(uid));
        let named = self.get(uid).links > 0;
        if self.set_content(uid, content.to_vec()).is_ok() {
            // A power cut may bring a name back that was taken before.
            self.account.written.insert(content.to_vec());
            if named {
                self.account.live.insert(content.to_vec());
            }
        }
    }

    /// A lease ends; who waited for that goes on, with the inode that he had opened.
    pub(crate) fn end_lease(&mut self, uid: Uid) {
        self.leases.remove(&uid);
        let waiting = std::mem::take(&mut self.account.waiting);
        for (of, content) in waiting {
            if of == uid {
                self.change(uid, &content);
                if let Some(opened) = self.opened.get_mut(&uid) {
                    opened.all = opened.all.saturating_sub(1);
                }
                self.forget(uid);
            } else {
                self.account.waiting.push((of, content));
            }
        }
    }

    /// A server ended: users still have their files open, and who waited for a lease goes on.
    pub(crate) fn users_go_on(&mut self) {
        let waiting: Vec<Uid> = self.account.waiting.iter().map(|(uid, _)| *uid).collect();
        for uid in self.account.open.iter().chain(&waiting) {
            self.opened.entry(*uid).or_default().all += 1;
        }
        for uid in &self.account.open {
            self.opened.entry(*uid).or_default().writers += 1;
        }
        waiting.into_iter().for_each(|uid| self.end_lease(uid));
    }

    /// The power went: nobody has anything open.
    pub(crate) fn users_are_cut(&mut self) {
        self.account.open.clear();
        self.account.waiting.clear();
    }

    fn remove(&mut self, (dir, name): (Uid, &[u8])) -> Result<(), Errno> {
        let uid = self.find(dir, name)?;
        let Body::Dir(names) = self.get(uid).body.clone() else {
            // A second name in our own directory is none that a user has.
            if self.walk("").values().filter(|other| **other == uid).count() <= 1 {
                self.supersede(Some(uid));
            }
            return self.unlink(dir, name);
        };
        for below in names.keys() {
            self.remove((uid, below))?;
        }
        self.rmdir(dir, name)
    }

    fn wrote(&mut self, content: &[u8]) {
        self.account.written.insert(content.to_vec());
        self.account.live.insert(content.to_vec());
    }

    fn supersede(&mut self, uid: Option<Uid>) {
        let content = match uid {
            Some(uid) => match &self.get(uid).body {
                Body::File => self.content(uid).to_vec(),
                Body::Link(target) => target.clone(),
                Body::Dir(_) => return,
            },
            None => return,
        };
        self.account.live.remove(&content);
        self.account.superseded.insert(content);
    }

    /// Everything below a directory: paths and what is there.
    pub(crate) fn walk(&self, top: &str) -> BTreeMap<String, Uid> {
        let mut found = BTreeMap::new();
        let mut work = vec![(String::new(), self.at(top.as_bytes()).unwrap_or(ROOT))];
        while let Some((above, uid)) = work.pop() {
            let Ok(names) = self.names(uid) else { continue };
            for (name, &child) in names {
                let path = format!("{above}{}", String::from_utf8_lossy(name));
                if path == ".lab3" {
                    continue;
                }
                work.push((format!("{path}/"), child));
                found.insert(path, child);
            }
        }
        found
    }

    /// What a path is, in words that two trees can be compared by.
    pub(crate) fn likeness(&self, uid: Uid) -> String {
        let inode = self.get(uid);
        match &inode.body {
            Body::File => format!("{:o} `{}`", inode.mode, self.content(uid).escape_ascii()),
            Body::Link(target) => format!("-> {}", target.escape_ascii()),
            Body::Dir(_) => format!("{:o}/", inode.mode),
        }
    }

    /// All contents below a directory, of files and links.
    pub(crate) fn contents(&self, top: &str) -> BTreeSet<Vec<u8>> {
        let all = self.walk(top).into_values();
        let content = |uid| match &self.get(uid).body {
            Body::File => Some(self.content(uid).to_vec()),
            Body::Link(target) => Some(target.clone()),
            Body::Dir(_) => None,
        };
        all.filter_map(content).collect()
    }
}
