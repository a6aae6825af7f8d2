//! `turnbridge explain`: why a certain user cannot connect.

use super::{
    admin::{AdminArgs, Method, list, number, text},
    exit::{Exit, Failure},
};
use clap::Args;
use serde_json::Value;
use std::net::IpAddr;

/// Flags of `explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Tells the last decisions of the running server about a user or an address, the newest first. The server remembers some
thousand decisions in all; the log goes back further.

Examples:
  turnbridge explain alice
  turnbridge explain 192.0.2.7
  turnbridge explain                       whatever happened last")]
pub(super) struct ExplainArgs {
    /// A user name, the id in it, or the address of a client
    #[arg(value_name = "USER|ADDRESS")]
    whom: Option<String>,
    /// Tell at most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u16,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    if let Some(whom) = args.whom.as_deref() {
        query.push((if whom.parse::<IpAddr>().is_ok() { "ip" } else { "user" }, whom));
    }
    let answer = args.admin.client()?.ask(Method::GET, "/v1/explain", &query, None)?;
    args.admin.print(&answer, |answer| tell(answer, args.whom.as_deref()))
}

fn tell(answer: &Value, whom: Option<&str>) -> String {
    let decisions = list(answer, "decisions");
    if decisions.is_empty() {
        let whom = whom.map(|whom| format!(" about {whom}")).unwrap_or_default();
        return format!(
            "nothing is known{whom}: no request has come, or it was long ago. If the client has tried just now, its \
             packets do not get here: look at firewalls, and at the URLs it was given"
        );
    }
    decisions.iter().map(sentence).collect::<Vec<_>>().join("\n")
}

fn sentence(decision: &Value) -> String {
    let user = decision["user"].as_str().map(|user| format!(" ({user})")).unwrap_or_default();
    let times = match number(decision, "times") {
        0 | 1 => String::new(),
        times => format!(" ({times} times since {})", text(decision, "first")),
    };
    let code = decision["code"].as_u64().map(|code| format!(" [{code}]")).unwrap_or_default();
    let hint = decision["hint"].as_str().map(|hint| format!("\n    {hint}")).unwrap_or_default();
    let [last, client, transport, text] =
        ["last", "client", "transport", "text"].map(|name| text(decision, name));
    format!("{last}  {client} over {transport}{user}: {text}{code}{times}{hint}")
}
