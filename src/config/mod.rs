//! The configuration: what was written (`raw`), and what is meant by it (`checked`).
//!
//! A value comes from, in falling order: a flag, the environment, the file, the defaults in `raw`. The file is read
//! first by itself, so that a mistake in it is shown with its line; then the overrides are laid over it.

pub mod address;
pub mod admin;
pub mod alternate;
pub mod checked;
pub mod choice;
pub mod coturn;
pub mod env;
pub mod error;
pub mod ice_url;
mod masked_line;
mod nearest;
mod private;
pub mod raw;
pub(crate) mod secret_file;
mod source;
mod text;
pub mod units;
pub mod url;

pub use checked::Config;
pub use env::Override;
pub use error::{ConfigError, Place, Problem};

use serde::de::DeserializeOwned;
use source::Source;
use std::path::{Path, PathBuf};

/// What a configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file, if one was named. Nothing is read from a place that nobody mentioned.
    pub file: Option<PathBuf>,
    /// Overrides from the environment, then those from flags: a later one wins.
    pub overrides: Vec<Override>,
}

/// A configuration that was found good.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All keys with their effective values, to be shown: `toml::to_string` of it masks the secrets.
    pub raw: raw::Config,
    /// What the server works with.
    pub config: Config,
    /// What is allowed but probably not wanted, each a sentence.
    pub warnings: Vec<String>,
    /// The files that it names for secrets.
    pub secret_files: Vec<PathBuf>,
}

/// Reads, merges and checks.
pub fn load(inputs: Inputs) -> Result<Loaded, ConfigError> {
    let (raw, source) = merge(inputs)?;
    let (config, warnings, secret_files) = checked::check(&raw, &source)?;
    Ok(Loaded { raw, config, warnings, secret_files })
}

/// Reads and merges, and does not look at any other file: for commands that are not the server, and may not be allowed
/// to see its secrets.
pub fn load_raw(inputs: Inputs) -> Result<raw::Config, ConfigError> {
    merge(inputs).map(|(raw, _)| raw)
}

fn merge(inputs: Inputs) -> Result<(raw::Config, Source), ConfigError> {
    let mut source = Source::default();
    let mut table = toml::Table::new();
    if let Some(path) = inputs.file {
        let text = read_file(&path)?;
        source.set_file(path, text);
        let reader = toml::Deserializer::parse(source.text()).map_err(|error| source.not_toml(&error))?;
        read::<raw::Config, _>(reader, &source)?;
        table = toml::from_str(source.text()).map_err(|error| source.not_toml(&error))?;
    }
    for Override { key, value, origin } in inputs.overrides {
        env::lay_over(&mut table, &key, value);
        source.add_override(key, origin);
    }
    let raw: raw::Config = read(table, &source)?;
    Ok((raw, source))
}

fn read<'de, T: DeserializeOwned, D>(from: D, source: &Source) -> Result<T, ConfigError>
where
    D: serde::Deserializer<'de, Error = toml::de::Error>,
{
    serde_path_to_error::deserialize(from).map_err(|error| source.not_understood(&error))
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::whole_file(path, format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
