//! A directory under a real observer, and what was told of it.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::entry::Entry;
use common::path::RelPath;
use common::problem::{Problem, ProblemKind};
use common::replica::known::{Known, Row};
use common::replica::observer::{Command, Observer, ObserverHandle, Settings};
use common::replica::root::Root;
use common::time::Micros;
use common::wire::message::{Condition, OrderId, Report};

/// Nothing here may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn path(name: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(name).unwrap()
}

/// What has been told so far.
#[derive(Default, Debug)]
pub(crate) struct Told {
    pub(crate) rows: BTreeMap<RelPath, Entry>,
    pub(crate) problems: BTreeMap<RelPath, Problem>,
    pub(crate) condition: Condition,
    /// Every path of an observation, in order, and whether something is there.
    pub(crate) news: Vec<(RelPath, bool)>,
    /// How long ago the first hint of each came, where there was one.
    pub(crate) seen: Vec<(RelPath, Option<Micros>)>,
    pub(crate) moved: Vec<(RelPath, RelPath)>,
    /// Directories that were told in one word.
    pub(crate) carried: Vec<(RelPath, RelPath)>,
    pub(crate) contents: BTreeMap<RelPath, Vec<u8>>,
    pub(crate) settled: BTreeSet<u64>,
    pub(crate) synced: BTreeMap<u64, bool>,
    pub(crate) halts: Vec<String>,
}

impl Told {
    fn take(&mut self, report: Report) {
        match report {
            Report::Inventory { rows, problems, .. } => {
                self.rows.extend(rows);
                self.problems.extend(problems);
            }
            Report::Observed(observation) => {
                for (from, to) in observation.carried {
                    self.carry(&from, &to);
                    self.moved.push((from.clone(), to.clone()));
                    self.carried.push((from, to));
                }
                self.moved.extend(observation.moved);
                for (path, problem) in observation.problems {
                    match problem {
                        Some(problem) => self.problems.insert(path, problem),
                        None => self.problems.remove(&path),
                    };
                }
                for row in observation.rows {
                    self.news.push((row.path.clone(), row.entry.is_some()));
                    self.seen.push((row.path.clone(), row.seen));
                    if let Some(content) = row.content {
                        self.contents.insert(row.path.clone(), content.into_vec());
                    }
                    match row.entry {
                        Some(entry) => self.rows.insert(row.path, entry),
                        None => self.rows.remove(&row.path),
                    };
                }
            }
            Report::Settled { id } => {
                self.settled.insert(id.0);
            }
            Report::Synced { id, durable } => {
                self.synced.insert(id.0, durable);
            }
            Report::Met { .. } | Report::Compared { .. } | Report::Reread { .. } => {}
            Report::Trash { .. } | Report::TrashFound { .. } => {}
            Report::Condition(condition) => {
                self.halts.extend(condition.halted.clone());
                self.condition = condition;
            }
            Report::Outcome { .. } => {}
        }
    }
}

impl Told {
    fn carry(&mut self, from: &RelPath, to: &RelPath) {
        let is_in = |path: &RelPath| path == from || path.is_below(from);
        let all: Vec<RelPath> = self.rows.keys().filter(|path| is_in(path)).cloned().collect();
        for path in all {
            let entry = self.rows.remove(&path).unwrap();
            assert_eq!(self.rows.insert(path.rebase(from, to).unwrap(), entry), None);
        }
    }
}

pub(crate) struct Side {
    pub(crate) dir: PathBuf,
    pub(crate) known: Arc<Known>,
    pub(crate) observer: ObserverHandle,
    pub(crate) told: Told,
    reports: Receiver<Report>,
    next: u64,
    _temp: Option<tempfile::TempDir>,
}

impl Side {
    pub(crate) fn new() -> Side {
        Side::with(Settings::default(), |_| {})
    }

    /// Fills a directory, then starts to observe it.
    pub(crate) fn with(settings: Settings, fill: impl FnOnce(&Path)) -> Side {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("root");
        fs::create_dir(&dir).unwrap();
        fill(&dir);
        let mut side = Side::start(&dir, settings, BTreeMap::new());
        side._temp = Some(temp);
        side
    }

