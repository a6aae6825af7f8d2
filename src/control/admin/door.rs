//! The sockets that the admin server listens on.

use super::socket_file::{self, SocketFile, socket_candidates};
use crate::config::{Config, address::ListenAddress, admin::AdminAddress};
use crate::control::{acme, private_file, state::Surroundings};
use crate::net::listener::ListenFailure;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::{fmt, io};

/// All sockets, open and not served yet.
#[derive(Default)]
pub(in crate::control) struct Doors {
    pub(super) doors: Vec<Door>,
}

/// One of them.
pub(super) enum Door {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

/// Why the admin server cannot listen where it was told to.
#[derive(Debug)]
pub struct AdminListenError {
    address: AdminAddress,
    /// What is in the way.
    pub reason: ListenFailure,
    source: io::Error,
}

impl fmt::Display for AdminListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the admin server cannot listen on {} (admin.listen): {}", self.address, self.source)
    }
}

impl std::error::Error for AdminListenError {}

impl Doors {
    /// Opens what `config` says. The default socket is a convenience, and the server does without it if need be.
    pub(in crate::control) fn open(config: &Config) -> Result<Self, AdminListenError> {
        let mut doors = Vec::with_capacity(config.admin.listen.len());
        for address in &config.admin.listen {
            let opened = match address {
                AdminAddress::Auto => {
                    doors.extend(open_default(config));
                    continue;
                }
                AdminAddress::Unix(path) => open_unix(path),
                AdminAddress::Tcp(address) => open_tcp(*address),
            };
            doors.push(opened.map_err(|source| AdminListenError {
                address: address.clone(),
                reason: ListenFailure::of(&source),
                source,
            })?);
        }
        Ok(Self { doors })
    }

    pub(in crate::control) fn is_empty(&self) -> bool {
        self.doors.is_empty()
    }

    /// The TCP addresses, which clients must not reach through us. A wildcard is each of the host's addresses.
    pub(in crate::control) fn services(&self, host: &[IpAddr]) -> Vec<SocketAddr> {
        let addresses = self.doors.iter().filter_map(Door::tcp_address);
        let all = addresses.flat_map(|address| match address.ip().is_unspecified() {
            true => host.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect(),
            false => vec![address],
        });
        all.collect()
    }
}

impl Door {
    fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(..) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_, file) => write!(f, "unix:{}", file.path().display()),
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("tcp"),
            },
        }
    }
}

fn open_default(config: &Config) -> Option<Door> {
    let mut failures = Vec::new();
    for path in socket_candidates(&config.server.state_dir, &Surroundings::of_this_process()) {
        match open_unix(&path) {
            Ok(door) => return Some(door),
            Err(error) => {
                failures.push(format!("{}: {error}", path.display()));
                // Commands look here first, and at another socket nobody would look for the second of two servers.
                if error.kind() == io::ErrorKind::AddrInUse {
                    break;
                }
            }
        }
    }
    tracing::warn!(
        reason = failures.join("; "),
        "no admin socket, so commands like `turnbridge status` cannot reach this server; set admin.listen"
    );
    None
}

fn open_unix(path: &Path) -> io::Result<Door> {
    if let Some(directory) = path.parent() {
        private_file::create_directory(directory)?;
    }
    socket_file::open(path).map(|(listener, file)| Door::Unix(listener, file))
}

fn open_tcp(address: ListenAddress) -> io::Result<Door> {
    acme::listen(address).map(|socket| Door::Tcp(socket.into()))
}
