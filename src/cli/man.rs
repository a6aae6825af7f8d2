//! `turnbridge man`: the manual pages, for those who make packages.

use super::exit::{Exit, Failure};
use clap::Args;
use std::{fs, path::PathBuf};

/// Flags of `man`.
#[derive(Args, Clone, Debug)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
}

pub(super) fn run(args: &ManArgs) -> Result<Exit, Failure> {
    let written =
        fs::create_dir_all(&args.out).and_then(|()| clap_mangen::generate_to(super::command(), &args.out));
    written.map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write to {}: {error}", args.out.display()))
    })?;
    Ok(Exit::Done)
}
