//! How long each part takes by the clock: what a processor does, and what the disk makes it wait
//! for. Many rounds, after one that does not count; the least is what the code costs, the rest is
//! what disturbs it.
#![expect(clippy::disallowed_methods, reason = "directories, and time")]

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::dice::Dice;
use crate::parts::{Ground, Part};
use crate::run::{Bench, seconds};

/// All parts, one after the other.
pub(crate) fn micro(bench: &mut Bench) -> Result<()> {
    for part in bench.arguments.wanted_parts()? {
        let samples = rounds(bench, part).with_context(|| part.name)?;
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let each = least * 1e6 / part.count as f64;
        bench.report.many(part.name, "ms", samples);
        bench.report.keep(&format!("{}, least", part.name), "ms", vec![least]);
        let (count, things) = (part.count, part.things);
        bench.report.say(&format!("{}: {count} {things}, {each:.1} ns each", part.about));
    }
    Ok(())
}

/// Milliseconds of each round.
fn rounds(bench: &Bench, part: &Part) -> Result<Vec<f64>> {
    let place = bench.place(&format!("micro/{}", part.name));
    fs::create_dir_all(&place)?;
    let mut ground = Ground { place, dice: Dice(bench.arguments.seed), stepped: false };
    let mut work = part.make(&mut ground)?;
    let mut samples = Vec::new();
    for round in 0..=bench.arguments.rounds {
        work.ready()?;
        let started = Instant::now();
        part.run(&mut *work)?;
        let ended = Instant::now();
        if round > 0 {
            samples.push(seconds(started, ended) * 1000.0);
        }
    }
    Ok(samples)
}
