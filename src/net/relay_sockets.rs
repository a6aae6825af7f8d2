//! A worker's relay sockets: one per allocation and family, found by the allocation's place in its table.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use tracing::warn;

use super::batch::{Outlet, RunLimit};
use super::peer;
use super::ports::{Mapping, PortId, RelayPorts, Taken};
use super::socket_id::SocketId;
use super::sys::udp::{self, BufferSizes, Role};
use super::sys::{ERROR_QUEUE, IcmpReport, SlotSize, read_error};
use super::throttle::Throttle;
use crate::turn::{
    AllocationId, Family, Millis, OpenError, OpenedRelay, PortRequest, RelayId, RelayTransport,
};

/// The relay sockets of one worker.
pub(crate) struct RelaySockets {
    /// By family and allocation index.
    sockets: [Vec<Option<RelaySocket>>; 2],
    /// How many of them there are.
    open: usize,
    ports: Arc<RelayPorts>,
    buffers: BufferSizes,
    exhausted: Throttle,
    failed: Throttle,
}

/// What is kept per relay socket: 24 bytes, because there are many.
pub(crate) struct RelaySocket {
    socket: OwnedFd,
    generation: u32,
    port: PortId,
    runs: RunLimit,
    /// Whether it receives datagrams or listens for connections.
    pub(crate) transport: RelayTransport,
    /// The kernel has joined datagrams on it, so it is worth receiving into large slots.
    pub(crate) joins: bool,
    /// It is in the list of sockets with something to receive.
    pub(crate) queued: bool,
    /// It is in the list of sockets with something in their error queue.
    pub(crate) failing: bool,
    /// Datagrams the kernel has dropped so far.
    pub(crate) lost: u32,
}

/// Ports to try when one after the other turns out to be taken by another program.
const ATTEMPTS: usize = 16;

impl RelaySockets {
    pub(crate) fn new(ports: Arc<RelayPorts>, buffers: BufferSizes) -> Self {
        let sockets = [Vec::new(), Vec::new()];
        Self { sockets, open: 0, ports, buffers, exhausted: Throttle::default(), failed: Throttle::default() }
    }

    /// What the relay addresses are called outside, as it is now.
    pub(crate) fn mapping(&self) -> Mapping {
        self.ports.mapping()
    }

