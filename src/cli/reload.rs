//! `turnbridge reload`: has a running server read its configuration again.

use super::{
    admin::{AdminArgs, Method, list, text},
    exit::{Exit, Failure},
};
use clap::Args;
use serde_json::Value;

/// Flags of `reload`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The server reads the file it was started with, and takes all of it into use or nothing. `turnbridge check FILE` looks at
it before. SIGHUP does the same, and tells the log.

Example:
  turnbridge check /etc/turnbridge.toml && turnbridge reload")]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &ReloadArgs) -> Result<Exit, Failure> {
    let answer = args.admin.client()?.ask(Method::POST, "/v1/reload", &[], None)?;
    let shown = args.admin.print(&answer, describe)?;
    // What the warnings say is a failure then: a rule may not hold everywhere.
    Ok(if answer["in_force"] == false { Exit::Failed } else { shown })
}

fn describe(answer: &Value) -> String {
    let changes = list(answer, "changes").iter().map(change);
    let later = list(answer, "at_restart").iter().map(|it| format!("{} (only after a restart)", change(it)));
    let warnings = list(answer, "warnings").iter().filter_map(Value::as_str);
    let mut lines: Vec<String> = changes.chain(later).collect();
    if lines.is_empty() {
        lines.push("nothing has changed".to_owned());
    }
    lines.extend(warnings.map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

fn change(change: &Value) -> String {
    let shown = |name: &str| change[name].as_str().unwrap_or("(nothing)").to_owned();
    format!("{}: {} -> {}", text(change, "key"), shown("old"), shown("new"))
}
