//! Both servers in one process: `lab3 up DIR_A DIR_B`.

use std::path::PathBuf;

use clap::Args;

/// What to run on.
#[derive(Debug, Args)]
pub struct UpOptions {
    /// Server A's directory
    pub dir_a: PathBuf,
    /// Server B's directory
    pub dir_b: PathBuf,
    /// Where server A listens for clients
    #[arg(long, value_name = "HOST:PORT", default_value = crate::cli::DEFAULT_SERVER)]
    pub listen: String,
}

/// Runs both servers until they are told to stop.
pub fn run_both_servers(options: &UpOptions) -> anyhow::Result<()> {
    anyhow::bail!(
        "not built yet: `{}` and `{}` would be served at {}",
        options.dir_a.display(),
        options.dir_b.display(),
        options.listen
    )
}
