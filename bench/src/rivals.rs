//! The other programs that are installed, on the tree of small files: what a first copy takes them.
//! They run once and end; lab3 goes on caring for what it has brought.
#![expect(clippy::disallowed_methods, reason = "other programs are run")]

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bulk::{small_tree, timed};
use crate::programs::is_installed;
use crate::run::Bench;

/// Runs those that are there, and names the others.
pub(crate) fn compare(bench: &mut Bench) -> Result<()> {
    let source = small_tree(bench)?.a.clone();
    let ours = bench.report.median("small", "to equal trees");
    for name in ["rsync", "unison", "syncthing", "mutagen"] {
        let target = bench.place(&format!("compare-{name}"));
        let mut command = Command::new(name);
        match name {
            _ if !is_installed(name) => {
                bench.report.remark(&format!("`{name}` is not installed"));
                continue;
            }
            "rsync" => {
                command.args(["-a", "--exclude=/.lab3"]).arg(source.join("")).arg(&target);
            }
            "unison" => {
                fs::create_dir_all(&target)?;
                command.arg(&source).arg(&target).args(["-batch", "-silent"]);
                command.args(["-ignore", "Path .lab3", "-confirmbigdel=false"]);
                command.env("UNISON", bench.place("compare-unison-state"));
            }
            _ => {
                bench.report.remark(&format!("`{name}` is installed, and not driven here"));
                continue;
            }
        }
        let (taken, flushed) = timed(&mut command, &bench.place("")).context(name)?;
        let beside = [("lab3", ours), ("flushed", Some(flushed))];
        let beside: Vec<(&str, f64)> =
            beside.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        bench.report.one(name, "s", taken, &beside);
    }
    Ok(())
}
