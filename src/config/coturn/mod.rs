//! From coturn: its turnserver.conf, and its user database, as a configuration of this server.
//!
//! Text comes in, text and a report go out; files are others' business (`cli::import`). Each option that coturn has had
//! from 4.5 to 4.17 is in one table: that of the file that makes keys of it, `unneeded` when it is so anyway, or
//! `unserved` when there is nothing like it. So each line of a file ends in the report, whatever it says.

mod auth;
mod conversion;
mod database;
mod draft;
mod limits;
mod line;
mod listeners;
mod log;
mod metrics;
mod nat_discovery;
mod option;
mod peers;
mod process;
mod ranges;
mod redirect;
mod relay;
mod report;
mod tls;
mod unneeded;
mod unserved;

pub use database::{Database, RealmRow, SecretRow, UserRow};
pub use report::{Entry, Place, Report, Verdict};

use conversion::Conversion;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What to convert.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The name of the file, for the first line of the result.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
    /// Where relative paths in it start.
    pub directory: &'a Path,
    /// What is in its user database, if that was read.
    pub database: Option<&'a Database>,
}

/// What comes of it.
#[derive(Debug)]
pub struct Converted {
    /// A configuration file, with its secrets.
    pub toml: Zeroizing<String>,
    /// What has become of each option, without secrets.
    pub report: Report,
}

/// Converts a configuration. The result is a configuration that can be loaded, whatever the source.
pub fn convert(source: Source<'_>) -> Converted {
    let mut it = Conversion::begin(source.text, source.directory, source.database);
    let tls = tls::convert(&mut it);
    let listening = listeners::convert(&mut it, tls);
    let discovery = nat_discovery::begin(&mut it, &listening);
    let external = relay::convert(&mut it, &listening, &discovery.addresses);
    nat_discovery::end(&mut it, &discovery, &listening, &external);
    let realm = auth::convert(&mut it);
    limits::convert(&mut it, &realm);
    peers::convert(&mut it, &realm);
    process::convert(&mut it);
    redirect::convert(&mut it);
    log::convert(&mut it);
    metrics::convert(&mut it, &listening);
    database::convert(&mut it);
    let (draft, report) = it.end();
    let printable: String = source.name.chars().filter(|char| !char.is_control()).collect();
    let head = format!(
        "Made from {printable} by `turnbridge import`. What is not here has its default, as in config/turnbridge.toml. \
         This may hold secrets: keep it where only the server can read it."
    );
    Converted { toml: draft.text(&head), report }
}

/// The SQLite database that a configuration names.
pub fn user_database(text: &str) -> Option<PathBuf> {
    let named =
        line::lines(text).filter(|line| matches!(line.name, "userdb" | "db") && !line.value.is_empty());
    named.last().map(|line| PathBuf::from(line.value))
}

/// Whether a configuration names any database.
pub fn names_database(text: &str) -> bool {
    line::lines(text).any(|line| matches!(line.name, "userdb" | "db") || line.name.ends_with("-userdb"))
}

/// Where coturn looks for a database when none is named.
pub const DEFAULT_DATABASES: [&str; 3] =
    ["/var/lib/turn/turndb", "/var/db/turndb", "/usr/local/var/db/turndb"];

/// The options that are known, for the guide and for tests.
pub fn known_options() -> impl Iterator<Item = &'static str> {
    option::known().map(|option| option.name)
}

#[cfg(test)]
mod tests;