    /// Opens a relay socket on a port of its own and hands it to `register`, so that its datagrams are noticed.
    pub(crate) fn open(
        &mut self,
        now: Millis,
        relay: RelayId,
        client: IpAddr,
        (request, transport): (PortRequest, RelayTransport),
        register: impl FnOnce(SocketId, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<OpenedRelay, OpenError> {
        let (socket, taken) = match self.bind(now, relay.family, client, request, transport) {
            Ok(bound) => bound,
            Err(Failure::Pool(error)) => {
                self.report_exhausted(now, relay.family, error);
                return Err(error);
            }
            Err(Failure::System(address, error)) => {
                self.report_failed(now, address, &error);
                return Err(OpenError::NoSocket);
            }
        };
        if let Err(error) = register(socket_id(relay), socket.as_fd()) {
            self.report_failed(now, taken.bind, &error);
            self.ports.abandon(taken);
            return Err(OpenError::NoSocket);
        }
        let opened = OpenedRelay { address: taken.external, reservation: taken.reservation };
        let record = RelaySocket {
            socket,
            generation: relay.allocation.generation,
            port: taken.port,
            runs: RunLimit::default(),
            transport,
            joins: false,
            queued: false,
            failing: false,
            lost: 0,
        };
        match self.place(relay).replace(record) {
            // The allocation that was in this place before has not closed its socket.
            Some(before) => self.ports.release(before.port),
            None => self.open += 1,
        }
        Ok(opened)
    }

    /// Closes a relay socket and frees its port. Whether there was one.
    pub(crate) fn close(&mut self, relay: RelayId) -> bool {
        if !self.is_open(relay) {
            return false;
        }
        let Some(closed) = self.place(relay).take() else { return false };
        let port = closed.port;
        // The descriptor first: the next to get the port must be able to bind it.
        drop(closed);
        self.ports.release(port);
        self.open -= 1;
        if self.open == 0 {
            // A crowd that has left should leave its room behind.
            self.sockets = [Vec::new(), Vec::new()];
        }
        true
    }

    /// Whether this very relay socket is open, and not one of a later allocation in the same place.
    #[inline]
    pub(crate) fn is_open(&self, relay: RelayId) -> bool {
        self.sockets[family_index(relay.family)]
            .get(relay.allocation.index as usize)
            .and_then(Option::as_ref)
            .is_some_and(|socket| socket.generation == relay.allocation.generation)
    }

    /// The relay socket at a place, and its name.
    #[inline]
    pub(crate) fn at(&mut self, place: u32) -> Option<(RelayId, &mut RelaySocket)> {
        let (family, index) =
            if place & 1 == 0 { (Family::V4, place >> 1) } else { (Family::V6, place >> 1) };
        let socket = self.sockets[family_index(family)].get_mut(index as usize)?.as_mut()?;
        let allocation = AllocationId { index, generation: socket.generation };
        Some((RelayId { allocation, family }, socket))
    }

    /// The address that connections from a relay address must be bound to.
    pub(crate) fn bound_to(&mut self, relay: RelayId) -> io::Result<SocketAddr> {
        if !self.is_open(relay) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let socket = self.place(relay).as_ref().ok_or(io::ErrorKind::NotConnected)?;
        udp::local_address(&socket.socket)
    }

    fn place(&mut self, relay: RelayId) -> &mut Option<RelaySocket> {
        let sockets = &mut self.sockets[family_index(relay.family)];
        let index = relay.allocation.index as usize;
        if index >= sockets.len() {
            sockets.resize_with(index + 1, || None);
        }
        &mut sockets[index]
    }

    fn bind(
        &self,
        now: Millis,
        family: Family,
        client: IpAddr,
        request: PortRequest,
        transport: RelayTransport,
    ) -> Result<(OwnedFd, Taken), Failure> {
        // Kept until the end, so that no attempt gets a port that has already failed.
        let mut unusable = Vec::new();
        let result = loop {
            let taken = match self.ports.take(now, family, client, request) {
                Ok(taken) => taken,
                Err(error) => break Err(Failure::Pool(error)),
            };
            let opened = match transport {
                RelayTransport::Udp => udp::open(taken.bind, Role::Relay, self.buffers),
                RelayTransport::Tcp => peer::listen(taken.bind),
            };
            let error = match opened {
                Ok(socket) => break Ok((socket, taken)),
                Err(error) => error,
            };
            let address = taken.bind;
            unusable.push(taken);
            // Somebody else's port says nothing about the next one; running out of descriptors does.
            let is_reserved = matches!(request, PortRequest::Reserved(_));
            if error.kind() != io::ErrorKind::AddrInUse || is_reserved || unusable.len() >= ATTEMPTS {
                break Err(Failure::System(address, error));
            }
        };
        unusable.into_iter().for_each(|taken| self.ports.abandon(taken));
        result
    }

    fn report_exhausted(&mut self, now: Millis, family: Family, error: OpenError) {
        if error != OpenError::NoCapacity {
            return;
        }
        if let Some(suppressed) = self.exhausted.pass(now) {
            let usage = self.ports.usage(now);
            let of_family = usage.iter().filter(|usage| usage.address.family() == family);
            let (taken, capacity) = of_family
                .fold((0, 0), |(taken, capacity), usage| (taken + usage.taken, capacity + usage.capacity));
            warn!(?family, taken, capacity, suppressed, "relay ports are used up");
        }
    }

    fn report_failed(&mut self, now: Millis, address: SocketAddr, error: &io::Error) {
        if let Some(suppressed) = self.failed.pass(now) {
            warn!(%address, %error, suppressed, "relay socket cannot be opened");
        }
    }
}

impl Drop for RelaySockets {
    fn drop(&mut self) {
        for socket in self.sockets.iter_mut().flat_map(|sockets| sockets.drain(..)).flatten() {
            let port = socket.port;
            drop(socket);
            self.ports.release(port);
        }
    }
}

enum Failure {
    Pool(OpenError),
    System(SocketAddr, io::Error),
}

impl RelaySocket {
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

    /// The next ICMP message about something this socket sent.
    pub(crate) fn icmp(&self) -> Option<IcmpReport> {
        if ERROR_QUEUE { read_error(self.socket.as_fd()).ok().flatten() } else { None }
    }
}

/// The name under which a relay socket is sent through and polled.
#[inline]
pub(crate) fn socket_id(relay: RelayId) -> SocketId {
    SocketId::relay(relay.allocation.index << 1 | u32::from(relay.family == Family::V6))
}

const fn family_index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

const _: () = assert!(size_of::<Option<RelaySocket>>() <= 24);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;
    use crate::net::ports::RelayAddress;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const NOW: Millis = Millis(0);

    /// Sockets on loopback, on ports that no other test and no client uses.
    fn rig(range: std::ops::RangeInclusive<u16>) -> (RelaySockets, Arc<RelayPorts>) {
        let addresses = ["127.0.0.1", "::1"].map(|ip| RelayAddress::direct(ip.parse().unwrap()));
        let ports = Arc::new(RelayPorts::new(&addresses, range, [5; 32]));
        (RelaySockets::new(Arc::clone(&ports), BufferSizes::default()), ports)
    }

    fn relay(index: u32, generation: u32, family: Family) -> RelayId {
        RelayId { allocation: AllocationId { index, generation }, family }
    }

    fn open(
        sockets: &mut RelaySockets,
        relay: RelayId,
        request: PortRequest,
    ) -> Result<OpenedRelay, OpenError> {
        sockets.open(NOW, relay, CLIENT, (request, RelayTransport::Udp), |_, _| Ok(()))
    }

    fn taken(ports: &RelayPorts) -> u32 {
        ports.usage(NOW).iter().map(|usage| usage.taken).sum()
    }

    #[test]
    fn a_dual_allocation_has_a_socket_of_each_family_and_closing_frees_both_ports() {
        let (mut sockets, ports) = rig(20_000..=20_099);
        for family in [Family::V4, Family::V6] {
            let opened = open(&mut sockets, relay(7, 1, family), PortRequest::Any).unwrap();
            assert_eq!(Family::of(opened.address.ip()), family);
            UdpSocket::bind(opened.address).unwrap_err();
        }
        assert_eq!(taken(&ports), 2);
        for family in [Family::V4, Family::V6] {
            assert!(sockets.close(relay(7, 1, family)));
            assert!(!sockets.close(relay(7, 1, family)), "once");
        }
        assert_eq!(taken(&ports), 0);
        assert!(sockets.sockets.iter().all(|table| table.capacity() == 0), "the table has shrunk");
    }

    #[test]
    fn a_stale_name_neither_finds_nor_closes_a_later_socket() {
        let (mut sockets, ports) = rig(20_100..=20_199);
        open(&mut sockets, relay(0, 2, Family::V4), PortRequest::Any).unwrap();
        assert!(!sockets.is_open(relay(0, 1, Family::V4)));
        assert!(!sockets.close(relay(0, 1, Family::V4)));
        assert!(sockets.is_open(relay(0, 2, Family::V4)));
        assert_eq!(sockets.at(0).unwrap().0, relay(0, 2, Family::V4));
        assert_eq!(taken(&ports), 1);
    }

    #[test]
    fn a_port_that_another_program_uses_is_passed_over() {
        let (mut sockets, ports) = rig(20_200..=20_203);
        let other: Vec<_> =
            [20_200, 20_201, 20_203].map(|port| UdpSocket::bind(("127.0.0.1", port)).unwrap()).into();
        let opened = open(&mut sockets, relay(0, 0, Family::V4), PortRequest::Any).unwrap();
        assert_eq!(opened.address.port(), 20_202);
        let full = open(&mut sockets, relay(1, 0, Family::V4), PortRequest::Any);
        assert_eq!(full, Err(OpenError::NoCapacity));
        assert_eq!(taken(&ports), 1, "what could not be bound is not kept");
        drop(other);
        let pair = open(&mut sockets, relay(1, 0, Family::V4), PortRequest::EvenAndReserveNext).unwrap();
        assert_eq!(pair.address.port(), 20_200);
        let next = PortRequest::Reserved(pair.reservation.unwrap());
        assert_eq!(open(&mut sockets, relay(2, 0, Family::V4), next).unwrap().address.port(), 20_201);
    }

    #[test]
    fn r10_a_socket_that_cannot_be_watched_leaves_no_port_and_no_descriptor() {
        let (mut sockets, ports) = rig(20_300..=20_399);
        let request = PortRequest::EvenAndReserveNext;
        let failed =
            sockets.open(NOW, relay(0, 0, Family::V4), CLIENT, (request, RelayTransport::Udp), |_, _| {
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            });
        assert_eq!(failed, Err(OpenError::NoSocket));
        assert_eq!(taken(&ports), 0);
        assert!(sockets.at(0).is_none());
    }

    #[test]
    fn dropping_the_table_gives_all_ports_back() {
        let (mut sockets, ports) = rig(20_400..=20_499);
        for index in 0..20 {
            open(&mut sockets, relay(index, 0, Family::V4), PortRequest::Any).unwrap();
        }
        assert_eq!(taken(&ports), 20);
        drop(sockets);
        assert_eq!(taken(&ports), 0);
    }
}
