//! The least that anything of this kind could take: one thread that watches a directory and copies
//! what it hears of into another. No network, no flush, no state, no care at all: it loses
//! concurrent edits and everything that happens while it is not there. It is measured by the same
//! code as lab3.
#![expect(clippy::disallowed_methods, reason = "watches, copies, and has a thread for it")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::latency::{KINDS, Steady, with_call};
use crate::programs;
use crate::run::Bench;
use crate::tree;
use crate::wait;

/// A file of this name ends the loop.
const END: &str = ".floor-end";
/// What is being copied, before it has its name.
const ASIDE: &str = ".floor-aside";

/// A running loop.
struct Floor {
    end: PathBuf,
    thread: JoinHandle<Result<()>>,
}

impl Floor {
    /// Watches everything in one directory, then returns and copies into the other.
    fn start(source: &Path, target: &Path) -> Result<Floor> {
        let inotify = inotify::init(CreateFlags::CLOEXEC)?;
        let (source, target) = (source.to_owned(), target.to_owned());
        let end = source.join(END);
        let mut copier = Copier { source, target, watched: BTreeMap::new(), moved: None };
        copier.watch(&inotify, Path::new(""))?;
        let thread = thread::spawn(move || copier.follow(&inotify));
        Ok(Floor { end, thread })
    }

    fn stop(self) -> Result<()> {
        fs::write(&self.end, "")?;
        self.thread.join().map_err(|_| anyhow!("the loop has panicked"))?
    }
}

/// What the loop knows.
struct Copier {
    source: PathBuf,
    target: PathBuf,
    watched: BTreeMap<i32, PathBuf>,
    /// Half of a rename.
    moved: Option<(u32, PathBuf)>,
}

impl Copier {
    /// Watches a directory and all below; what is in it already is not copied.
    fn watch(&mut self, inotify: &OwnedFd, directory: &Path) -> Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE;
        let path = self.source.join(directory);
        let watch = inotify::add_watch(inotify, &path, flags)?;
        self.watched.insert(watch, directory.to_owned());
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.watch(inotify, &directory.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Until the end.
    fn follow(mut self, inotify: &OwnedFd) -> Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Err(rustix::io::Errno::INTR) => continue,
                event => event?,
            };
            let (watch, flags, cookie) = (event.wd(), event.events(), event.cookie());
            let Some(name) = event.file_name() else { continue };
            let name: OsString = OsStr::from_bytes(name.to_bytes()).to_owned();
            if name == END {
                return Ok(());
            }
            if let Some(directory) = self.watched.get(&watch) {
                let path = directory.join(name);
                self.repeat(inotify, flags, cookie, &path)?;
            }
        }
    }

    fn repeat(
        &mut self,
        inotify: &OwnedFd,
        flags: ReadFlags,
        cookie: u32,
        path: &Path,
    ) -> Result<()> {
        if flags.contains(ReadFlags::ISDIR) {
            if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                self.watch(inotify, path)?;
                self.copy_all(path)?;
            }
        } else if flags.contains(ReadFlags::CLOSE_WRITE) {
            self.copy(path)?;
        } else if flags.contains(ReadFlags::MOVED_FROM) {
            self.moved = Some((cookie, path.to_owned()));
        } else if flags.contains(ReadFlags::MOVED_TO) {
            let old = self.moved.take().filter(|(half, _)| *half == cookie);
            let renamed = old
                .map(|(_, old)| fs::rename(self.target.join(old), self.target.join(path)).is_ok());
            if renamed != Some(true) {
                self.copy(path)?;
            }
        } else if flags.contains(ReadFlags::DELETE) {
            gone(fs::remove_file(self.target.join(path)))?;
        }
        Ok(())
    }

    fn copy_all(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(self.target.join(directory))?;
        for entry in fs::read_dir(self.source.join(directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.copy_all(&path)?;
            } else {
                self.copy(&path)?;
            }
        }
        Ok(())
    }

    fn copy(&self, path: &Path) -> Result<()> {
        let aside = self.target.join(ASIDE);
        let copied = fs::read(self.source.join(path))
            .and_then(|content| fs::write(&aside, content))
            .and_then(|()| fs::rename(&aside, self.target.join(path)));
        Ok(gone(copied)?)
    }
}

/// What has gone meanwhile will be heard of.
fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The same changes as in `latency`, through the loop; then both beside each other.
pub(crate) fn floor(bench: &mut Bench) -> Result<()> {
    let (source, target) = (bench.place("floor/a"), bench.place("floor/b"));
    fs::create_dir_all(&source)?;
    let mut steady = Steady::make(&source, bench)?;
    programs::run(Command::new("cp").arg("-a").arg(&source).arg(&target))?;
    let running = Floor::start(&source, &target)?;
    let measured = steady.measure(bench, "floor", (&source, &target));
    running.stop()?;
    measured?;
    fs::write(target.join(END), "")?;
    let expected = tree::list(&source);
    wait::converge(&source, &target, &expected, bench.arguments.patience())?;
    beside_latency(bench);
    Ok(())
}

/// Medians of both, from before the last call: the loop may be done before that returns.
fn beside_latency(bench: &mut Bench) {
    for kind in KINDS {
        let Some(least) = bench.report.median("floor", &with_call("floor", kind)) else { continue };
        for way in ["A>B", "B>A"] {
            let name = with_call(way, kind);
            if let Some(median) = bench.report.median("latency", &name) {
                bench.report.one(&format!("{way} {kind}, p50"), "ms", median, &[("floor", least)]);
            }
        }
    }
}
