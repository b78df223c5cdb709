//! The options that both servers have. `clap` stops here and in each `cli` module.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::talk::{Format, Volume};

/// How a directory is cared for.
#[derive(Clone, Debug, Args)]
pub struct ReplicaOptions {
    /// Where state goes, but for the id and the staging area [default: DIR/.lab3]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Whether every change is on disk before it counts
    #[arg(long, value_enum, default_value = "strict")]
    pub durability: DurabilityOption,
    /// Seconds between full scans that find what watching missed; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub scrub: u64,
    /// Days that replaced and deleted versions stay in trash
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    pub trash_days: u64,
    /// Bytes that trash may take, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 10)]
    pub trash_gib: u64,
    /// Free space that is left on the disk: what would take more of it waits, in MiB; 0 for none
    /// [default: 1 % of the disk, at most 1024]
    #[arg(long, value_name = "MIB")]
    pub min_free: Option<u64>,
    /// Directories that are watched at most; the rest is polled
    #[arg(long, value_name = "N")]
    pub watches_max: Option<usize>,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        ReplicaOptions {
            state_dir: None,
            durability: DurabilityOption::Strict,
            scrub: 600,
            trash_days: 7,
            trash_gib: 10,
            min_free: None,
            watches_max: None,
        }
    }
}

impl ReplicaOptions {
    /// The time between full scans; none when there are to be none.
    #[must_use]
    pub fn scrub_every(&self) -> Option<Duration> {
        (self.scrub > 0).then(|| Duration::from_secs(self.scrub))
    }
}

/// Whether every change is on disk before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityOption {
    /// It is: a power cut loses nothing that was agreed
    Strict,
    /// It is when the kernel gets round to it
    Relaxed,
}

/// Who this program is to others.
#[derive(Clone, Debug, Default, Args)]
pub struct IdentityOptions {
    /// Where the key is, and whom it trusts [default: ~/.config/lab3]
    #[arg(long, global = true, value_name = "DIR", env = "LAB3_IDENTITY", hide_env_values = true)]
    pub identity: Option<PathBuf>,
}

/// How a server speaks.
#[derive(Clone, Debug, Default, Args)]
pub struct TalkOptions {
    /// Say only what goes wrong
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(long, short)]
    pub verbose: bool,
    /// How lines look
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// An address to dial, `HOST:PORT`: a name, or numbers.
pub fn dialled(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("an address is HOST:PORT".to_owned()),
    }
}

impl TalkOptions {
    /// How much is said.
    #[must_use]
    pub fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (_, true) => Volume::Verbose,
            _ => Volume::Normal,
        }
    }

    /// How lines look.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        }
    }
}
