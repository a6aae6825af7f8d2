//! The sockets clients talk to.
//!
//! Every worker has a socket on every listening address (`SO_REUSEPORT`), and the kernel divides the clients among
//! them by their addresses. That holds as long as the group of sockets does not change, so all of them are opened
//! before the first packet is served and none is opened or closed after.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tracing::warn;

use super::batch::{Outlet, RunLimit};
use super::sys::SlotSize;
use super::sys::udp::{self, BufferSizes, Role};
use crate::turn::Transport;

/// One worker's socket on a listening address.
pub struct Listener {
    socket: OwnedFd,
    address: SocketAddr,
    runs: RunLimit,
    /// The kernel has joined datagrams on it, so it is worth receiving into large slots.
    pub(crate) joins: bool,
    /// It is in the list of sockets with something to receive.
    pub(crate) queued: bool,
    /// Datagrams the kernel has dropped so far.
    pub(crate) lost: u32,
}

impl Listener {
    /// Where clients reach it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// To send through.
    #[inline]
    pub(crate) fn outlet(&mut self) -> Outlet<'_> {
        Outlet { socket: self.socket.as_fd(), runs: &mut self.runs }
    }

    /// To receive from, and how.
    #[inline]
    pub(crate) fn inlet(&self) -> (BorrowedFd<'_>, SlotSize) {
        (self.socket.as_fd(), if self.joins { SlotSize::Large } else { SlotSize::Small })
    }
}

/// The listeners of one worker, by [`crate::turn::ListenerId`].
pub type WorkerListeners = Vec<Listener>;

/// Opens the listeners of all workers on all addresses. None is a wildcard: answers leave from the address that the
/// client knows.
pub fn open_listeners(
    addresses: &[SocketAddr],
    workers: usize,
    buffers: BufferSizes,
) -> Result<Vec<WorkerListeners>, ListenError> {
    let mut groups: Vec<WorkerListeners> = (0..workers).map(|_| Vec::new()).collect();
    for &address in addresses {
        let bound = probe(address).map_err(|error| ListenError::new(Transport::Udp, address, error))?;
        for group in &mut groups {
            let socket = udp::open(bound, Role::Listener, buffers)
                .map_err(|error| ListenError::new(Transport::Udp, bound, error))?;
            let (runs, joins, queued, lost) = (RunLimit::default(), false, false, 0);
            group.push(Listener { socket, address: bound, runs, joins, queued, lost });
        }
    }
    if let Some(listener) = groups.first().and_then(|group| group.first()) {
        check_buffers(listener, buffers);
    }
    Ok(groups)
}

/// Why the server cannot listen.
#[derive(Debug)]
pub struct ListenError {
    /// For what.
    pub transport: Transport,
    /// On which address.
    pub address: SocketAddr,
    /// What is in the way.
    pub reason: ListenFailure,
    /// What the system said.
    pub source: io::Error,
}

/// What is in the way of listening on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenFailure {
    /// Another program has the port.
    PortBusy,
    /// Ports below 1024 need a privilege.
    NoPermission,
    /// No interface of this host has the address.
    AddressUnknown,
    /// Something else.
    Other,
}

impl ListenFailure {
    /// From what the system said.
    pub fn of(error: &io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortBusy,
            io::ErrorKind::PermissionDenied => Self::NoPermission,
            io::ErrorKind::AddrNotAvailable => Self::AddressUnknown,
            _ => Self::Other,
        }
    }
}

