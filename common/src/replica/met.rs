//! How often a replica has met its coordinator: a number that only grows, kept beside the tree.
//!
//! A tree that was restored from an old copy brings an old number along. The coordinator then
//! knows that what it calls agreed is not what this replica means by it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FEATURE: &str = "met=";
const RUN: &str = "run=";

fn place(root: &Path) -> PathBuf {
    root.join(".lab3/met")
}

/// The number that is kept with a root; none when there never was a meeting.
#[must_use]
pub fn read(root: &Path) -> Option<u64> {
    fs::read_to_string(place(root)).ok()?.trim().parse().ok()
}

/// Keeps the number; durable on return.
pub fn write(root: &Path, number: u64) -> io::Result<()> {
    let (place, part) = (place(root), root.join(".lab3/met.part"));
    let mut file = File::create(&part)?;
    writeln!(file, "{number}")?;
    file.sync_all()?;
    fs::rename(&part, &place)?;
    File::open(root.join(".lab3"))?.sync_all()
}

/// As a feature of a hello.
#[must_use]
pub fn feature(number: u64) -> String {
    format!("{FEATURE}{number}")
}

/// The number that a hello tells.
#[must_use]
pub fn told(features: &[String]) -> Option<u64> {
    features.iter().find_map(|feature| feature.strip_prefix(FEATURE))?.parse().ok()
}

/// Which run of a server this is, as a feature of a hello: another number whenever it may have lost
/// what it had not flushed.
#[must_use]
pub fn run_feature(run: u64) -> String {
    format!("{RUN}{run}")
}

/// The run that a hello tells.
#[must_use]
pub fn told_run(features: &[String]) -> Option<u64> {
    features.iter().find_map(|feature| feature.strip_prefix(RUN))?.parse().ok()
}
