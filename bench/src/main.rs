//! How fast lab3 is, from end to end: real binaries on real directories, and beside every figure
//! what the same takes without lab3. See `docs/performance.md`.

mod bulk;
mod cli;
mod delta;
mod dice;
mod figures;
mod floor;
mod growth;
mod instructions;
mod latency;
mod micro;
mod pair;
mod parts;
mod plot;
mod programs;
mod proxy;
mod quiet;
mod reference;
mod report;
mod rivals;
mod run;
mod shape;
mod slow;
mod tree;
mod usage;
mod wait;

use std::process::ExitCode;

use crate::cli::Arguments;

fn main() -> ExitCode {
    match run::run(Arguments::of_process()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::complain(&format!("bench: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}
