//! `turnbridge drain`: has a running server take no new allocations.

use super::{
    admin::{AdminArgs, Method, number, text},
    exit::{Exit, Failure},
};
use crate::config::units::Seconds;
use clap::Args;
use serde_json::{Value, json};

/// Flags of `drain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Clients that come now are sent to drain.alternates, or refused with 508; those that have an allocation keep it. /readyz
says that the server drains, so a load balancer sends nobody more.

Examples:
  turnbridge drain                         until further notice
  turnbridge drain --stop --timeout 10m    then stop: with the last allocation, or after ten minutes
  turnbridge drain --cancel                take new allocations again")]
pub(super) struct DrainArgs {
    /// Stop when the last allocation is gone, or after drain.timeout
    #[arg(long)]
    stop: bool,
    /// Stop after this time in any case, like 10m
    #[arg(long, value_name = "TIME", requires = "stop")]
    timeout: Option<Seconds>,
    /// Take new allocations again
    #[arg(long, conflicts_with_all = ["stop", "timeout", "show"])]
    cancel: bool,
    /// Only say whether the server drains
    #[arg(long, conflicts_with_all = ["stop", "timeout"])]
    show: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &DrainArgs) -> Result<Exit, Failure> {
    let client = args.admin.client()?;
    let answer = match (args.cancel, args.show) {
        (true, _) => client.ask(Method::DELETE, PATH, &[], None)?,
        (false, true) => client.ask(Method::GET, PATH, &[], None)?,
        (false, false) => {
            let mut wish = json!({ "stop": args.stop });
            if let Some(Seconds(seconds)) = args.timeout {
                wish["timeout_s"] = seconds.into();
            }
            client.ask(Method::POST, PATH, &[], Some(&wish))?
        }
    };
    args.admin.print(&answer, describe)
}

const PATH: &str = "/v1/drain";

/// Also what `status` says.
pub(super) fn describe(state: &Value) -> String {
    let allocations = number(state, "allocations");
    if state["draining"] != true {
        return format!("serving; {allocations} allocations");
    }
    let end = match (state["stops"] == true, state["until"].as_str()) {
        (false, _) => "goes on until it is told otherwise".to_owned(),
        (true, None) => "stops with the last of them".to_owned(),
        (true, Some(until)) => format!("stops with the last of them, or at {until}"),
    };
    format!(
        "draining since {}; {allocations} allocations are left, and the server {end}",
        text(state, "since")
    )
}
