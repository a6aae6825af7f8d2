//! Opens the sockets, starts the workers, and runs until told to stop.

use super::advert::Advert;
use crate::{auth::Authenticator, config::Config};
use std::{fmt, net::SocketAddr, sync::Arc};

/// All that a server starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// The configuration, found good.
    pub config: Config,
    /// Who may log in: what `config.auth` says, or the server's own secret when that says nothing.
    pub authenticator: Arc<Authenticator>,
    /// Where to listen and where to relay from, as the host has these addresses now.
    pub advert: Advert,
}

/// Why a server could not start or go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServeError {
    /// Another process has the port.
    PortBusy(SocketAddr),
    /// The system does not let this process have the port.
    NoPermission(SocketAddr),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortBusy(address) => write!(f, "{address} is in use by another process"),
            Self::NoPermission(address) => {
                write!(f, "no permission to listen on {address}; ports below 1024 need CAP_NET_BIND_SERVICE")
            }
            Self::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until the process is told to stop. `ready` is called once, when all sockets are open, with the addresses
/// that were really bound.
pub fn run(start: Start, ready: impl FnOnce(&Advert)) -> Result<(), ServeError> {
    drop((start, ready));
    Err(ServeError::Failed("this build has no packet path".to_owned()))
}
