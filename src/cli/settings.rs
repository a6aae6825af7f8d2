//! The flags that stand for configuration keys, and how a configuration is loaded with them.

use super::exit::Failure;
use crate::config::{
    self, ConfigError, Inputs, Loaded, Override,
    address::ListenAddress,
    choice::{LogFormat, LogLevel},
};
use clap::Args;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Flags that go over the environment and the file.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SettingArgs {
    /// Listen here instead of at the configured addresses; can be repeated [e.g. ":3478", "192.0.2.1:3478"]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<ListenAddress>,
    /// Set any key of the configuration, like turn.channel_numbers=rfc5766; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Keep the server's own secret in this directory
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Log from this level on: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "TURNBRIDGE_LOG")]
    log_level: Option<LogLevel>,
    /// Log as text or json; auto is text on a terminal
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl SettingArgs {
    fn overrides(&self) -> Result<Vec<Override>, ConfigError> {
        let make =
            |key: &str, flag: &str, value: Value| Override { key: key.into(), value, origin: flag.into() };
        let text = |value: &dyn ToString| Value::String(value.to_string());
        let listeners = self
            .listen
            .iter()
            .map(|address| Value::Table(Table::from_iter([("address".to_owned(), text(address))])));
        let listen = (!self.listen.is_empty())
            .then(|| make("listener", "--listen", Value::Array(listeners.collect())));
        let level = self.log_level.map(|level| make("log.level", "--log-level", text(&level)));
        let format = self.log_format.map(|format| make("log.format", "--log-format", text(&format)));
        let set = self.set.iter().map(|assignment| config::env::set(assignment));
        let named = [listen, self.state_dir.as_deref().map(state_dir), level, format].into_iter().flatten();
        named.map(Ok).chain(set).collect()
    }
}

/// `--state-dir` by itself, for commands that need nothing else.
pub(super) fn state_dir(directory: &Path) -> Override {
    let value = Value::String(directory.display().to_string());
    Override { key: "server.state_dir".to_owned(), value, origin: "--state-dir".to_owned() }
}

/// Loads the file (if any) with the environment and `flags` over it.
pub(super) fn load(file: Option<&Path>, flags: &SettingArgs) -> Result<Loaded, Failure> {
    load_with(file, flags.overrides()?)
}

/// The same with overrides that are made already.
pub(super) fn load_with(file: Option<&Path>, flags: Vec<Override>) -> Result<Loaded, Failure> {
    let mut overrides = config::env::overrides(std::env::vars_os())?;
    overrides.extend(flags);
    Ok(config::load(Inputs { file: file.map(Path::to_owned), overrides })?)
}
