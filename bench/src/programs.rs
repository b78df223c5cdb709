//! The programs that are measured: found beside this one, or where the command line says.
#![expect(clippy::disallowed_methods, reason = "looks for files")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Where the three binaries are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Server A.
    pub(crate) server_a: PathBuf,
    /// Server B.
    pub(crate) server_b: PathBuf,
    /// The client.
    pub(crate) lab3: PathBuf,
}

impl Programs {
    /// Looks in this directory, or where this program is.
    pub(crate) fn find(directory: Option<&Path>) -> Result<Programs> {
        let own = std::env::current_exe().context("where this program is cannot be told")?;
        let own = own.parent().context("this program is in no directory")?;
        let directory = directory.unwrap_or(own);
        let release = if own.ends_with("release") { " --release" } else { "" };
        let find = |name| {
            let path = directory.join(name);
            if !path.is_file() {
                bail!(
                    "there is no `{}`\nhint: build all programs with \
                     `cargo build{release} --workspace`, or name their directory with `--programs`",
                    path.display()
                );
            }
            path.canonicalize().with_context(|| format!("`{}` cannot be found", path.display()))
        };
        Ok(Programs {
            server_a: find("server-a")?,
            server_b: find("server-b")?,
            lab3: find("lab3")?,
        })
    }
}

/// Whether a program of this name is installed.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let said = command.output().with_context(|| format!("`{command:?}` cannot be run"))?;
    if !said.status.success() {
        let complaint = String::from_utf8_lossy(&said.stderr);
        bail!("`{command:?}` ended with {}: {}", said.status, complaint.trim());
    }
    Ok(())
}
