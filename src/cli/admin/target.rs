//! Where a running server's admin server is.

use crate::cli::exit::{Exit, Failure};
use crate::cli::settings;
use crate::config::admin::AdminAddress;
use crate::control::{admin::socket_candidates, state::Surroundings};
use std::fmt;
use std::path::{Path, PathBuf};

/// Something to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Target {
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(host) => write!(f, "http://{host}"),
        }
    }
}

/// What is named, or else where a server with the same configuration would have its socket: all places it may be.
pub(super) fn find(
    named: Option<&str>,
    config: Option<&Path>,
    state_dir: Option<&Path>,
) -> Result<Vec<Target>, Failure> {
    if let Some(named) = named {
        return read(named).map(|target| vec![target]);
    }
    let flags = state_dir.map(settings::state_dir);
    let config = settings::load_raw_with(config, flags.into_iter().collect())?;
    let mut found: Vec<PathBuf> = Vec::new();
    for address in &config.admin.listen {
        match address {
            AdminAddress::Unix(path) => found.push(path.clone()),
            AdminAddress::Auto => {
                found.extend(socket_candidates(&config.server.state_dir, &Surroundings::of_this_process()));
                // Only the service itself is told by systemd where its directory is.
                found.push(PathBuf::from(OF_THE_SERVICE));
            }
            AdminAddress::Tcp(_) => {}
        }
    }
    if found.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "admin.listen has no Unix socket in this configuration; name the server with --admin http://host:port and \
             --key-file",
        ));
    }
    Ok(found.into_iter().map(Target::Unix).collect())
}

/// Where the service that we ship has it.
const OF_THE_SERVICE: &str = "/run/turnbridge/admin.sock";

fn read(named: &str) -> Result<Target, Failure> {
    let unusable = |message: &str| Err(Failure::new(Exit::Usage, format!("--admin {named}: {message}")));
    if named.starts_with("https://") {
        return unusable(
            "TLS is spoken by a web server in front, if at all; on the server's own host use http:// or its socket",
        );
    }
    if let Some(rest) = named.strip_prefix("http://") {
        let host = rest.trim_end_matches('/');
        return match host.is_empty() || host.contains(['/', '@', '?', '#']) {
            true => unusable("expected http://host:port"),
            false => Ok(Target::Tcp(if has_port(host) { host.to_owned() } else { format!("{host}:80") })),
        };
    }
    match named.strip_prefix("unix:").unwrap_or(named) {
        "" => unusable("expected the path of a socket, or http://host:port"),
        path => Ok(Target::Unix(path.into())),
    }
}

fn has_port(host: &str) -> bool {
    let behind_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    behind_address.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_or_a_url() {
        let tcp = |host: &str| Target::Tcp(host.to_owned());
        let cases = [
            ("/run/admin.sock", Target::Unix("/run/admin.sock".into())),
            ("unix:/run/admin.sock", Target::Unix("/run/admin.sock".into())),
            ("./admin.sock", Target::Unix("./admin.sock".into())),
            ("http://127.0.0.1:9640", tcp("127.0.0.1:9640")),
            ("http://[::1]:9640/", tcp("[::1]:9640")),
            ("http://[::1]", tcp("[::1]:80")),
            ("http://localhost", tcp("localhost:80")),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        for bad in ["", "unix:", "https://turn.example.org", "http://", "http://a/b", "http://key@host"] {
            assert_eq!(read(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
