//! How often a replica has met its coordinator: a number that only grows, kept beside the tree.
//!
//! A tree that was restored from an old copy brings an old number along. The coordinator then
//! knows that what it calls agreed is not what this replica means by it.

use std::io::{self, Read};

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::replica::disk::{Handle, Open};
use crate::replica::root::open_file_at;

const FEATURE: &str = "met=";
const RUN: &str = "run=";

const NAME: &[u8] = b"met";
const PART: &[u8] = b"met.part";
/// More than any number has digits.
const BYTES_MAX: u64 = 64;

/// The number that is kept in the open `.lab3` of a root; none when there never was a meeting.
#[must_use]
pub fn read(inside: &Handle) -> Option<u64> {
    let mut text = String::new();
    let file = open_file_at(inside, NAME).ok()?;
    file.reader().take(BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Keeps the number; durable on return. Whatever has the name for what is being written is no
/// place to write to: a file of an earlier try, or a link that somebody put there.
pub fn write(inside: &Handle, number: u64) -> io::Result<()> {
    match inside.remove(PART) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let file = inside.open_at(PART, Open::New)?;
    file.write_all_at(format!("{number}\n").as_bytes(), 0)?;
    file.sync()?;
    inside.rename(PART, inside, NAME, RenameFlags::empty())?;
    Ok(inside.sync()?)
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
