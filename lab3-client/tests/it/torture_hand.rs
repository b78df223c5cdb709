//! The hand of one writer: it writes down what it is about to write, what was acknowledged, and
//! which writes of its own side it did away with, to a log outside the tree.
//!
//! What a destructive step did away with is what the very inode held that it destroyed: the hand
//! holds a descriptor on it meanwhile. When another inode was there (a version that the servers
//! had just brought), nothing of this side is gone by the user's doing: its own version was taken
//! out of the tree by a server, which must have kept it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::side::Side;

use crate::real::Dice;
use crate::torture_token::{is_of, of_side, token, whole};

/// One writer.
pub(crate) struct Hand {
    pub(crate) root: PathBuf,
    pub(crate) side: Side,
    pub(crate) id: u64,
    pub(crate) dice: Dice,
    number: u64,
    log: File,
}

/// A file that is about to be destroyed, perhaps.
pub(crate) struct Held(Option<File>);

impl Hand {
    pub(crate) fn new(root: &Path, side: Side, id: u64, seed: u64, log: &Path) -> Hand {
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(id + 1) | 1);
        let mut hand = Hand { root: root.to_owned(), side, id, dice, number: 0, log };
        for _ in 0..20 {
            hand.dice.below(2);
        }
        hand
    }

    /// Takes a new token, for this path, to be written in this way.
    pub(crate) fn begin(&mut self, way: &str, path: &str) -> String {
        self.number += 1;
        let token = token(self.side, self.id, self.number);
        self.note(&format!("try {token} {way} {path}"));
        token
    }

    /// The write was acknowledged.
    pub(crate) fn acknowledged(&mut self, token: &str) {
        self.note(&format!("ack {token}"));
    }

    /// A write that may have failed because its directory was just renamed, or the like.
    pub(crate) fn outcome(&mut self, token: &str, written: io::Result<()>) {
        match written {
            Ok(()) => self.acknowledged(token),
            Err(error) => self.note(&format!("not {token} {error}")),
        }
    }

    /// Every line ends with the time, in microseconds, to be read beside the servers' logs.
    fn note(&mut self, line: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let line = format!("{line} @{}\n", now.as_micros());
        self.log.write_all(line.as_bytes()).expect("logged");
    }

    /// A whole content for a token, mostly small.
    pub(crate) fn content(&mut self, token: &str) -> String {
        let lines = match self.dice.below(40) {
            0 => 12_000,
            1 | 2 => 3000,
            3..=8 => 300,
            most => most as usize,
        };
        whole(token, lines)
    }

    /// A moment, as users and programs pause.
    pub(crate) fn pause(&mut self, below_micros: u64) {
        std::thread::sleep(Duration::from_micros(self.dice.below(below_micros)));
    }

    /// Holds what is at a path now.
    pub(crate) fn hold(&self, path: &str) -> Held {
        Held(File::open(self.root.join(path)).ok())
    }

    /// Notes what was done away with, when what was held has no name any more; what the new
    /// content has as well is not gone.
    pub(crate) fn replaced(&mut self, mut held: Held, new: &[u8]) {
        let is_gone = |file: &File| file.metadata().expect("metadata").nlink() == 0;
        if held.0.as_ref().is_some_and(is_gone) {
            let old = held.content();
            self.superseded(&old, new);
        }
    }

    /// A token that this user's own write took the place of.
    pub(crate) fn away(&mut self, token: &str) {
        if is_of(token, self.side) {
            self.note(&format!("sup {token}"));
        }
    }

    fn superseded(&mut self, old: &[u8], new: &[u8]) {
        let kept: BTreeSet<String> = of_side(new, self.side);
        for token in of_side(old, self.side).difference(&kept) {
            self.note(&format!("sup {token}"));
        }
    }

    /// The directory of a path, held, and the path through it: who renames the directory between
    /// two calls does not lead the second one elsewhere.
    fn pinned(&self, path: &str) -> io::Result<(File, String)> {
        let (dir, name) = path.rsplit_once('/').expect("a directory");
        let dir = File::open(self.root.join(dir))?;
        let through = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
        Ok((dir, through))
    }

    /// Empties the file and writes it anew, in pieces.
    pub(crate) fn rewrite(&mut self, path: &str, new: &[u8], below_micros: u64) -> io::Result<()> {
        let (_dir, full) = self.pinned(path)?;
        let mut held = self.hold(&full);
        let old = held.content();
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(full)?;
        if held.is(&file) {
            self.superseded(&old, new);
        }
        let pieces = self.dice.below(3) as usize + 1;
        for piece in new.chunks((new.len() / pieces).max(1)) {
            file.write_all(piece)?;
            self.pause(below_micros);
        }
        Ok(())
    }

    /// Writes a new file aside.
    pub(crate) fn aside(&mut self, path: &str, new: &[u8]) -> io::Result<String> {
        let (dir, name) = path.rsplit_once('/').expect("a directory");
        let aside = format!("{dir}/.{name}.{}{}.tmp", self.side, self.id);
        let mut file = OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).open(self.root.join(&aside))?;
        file.write_all(new)?;
        if self.dice.below(8) == 0 {
            file.sync_all()?;
        }
        Ok(aside)
    }

    /// Renames over what may be there.
    pub(crate) fn over(&mut self, from: &str, to: &str, kept: &[u8]) -> io::Result<()> {
        let (_dir, to) = self.pinned(to)?;
        let held = self.hold(&to);
        fs::rename(self.root.join(from), to)?;
        self.replaced(held, kept);
        Ok(())
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, path: &str, kept: &[u8]) -> io::Result<()> {
        let (_dir, path) = self.pinned(path)?;
        let held = self.hold(&path);
        fs::remove_file(path)?;
        self.replaced(held, kept);
        Ok(())
    }

    /// Appends, with one write.
    pub(crate) fn append(&mut self, path: &str, line: &str) -> io::Result<()> {
        let mut file = self.log_file(path)?;
        if self.dice.below(4) == 0 {
            self.pause(3000);
        }
        file.write_all(line.as_bytes())
    }

    /// Opens a file as programs open their logs.
    pub(crate) fn log_file(&self, path: &str) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).open(self.root.join(path))
    }

    /// What is at a path.
    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }
}

impl Held {
    fn content(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        if let Some(file) = &mut self.0 {
            file.seek(SeekFrom::Start(0)).expect("sought");
            file.read_to_end(&mut content).expect("read");
        }
        content
    }

    fn is(&self, other: &File) -> bool {
        let inode = |file: &File| {
            let about = file.metadata().expect("metadata");
            (about.dev(), about.ino())
        };
        self.0.as_ref().is_some_and(|file| inode(file) == inode(other))
    }
}
