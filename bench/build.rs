//! Tells the program by which compiler, and how, it is being made: what its parts take is counted
//! in instructions, and another compiler makes others.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "this is how a build script works"
)]

use std::env::var;
use std::process::Command;

fn main() {
    let said = var("RUSTC").map(|rustc| Command::new(rustc).arg("--version").output());
    let version = match said {
        Ok(Ok(said)) => String::from_utf8_lossy(&said.stdout).trim().to_owned(),
        _ => "an unknown compiler".to_owned(),
    };
    let level = var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=BENCH_COMPILER={version}, opt-level {level}");
    println!("cargo:rerun-if-changed=build.rs");
}
