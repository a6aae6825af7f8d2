//! `turnbridge sessions`: the allocations of a running server.

use super::{
    admin::{AdminArgs, Client, Method, age, bytes, joined, list, number, path_segment, table, text},
    exit::{Exit, Failure},
};
use clap::Args;
use serde_json::{Value, json};

/// Flags of `sessions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnbridge sessions
  turnbridge sessions --user alice
  turnbridge sessions --silent peers
  turnbridge sessions 0-17-93              one of them, with all it has")]
pub(super) struct SessionsArgs {
    /// Show this one with its permissions, channels and connections
    #[arg(value_name = "ID", conflicts_with_all = ["user", "ip", "relay", "transport", "silent", "limit"])]
    id: Option<String>,
    /// Only those of this user: a whole user name, or the id in it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those of clients at this address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// Only the one with this relay address, or those on it when no port is given
    #[arg(long, value_name = "ADDRESS")]
    relay: Option<String>,
    /// Only those of clients over this: udp, tcp or tls
    #[arg(long, value_name = "TRANSPORT")]
    transport: Option<String>,
    /// Only those where this side has been silent for 30 s: client or peers
    #[arg(long, value_name = "SIDE")]
    silent: Option<String>,
    /// Show at most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &SessionsArgs) -> Result<Exit, Failure> {
    let client = args.admin.client()?;
    match &args.id {
        Some(id) => {
            let path = format!("/v1/sessions/{}", path_segment(id));
            args.admin.print(&client.ask(Method::GET, &path, &[], None)?, describe)
        }
        None => args.admin.print(&collect(args, &client)?, tabulate),
    }
}

/// Follows the pages.
fn collect(args: &SessionsArgs, client: &Client) -> Result<Value, Failure> {
    let filters = [
        ("user", &args.user),
        ("ip", &args.ip),
        ("relay", &args.relay),
        ("transport", &args.transport),
        ("silent", &args.silent),
    ];
    let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let filters: Vec<_> = filters.collect();
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let left = (args.limit - found.len()).clamp(1, 1000).to_string();
        let mut query = filters.clone();
        query.push(("limit", &left));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = client.ask(Method::GET, "/v1/sessions", &query, None)?;
        found.extend_from_slice(list(&page, "sessions"));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || found.len() >= args.limit {
            found.truncate(args.limit);
            return Ok(json!({ "sessions": found, "total": page["total"] }));
        }
    }
}

fn tabulate(answer: &Value) -> String {
    let sessions = list(answer, "sessions");
    let rows: Vec<_> = sessions.iter().map(row).collect();
    let head = ["ID", "USER", "CLIENT", "OVER", "RELAY", "AGE", "UP", "DOWN", "SILENT"];
    let mut shown = table(head, &rows);
    let more = usize::try_from(number(answer, "total")).unwrap_or_default().saturating_sub(sessions.len());
    if more > 0 {
        shown.push_str(&format!("\nand {more} more; --limit shows them"));
    }
    shown
}

fn row(session: &Value) -> [String; 9] {
    [
        text(session, "id").to_owned(),
        text(session, "user_id").to_owned(),
        text(session, "client").to_owned(),
        text(session, "transport").to_owned(),
        joined(session, "relays"),
        age(number(session, "age_s")),
        bytes(number(&session["up"], "bytes")),
        bytes(number(&session["down"], "bytes")),
        joined(session, "silent"),
    ]
}

fn describe(session: &Value) -> String {
    let until = match session["credential_left_s"].as_u64() {
        Some(left) => format!(", its credential {}", age(left)),
        None => String::new(),
    };
    let mut lines = vec![
        format!("session   {}", text(session, "id")),
        format!("user      {}", text(session, "user")),
        format!(
            "client    {} over {} to {}",
            text(session, "client"),
            text(session, "transport"),
            text(session, "server")
        ),
        format!("relay     {} ({})", joined(session, "relays"), text(session, "relayed_transport")),
        format!(
            "age       {}, lasts {} yet{until}",
            age(number(session, "age_s")),
            age(number(session, "left_s"))
        ),
        format!(
            "up        {}, client silent for {}",
            flow(&session["up"]),
            age(number(session, "client_silent_s"))
        ),
        format!(
            "down      {}, peers silent for {}",
            flow(&session["down"]),
            age(number(session, "peers_silent_s"))
        ),
    ];
    let peers = &session["peers"];
    for permission in list(peers, "permissions") {
        lines.push(format!(
            "permitted {}, for {}",
            text(permission, "peer"),
            age(number(permission, "left_s"))
        ));
    }
    for channel in list(peers, "channels") {
        let (name, peer) = (text(channel, "channel"), text(channel, "peer"));
        lines.push(format!("channel   {name} to {peer}, for {}", age(number(channel, "left_s"))));
    }
    for connection in list(peers, "connections") {
        lines.push(format!("connected {}: {}", text(connection, "peer"), text(connection, "state")));
    }
    lines.join("\n")
}

fn flow(flow: &Value) -> String {
    let (packets, dropped) = (number(flow, "packets"), number(flow, "dropped"));
    format!("{} in {packets} packets, {dropped} dropped", bytes(number(flow, "bytes")))
}
