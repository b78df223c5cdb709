//! What all fuzz targets share: what a target is, its kept inputs, and the short run.
//!
//! A target is a function of bytes that breaks a law by panicking. It is run in two ways: here, in
//! every `cargo test`, with kept inputs and mutants of them from a seed; and by libFuzzer
//! (`bench/fuzz`), which looks at what an input reaches. Each target begins with honest inputs that
//! it must understand, so that none is tried on noise only.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use common::digest::Digest;

/// Something that reads bytes from outside.
pub(crate) struct Target {
    /// Its name, that of its folder in `fixtures/corpus`, too.
    pub(crate) name: &'static str,
    /// Reads; panics when a law is broken. Answers whether the bytes meant something.
    pub(crate) run: fn(&[u8]) -> bool,
    /// Inputs that mean something.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Mutants in the short run.
    pub(crate) mutants: u64,
}

/// Mutants in the full form, for each in the short one.
const FULL: u64 = 200;
/// Longest mutant in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Numbers at which readers go wrong.
const NUMBERS: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 1 << 20, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX];

/// A fresh directory in memory, where the system has one: thousands of them are made.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// Takes a byte off the front; zero when there is none.
pub(crate) fn byte(bytes: &mut &[u8]) -> u8 {
    match bytes.split_first() {
        Some((first, rest)) => {
            *bytes = rest;
            *first
        }
        None => 0,
    }
}

/// Takes a number off the front.
pub(crate) fn number(bytes: &mut &[u8]) -> u64 {
    (0..8).fold(0, |number, _| number << 8 | u64::from(byte(bytes)))
}

/// The short run: honest inputs, kept inputs, mutants. `LAB3_FUZZ_INPUT=FILE` runs one input only;
/// `LAB3_BLESS=1` keeps the honest ones, which is what libFuzzer starts from.
pub(crate) fn short(target: &Target) {
    if let Some(file) = std::env::var_os("LAB3_FUZZ_INPUT") {
        let meant = (target.run)(&fs::read(&file).expect("the input"));
        return eprintln!("{}: {file:?} means something: {meant}", target.name);
    }
    let seeds = (target.seeds)();
    for (n, seed) in seeds.iter().enumerate() {
        assert!((target.run)(seed), "{}: honest input {n} means nothing", target.name);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/corpus").join(target.name);
    if std::env::var_os("LAB3_BLESS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for seed in &seeds {
            let name = Digest::of(seed).to_string();
            fs::write(folder.join(&name[..16]), seed).expect("written");
        }
    }
    let kept = kept(&folder);
    for input in &kept {
        run(target, input, None);
    }
    let from = std::env::var("LAB3_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let is_full = std::env::var_os("LAB3_FULL").is_some_and(|value| value == "1");
    let mutants = target.mutants * if is_full { FULL } else { 1 };
    let parents: Vec<&Vec<u8>> = seeds.iter().chain(&kept).collect();
    let mut dice = Dice(from);
    let understood =
        (0..mutants).filter(|_| run(target, &mutant(&parents, &mut dice), Some(from))).count();
    eprintln!(
        "fuzz {}: {} honest and {} kept inputs, {mutants} mutants from seed {from}, of which \
         {understood} meant something",
        target.name,
        seeds.len(),
        kept.len(),
    );
}

fn kept(folder: &Path) -> BTreeSet<Vec<u8>> {
    let Ok(files) = fs::read_dir(folder) else { return BTreeSet::new() };
    let path = |file: std::io::Result<fs::DirEntry>| file.expect("a file").path();
    files.map(|file| fs::read(path(file)).expect("an input")).collect()
}

/// Runs an input, and says how to run it again when it breaks a law.
fn run(target: &Target, input: &[u8], seed: Option<u64>) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).unwrap_or_else(|panic| {
        let file = aside(target.name, input);
        eprintln!(
            "{}: found with seed {seed:?}; LAB3_FUZZ_INPUT={} runs it again with the same \
             test, and it stays with all tests once it is in fixtures/corpus/{}",
            target.name,
            file.display(),
            target.name
        );
        std::panic::resume_unwind(panic)
    })
}

fn aside(name: &str, input: &[u8]) -> PathBuf {
    let digest = Digest::of(input).to_string();
    let file = std::env::temp_dir().join(format!("lab3-fuzz-{name}-{}", &digest[..16]));
    fs::write(&file, input).expect("written");
    file
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.0 >> 33) as usize % most.max(1)
    }
}

fn mutant(parents: &[&Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = parents[dice.below(parents.len())].clone();
    let most = [1, 1, 2, 6][dice.below(4)];
    for _ in 0..=dice.below(most) {
        // What decides stands at the beginning, as a rule.
        let most = if dice.below(2) == 0 { bytes.len().min(24) } else { bytes.len() };
        let at = dice.below(most + 1);
        let end = (at + 1 + dice.below(16)).min(bytes.len()).max(at);
        match dice.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.insert(at, dice.below(256) as u8),
            5 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            6 => {
                let number = NUMBERS[dice.below(NUMBERS.len())].to_be_bytes();
                let width = [1, 2, 4, 8][dice.below(4)];
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number[8 - width..].iter().copied());
            }
            7 => {
                let other = parents[dice.below(parents.len())];
                let from = dice.below(other.len() + 1);
                let to = (from + dice.below(64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let other = parents[dice.below(parents.len())];
                bytes.truncate(at);
                bytes.extend(&other[dice.below(other.len() + 1)..]);
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}
