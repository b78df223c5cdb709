//! The command line of server A.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use common::options::{IdentityOptions, ReplicaOptions, TalkOptions, dialled};
use common::reconcile::safety::Limits;

use crate::Config;
use crate::pending::queue::HeldLimits;

/// Keeps a directory identical with that of server B, and serves `lab3`
#[derive(Debug, Parser)]
#[command(name = "server-a", version, after_help = "Example: server-a ./directory_a")]
pub struct Arguments {
    /// The directory to take into care
    pub directory: PathBuf,
    /// Where to wait for clients; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4320")]
    pub listen: SocketAddr,
    /// Where server B waits
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7999")]
    #[arg(value_parser = dialled)]
    pub peer: String,
    /// Who the server is
    #[command(flatten)]
    pub identity: IdentityOptions,
    /// When to stop and ask
    #[command(flatten)]
    pub limits: LimitOptions,
    /// How the directory is cared for
    #[command(flatten)]
    pub replica: ReplicaOptions,
    /// How the server speaks
    #[command(flatten)]
    pub talk: TalkOptions,
}

/// When to stop and ask.
#[derive(Clone, Debug, Args)]
pub struct LimitOptions {
    /// Files that may be removed or overwritten within ten minutes in any case
    #[arg(long, value_name = "N", default_value_t = Limits::default().files_min)]
    pub loss_files: u64,
    /// … and the share of all files, in percent, above which it halts
    #[arg(long, value_name = "PERCENT", default_value_t = Limits::default().share_percent)]
    pub loss_percent: u64,
    /// Bytes of B's edits that may be held, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 10)]
    pub held_gib: u64,
    /// Bytes that the journal of what happened may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    pub journal_size: u64,
    /// Seconds after a change until both sides are compared; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(..1 << 32))]
    pub verify_every: u64,
}

impl Default for LimitOptions {
    fn default() -> Self {
        let Limits { files_min, share_percent, .. } = Limits::default();
        LimitOptions {
            loss_files: files_min,
            loss_percent: share_percent,
            held_gib: 10,
            journal_size: 64,
            verify_every: 60,
        }
    }
}

impl LimitOptions {
    /// When to halt.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let (files_min, share_percent) = (self.loss_files, self.loss_percent);
        Limits { files_min, share_percent, ..Limits::default() }
    }

    /// How many bytes the journal may take.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.journal_size.saturating_mul(1 << 20)
    }

    /// How long after a change both sides are compared; never when absent.
    #[must_use]
    pub fn check_every(&self) -> Option<Duration> {
        (self.verify_every > 0).then(|| Duration::from_secs(self.verify_every))
    }

    /// How much may be held.
    #[must_use]
    pub fn held(&self) -> HeldLimits {
        HeldLimits { bytes_max: self.held_gib.saturating_mul(1 << 30), ..HeldLimits::default() }
    }
}

impl Arguments {
    /// What the server is started with.
    #[must_use]
    pub fn into_config(self) -> Config {
        Config {
            directory: self.directory,
            listen: self.listen,
            peer: self.peer,
            identity: self.identity.identity,
            limits: self.limits.limits(),
            held: self.limits.held(),
            journal_bytes: self.limits.journal_bytes(),
            check_every: self.limits.check_every(),
            replica: self.replica,
        }
    }
}
