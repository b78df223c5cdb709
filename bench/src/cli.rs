//! The command line: what is measured, and how large it is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::parts::{self, Part};

/// What can be measured, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// How many instructions single parts take, compared with what was accepted
    Instructions,
    /// How long the same parts take
    Micro,
    /// One change at a time, until it is seen on the other side
    Latency,
    /// The same through a loop that only watches and copies
    Floor,
    /// First synchronization of many small files
    Small,
    /// The same tree by the other programs that are installed
    Compare,
    /// Both servers stopped, an edit on each side, both started
    Restart,
    /// Processor time and memory when nothing happens
    Idle,
    /// `lab3` beside `ls -lR`
    Listing,
    /// First synchronization of one large file
    Large,
    /// One byte of a large file
    Delta,
    /// Edits and a first synchronization over a link of 10 Mbit/s and 40 ms each way
    Slow,
    /// Many files at once
    Burst,
    /// Renaming and removing a directory; last, because removing spoils what creates after it
    Directory,
    /// Edits and first synchronizations of trees of several sizes; only when it is named
    Growth,
}

impl Scenario {
    /// All of them, in order.
    pub(crate) const ALL: [Scenario; 15] = [
        Scenario::Instructions,
        Scenario::Micro,
        Scenario::Latency,
        Scenario::Floor,
        Scenario::Small,
        Scenario::Compare,
        Scenario::Restart,
        Scenario::Idle,
        Scenario::Listing,
        Scenario::Large,
        Scenario::Delta,
        Scenario::Slow,
        Scenario::Burst,
        Scenario::Directory,
        Scenario::Growth,
    ];

    /// As it is called on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures lab3 from end to end: starts the real servers on fresh directories, works in these, and
/// says how long it takes until the other side shows it
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Arguments {
    /// Only these, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) only: Vec<Scenario>,
    /// Everything small: a few seconds in all, to see that it works
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write all figures, with each single measurement, to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the fresh directories are made [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The servers flush nothing to the disk
    #[arg(long)]
    pub(crate) relaxed: bool,
    /// Where `server-a`, `server-b` and `lab3` are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
    /// instructions: the accepted counts [default: those of the sources]
    #[arg(long, value_name = "FILE")]
    pub(crate) reference: Option<PathBuf>,
    /// instructions: accept what is counted
    #[arg(long)]
    pub(crate) renew: bool,
    /// Run one part, once, in the current directory; this is what is counted
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) part: Option<String>,
    /// Chooses contents, names and pauses
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// A wait that takes longer counts as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) deadline: u64,
    /// micro, instructions: only these parts, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) parts: Vec<String>,
    /// micro: how often each part is measured
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) rounds: usize,
    /// latency, floor: files of 1 KiB that are there already
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) tree: usize,
    /// latency, floor, slow, growth: changes of each kind, each way
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) changes: usize,
    /// small, compare, restart, idle, listing: files of 1 to 8 KiB
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) small: usize,
    /// large: size of the file
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) large: usize,
    /// delta: size of the file
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(crate) delta: usize,
    /// slow: size of the file
    #[arg(long, value_name = "MIB", default_value_t = 20)]
    pub(crate) slow: usize,
    /// growth: files of 1 KiB, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1000,10000,100000")]
    pub(crate) sizes: Vec<usize>,
    /// growth: write plots to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// burst: files of 1 to 4 KiB
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) burst: usize,
    /// directory: files in the directory
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub(crate) directory: usize,
    /// idle: how long
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) idle: u64,
    /// Milliseconds between two changes, from and to; only `quick` sets them
    #[arg(skip = (50, 200))]
    pub(crate) pause: (u64, u64),
}

impl Arguments {
    /// The command line of this process, as small as it wants to be.
    pub(crate) fn of_process() -> Arguments {
        Arguments::parse().shrunk()
    }

    fn shrunk(self) -> Arguments {
        if !self.quick {
            return self;
        }
        Arguments {
            rounds: self.rounds.min(2),
            tree: self.tree.min(50),
            changes: self.changes.min(3),
            small: self.small.min(200),
            large: self.large.min(4),
            delta: self.delta.min(2),
            slow: self.slow.min(1),
            sizes: vec![20, 200],
            burst: self.burst.min(200),
            directory: self.directory.min(100),
            idle: self.idle.min(1),
            pause: (5, 20),
            ..self
        }
    }

    /// Whether a scenario is asked for.
    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        match self.only.as_slice() {
            // It takes as long as all others together.
            [] => scenario != Scenario::Growth,
            only => only.contains(&scenario),
        }
    }

    /// Which of the parts are asked for.
    pub(crate) fn wanted_parts(&self) -> Result<Vec<&'static Part>> {
        if self.parts.is_empty() {
            return Ok(parts::ALL.iter().collect());
        }
        let named = |name: &String| Part::named(name).with_context(|| format!("no part `{name}`"));
        self.parts.iter().map(named).collect()
    }

    /// The longest that anything may take.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_order_names_every_scenario() {
        assert_eq!(Scenario::ALL.as_slice(), Scenario::value_variants());
        assert!(Scenario::ALL.is_sorted());
    }

    #[test]
    fn quick_makes_nothing_larger() {
        let quick = Arguments::parse_from(["bench", "--quick", "--tree", "7"]).shrunk();
        assert_eq!((quick.tree, quick.changes), (7, 3));
    }
}
