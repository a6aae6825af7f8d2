//! Opening TCP sockets, and what all connections have in common.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Who else may have the address of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody.
    Alone,
    /// Others that say so too.
    Group,
}

/// A connection without traffic is asked whether it is still there after this time, and again as often.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Binds a non-blocking socket, to listen or to connect from there.
pub(crate) fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Each family has sockets of its own.
        socket.set_only_v6(true)?;
    }
    // Earlier connections of the address that are still winding down must not keep it.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Group {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Makes a listening socket that somebody else has opened like those of [`bind`].
pub(crate) fn adopt(socket: &OwnedFd) -> io::Result<()> {
    SockRef::from(socket).set_nonblocking(true)
}

/// Media cannot wait for the next packet to fill a segment, and a dead end must be noticed. Sent data may stay
/// unacknowledged, and a full window closed, for `patience`, where the system has such a limit.
pub(crate) fn prepare(socket: SockRef<'_>, patience: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    Ok(())
}

/// Whether an error is about us, who have no descriptor or no memory left, and not about one connection.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
