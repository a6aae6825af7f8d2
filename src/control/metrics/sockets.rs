//! The sockets of `metrics.listen`.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::config::address::ListenAddress;
use crate::control::acme;
use crate::net::listener::{ListenError, ListenFailure};
use crate::turn::Transport;

/// Sockets that are open and not served yet.
#[derive(Debug, Default)]
pub(in crate::control) struct Sockets(pub(super) Vec<TcpListener>);

/// Why there can be no such socket.
#[derive(Debug)]
pub struct MetricsListenError(ListenError);

impl Sockets {
    /// Opens these.
    pub(in crate::control) fn open(addresses: &[ListenAddress]) -> Result<Self, MetricsListenError> {
        let open = |address: &ListenAddress| {
            acme::listen(*address).map(TcpListener::from).map_err(|error| {
                MetricsListenError(ListenError::new(Transport::Tcp, one_of(*address), error))
            })
        };
        addresses.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Their addresses, which clients must not reach through the relay. A wildcard is each of the host's addresses.
    pub(in crate::control) fn services(&self, host: &[IpAddr]) -> Vec<SocketAddr> {
        let addresses = self.0.iter().filter_map(|listener| listener.local_addr().ok());
        let all = addresses.flat_map(|address| match address.ip().is_unspecified() {
            true => host.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect(),
            false => vec![address],
        });
        all.collect()
    }
}

/// For messages.
fn one_of(address: ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::One(address) => address,
        ListenAddress::All { port } | ListenAddress::AllV6 { port } => ([0; 16], port).into(),
        ListenAddress::AllV4 { port } => ([0; 4], port).into(),
    }
}

impl MetricsListenError {
    /// What is in the way.
    pub fn reason(&self) -> ListenFailure {
        self.0.reason
    }
}

impl fmt::Display for MetricsListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics.listen: {}", self.0)
    }
}

impl std::error::Error for MetricsListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
