//! The `turnbridge` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    turnbridge::cli::run(std::env::args_os()).into()
}
