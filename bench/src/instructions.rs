//! How many instructions each part takes, compared with what was accepted. A count is the same on a
//! loaded machine and on an idle one, so it shows a few percent that no clock would.
//!
//! `valgrind` runs this program anew for each part and counts within one function only, so that
//! making ready does not count. What the kernel does is not in it, and neither is waiting.
#![expect(clippy::disallowed_methods, reason = "another program is run, and its file is read")]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::dice::Dice;
use crate::parts::{Ground, Part};
use crate::programs::is_installed;
use crate::reference::{Reference, Verdict};
use crate::run::Bench;

/// The function in which counting is on.
const COUNTED: &str = "--toggle-collect=bench::parts::counted";
/// What the counter writes, in the directory of the part.
const COUNTS: &str = "counts";
/// The input is always the same.
const SEED: u64 = 1;

/// Where the reference is when nothing else is said.
pub(crate) fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/instructions.txt")
}

/// Runs one part, once, in the current directory: that is what is counted.
pub(crate) fn once(name: &str) -> Result<()> {
    let part = Part::named(name).with_context(|| format!("there is no part `{name}`"))?;
    let mut ground = Ground { place: PathBuf::from("."), dice: Dice(SEED), stepped: true };
    let mut work = part.make(&mut ground)?;
    work.ready()?;
    part.run(&mut *work)
}

/// Counts all parts, then compares or renews the reference.
pub(crate) fn instructions(bench: &mut Bench) -> Result<()> {
    if !is_installed("valgrind") {
        bench.report.remark("SKIPPED instructions: `valgrind` is not installed");
        return Ok(());
    }
    let file = bench.arguments.reference.clone().unwrap_or_else(reference);
    let reference = match fs::read_to_string(&file) {
        Ok(text) => Reference::parse(&text).with_context(|| format!("`{}`", file.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Reference::default(),
        Err(error) => return Err(error).with_context(|| format!("`{}`", file.display())),
    };
    let ground = ground()?;
    let mut counts = BTreeMap::new();
    for part in bench.arguments.wanted_parts()? {
        let place = bench.place(&format!("instructions/{}", part.name));
        let count = count(part, &place).with_context(|| part.name)?;
        let accepted = reference.parts.get(part.name).map(|accepted| accepted.count as f64);
        let beside: Vec<_> = accepted.into_iter().map(|count| ("reference", count)).collect();
        bench.report.one(part.name, "instructions", count as f64, &beside);
        counts.insert(part.name.to_owned(), count);
    }
    let all = bench.arguments.parts.is_empty();
    if bench.arguments.renew {
        ensure!(all, "a reference is renewed as a whole");
        let text = reference.renewed(ground, &counts).text();
        return fs::write(&file, text).with_context(|| format!("`{}`", file.display()));
    }
    let differences = reference.differs(&ground);
    if !differences.is_empty() {
        let differences = differences.join("; ");
        bench.report.remark(&format!("SKIPPED instructions: another ground: {differences}"));
        return Ok(());
    }
    compare(bench, &reference, &counts);
    Ok(())
}

fn compare(bench: &mut Bench, reference: &Reference, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        let Some(accepted) = reference.parts.get(name) else {
            bench.report.fail(&format!("`{name}` has no count in the reference: renew it"));
            continue;
        };
        let (was, percent) = (accepted.count, accepted.percent);
        match reference.judge(name, *count) {
            Verdict::More => bench.report.fail(&format!(
                "`{name}` takes {count} instructions and took {was}: more than {percent} % more"
            )),
            Verdict::Less => bench.report.remark(&format!(
                "`{name}` takes less than it did: renew the reference, so that it stays so"
            )),
            Verdict::Same | Verdict::New => {}
        }
    }
    for name in reference.parts.keys().filter(|name| Part::named(name).is_none()) {
        bench.report.fail(&format!("`{name}` is in the reference and is no part: renew it"));
    }
}

/// Counts one part. Nothing of its surroundings gets in: no environment, and the same names.
fn count(part: &Part, place: &Path) -> Result<u64> {
    fs::create_dir_all(place)?;
    let counts = format!("--callgrind-out-file={COUNTS}");
    let own = std::env::current_exe().context("where this program is cannot be told")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", COUNTED, &counts]).arg(own).args(["--part", part.name]);
    command.current_dir(place).env_clear().env("PATH", path);
    let said = command.output().context("`valgrind` cannot be run")?;
    let complaint = String::from_utf8_lossy(&said.stderr);
    if !said.status.success() {
        bail!("`valgrind` ended with {}: {}", said.status, complaint.trim());
    }
    let text = fs::read_to_string(place.join(COUNTS)).context("what `valgrind` has counted")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    match total.and_then(|total| total.trim().parse().ok()) {
        Some(count @ 1..) => Ok(count),
        _ => bail!("`valgrind` has counted nothing: {}", complaint.trim()),
    }
}

/// On what is counted: whatever may change a count though the sources are the same.
fn ground() -> Result<BTreeMap<String, String>> {
    let said = |program: &str, argument: &str| -> Result<String> {
        let said = Command::new(program).arg(argument).output();
        let said = said.with_context(|| format!("`{program}` cannot be run"))?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let ground = [
        ("compiler", env!("BENCH_COMPILER").to_owned()),
        ("counter", said("valgrind", "--version")?),
        ("libc", said("getconf", "GNU_LIBC_VERSION")?),
        ("processor", processor().to_owned()),
    ];
    Ok(ground.map(|(word, what)| (word.to_owned(), what)).into())
}

/// Digests and copies take other ways on other processors.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "x86_64 with AVX2";
    }
    std::env::consts::ARCH
}
