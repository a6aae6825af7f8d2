//! The flags that stand for configuration keys, and how a configuration is loaded with them.

use super::exit::Failure;
use crate::config::{
    self, ConfigError, Inputs, Loaded, Override,
    address::ListenAddress,
    choice::{LogFormat, LogLevel, Transport},
    raw,
    units::Invalid,
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};
use toml::{Table, Value};

/// Flags that go over the environment and the file.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SettingArgs {
    /// Listen here instead of at the configured addresses, over UDP and TCP, or over what stands in front: udp, tcp, tls
    /// or auto; can be repeated [e.g. ":3478", "tls::5349", "udp:192.0.2.1:3478"]
    #[arg(long, value_name = "[TRANSPORT:]ADDRESS")]
    listen: Vec<ListenFlag>,
    /// Set any key of the configuration that is no secret, like turn.channel_numbers=rfc5766; can be repeated
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

/// What `--listen` takes: an address, or an address with the transport in front.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListenFlag {
    address: ListenAddress,
    transports: Vec<Transport>,
}

impl FromStr for ListenFlag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // An address alone begins with a digit, a bracket or a colon.
        let word = text
            .split_once(':')
            .filter(|(word, _)| word.starts_with(|char: char| char.is_ascii_alphabetic()));
        match word {
            Some((transport, address)) if address.contains(':') => {
                Ok(Self { address: address.parse()?, transports: vec![transport.parse()?] })
            }
            _ => Ok(Self { address: text.parse()?, transports: vec![Transport::Udp, Transport::Tcp] }),
        }
    }
}

impl SettingArgs {
    fn overrides(&self) -> Result<Vec<Override>, ConfigError> {
        let make =
            |key: &str, flag: &str, value: Value| Override { key: key.into(), value, origin: flag.into() };
        let text = |value: &dyn ToString| Value::String(value.to_string());
        let listener = |address: &ListenAddress, transport: &Transport| {
            let keys = [("address".to_owned(), text(address)), ("transport".to_owned(), text(transport))];
            Value::Table(Table::from_iter(keys))
        };
        let listeners = self.listen.iter().flat_map(|ListenFlag { address, transports }| {
            transports.iter().map(move |transport| listener(address, transport))
        });
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
    Ok(merge(file, flags)?)
}

/// The same for a server that reads it again.
pub(super) fn load_config(file: Option<&Path>, flags: &SettingArgs) -> Result<Loaded, ConfigError> {
    merge(file, flags.overrides()?)
}

/// The same without a look at any secret.
pub(super) fn load_raw_with(file: Option<&Path>, flags: Vec<Override>) -> Result<raw::Config, Failure> {
    Ok(config::load_raw(inputs(file, flags)?)?)
}

fn merge(file: Option<&Path>, flags: Vec<Override>) -> Result<Loaded, ConfigError> {
    config::load(inputs(file, flags)?)
}

fn inputs(file: Option<&Path>, flags: Vec<Override>) -> Result<Inputs, ConfigError> {
    let mut overrides = config::env::overrides(std::env::vars_os())?;
    overrides.extend(flags);
    Ok(Inputs { file: file.map(Path::to_owned), overrides })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_takes_an_address_with_or_without_its_transport() {
        use Transport::{Auto, Tcp, Tls, Udp};
        let cases: &[(&str, &str, &[Transport])] = &[
            (":3478", ":3478", &[Udp, Tcp]),
            ("[::]:3478", "[::]:3478", &[Udp, Tcp]),
            ("udp:192.0.2.1:3478", "192.0.2.1:3478", &[Udp]),
            ("tcp::3478", ":3478", &[Tcp]),
            ("tls:[2001:db8::1]:5349", "[2001:db8::1]:5349", &[Tls]),
            ("auto:0.0.0.0:443", "0.0.0.0:443", &[Auto]),
        ];
        for (text, address, transports) in cases {
            let flag: ListenFlag = text.parse().unwrap();
            assert_eq!(
                (flag.address.to_string().as_str(), flag.transports.as_slice()),
                (*address, *transports)
            );
        }
        let refused = |text: &str| text.parse::<ListenFlag>().unwrap_err().0;
        assert!(refused("quic::443").contains("expected \"udp\", \"tcp\", \"tls\" or \"auto\""));
        for text in ["localhost:3478", "udp:3478", "3478", "udp:localhost:1", ""] {
            assert!(refused(text).contains("is not a listening address"), "{text}: {}", refused(text));
        }
    }
}
