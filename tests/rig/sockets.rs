//! Relay sockets that are only addresses. Their ports are the server's own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use turnbridge::net::ports::{PortId, RelayAddress, RelayPorts};
use turnbridge::turn::{Millis, OpenError, OpenedRelay, PortRequest, RelayId};

pub(crate) struct Sockets {
    ports: RelayPorts,
    open: HashMap<RelayId, (SocketAddr, PortId)>,
}

impl Sockets {
    pub(crate) fn new(addresses: [Option<IpAddr>; 2], ports: RangeInclusive<u16>) -> Self {
        let addresses: Vec<_> = addresses.into_iter().flatten().map(RelayAddress::direct).collect();
        Self { ports: RelayPorts::new(&addresses, ports, [5; 32]), open: HashMap::new() }
    }

    pub(crate) fn open(
        &mut self,
        now: Millis,
        relay: RelayId,
        client: IpAddr,
        port: PortRequest,
    ) -> Result<OpenedRelay, OpenError> {
        let taken = self.ports.take(now, relay.family, client, port)?;
        assert_eq!(self.open.insert(relay, (taken.external, taken.port)), None, "opened twice");
        Ok(OpenedRelay { address: taken.external, reservation: taken.reservation })
    }

    pub(crate) fn close(&mut self, address: SocketAddr) {
        let (_, port) = self.open.remove(&self.id(address)).unwrap();
        self.ports.release(port);
    }

    /// The open socket with this address.
    pub(crate) fn id(&self, address: SocketAddr) -> RelayId {
        let found = self.open.iter().find(|(_, (open, _))| *open == address);
        *found.unwrap_or_else(|| panic!("{address} is not open")).0
    }

    pub(crate) fn address(&self, relay: RelayId) -> SocketAddr {
        self.open[&relay].0
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Ports in use, those included that are kept for a reservation.
    pub(crate) fn ports_taken(&self, now: Millis) -> u32 {
        self.ports.usage(now).iter().map(|usage| usage.taken).sum()
    }
}
