//! `turnbridge status`: a running server at a glance.

use super::{
    admin::{AdminArgs, Method, age, joined, list, number, text},
    drain,
    exit::{Exit, Failure},
};
use clap::Args;
use serde_json::Value;

/// Flags of `status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  turnbridge status --json")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    let answer = args.admin.client()?.ask(Method::GET, "/v1/status", &[], None)?;
    args.admin.print(&answer, describe)
}

fn describe(status: &Value) -> String {
    let workers = &status["workers"];
    let (version, process) = (text(status, "version"), number(status, "process"));
    let mut lines = vec![
        format!("turnbridge {version}, process {process}, up for {}", age(number(status, "uptime_s"))),
        drain::describe(&status["drain"]),
        format!("realm       {}", text(status, "realm")),
        format!("listens on  {}", joined(status, "listeners")),
    ];
    for relay in list(status, "relays") {
        let (taken, ports) = (number(relay, "ports_taken"), number(relay, "ports"));
        lines.push(format!("relays from {}, {taken} of {ports} ports taken", text(relay, "advertised")));
    }
    for certificate in list(status, "certificates") {
        lines.push(format!(
            "certificate for {} until {}",
            joined(certificate, "names"),
            text(certificate, "expires")
        ));
    }
    if status["configuration"]["last_reload_succeeded"] == false {
        lines.push("the last reload failed, and what was in use before goes on; the log says why".to_owned());
    }
    let (running, answering) = (number(workers, "running"), number(workers, "answering"));
    lines.push(format!("workers     {answering} of {running} answer"));
    lines.push(format!(
        "users       {} at {} addresses",
        number(status, "users"),
        number(status, "client_addresses")
    ));
    lines.join("\n")
}
