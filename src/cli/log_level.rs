//! `turnbridge log-level`: from which level on a running server logs.

use super::{
    admin::{AdminArgs, Method, text},
    exit::{Exit, Failure},
};
use crate::config::choice::LogLevel;
use clap::Args;
use serde_json::json;

/// Flags of `log-level`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The level holds until the server is started again.

Examples:
  turnbridge log-level                     which one is it?
  turnbridge log-level debug")]
pub(super) struct LogLevelArgs {
    /// Log from this level on: error, warn, info, debug or trace
    #[arg(value_name = "LEVEL")]
    level: Option<LogLevel>,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &LogLevelArgs) -> Result<Exit, Failure> {
    let client = args.admin.client()?;
    let answer = match args.level {
        None => client.ask(Method::GET, PATH, &[], None)?,
        Some(level) => client.ask(Method::PUT, PATH, &[], Some(&json!({ "level": level.to_string() })))?,
    };
    args.admin.print(&answer, |answer| text(answer, "level").to_owned())
}

const PATH: &str = "/v1/log-level";
