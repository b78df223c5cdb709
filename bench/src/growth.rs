//! How figures grow with the tree: an edit at rest, and the first synchronization, each for trees
//! of several sizes, beside what the same takes without lab3. The plots of `docs/plots` are made
//! here.
#![expect(clippy::disallowed_methods, reason = "files, processes, and time")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::bulk::{first, timed};
use crate::figures::Spread;
use crate::plot::{Line, Plot};
use crate::run::{Bench, seconds};
use crate::{tree, wait};

/// Files in each directory.
const FILES_EACH: usize = 100;
/// Bytes of each file.
const FILE_BYTES: u64 = 1024;

/// What was found out at one size.
#[derive(Default)]
struct Found {
    files: f64,
    /// Median milliseconds of an edit, each way, and of copying the file as an editor would.
    edits: [f64; 3],
    /// Seconds of a first synchronization, and of `cp` and flush.
    whole: [f64; 2],
}

/// All sizes, from small to large; then the plots.
pub(crate) fn growth(bench: &mut Bench) -> Result<()> {
    let mut sizes = bench.arguments.sizes.clone();
    sizes.sort_unstable();
    let mut found = Vec::new();
    for files in sizes {
        found.push(at(bench, files).with_context(|| format!("{files} files"))?);
    }
    let Some(directory) = bench.arguments.plots.clone() else { return Ok(()) };
    fs::create_dir_all(&directory).with_context(|| format!("`{}`", directory.display()))?;
    for (name, svg) in plots(&found) {
        let file = directory.join(name);
        fs::write(&file, svg).with_context(|| format!("`{}`", file.display()))?;
        bench.report.say(&format!("`{}` is written", file.display()));
    }
    Ok(())
}

/// One size.
fn at(bench: &mut Bench, files: usize) -> Result<Found> {
    let patience = bench.arguments.patience();
    let base = format!("growth/{files}");
    let mut pair = bench.pair(&base)?;
    let sizes = (FILE_BYTES, FILE_BYTES);
    let made = tree::make(&pair.a, (files, FILES_EACH), sizes, &mut bench.dice)?;
    let copy = bench.place(&format!("{base}/copy"));
    let (_, cp) = timed(Command::new("cp").arg("-a").arg(&pair.a).arg(&copy), &copy)?;
    let (equal, _) = first(bench, &mut pair)?;
    bench.report.one(&format!("{files} files, first"), "s", equal, &[("cp and flush", cp)]);
    let mut found = Found { files: files as f64, whole: [equal, cp], ..Found::default() };
    let ways = [("A>B", &pair.a, &pair.b), ("B>A", &pair.b, &pair.a)];
    for (at, (way, from, to)) in ways.into_iter().enumerate() {
        let samples = edits(bench, &made, from, to)?;
        found.edits[at] = median(&samples);
        bench.report.many(&format!("{files} files, {way} edit"), "ms", samples);
        pair.settle(patience)?;
    }
    let samples = copies(bench, &made, &copy)?;
    found.edits[2] = median(&samples);
    bench.report.many(&format!("{files} files, copied"), "ms", samples);
    pair.stop()?;
    Ok(found)
}

/// Milliseconds from the end of an edit until it is seen on the other side.
fn edits(bench: &mut Bench, made: &[PathBuf], from: &Path, to: &Path) -> Result<Vec<f64>> {
    let (pause, patience) = (bench.arguments.pause, bench.arguments.patience());
    let mut samples = Vec::new();
    for _ in 0..bench.arguments.changes {
        sleep(Duration::from_millis(bench.dice.between(pause.0, pause.1)));
        let path = &made[bench.dice.place(made.len())];
        let content = bench.dice.bytes(FILE_BYTES as usize);
        fs::write(from.join(path), &content)?;
        let done = Instant::now();
        let is_there = || fs::read(to.join(path)).is_ok_and(|found| found == content);
        samples.push(seconds(done, wait::until("the edit", patience, is_there)?) * 1000.0);
    }
    Ok(samples)
}

/// Milliseconds of reading a file, writing it aside, and renaming it over another: the least that
/// brings an edit to a directory.
fn copies(bench: &mut Bench, made: &[PathBuf], root: &Path) -> Result<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..bench.arguments.changes {
        let place = bench.dice.place(made.len());
        let (from, to) = (root.join(&made[place]), root.join(&made[(place + 1) % made.len()]));
        let aside = root.join("aside");
        let started = Instant::now();
        fs::copy(from, &aside)?;
        fs::rename(&aside, to)?;
        samples.push(seconds(started, Instant::now()) * 1000.0);
    }
    Ok(samples)
}

fn median(samples: &[f64]) -> f64 {
    Spread::of(samples).map_or(0.0, |spread| spread.p50)
}

/// The pictures, by name.
fn plots(found: &[Found]) -> Vec<(&'static str, String)> {
    let line = |name: &str, floor: bool, value: &dyn Fn(&Found) -> f64| {
        let points = found.iter().map(|found| (found.files, value(found)));
        Line { name: name.to_owned(), points: points.filter(|(_, y)| *y > 0.0).collect(), floor }
    };
    let edits = Plot {
        title: "An edit, until the other side shows it",
        across: "files of 1 KiB in the tree",
        up: "milliseconds, median",
        lines: vec![
            line("lab3, A to B", false, &|found| found.edits[0]),
            line("lab3, B to A", false, &|found| found.edits[1]),
            line("cp and mv", true, &|found| found.edits[2]),
        ],
    };
    let whole = Plot {
        title: "First synchronization",
        across: "files of 1 KiB in the tree",
        up: "seconds, to equal trees",
        lines: vec![
            line("lab3", false, &|found| found.whole[0]),
            line("cp and flush", true, &|found| found.whole[1]),
        ],
    };
    [("edit.svg", edits), ("first.svg", whole)]
        .into_iter()
        .filter_map(|(name, plot)| Some((name, plot.svg()?)))
        .collect()
}
