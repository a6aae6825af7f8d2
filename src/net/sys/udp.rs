//! Opening UDP sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::imp;
use crate::turn::Family;

/// What a socket is for, where that makes a difference to how it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One of several sockets on the same address, among which the kernel divides the clients.
    Listener,
    /// Alone on its address.
    Alone,
    /// A relay socket: alone on its address, keeps ICMP errors with the peer they are about.
    Relay,
}

/// Sizes to ask the kernel for; it may grant less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BufferSizes {
    /// Receive buffer in bytes, or what the system gives by default.
    pub receive: Option<usize>,
    /// Send buffer in bytes, or what the system gives by default.
    pub send: Option<usize>,
}

/// Opens a non-blocking UDP socket on `address`.
pub fn open(address: SocketAddr, role: Role, buffers: BufferSizes) -> io::Result<OwnedFd> {
    let family = Family::of(address.ip());
    let socket = Socket::new(Domain::for_address(address), datagram(), Some(Protocol::UDP))?;
    #[cfg(not(target_os = "linux"))]
    socket.set_nonblocking(true)?;
    if family == Family::V6 {
        // A dual-stack socket would show IPv4 addresses in IPv6 disguise; each family has sockets of its own.
        socket.set_only_v6(true)?;
    }
    match role {
        Role::Listener => socket.set_reuse_port(true)?,
        Role::Alone => {}
        Role::Relay => imp::enable_error_queue(socket.as_fd(), family)?,
    }
    set_up(&socket, family, buffers)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Makes a socket that somebody else has opened and bound like those of [`open`].
pub(crate) fn prepare(socket: &OwnedFd, buffers: BufferSizes) -> io::Result<()> {
    let family = Family::of(local_address(socket)?.ip());
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    set_up(&socket, family, buffers)
}

fn set_up(socket: &Socket, family: Family, buffers: BufferSizes) -> io::Result<()> {
    imp::restore_fragmentation(socket.as_fd(), family)?;
    imp::enable_offloads(socket.as_fd());
    if let Some(size) = buffers.receive {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = buffers.send {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

/// The sizes the kernel granted. Linux doubles what it is asked for, to have room for its own records.
pub fn granted(socket: &OwnedFd) -> io::Result<BufferSizes> {
    let socket = SockRef::from(socket);
    let halve = if cfg!(target_os = "linux") { 2 } else { 1 };
    Ok(BufferSizes {
        receive: Some(socket.recv_buffer_size()? / halve),
        send: Some(socket.send_buffer_size()? / halve),
    })
}

/// The address a socket is bound to.
pub fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = SockRef::from(socket).local_addr()?;
    address.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(target_os = "linux")]
fn datagram() -> Type {
    Type::DGRAM.nonblocking().cloexec()
}

#[cfg(not(target_os = "linux"))]
fn datagram() -> Type {
    Type::DGRAM
}
