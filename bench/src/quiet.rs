//! What a tree costs that is there already: starting again, doing nothing, being listed.
#![expect(clippy::disallowed_methods, reason = "files, processes, and time")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::bulk::small_tree;
use crate::run::{Bench, seconds};
use crate::tree::{self, Seen};
use crate::wait;

/// How often the tree is listed.
const LISTINGS: usize = 5;
/// Servers that use no processor for so long are at rest.
const REST: Duration = Duration::from_secs(1);

/// Both servers stop, an edit on each side, both start.
pub(crate) fn restart(bench: &mut Bench) -> Result<()> {
    let patience = bench.arguments.patience();
    let contents = [bench.dice.bytes(1024), bench.dice.bytes(1024)];
    let pair = small_tree(bench)?;
    pair.settle(patience)?;
    let asked = Instant::now();
    pair.stop()?;
    let stopped = Instant::now();
    let listing = tree::list(&pair.a);
    let mut files = listing.iter().filter(|(_, seen)| matches!(seen, Seen::File(_)));
    let first = files.next().context("the tree is empty")?.0;
    let last = files.next_back().context("the tree has one file")?.0;
    fs::write(pair.a.join(first), &contents[0])?;
    fs::write(pair.b.join(last), &contents[1])?;
    let holds = |path: PathBuf, content: &[u8]| fs::read(path).is_ok_and(|found| found == content);
    rustix::fs::sync();
    let started = Instant::now();
    pair.start()?;
    let there = wait::until("both edits on the other side", patience, || {
        holds(pair.b.join(first), &contents[0]) && holds(pair.a.join(last), &contents[1])
    })?;
    wait::converge(&pair.a, &pair.b, &tree::list(&pair.a), patience)?;
    pair.settle(patience)?;
    bench.report.one("stopping both", "s", seconds(asked, stopped), &[]);
    bench.report.one("from the start to both edits", "s", seconds(started, there), &[]);
    Ok(())
}

/// Nothing happens.
pub(crate) fn idle(bench: &mut Bench) -> Result<()> {
    let patience = bench.arguments.patience();
    let time = Duration::from_secs(bench.arguments.idle);
    let pair = small_tree(bench)?;
    pair.settle(patience)?;
    // What was begun before is not what idleness costs.
    let deadline = Instant::now() + patience;
    let mut before = pair.usage()?;
    loop {
        sleep(REST);
        let now = pair.usage()?;
        if now.seconds <= before.seconds || Instant::now() > deadline {
            break;
        }
        before = now;
    }
    let (before, began) = (pair.usage()?, Instant::now());
    sleep(time);
    let (after, ended) = (pair.usage()?, Instant::now());
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let a_second = |all: f64| all / seconds(began, ended);
    bench.report.one("processor, both servers", "s", after.seconds - before.seconds, &[]);
    let (spent, wakes) = after.since(&before);
    bench.report.one("processor, each second", "ms", 1000.0 * a_second(spent), &[]);
    bench.report.one("waking up, each second", "times", a_second(wakes), &[]);
    bench.report.one("memory, both servers", "MiB", mib(after.resident), &[]);
    bench.report.one("memory, peak", "MiB", mib(after.peak), &[]);
    Ok(())
}

/// `lab3` beside `ls -lR`.
pub(crate) fn listing(bench: &mut Bench) -> Result<()> {
    let mut samples: [Vec<f64>; 4] = Default::default();
    let pair = small_tree(bench)?;
    for _ in 0..LISTINGS {
        let ours = read(&mut pair.lab3(&[])?)?;
        let others = read(Command::new("ls").arg("-lR").arg(&pair.a))?;
        for (list, sample) in samples.iter_mut().zip([ours.0, ours.1, others.0, others.1]) {
            list.push(sample * 1000.0);
        }
    }
    let names = ["lab3, first line", "lab3, all", "ls -lR, first line", "ls -lR, all"];
    for (name, samples) in names.into_iter().zip(samples) {
        bench.report.many(name, "ms", samples);
    }
    Ok(())
}

/// Runs a program; answers the seconds until its first line is read, and until all is.
fn read(command: &mut Command) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut out = BufReader::new(child.stdout.take().context("it has a stdout")?);
    let mut text = Vec::new();
    out.read_until(b'\n', &mut text)?;
    let first = Instant::now();
    out.read_to_end(&mut text)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("`{command:?}` ended with {status}");
    }
    Ok((seconds(started, first), seconds(started, Instant::now())))
}
