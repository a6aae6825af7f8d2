//! `turnbridge revoke`: makes a running server refuse a credential, or a user, from now on.

use super::{
    admin::{AdminArgs, Method, list, path_segment, table, text},
    exit::{Exit, Failure},
};
use clap::Args;
use serde_json::{Value, json};

/// Flags of `revoke`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A whole user name revokes that credential; the id in it revokes all credentials of the user, those to come as well. The
allocations end at once. The server remembers it over restarts, until the credential would have expired by itself.

Examples:
  turnbridge revoke 1760000000:alice       this credential
  turnbridge revoke alice                  all that alice has or will have
  turnbridge revoke --undo alice
  turnbridge revoke --list")]
pub(super) struct RevokeArgs {
    /// The user names, or the ids in them
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// Take the revocation back
    #[arg(long)]
    undo: bool,
    /// Show what is revoked
    #[arg(long, conflicts_with_all = ["names", "undo"])]
    list: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &RevokeArgs) -> Result<Exit, Failure> {
    let client = args.admin.client()?;
    if args.list {
        return args.admin.print(&client.ask(Method::GET, "/v1/revocations", &[], None)?, tabulate);
    }
    let (place, done) = if args.undo { ("revocations", "restored") } else { ("credentials", "revoked") };
    for name in &args.names {
        client.ask(Method::DELETE, &format!("/v1/{place}/{}", path_segment(name)), &[], None)?;
    }
    args.admin.print(&json!({ done: args.names }), |_| format!("{done} {}", args.names.join(", ")))
}

fn tabulate(answer: &Value) -> String {
    let until = |revocation: &Value| revocation["until"].as_str().unwrap_or("taken back").to_owned();
    let rows: Vec<_> =
        list(answer, "revocations").iter().map(|it| [text(it, "username").to_owned(), until(it)]).collect();
    table(["NAME", "UNTIL"], &rows)
}