impl ListenError {
    /// From what the system said.
    pub fn new(transport: Transport, address: SocketAddr, source: io::Error) -> Self {
        Self { transport, address, reason: ListenFailure::of(&source), source }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, address, reason, source } = self;
        write!(f, "cannot listen on {} {address}: ", transport.name())?;
        match reason {
            ListenFailure::PortBusy => write!(f, "another program uses port {}", address.port())?,
            ListenFailure::NoPermission if address.port() < 1024 => {
                write!(
                    f,
                    "no permission for port {}; ports below 1024 need CAP_NET_BIND_SERVICE",
                    address.port()
                )?;
            }
            ListenFailure::NoPermission => write!(f, "no permission for port {}", address.port())?,
            ListenFailure::AddressUnknown => {
                write!(f, "no interface of this host has the address {}", address.ip())?;
            }
            ListenFailure::Other => write!(f, "the system refuses")?,
        }
        write!(f, " ({source})")
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Whether the address is ours to have. Sockets of a group could be bound beside those of another program of the same
/// user, and would share its clients; this one could not. Also finds a free port where none is named.
fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = udp::open(address, Role::Alone, BufferSizes::default())?;
    udp::local_address(&socket)
}

/// Says so when the kernel gives less than was asked for, and how to change it.
fn check_buffers(listener: &Listener, asked: BufferSizes) {
    let Ok(granted) = udp::granted(&listener.socket) else { return };
    let checks = [
        ("receive", asked.receive, granted.receive, "net.core.rmem_max"),
        ("send", asked.send, granted.send, "net.core.wmem_max"),
    ];
    for (buffer, asked, granted, sysctl) in checks {
        if let (Some(asked), Some(granted)) = (asked, granted)
            && granted < asked
        {
            warn!(buffer, asked, granted, "{}", capped(buffer, asked, granted, sysctl));
        }
    }
}

/// The warning about a capped buffer.
fn capped(buffer: &str, asked: usize, granted: usize, sysctl: &str) -> String {
    if cfg!(target_os = "linux") {
        format!(
            "the kernel limits {buffer} buffers to {granted} bytes; raise it with: sysctl -w {sysctl}={asked}"
        )
    } else {
        format!("the kernel limits {buffer} buffers to {granted} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(addresses: &[&str], workers: usize) -> Result<Vec<WorkerListeners>, ListenError> {
        let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        open_listeners(&addresses, workers, BufferSizes::default())
    }

    #[test]
    fn every_worker_has_a_socket_on_every_address_under_the_same_number() {
        let groups = open(&["127.0.0.1:0", "[::1]:0"], 3).unwrap();
        assert_eq!(groups.len(), 3);
        let addresses: Vec<Vec<SocketAddr>> =
            groups.iter().map(|group| group.iter().map(Listener::address).collect()).collect();
        assert_eq!(addresses[0].len(), 2);
        assert!(addresses.iter().all(|group| *group == addresses[0]));
        assert!(addresses[0].iter().all(|address| address.port() != 0));
    }

    #[test]
    fn a_port_in_use_is_an_error_with_words_even_if_it_is_used_by_a_group_of_sockets() {
        let groups = open(&["127.0.0.1:0"], 2).unwrap();
        let address = groups[0][0].address();
        let error = open(&[&address.to_string()], 1).err().unwrap();
        assert_eq!((error.address, error.reason), (address, ListenFailure::PortBusy));
        let text = error.to_string();
        assert!(
            text.contains(&format!("cannot listen on udp {address}: another program uses port")),
            "{text}"
        );
        assert!(text.contains("os error"), "{text}");
    }

    #[test]
    fn an_address_of_another_host_is_an_error_with_words() {
        let error = open(&["192.0.2.1:0"], 1).err().unwrap();
        assert_eq!(error.reason, ListenFailure::AddressUnknown);
        assert!(error.to_string().contains("no interface of this host has the address 192.0.2.1"), "{error}");
    }

    #[test]
    fn missing_permission_is_told_apart() {
        let error = ListenError::new(
            Transport::Tcp,
            "0.0.0.0:80".parse().unwrap(),
            io::Error::from_raw_os_error(libc::EACCES),
        );
        assert_eq!(error.reason, ListenFailure::NoPermission);
        assert!(error.to_string().contains("no permission for port 80"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_capped_buffer_is_told_with_the_sysctl_to_raise() {
        let text = capped("receive", 8_388_608, 212_992, "net.core.rmem_max");
        assert!(text.contains("212992") && text.contains("sysctl -w net.core.rmem_max=8388608"), "{text}");
    }
}
