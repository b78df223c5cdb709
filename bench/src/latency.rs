//! One change at a time: from the return of its last system call until the other directory shows
//! its effect, which is looked for five thousand times a second. Between two changes is a pause, so
//! that each finds everything at rest.
//!
//! Whoever is waked by a change may be done before the call returns that made it. So the time from
//! just before that call is kept, too, and what takes as little as that is compared by it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "users' work on files, and time"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::dice::Dice;
use crate::run::{Bench, seconds};
use crate::tree::{self, Seen};
use crate::wait;

/// Bytes of a file here.
const FILE_BYTES: usize = 1024;
/// Files in each directory of the steady tree.
const FILES_EACH: usize = 100;

/// What users do, in the order in which they do it.
pub(crate) const KINDS: [&str; 6] = ["edit", "new", "save", "rename", "mkdir", "delete"];

/// What must be seen on the other side.
enum Effect {
    Content(PathBuf, Vec<u8>),
    Moved(PathBuf, PathBuf),
    Gone(PathBuf),
}

impl Effect {
    fn is_seen(&self, root: &Path) -> bool {
        let at = |path| Seen::at(&root.join(path));
        match self {
            Effect::Content(path, content) => {
                fs::read(root.join(path)).is_ok_and(|found| found == *content)
            }
            Effect::Moved(old, new) => at(old) == Seen::Absent && at(new) != Seen::Absent,
            Effect::Gone(path) => at(path) == Seen::Absent,
        }
    }
}

/// Milliseconds of each kind: since its last call returned, and since just before that call.
type Samples = BTreeMap<&'static str, (Vec<f64>, Vec<f64>)>;

/// What the row is called that counts from before the last call.
pub(crate) fn with_call(way: &str, kind: &str) -> String {
    format!("{way} {kind}, with its last call")
}

/// A tree at rest, and what is in it.
pub(crate) struct Steady {
    files: Vec<PathBuf>,
    count: usize,
}

impl Steady {
    /// Makes the files that are there already.
    pub(crate) fn make(root: &Path, bench: &mut Bench) -> Result<Steady> {
        // Each kind that needs an old file finds one.
        let count = bench.arguments.tree.max(2 * bench.arguments.changes + 1);
        let sizes = (FILE_BYTES as u64, FILE_BYTES as u64);
        let files = tree::make(root, (count, FILES_EACH), sizes, &mut bench.dice)?;
        Ok(Steady { files, count: 0 })
    }

    /// All kinds of changes, one after the other, round by round.
    pub(crate) fn measure(
        &mut self,
        bench: &mut Bench,
        way: &str,
        (from, to): (&Path, &Path),
    ) -> Result<()> {
        rustix::fs::sync();
        let mut samples = Samples::new();
        let end = self.rounds(bench, (from, to), &mut samples);
        for kind in KINDS {
            let (after, before) = samples.remove(kind).unwrap_or_default();
            bench.report.many(&format!("{way} {kind}"), "ms", after);
            bench.report.keep(&with_call(way, kind), "ms", before);
        }
        end.with_context(|| way.to_owned())
    }

    fn rounds(
        &mut self,
        bench: &mut Bench,
        (from, to): (&Path, &Path),
        samples: &mut Samples,
    ) -> Result<()> {
        let (pause, patience) = (bench.arguments.pause, bench.arguments.patience());
        for _ in 0..bench.arguments.changes {
            for kind in KINDS {
                sleep(Duration::from_millis(bench.dice.between(pause.0, pause.1)));
                let (effect, last) = self.act(kind, from, &mut bench.dice)?;
                let done = Instant::now();
                let seen = wait::until(kind, patience, || effect.is_seen(to))?;
                let (after, before) = samples.entry(kind).or_default();
                after.push(seconds(done, seen) * 1000.0);
                before.push(seconds(last, seen) * 1000.0);
            }
        }
        Ok(())
    }

    /// Does one thing; answers what must come of it, and the moment just before its last system
    /// call.
    fn act(&mut self, kind: &str, root: &Path, dice: &mut Dice) -> Result<(Effect, Instant)> {
        self.count += 1;
        let content = dice.bytes(FILE_BYTES);
        let place = dice.place(self.files.len());
        let old = self.files[place].clone();
        let new = old.with_file_name(format!("{kind}-{}", self.count));
        let last;
        let effect = match kind {
            "edit" => {
                let file = File::options().write(true).open(root.join(&old))?;
                last = written(file, &content)?;
                Effect::Content(old, content)
            }
            "new" => {
                last = written(File::create(root.join(&new))?, &content)?;
                Effect::Content(new, content)
            }
            "save" => {
                let aside = root.join(old.with_file_name(format!(".save-{}.tmp", self.count)));
                fs::write(&aside, &content)?;
                last = Instant::now();
                fs::rename(&aside, root.join(&old))?;
                Effect::Content(old, content)
            }
            "rename" => {
                last = Instant::now();
                fs::rename(root.join(&old), root.join(&new))?;
                self.files[place].clone_from(&new);
                Effect::Moved(old, new)
            }
            "mkdir" => {
                let file = new.join("first");
                fs::create_dir(root.join(&new))?;
                last = written(File::create(root.join(&file))?, &content)?;
                Effect::Content(file, content)
            }
            _ => {
                last = Instant::now();
                fs::remove_file(root.join(&old))?;
                self.files.swap_remove(place);
                Effect::Gone(old)
            }
        };
        Ok((effect, last))
    }
}

/// Writes, then closes; answers when it began to close.
fn written(mut file: File, content: &[u8]) -> Result<Instant> {
    file.write_all(content)?;
    let last = Instant::now();
    drop(file);
    Ok(last)
}

/// Each way, through both servers.
pub(crate) fn latency(bench: &mut Bench) -> Result<()> {
    let patience = bench.arguments.patience();
    let mut pair = bench.pair("latency")?;
    let mut steady = Steady::make(&pair.a, bench)?;
    let expected = tree::list(&pair.a);
    pair.start()?;
    wait::converge(&pair.a, &pair.b, &expected, patience)?;
    pair.settle(patience)?;
    steady.measure(bench, "A>B", (&pair.a, &pair.b))?;
    pair.settle(patience)?;
    steady.measure(bench, "B>A", (&pair.b, &pair.a))?;
    wait::converge(&pair.b, &pair.a, &tree::list(&pair.b), patience)?;
    pair.stop()
}
