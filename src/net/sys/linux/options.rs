//! Socket options that only Linux has, or that `socket2` does not know.

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::turn::Family;

/// Whether the DF bit can be set for a single datagram.
pub const DONT_FRAGMENT: bool = true;

/// Turns on what the packet path makes use of: joined datagrams, and the count of lost ones. An older kernel may
/// refuse either, and everything works without them.
pub fn enable_offloads(socket: BorrowedFd<'_>) {
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    let _ = set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1);
}

/// Asks for ICMP errors to be kept with the address they are about, instead of failing an unrelated send.
pub fn enable_error_queue(socket: BorrowedFd<'_>, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => set(socket, libc::SOL_IP, libc::IP_RECVERR, 1),
        Family::V6 => set(socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1),
    }
}

/// Lets routers (IPv4) or this host fragment what is sent: the state in which relay sockets are. In IPv4 that is not
/// `IP_PMTUDISC_DONT`: a socket in that state is not told of the router that could not pass on an unfragmented datagram
/// sent before.
pub fn restore_fragmentation(socket: BorrowedFd<'_>, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => set(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        Family::V6 => set(socket, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT),
    }
}

/// Sets the DF bit of what is sent from now on; what is too long is refused with `EMSGSIZE`.
pub fn disable_fragmentation(socket: BorrowedFd<'_>, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => set(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        Family::V6 => set(socket, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
    }
}

fn set(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the option value is an int that lives until the call returns, and its size is told.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
