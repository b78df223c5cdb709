//! The other programs that are installed, on the tree of small files: what a first copy takes them.
//! They run once and end; lab3 goes on caring for what it has brought.
#![expect(clippy::disallowed_methods, reason = "other programs are run, and time")]

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::bulk::{small_tree, timed};
use crate::programs::is_installed;
use crate::run::Bench;
use crate::wait;

/// Runs those that are there, and names the others.
pub(crate) fn compare(bench: &mut Bench) -> Result<()> {
    let source = small_tree(bench)?.a.clone();
    let mut others = Vec::new();
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
                command.args(["-ignore", "Path .lab3"]);
                command.env("UNISON", bench.place("compare-unison-state"));
            }
            _ => {
                bench.report.remark(&format!("`{name}` is installed, and not driven here"));
                continue;
            }
        }
        let (taken, flushed) = timed(&mut command, &bench.place("")).context(name)?;
        wait::equal(&source, &target, Instant::now(), bench.arguments.patience()).context(name)?;
        bench.report.one(name, "s", taken, &[]);
        bench.report.one(&format!("{name} and flush"), "s", flushed, &[]);
        others.push((name, taken));
    }
    match bench.report.median("small", "to equal trees") {
        _ if others.is_empty() => {}
        Some(ours) => bench.report.one("lab3, to equal trees", "s", ours, &others),
        None => bench.report.remark("without `small` there is nothing to compare these with"),
    }
    Ok(())
}
