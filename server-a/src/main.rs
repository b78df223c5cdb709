//! The binary: arguments, then the server until it is told to stop.

use std::process::ExitCode;

use clap::Parser;
use common::talk;
use server_a::cli::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let voice = talk::start(arguments.talk.volume(), arguments.talk.format());
    let end = server_a::run_until_stopped(arguments.into_config());
    drop(voice);
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = common::replica::service::hint(&error);
            talk::complain("server-a", &format!("{error:#}"), hint)
        }
    }
}
