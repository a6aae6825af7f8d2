//! `turnbridge completions`: what a shell needs to complete our commands and flags.

use super::{
    exit::{Exit, Failure},
    output,
};
use clap::Args;
use clap_complete::Shell;

/// Flags of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  turnbridge completions bash > /etc/bash_completion.d/turnbridge")]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), super::NAME, &mut script);
    output::result(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
