//! The command line of server B.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use common::options::{IdentityOptions, ReplicaOptions, TalkOptions};

use crate::Config;

/// Keeps a directory identical with that of server A, which dials in
#[derive(Debug, Parser)]
#[command(name = "server-b", version, after_help = "Example: server-b ./directory_b")]
pub struct Arguments {
    /// The directory to take into care
    pub directory: PathBuf,
    /// Where to wait for server A; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7999")]
    pub listen: SocketAddr,
    /// Who the server is
    #[command(flatten)]
    pub identity: IdentityOptions,
    /// How the directory is cared for
    #[command(flatten)]
    pub replica: ReplicaOptions,
    /// How the server speaks
    #[command(flatten)]
    pub talk: TalkOptions,
}

impl Arguments {
    /// What the server is started with.
    #[must_use]
    pub fn into_config(self) -> Config {
        Config {
            directory: self.directory,
            listen: self.listen,
            identity: self.identity.identity,
            replica: self.replica,
        }
    }
}
