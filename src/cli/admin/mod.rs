//! What the commands have in common that talk to a running server.

mod client;
mod human;
mod table;
mod target;

pub(super) use client::{Client, Method, path_segment};
pub(super) use human::{age, bytes};
pub(super) use table::table;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::secret_file;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;

/// Which server is meant, and how its answer is shown.
#[derive(Args, Clone, Debug)]
pub(super) struct AdminArgs {
    /// The admin server: the path of its Unix socket, or http://host:port. Without it, where the configuration has it
    #[arg(long, value_name = "PATH|URL", env = "TURNBRIDGE_ADMIN")]
    admin: Option<String>,
    /// The file with a key, which is needed over TCP
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The configuration of the server
    #[arg(long, value_name = "FILE", env = "TURNBRIDGE_CONFIG")]
    config: Option<PathBuf>,
    /// Where the server keeps its socket and its secret
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl AdminArgs {
    /// The way to the server. Nothing is sent yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let key = self.key_file.as_deref().map(|path| {
            secret_file::read(path)
                .map(|file| file.secret)
                .map_err(|message| Failure::new(Exit::Failed, message))
        });
        let targets = target::find(self.admin.as_deref(), self.config.as_deref(), self.state_dir.as_deref())?;
        Ok(Client::new(targets, key.transpose()?))
    }

    /// Prints an answer: as it came, or in `words`.
    pub(super) fn print(
        &self,
        answer: &Value,
        words: impl FnOnce(&Value) -> String,
    ) -> Result<Exit, Failure> {
        match self.json {
            true => output::result(&answer.to_string())?,
            false => output::result(&words(answer))?,
        }
        Ok(Exit::Done)
    }
}

/// A text in an answer; nothing where there is none.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// A number in an answer; 0 where there is none.
pub(super) fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

/// A list in an answer; empty where there is none.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a list, with commas.
pub(super) fn joined(value: &Value, name: &str) -> String {
    let texts: Vec<_> = list(value, name).iter().filter_map(Value::as_str).collect();
    texts.join(", ")
}
