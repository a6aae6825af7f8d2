//! The sockets that connections arrive on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use mio::net::{TcpListener, TcpStream};
use socket2::{SockRef, Socket};

use super::connection::{Origin, Security};
use super::passage::Fallback;
use crate::net::listener::{ListenError, share};
use crate::net::sys::tcp::{self, Sharing};
use crate::turn::Transport;

/// Where connections are to be listened for.
#[derive(Clone, Debug)]
pub struct StreamListen {
    /// On which address.
    pub address: SocketAddr,
    /// How they begin.
    pub security: Security,
    /// Who else has to do with its connections.
    pub neighbours: Neighbours,
}

/// Who is in front of a listener, and behind it. That may change while it listens.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// Load balancers, whose connections begin with the PROXY protocol.
    pub proxies: Arc<[IpNet]>,
    /// Who gets what is not for us.
    pub fallback: Option<Fallback>,
}

/// One worker's socket on a listening address.
pub struct StreamListener {
    pub(crate) socket: TcpListener,
    listen: StreamListen,
    /// It is in the list of sockets with something to do.
    pub(crate) queued: bool,
    /// Accepting failed for want of something; it is tried again after a while.
    pub(crate) starved: bool,
}

/// Connections that may wait to be accepted: a worker that was busy for a moment refuses nobody.
const BACKLOG: i32 = 1024;
/// Sent data may stay unacknowledged, and a full window closed, for this long before the connection counts as broken.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// What the kernel takes before it has sent it, in bytes. Enough for a fast path; what is more waits with us, where
/// it can be dropped.
const NOT_SENT_MAX: u32 = 128 << 10;

impl StreamListener {
    /// Where clients reach it.
    pub const fn address(&self) -> SocketAddr {
        self.listen.address
    }

    /// How its connections begin.
    pub const fn security(&self) -> Security {
        self.listen.security
    }

    /// Who gets what is not for us.
    pub(crate) const fn fallback(&self) -> Option<&Fallback> {
        self.listen.neighbours.fallback.as_ref()
    }

    /// Who it is that connects from this address.
    pub(crate) fn origin(&self, peer: IpAddr) -> Origin {
        if self.listen.neighbours.proxies.iter().any(|network| network.contains(&peer)) {
            Origin::Balancer
        } else {
            Origin::Client
        }
    }

    pub(super) fn set_neighbours(&mut self, neighbours: Neighbours) {
        self.listen.neighbours = neighbours;
    }

    /// The next connection, ready for use.
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.socket.accept()?;
        prepare(&socket)?;
        Ok((socket, peer))
    }
}

/// Opens the listeners of all workers on all addresses. The kernel divides connections among the workers. `inherited`
/// gives the sockets that are open already for an address: workers that have one in common take turns as they are free.
pub fn open_stream_listeners(
    wanted: &[StreamListen],
    workers: usize,
    mut inherited: impl FnMut(SocketAddr) -> Vec<OwnedFd>,
) -> Result<Vec<Vec<StreamListener>>, ListenError> {
    let mut groups: Vec<Vec<StreamListener>> = (0..workers).map(|_| Vec::new()).collect();
    for listen in wanted {
        let transport = transport(listen.security);
        let failed = |error| ListenError::new(transport, listen.address, error);
        let sockets = inherited(listen.address);
        let (address, opened) = match sockets.is_empty() {
            true => open_group(listen.address, workers).map_err(failed)?,
            false => {
                sockets.iter().try_for_each(tcp::adopt).map_err(failed)?;
                let shared = share(transport, listen.address, &sockets, workers)?;
                (listen.address, shared.into_iter().map(Socket::from).collect())
            }
        };
        for (group, socket) in groups.iter_mut().zip(opened) {
            let socket = TcpListener::from_std(socket.into());
            let listen = StreamListen { address, ..listen.clone() };
            group.push(StreamListener { socket, listen, queued: false, starved: false });
        }
    }
    Ok(groups)
}

/// Opens a socket for each worker, and says where.
fn open_group(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<Socket>)> {
    // A member of a group could be bound beside those of another program of the same user; this one could not.
    // Also finds a free port where none is named.
    let address = local_address(&tcp::bind(address, Sharing::Alone)?)?;
    let open = |_| {
        let socket = tcp::bind(address, Sharing::Group)?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    };
    let opened: io::Result<_> = (0..workers).map(open).collect();
    Ok((address, opened?))
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

const fn transport(security: Security) -> Transport {
    match security {
        Security::Plain => Transport::Tcp,
        Security::Tls | Security::Either => Transport::Tls,
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(NOT_SENT_MAX)?;
    tcp::prepare(socket, USER_TIMEOUT)
}
