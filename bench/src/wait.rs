//! Waiting until something is there, and comparing trees.
//!
//! Whether two trees are equal is found out here, and no server is asked. To look at ten thousand
//! files again and again would disturb what is measured. So the one who waits says what he expects,
//! path by path, and only the first thing that is not there yet is looked at; when all were seen,
//! both trees are compared once, in names, kinds, sizes and contents.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "files, and time")]

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::tree::{Listing, Seen, list};

/// How often what is expected is looked for.
const POLL: Duration = Duration::from_micros(200);
/// How many differences are named.
const NAMED_MAX: usize = 10;

/// Waits until something holds; answers when that was.
pub(crate) fn until(
    what: &str,
    patience: Duration,
    mut holds: impl FnMut() -> bool,
) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    while !holds() {
        if Instant::now() > deadline {
            bail!("not in time: {what}");
        }
        sleep(POLL);
    }
    Ok(Instant::now())
}

/// Waits until the tree shows all that is expected, in whatever order, and is then equal to the
/// other. Answers when that was.
pub(crate) fn converge(
    source: &Path,
    target: &Path,
    expected: &Listing,
    patience: Duration,
) -> Result<Instant> {
    let shown = shown(source, target, expected, patience)?;
    equal(source, target, shown, patience)
}

/// Waits until the tree shows all that is expected; answers when it did.
pub(crate) fn shown(
    source: &Path,
    target: &Path,
    expected: &Listing,
    patience: Duration,
) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    let mut missing = expected.iter().peekable();
    while let Some((path, seen)) = missing.peek() {
        if Seen::at(&target.join(path)) == **seen {
            missing.next();
        } else if Instant::now() > deadline {
            let count = missing.count();
            let rest = differences(&list(source), &list(target));
            bail!("not there in time: {count} of {} entries; {}", expected.len(), named(&rest));
        } else {
            sleep(POLL);
        }
    }
    let at = Instant::now();
    if at > deadline {
        bail!("all {} entries are there, and too late", expected.len());
    }
    Ok(at)
}

/// Compares both trees, again and again while they differ. Answers when they were equal: at the
/// given moment if the first look finds them so.
pub(crate) fn equal(
    source: &Path,
    target: &Path,
    shown: Instant,
    patience: Duration,
) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    let mut since = shown;
    loop {
        let (ours, theirs) = (list(source), list(target));
        let mut found = differences(&ours, &theirs);
        if found.is_empty() {
            found = unequal_contents(source, target, &ours);
        }
        if found.is_empty() {
            return Ok(since);
        }
        if Instant::now() > deadline {
            bail!("not equal in time: {}", named(&found));
        }
        sleep(Duration::from_millis(20));
        since = Instant::now();
    }
}

/// The paths at which two listings differ, with what each has.
fn differences(ours: &Listing, theirs: &Listing) -> Vec<String> {
    let missing = ours.iter().filter(|(path, seen)| theirs.get(*path) != Some(*seen));
    let missing = missing.map(|(path, seen)| {
        let other = theirs.get(path).unwrap_or(&Seen::Absent);
        format!("`{}`: {seen:?} here, {other:?} there", path.display())
    });
    let more = theirs.iter().filter(|(path, _)| !ours.contains_key(*path));
    let more = more.map(|(path, seen)| format!("`{}`: only there, {seen:?}", path.display()));
    missing.chain(more).collect()
}

fn unequal_contents(source: &Path, target: &Path, listing: &Listing) -> Vec<String> {
    let files = listing.iter().filter(|(_, seen)| matches!(seen, Seen::File(_)));
    files
        .filter(|(path, _)| !is_same(&source.join(path), &target.join(path)).unwrap_or(false))
        .map(|(path, _)| format!("`{}`: another content", path.display()))
        .collect()
}

/// Whether two files have the same content.
pub(crate) fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut here, mut there) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut here)?;
        if count == 0 {
            return Ok(other.read(&mut there)? == 0);
        }
        match other.read_exact(&mut there[..count]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if here[..count] != there[..count] {
            return Ok(false);
        }
    }
}

fn named(differences: &[String]) -> String {
    let mut text = differences.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if differences.len() > NAMED_MAX {
        text += &format!(" and {} more", differences.len() - NAMED_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::dice::Dice;
    use crate::tree::make;

    #[test]
    fn trees_are_equal_in_names_sizes_and_contents_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for root in [&a, &b] {
            fs::create_dir(root).expect("a directory");
            make(root, (5, 2), (1, 9), &mut Dice(1)).expect("files");
        }
        fs::create_dir(a.join(".lab3")).expect("a directory");
        assert_eq!(list(&a).len(), 8);
        let shown = Instant::now();
        let look = || equal(&a, &b, shown, Duration::ZERO);
        assert_eq!(look().expect("equal"), shown);
        let first = b.join("d00000/f000000");
        let mut content = fs::read(&first).expect("a file");
        content[0] ^= 1;
        fs::write(&first, &content).expect("a file");
        let error = look().expect_err("another content").to_string();
        assert!(error.contains("f000000`: another content"), "{error}");
        fs::remove_file(&first).expect("a file");
        let error = look().expect_err("one is missing").to_string();
        assert!(error.contains("f000000`: File"), "{error}");
        fs::write(&first, fs::read(a.join("d00000/f000000")).expect("a file")).expect("a file");
        look().expect("equal again");
        fs::write(b.join("more"), "").expect("a file");
        let error = look().expect_err("one more").to_string();
        assert!(error.contains("`more`: only there"), "{error}");
    }

    #[test]
    fn what_is_not_shown_in_time_is_counted_and_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&b).expect("a directory");
        make(&a, (3, 2), (1, 9), &mut Dice(1)).expect("files");
        let error = shown(&a, &b, &list(&a), Duration::ZERO).expect_err("nothing is there");
        let error = error.to_string();
        assert!(error.contains("5 of 5 entries; `d00000`: Directory here"), "{error}");
        let gone = Listing::from([(PathBuf::from("x"), Seen::Absent)]);
        converge(&b, &b, &gone, Duration::from_secs(60)).expect("it was never there");
    }
}
