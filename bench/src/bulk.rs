//! Much at once: first synchronizations, a burst, a directory that is renamed and removed.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "directories, other programs, and time"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::pair::Pair;
use crate::programs;
use crate::run::{Bench, seconds};
use crate::tree::{self, Listing, Seen};
use crate::wait;

/// Files in each directory of the tree of small files.
const SMALL_EACH: usize = 10;
/// Files in each directory elsewhere.
const FILES_EACH: usize = 100;

/// How long a program takes, and how long until what it wrote is on the disk.
pub(crate) fn timed(command: &mut Command, written: &Path) -> Result<(f64, f64)> {
    rustix::fs::sync();
    let started = Instant::now();
    programs::run(command)?;
    let ended = Instant::now();
    rustix::fs::syncfs(File::open(written)?)?;
    Ok((seconds(started, ended), seconds(started, Instant::now())))
}

/// Makes the tree of small files in A.
fn small_files(bench: &mut Bench) -> Result<Pair> {
    let pair = bench.pair("small")?;
    tree::make(&pair.a, (bench.arguments.small, SMALL_EACH), (1024, 8192), &mut bench.dice)?;
    Ok(pair)
}

/// Starts both servers on what is in A; answers the seconds to equal trees, and until that is
/// agreed on.
pub(crate) fn first(bench: &Bench, pair: &mut Pair) -> Result<(f64, f64)> {
    let patience = bench.arguments.patience();
    let expected = tree::list(&pair.a);
    rustix::fs::sync();
    let started = Instant::now();
    pair.start()?;
    let shown = wait::shown(&pair.a, &pair.b, &expected, patience)?;
    pair.settle(patience)?;
    let agreed = Instant::now();
    let equal = wait::equal(&pair.a, &pair.b, shown, patience)?;
    Ok((seconds(started, equal), seconds(started, agreed)))
}

/// The tree of small files in care, made now if no scenario has.
pub(crate) fn small_tree(bench: &mut Bench) -> Result<&mut Pair> {
    if bench.small.is_none() {
        let mut pair = small_files(bench)?;
        first(bench, &mut pair)?;
        bench.small = Some(pair);
    }
    bench.small.as_mut().context("there is no tree of small files")
}

/// First synchronization of many small files.
pub(crate) fn small(bench: &mut Bench) -> Result<()> {
    let mut pair = small_files(bench)?;
    measure(bench, &mut pair)?;
    bench.small = Some(pair);
    Ok(())
}

/// First synchronization of one large file.
pub(crate) fn large(bench: &mut Bench) -> Result<()> {
    let mut pair = bench.pair("large")?;
    tree::make_large(&pair.a.join("large"), bench.arguments.large, &mut bench.dice)?;
    measure(bench, &mut pair)?;
    pair.stop()
}

/// A first synchronization, between two copies of the same tree. The faster one counts, so that
/// neither side profits from what came before.
fn measure(bench: &mut Bench, pair: &mut Pair) -> Result<()> {
    let copies = [pair.a.with_file_name("copy-1"), pair.a.with_file_name("copy-2")];
    let copy = |from: &Path, to: &Path| timed(Command::new("cp").arg("-a").arg(from).arg(to), to);
    let before = copy(&pair.a, &copies[0])?;
    let (equal, agreed) = first(bench, pair)?;
    let usage = pair.usage()?;
    // By now the servers' own things are in the tree, so a copy is copied.
    let after = copy(&copies[0], &copies[1])?;
    let beside = [("cp", before.0.min(after.0)), ("cp and flush", before.1.min(after.1))];
    bench.report.one("to equal trees", "s", equal, &beside);
    bench.report.one("to agreement", "s", agreed, &beside);
    bench.report.one("processor, both servers", "s", usage.seconds, &[]);
    Ok(())
}

/// Many files at once.
pub(crate) fn burst(bench: &mut Bench) -> Result<()> {
    let patience = bench.arguments.patience();
    let mut pair = bench.pair("burst")?;
    pair.start()?;
    pair.settle(patience)?;
    let began = Instant::now();
    let count = bench.arguments.burst;
    let made = tree::make(&pair.a, (count, FILES_EACH), (1024, 4096), &mut bench.dice)?;
    let ended = Instant::now();
    let expected: Listing =
        made.into_iter().map(|path| (path.clone(), Seen::at(&pair.a.join(path)))).collect();
    let equal = wait::converge(&pair.a, &pair.b, &expected, patience)?;
    bench.report.one("making the files", "s", seconds(began, ended), &[]);
    bench.report.one("from the last to equal trees", "s", seconds(ended, equal), &[]);
    pair.settle(patience)?;
    pair.stop()
}

/// A directory is renamed, then removed with all that is in it.
pub(crate) fn directory(bench: &mut Bench) -> Result<()> {
    let patience = bench.arguments.patience();
    let mut pair = bench.pair("directory")?;
    // So large a loss would otherwise stop everything until somebody approves of it.
    pair.options_a = ["--loss-files", "1000000000"].map(str::to_owned).to_vec();
    let (old, new) = (pair.a.join("old"), pair.a.join("new"));
    fs::create_dir(&old)?;
    // And an empty root would, whatever was approved before.
    fs::write(pair.a.join("beside"), "so that the root is never empty")?;
    let count = bench.arguments.directory;
    tree::make(&old, (count, FILES_EACH), (1024, 4096), &mut bench.dice)?;
    first(bench, &mut pair)?;
    let below = tree::list(&old);
    let mut moved = tree::list(&pair.a);
    moved.retain(|path, _| path == Path::new("beside"));
    moved.insert(PathBuf::from("old"), Seen::Absent);
    moved.extend(below.into_iter().map(|(path, seen)| (Path::new("new").join(path), seen)));
    fs::rename(&old, &new)?;
    let renamed = Instant::now();
    let equal = wait::converge(&pair.a, &pair.b, &moved, patience)?;
    bench.report.one("renamed", "s", seconds(renamed, equal), &[]);
    pair.settle(patience)?;
    let stays = |path: &Path| path == Path::new("beside");
    let gone = moved.into_iter().map(|(path, seen)| match stays(&path) {
        true => (path, seen),
        false => (path, Seen::Absent),
    });
    let gone = gone.collect();
    let began = Instant::now();
    fs::remove_dir_all(&new)?;
    let removed = Instant::now();
    let equal = wait::converge(&pair.a, &pair.b, &gone, patience)?;
    bench.report.one("removing it", "s", seconds(began, removed), &[]);
    bench.report.one("removed", "s", seconds(removed, equal), &[]);
    pair.settle(patience)?;
    pair.stop()
}
