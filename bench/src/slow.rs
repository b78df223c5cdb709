//! A link like many a home's: 10 Mbit/s and 40 ms each way, made by a proxy of our own. A small
//! edit should take one way and what it takes without a network; a first synchronization should
//! fill the link, and what compresses should take less than the link would.
#![expect(clippy::disallowed_methods, reason = "files, and time")]

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::dice::Dice;
use crate::run::{Bench, seconds};
use crate::shape::Shape;
use crate::{tree, wait};

/// The link.
const LINK: Shape = Shape { bits: 10e6, delay: 0.040 };
/// Bytes of a file that is edited.
const EDIT_BYTES: usize = 1024;
/// Files that are edited in turn: an edit of a file whose last one is not yet agreed on must wait.
const EDITED: usize = 20;
/// The words of a text.
const WORDS: usize = 2000;

/// Edits, then both first synchronizations.
pub(crate) fn slow(bench: &mut Bench) -> Result<()> {
    edits(bench)?;
    let mib = bench.arguments.slow;
    first(bench, "random", |place, dice| tree::make_large(&place.join("large"), mib, dice))?;
    first(bench, "text", |place, dice| {
        let text = text(mib << 20, dice);
        fs::write(place.join("large"), text).context("the text")
    })
}

/// Files are rewritten one after the other, on one side and then on the other.
fn edits(bench: &mut Bench) -> Result<()> {
    let (pause, patience) = (bench.arguments.pause, bench.arguments.patience());
    let mut pair = bench.pair("slow/edits")?;
    let sizes = (EDIT_BYTES as u64, EDIT_BYTES as u64);
    let files = tree::make(&pair.a, (EDITED, EDITED), sizes, &mut bench.dice)?;
    let expected = tree::list(&pair.a);
    // It passes bytes on until the servers have ended.
    let _link = pair.start_shaped(LINK)?;
    wait::converge(&pair.a, &pair.b, &expected, patience)?;
    pair.settle(patience)?;
    for (way, from, to) in [("A>B", &pair.a, &pair.b), ("B>A", &pair.b, &pair.a)] {
        let mut samples = Vec::new();
        for path in files.iter().cycle().take(bench.arguments.changes) {
            sleep(Duration::from_millis(bench.dice.between(pause.0, pause.1)));
            let content = bench.dice.bytes(EDIT_BYTES);
            fs::write(from.join(path), &content)?;
            let done = Instant::now();
            let is_there = || fs::read(to.join(path)).is_ok_and(|found| found == content);
            let seen = wait::until("the edit", patience, is_there)?;
            samples.push(seconds(done, seen) * 1000.0);
        }
        bench.report.many(&format!("{way} edit"), "ms", samples);
        pair.settle(patience)?;
    }
    bench.report.one("one way of the link", "ms", LINK.delay * 1000.0, &[]);
    pair.stop()
}

/// A file is brought to an empty side; beside it, what the link alone needs for its bytes.
fn first(
    bench: &mut Bench,
    name: &str,
    make: impl FnOnce(&Path, &mut Dice) -> Result<()>,
) -> Result<()> {
    let patience = bench.arguments.patience();
    let mut pair = bench.pair(&format!("slow/{name}"))?;
    make(&pair.a, &mut bench.dice)?;
    let bytes = fs::metadata(pair.a.join("large"))?.len();
    let expected = tree::list(&pair.a);
    let started = Instant::now();
    let link = pair.start_shaped(LINK)?;
    let equal = wait::converge(&pair.a, &pair.b, &expected, patience)?;
    let passed = link.passed();
    let (taken, alone) = (seconds(started, equal), LINK.taking(bytes) + LINK.delay);
    bench.report.one(&format!("{name}, to equal trees"), "s", taken, &[("link", alone)]);
    let share = 100.0 * LINK.taking(bytes) / taken;
    bench.report.one(&format!("{name}, of the link"), "%", share, &[]);
    let beside = [("the file", bytes as f64)];
    bench.report.one(&format!("{name}, on the link"), "bytes", passed as f64, &beside);
    pair.settle(patience)?;
    pair.stop()
}

/// So many bytes of words, some of them more often than others, in lines.
fn text(bytes: usize, dice: &mut Dice) -> Vec<u8> {
    let letters = |dice: &mut Dice| {
        let length = dice.between(2, 9);
        (0..length).map(|_| b'a' + dice.between(0, 25) as u8).collect::<Vec<u8>>()
    };
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| letters(dice)).collect();
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        let often = dice.between(1, WORDS as u64) as usize;
        text.extend_from_slice(&words[dice.place(often)]);
        text.push(if dice.between(0, 11) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(bytes);
    text
}
