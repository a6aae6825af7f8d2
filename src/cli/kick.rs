//! `turnbridge kick`: ends allocations of a running server.

use super::{
    admin::{AdminArgs, Method, path_segment},
    exit::{Exit, Failure},
};
use clap::Args;
use serde_json::json;

/// Flags of `kick`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The client may allocate again at once; `turnbridge revoke` keeps a user out.

Example:
  turnbridge kick 0-17-93")]
pub(super) struct KickArgs {
    /// The sessions to end, as `turnbridge sessions` names them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &KickArgs) -> Result<Exit, Failure> {
    let client = args.admin.client()?;
    let mut missing = Vec::new();
    let mut ended = Vec::new();
    for id in &args.ids {
        match client.ask(Method::DELETE, &format!("/v1/sessions/{}", path_segment(id)), &[], None) {
            Ok(_) => ended.push(id.as_str()),
            Err(failure) => {
                missing.extend(failure.messages.into_iter().map(|message| format!("{id}: {message}")));
            }
        }
    }
    if !ended.is_empty() {
        args.admin.print(&json!({ "ended": ended }), |_| format!("ended {}", ended.join(", ")))?;
    }
    match missing.is_empty() {
        true => Ok(Exit::Done),
        false => Err(Failure { exit: Exit::Failed, messages: missing }),
    }
}
