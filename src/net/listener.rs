//! The sockets clients talk to.
//!
//! Every worker has a socket on every listening address (`SO_REUSEPORT`), and the kernel divides the clients among
//! them by their addresses. That holds as long as the group of sockets does not change, so all of them are opened
//! before the first packet is served and none is opened or closed after.
//!
//! Sockets that are inherited from whoever started the server take the place of that group: nobody can join it whose
//! user is another one than that of its first member. When they are fewer than the workers, the other workers hear
//! nothing there, and only send.

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
    /// This worker receives from it; otherwise another one does, and this one may only send.
    pub(crate) is_heard: bool,
    /// The kernel has joined datagrams on it, so it is worth receiving into large slots.
    pub(crate) joins: bool,
    /// It is in the list of sockets with something to receive.
    pub(crate) queued: bool,
    /// Datagrams the kernel has dropped so far.
    pub(crate) lost: u32,
}

impl Listener {
    fn new(socket: OwnedFd, address: SocketAddr) -> Self {
        Self {
            socket,
            address,
            runs: RunLimit::default(),
            is_heard: true,
            joins: false,
            queued: false,
            lost: 0,
        }
    }

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
/// client knows. `inherited` gives the sockets that are open already for an address.
pub fn open_listeners(
    addresses: &[SocketAddr],
    workers: usize,
    buffers: BufferSizes,
    mut inherited: impl FnMut(SocketAddr) -> Vec<OwnedFd>,
) -> Result<Vec<WorkerListeners>, ListenError> {
    let mut groups: Vec<WorkerListeners> = (0..workers).map(|_| Vec::new()).collect();
    for &address in addresses {
        let sockets = inherited(address);
        let opened = match sockets.is_empty() {
            true => open_group(address, workers, buffers),
            false => adopt_group(address, &sockets, workers, buffers),
        };
        for (group, listener) in groups.iter_mut().zip(opened?) {
            group.push(listener);
        }
    }
    if let Some(listener) = groups.first().and_then(|group| group.first()) {
        check_buffers(listener, buffers);
    }
    Ok(groups)
}

fn open_group(
    address: SocketAddr,
    workers: usize,
    buffers: BufferSizes,
) -> Result<WorkerListeners, ListenError> {
    let bound = probe(address).map_err(|error| ListenError::new(Transport::Udp, address, error))?;
    let open = || udp::open(bound, Role::Listener, buffers).map(|socket| Listener::new(socket, bound));
    let opened: io::Result<_> = (0..workers).map(|_| open()).collect();
    opened.map_err(|error| ListenError::new(Transport::Udp, bound, error))
}

/// Each inherited socket is heard by one worker, so that all packets of a client reach the same one.
fn adopt_group(
    address: SocketAddr,
    sockets: &[OwnedFd],
    workers: usize,
    buffers: BufferSizes,
) -> Result<WorkerListeners, ListenError> {
    let failed = |error| ListenError::new(Transport::Udp, address, error);
    let shared = share(Transport::Udp, address, sockets, workers)?;
    sockets.iter().try_for_each(|socket| udp::prepare(socket, buffers)).map_err(failed)?;
    let adopt = |(number, socket)| {
        let is_heard = number < sockets.len();
        Listener { is_heard, ..Listener::new(socket, address) }
    };
    if sockets.len() < workers {
        let sockets = sockets.len();
        warn!(%address, sockets, workers, "fewer inherited UDP sockets than workers; the others do not serve this address");
    }
    Ok(shared.into_iter().enumerate().map(adopt).collect())
}

/// Gives each worker a descriptor of one of the inherited sockets, in turn.
pub(crate) fn share(
    transport: Transport,
    address: SocketAddr,
    sockets: &[OwnedFd],
    workers: usize,
) -> Result<Vec<OwnedFd>, ListenError> {
    if sockets.len() > workers {
        // Clients of a socket that nobody hears would wait in vain.
        let source = io::Error::other(format!("{} sockets for {workers} workers", sockets.len()));
        return Err(ListenError { transport, address, reason: ListenFailure::TooManySockets, source });
    }
    let shared: io::Result<_> = sockets.iter().cycle().take(workers).map(OwnedFd::try_clone).collect();
    shared.map_err(|error| ListenError::new(transport, address, error))
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
    /// More sockets are inherited for it than there are workers to hear them.
    TooManySockets,
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
            ListenFailure::TooManySockets => {
                write!(f, "it has more inherited sockets than there are workers; raise server.workers")?;
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
        open_listeners(&addresses, workers, BufferSizes::default(), |_| Vec::new())
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
    fn an_inherited_socket_is_heard_by_one_worker_and_all_can_send_from_it() {
        let one = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = one.local_addr().unwrap();
        let mut sockets = vec![OwnedFd::from(one)];
        let groups = open_listeners(&[address], 3, BufferSizes::default(), |asked| {
            assert_eq!(asked, address);
            std::mem::take(&mut sockets)
        });
        let groups = groups.unwrap();
        let heard: Vec<bool> = groups.iter().map(|group| group[0].is_heard).collect();
        assert_eq!(heard, [true, false, false]);
        for group in &groups {
            assert_eq!(udp::local_address(&group[0].socket).unwrap(), address);
        }
    }

    #[test]
    fn more_inherited_sockets_than_workers_are_an_error_with_words() {
        let sockets: Vec<_> =
            (0..2).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()).collect();
        let address = "127.0.0.1:3478".parse().unwrap();
        let error = share(Transport::Udp, address, &sockets, 1).err().unwrap();
        assert_eq!(error.reason, ListenFailure::TooManySockets);
        assert!(error.to_string().contains("raise server.workers (2 sockets for 1 workers)"), "{error}");
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
