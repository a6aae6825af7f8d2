//! `turnbridge import`: makes a configuration from one of coturn's, and tells what of it is not the same.

#[cfg(not(feature = "sqlite"))]
mod no_sqlite;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(not(feature = "sqlite"))]
use no_sqlite as database;
#[cfg(feature = "sqlite")]
use sqlite as database;

use super::{
    exit::{Exit, Failure},
    output,
};
use crate::{
    config::coturn::{self, Converted, Database, Report, Source},
    control::private_file,
};
use clap::Args;
use std::{
    fs,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Flags of `import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints the configuration, with its secrets, on standard output, and on standard error what was dropped or means something
else, and why. The user database that the file names (userdb=FILE, SQLite) is read as well.

Examples:
  turnbridge import /etc/turnserver.conf
  turnbridge import /etc/turnserver.conf -o /etc/turnbridge.toml
  turnbridge import /etc/turnserver.conf --userdb /var/lib/turn/turndb -o /etc/turnbridge.toml
  turnbridge check /etc/turnbridge.toml")]
pub(super) struct ImportArgs {
    /// coturn's configuration; \"-\" is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The SQLite database of coturn's users, in place of the one that FILE names
    #[arg(long, value_name = "FILE")]
    userdb: Option<PathBuf>,
    /// Write the configuration to this file, which only its owner can read
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the output file if there is one
    #[arg(long, requires = "output")]
    force: bool,
    /// Print what was dropped or changed as JSON on standard output, together with the configuration unless it is written
    /// to a file
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ImportArgs) -> Result<Exit, Failure> {
    let text = read(&args.file)?;
    let database = find_database(args.userdb.as_deref(), &text)?;
    let converted = coturn::convert(Source {
        name: &args.file.to_string_lossy(),
        text: &text,
        directory: &directory(&args.file)?,
        database: database.as_ref(),
    });
    if let Some(path) = &args.output {
        write(path, &converted, args.force)?;
    }
    match args.json {
        true => output::result(&json(&converted, args.output.is_none())?)?,
        false => tell(args, &converted)?,
    }
    Ok(Exit::Done)
}

fn tell(args: &ImportArgs, converted: &Converted) -> Result<(), Failure> {
    if args.output.is_none() {
        output::result(converted.toml.trim_end())?;
    }
    output::note(&format!("{}: {}", args.file.display(), converted.report.text()));
    if let Some(path) = &args.output {
        output::note(&format!(
            "\nwritten to {path}; see what comes of it: turnbridge check {path}",
            path = path.display()
        ));
    }
    Ok(())
}

/// What is not UTF-8 gets replaced, which the conversion notices.
fn read(path: &Path) -> Result<String, Failure> {
    let bytes = match path.as_os_str() == "-" {
        true => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
        false => fs::read(path),
    };
    let bytes = bytes.map_err(|error| failed(path, "cannot be read", &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where the file is, as a path that can be used from anywhere.
fn directory(file: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(file).map_err(|error| failed(file, "is nowhere", &error))?;
    Ok(absolute.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The database that was asked for must be there. One that only the file names may be on another host.
fn find_database(asked: Option<&Path>, text: &str) -> Result<Option<Database>, Failure> {
    if let Some(path) = asked {
        let read = database::read(path);
        return read
            .map(Some)
            .map_err(|why| Failure::new(Exit::Failed, format!("{}: {why}", path.display())));
    }
    if let Some(path) = coturn::user_database(text) {
        let read = database::read(&path);
        return Ok(read.map_err(|why| output::warning(&format!("{}: {why}", path.display()))).ok());
    }
    if !coturn::names_database(text) {
        look_for_default();
    }
    Ok(None)
}

/// coturn uses a database of its own choice when the file names none.
fn look_for_default() {
    let Some(path) = coturn::DEFAULT_DATABASES.iter().map(Path::new).find(|path| path.exists()) else {
        return;
    };
    if database::read(path).is_ok_and(|database| database.is_empty()) {
        return;
    }
    output::warning(&format!(
        "coturn on this host also uses {path}, which was not read; if the file is of this host, add --userdb {path}",
        path = path.display()
    ));
}

fn write(path: &Path, converted: &Converted, force: bool) -> Result<(), Failure> {
    let bytes = converted.toml.as_bytes();
    let written = if force { private_file::replace(path, bytes) } else { private_file::create(path, bytes) };
    written.map_err(|error| match error.kind() == ErrorKind::AlreadyExists {
        true => {
            Failure::new(Exit::Failed, format!("{} is there already; --force replaces it", path.display()))
        }
        false => failed(path, "cannot be written", &error),
    })
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Failure {
    let exit = if error.kind() == ErrorKind::PermissionDenied { Exit::NoPermission } else { Exit::Failed };
    Failure::new(exit, format!("{} {what}: {error}", path.display()))
}

/// The report, and the configuration if it goes nowhere else.
fn json(converted: &Converted, with_toml: bool) -> Result<String, Failure> {
    #[derive(serde::Serialize)]
    struct Output<'a> {
        #[serde(flatten)]
        report: &'a Report,
        #[serde(skip_serializing_if = "Option::is_none")]
        toml: Option<&'a str>,
    }
    let output = Output { report: &converted.report, toml: with_toml.then_some(&converted.toml) };
    serde_json::to_string(&output).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}
