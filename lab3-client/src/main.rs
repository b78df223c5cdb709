//! The command `lab3`.
#![expect(clippy::disallowed_methods, reason = "the arguments")]

use std::process::ExitCode;

fn main() -> ExitCode {
    lab3_client::run::run(std::env::args_os()).into()
}
