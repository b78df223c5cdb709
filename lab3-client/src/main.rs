//! The command `lab3`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab3_client::run::run(std::env::args_os()).into()
}
