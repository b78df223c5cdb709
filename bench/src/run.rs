//! One run: fresh directories, the scenarios in their order, the report.
//!
//! Nothing is removed before the end, and then everything: a file system that has just freed many
//! files is slow at making new ones.
#![expect(clippy::disallowed_methods, reason = "directories, and what the machine says of itself")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Map;
use tempfile::TempDir;

use crate::cli::{Arguments, Scenario};
use crate::dice::Dice;
use crate::pair::Pair;
use crate::programs::Programs;
use crate::report::Report;
use crate::{bulk, delta, floor, growth, instructions, latency, micro, quiet, rivals, slow};

/// What the scenarios share.
pub(crate) struct Bench {
    /// What is asked for.
    pub(crate) arguments: Arguments,
    /// Where the figures go.
    pub(crate) report: Report,
    /// Where chance comes from.
    pub(crate) dice: Dice,
    /// The tree of small files in care; several scenarios use it.
    pub(crate) small: Option<Pair>,
    programs: Programs,
    base: PathBuf,
}

/// Measures what is asked for; answers whether everything came true.
pub(crate) fn run(arguments: Arguments) -> Result<bool> {
    if let Some(part) = &arguments.part {
        return instructions::once(part).map(|()| true);
    }
    let programs = Programs::find(arguments.programs.as_deref())?;
    let dir = fresh(arguments.dir.as_deref())?;
    let dice = Dice(arguments.seed);
    let base = dir.path().to_owned();
    let report = Report::to(Box::new(io::stdout()));
    let mut bench = Bench { arguments, report, dice, small: None, programs, base };
    let about = bench.about();
    if cfg!(debug_assertions) {
        bench.report.remark("not a release build: these figures say little");
    }
    for scenario in Scenario::ALL {
        if bench.arguments.wants(scenario) {
            bench.report.begin(&scenario.name());
            if let Err(error) = bench.scenario(scenario) {
                bench.report.fail(&format!("{error:#}"));
            }
        }
    }
    if let Some(file) = &bench.arguments.json {
        let document = bench.report.document(about);
        fs::write(file, document).with_context(|| format!("`{}`", file.display()))?;
    }
    // The servers end before their directories go.
    bench.small = None;
    dir.close().context("the directories cannot be removed")?;
    Ok(bench.report.is_good())
}

fn fresh(parent: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("lab3-bench-");
    match parent {
        Some(parent) => {
            fs::create_dir_all(parent).with_context(|| format!("`{}`", parent.display()))?;
            builder.tempdir_in(parent)
        }
        None => builder.tempdir(),
    }
    .context("no directory can be made")
}

impl Bench {
    fn scenario(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Instructions => instructions::instructions(self),
            Scenario::Micro => micro::micro(self),
            Scenario::Latency => latency::latency(self),
            Scenario::Floor => floor::floor(self),
            Scenario::Small => bulk::small(self),
            Scenario::Compare => rivals::compare(self),
            Scenario::Restart => quiet::restart(self),
            Scenario::Idle => quiet::idle(self),
            Scenario::Listing => quiet::listing(self),
            Scenario::Large => bulk::large(self),
            Scenario::Delta => delta::delta(self),
            Scenario::Slow => slow::slow(self),
            Scenario::Burst => bulk::burst(self),
            Scenario::Directory => bulk::directory(self),
            Scenario::Growth => growth::growth(self),
        }
    }

    /// A place that nothing has used.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Two fresh directories for this scenario, and no server yet.
    pub(crate) fn pair(&self, name: &str) -> Result<Pair> {
        Pair::new(&self.place(name), &self.programs, self.arguments.relaxed)
    }

    /// On what it is measured, and how: printed, and part of the document.
    fn about(&mut self) -> Map<String, serde_json::Value> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        let load = read("/proc/loadavg");
        let disk = rustix::fs::statfs(&self.base).map_or(0, |about| about.f_type);
        let durability = if self.arguments.relaxed { "relaxed" } else { "strict" };
        let command: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        self.report.print(&format!(
            "{processors} processors, Linux {kernel}, file system {disk:#x}, load {load}, \
             durability {durability}, seed {}\n",
            self.arguments.seed
        ));
        let mut about = Map::new();
        about.insert("processors".to_owned(), processors.into());
        about.insert("kernel".to_owned(), kernel.into());
        about.insert("load".to_owned(), load.into());
        about.insert("file_system".to_owned(), format!("{disk:#x}").into());
        about.insert("durability".to_owned(), durability.into());
        about.insert("release".to_owned(), (!cfg!(debug_assertions)).into());
        about.insert("command".to_owned(), command.into());
        about.insert("seed".to_owned(), self.arguments.seed.into());
        about
    }
}

/// Seconds from one moment to another.
pub(crate) fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}
