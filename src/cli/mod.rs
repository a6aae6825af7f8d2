//! The command line: one file per subcommand.

mod admin;
mod bench;
mod check;
mod completions;
mod credential;
mod drain;
mod exit;
mod explain;
mod healthcheck;
mod import;
mod kick;
mod log_level;
mod man;
mod output;
mod reload;
mod revoke;
mod serve;
mod sessions;
mod settings;
mod status;

pub use exit::Exit;

use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return print(&error),
    };
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Credential(args)) => credential::run(&args),
        Some(Command::Import(args)) => import::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Healthcheck(args)) => healthcheck::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Sessions(args)) => sessions::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Kick(args)) => kick::run(&args),
        Some(Command::Revoke(args)) => revoke::run(&args),
        Some(Command::Drain(args)) => drain::run(&args),
        Some(Command::Reload(args)) => reload::run(&args),
        Some(Command::LogLevel(args)) => log_level::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
    };
    done.unwrap_or_else(|failure| {
        if !failure.messages.is_empty() {
            output::note(failure.to_string().trim_end());
        }
        failure.exit
    })
}

/// What the program is called.
const NAME: &str = "turnbridge";

/// The whole command line, as a description.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// A STUN and TURN server
///
/// Without a command it serves. Without a configuration file it listens on port 3478 of all addresses, makes a secret
/// that it keeps, and prints a credential for a first try.
#[derive(Debug, Parser)]
#[command(name = NAME, version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a command)
    Serve(serve::ServeArgs),
    /// Say whether a configuration is good, and show what comes of it
    Check(check::CheckArgs),
    /// Make a time-limited credential, or say what is wrong with one
    Credential(Box<credential::CredentialArgs>),
    /// Make a configuration from one of coturn's, and say what of it is not the same
    Import(import::ImportArgs),
    /// Load a TURN server, check what it relays, and tell what it spends
    Bench(bench::BenchArgs),
    /// Say whether the server on this host answers
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Show the running server at a glance
    Status(status::StatusArgs),
    /// List the allocations of the running server, or show one with all it has
    Sessions(Box<sessions::SessionsArgs>),
    /// Tell why a user cannot connect: the last decisions of the running server
    Explain(explain::ExplainArgs),
    /// End allocations of the running server
    Kick(kick::KickArgs),
    /// Have the running server refuse a credential, or a user, from now on
    Revoke(revoke::RevokeArgs),
    /// Have the running server take no new allocations, and maybe stop
    Drain(drain::DrainArgs),
    /// Have the running server read its configuration again
    Reload(reload::ReloadArgs),
    /// Say from which level on the running server logs, or change it
    LogLevel(log_level::LogLevelArgs),
    /// Print what a shell needs to complete commands and flags
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::ManArgs),
}

const EXAMPLES: &str = "\
Examples:
  turnbridge                                    try it out
  turnbridge --config /etc/turnbridge.toml      run a server
  turnbridge check /etc/turnbridge.toml         look before you start it
  turnbridge healthcheck                        does it answer?
  turnbridge credential --user alice --json     iceServers for a browser
  turnbridge credential verify NAME -           why does it not log in?
  turnbridge import /etc/turnserver.conf        come from coturn
  turnbridge status                             what does the running server do?
  turnbridge explain alice                      why does she get no connection?

Every key of the configuration can be set from the environment as TURNBRIDGE_SECTION__KEY.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 port busy, 77 no permission, 78 wrong configuration";

fn print(error: &clap::Error) -> Exit {
    // Help and version are results and go to standard output; when that is closed there is nobody to tell.
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => Exit::Done,
        (false, Err(_)) => Exit::Failed,
        (true, _) => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