    pub(crate) fn start(dir: &Path, settings: Settings, rows: BTreeMap<RelPath, Row>) -> Side {
        fs::create_dir_all(dir.join(".lab3")).unwrap();
        fs::write(dir.join(".lab3/id"), "x").unwrap();
        let (tx, reports) = channel();
        let tx = Mutex::new(tx);
        let reporter = Box::new(move |report| {
            let _ = tx.lock().unwrap().send(report);
        });
        let known = Arc::new(Known::new(rows, reporter));
        let root = Arc::new(Root::open(dir).unwrap());
        let observer = Observer::start(settings, root, known.clone()).unwrap();
        observer.wait_ready();
        known.inventory();
        let mut side = Side {
            dir: dir.to_owned(),
            known,
            observer,
            told: Told::default(),
            reports,
            next: 0,
            _temp: None,
        };
        side.take();
        side
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        fs::write(self.at(name), content).unwrap();
    }

    /// Takes over everything that has been told.
    pub(crate) fn take(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            self.told.take(report);
        }
    }

    /// Waits until what was told has a property.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Told) -> bool) -> Duration {
        let start = Instant::now();
        loop {
            self.take();
            if holds(&self.told) {
                return start.elapsed();
            }
            let left = DEADLINE.checked_sub(start.elapsed());
            let left = left.unwrap_or_else(|| panic!("never {what}: {:#?}", self.told));
            if let Ok(report) = self.reports.recv_timeout(left) {
                self.told.take(report);
            }
        }
    }

    /// Waits until everything that was done before has been told.
    pub(crate) fn settle(&mut self) {
        self.next += 1;
        let id = self.next;
        self.observer.send(Command::Settle(OrderId(id)));
        self.until("settled", |told| told.settled.contains(&id));
    }

    pub(crate) fn order(&mut self) -> OrderId {
        self.next += 1;
        OrderId(self.next)
    }

    /// Settles, then compares what was told with what is on the disk, entry by entry.
    pub(crate) fn assert_told(&mut self) {
        self.settle();
        let disk = on_disk(&self.dir);
        let told: BTreeMap<RelPath, String> =
            self.told.rows.iter().map(|(p, e)| (p.clone(), describe(e))).collect();
        let missing: Vec<_> = disk.iter().filter(|&(p, d)| told.get(p) != Some(d)).collect();
        let extra: Vec<_> = told.iter().filter(|&(p, d)| disk.get(p) != Some(d)).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "on disk only: {:?} … told only: {:?}",
            missing.iter().take(5).collect::<Vec<_>>(),
            extra.iter().take(5).collect::<Vec<_>>()
        );
    }

    pub(crate) fn problem(&self, name: &str) -> Option<ProblemKind> {
        self.told.problems.get(&path(name)).map(|p| p.kind)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.told.rows.contains_key(&path(name))
    }
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::File(file) => format!("file {} {:o}", file.digest, file.mode),
        Entry::Link(link) => format!("link {:?}", link.target),
        Entry::Dir { mode } => format!("dir {mode:o}"),
    }
}

/// The tree as plain library calls see it.
fn on_disk(root: &Path) -> BTreeMap<RelPath, String> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let below = entry.path().strip_prefix(root).unwrap().as_os_str().as_bytes();
        let Ok(path) = RelPath::new(below) else { continue };
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let kind = entry.file_type();
        let text = if kind.is_dir() {
            format!("dir {mode:o}")
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            format!("link {:?}", target.as_os_str().as_bytes())
        } else if kind.is_file() {
            let digest = common::digest::Digest::of(&fs::read(entry.path()).unwrap());
            format!("file {digest} {mode:o}")
        } else {
            continue;
        };
        found.insert(path, text);
    }
    found
}

/// Exchanges two paths in one system call.
pub(crate) fn exchange(a: &Path, b: &Path) {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, flags).unwrap();
}

/// Says, past the test harness, that a part of a test has no ground here.
pub(crate) fn skipped(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
