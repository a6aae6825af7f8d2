//! The TCP sockets of relay addresses.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use crate::net::sys::tcp::{self, Sharing};

/// Peers that may wait to be accepted.
const BACKLOG: i32 = 64;
/// Sent data may stay unacknowledged for this long before the connection counts as broken. No longer than a closed
/// window of the client can hold the peer up.
const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// Opens the socket that listens at a relay address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    // Its own connections share the address with it, but nobody else may have it; a member of the group could not tell.
    drop(tcp::bind(address, Sharing::Alone)?);
    let socket = tcp::bind(address, Sharing::Group)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The next peer that has connected.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = SockRef::from(&listener).accept()?;
    let peer = peer.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    socket.set_nonblocking(true)?;
    tcp::prepare(SockRef::from(&socket), USER_TIMEOUT)?;
    Ok((TcpStream::from_std(socket.into()), peer))
}

/// Begins to connect from a relay address, whose socket listens there (RFC 6062 §5.2).
pub(crate) fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = tcp::bind(from, Sharing::Group)?;
    tcp::prepare(SockRef::from(&socket), USER_TIMEOUT)?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Reads what is there; 0 bytes are the end.
pub(super) fn read(mut socket: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes what the peer takes, at least one byte.
pub(super) fn write(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            result => return result,
        }
    }
}
