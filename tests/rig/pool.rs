//! Relay ports that are only numbers.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use turnbridge::turn::{Family, Millis, OpenError, OpenedRelay, PortRequest, ReservationToken};

/// RFC 8656 §7.2: at least this long.
const RESERVATION: Duration = Duration::from_secs(30);

/// The ports of one relay address per family.
pub(crate) struct Pool {
    pub(crate) v4: Option<IpAddr>,
    pub(crate) v6: Option<IpAddr>,
    pub(crate) ports: RangeInclusive<u16>,
    open: HashSet<SocketAddr>,
    reserved: HashMap<ReservationToken, (SocketAddr, Millis)>,
    tokens: u8,
}

impl Pool {
    pub(crate) fn new(v4: Option<IpAddr>, v6: Option<IpAddr>, ports: RangeInclusive<u16>) -> Self {
        Self { v4, v6, ports, open: HashSet::new(), reserved: HashMap::new(), tokens: 0 }
    }

    pub(crate) fn open(
        &mut self,
        now: Millis,
        family: Family,
        port: PortRequest,
    ) -> Result<OpenedRelay, OpenError> {
        self.reserved.retain(|_, (_, until)| now < *until);
        let address = match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        };
        let address = address.ok_or(OpenError::FamilyUnsupported)?;
        let at = |port| SocketAddr::new(address, port);
        let mut ports = self.ports.clone();
        let (address, reservation) = match port {
            PortRequest::Any => (ports.find(|port| self.is_free(at(*port))).map(at), None),
            PortRequest::Even => (ports.find(|port| port % 2 == 0 && self.is_free(at(*port))).map(at), None),
            PortRequest::EvenAndReserveNext => {
                let free = |port: &u16| self.is_free(at(*port)) && self.is_free(at(port + 1));
                let address = ports.find(|port| port % 2 == 0 && free(port)).map(at);
                (address, address.map(|address| self.reserve(now, family, at(address.port() + 1))))
            }
            PortRequest::Reserved(token) => {
                let (address, _) = self.reserved.remove(&token).ok_or(OpenError::TokenUnknown)?;
                (Some(address), None)
            }
        };
        let address = address.ok_or(OpenError::NoCapacity)?;
        self.open.insert(address);
        Ok(OpenedRelay { address, reservation })
    }

    pub(crate) fn close(&mut self, relay: SocketAddr) {
        assert!(self.open.remove(&relay), "{relay} was not open");
    }

    pub(crate) fn in_use(&self) -> usize {
        self.open.len()
    }

    fn reserve(&mut self, now: Millis, family: Family, address: SocketAddr) -> ReservationToken {
        self.tokens += 1;
        let token = ReservationToken::new(family, [self.tokens; 8]);
        self.reserved.insert(token, (address, now.after(RESERVATION)));
        token
    }

    fn is_free(&self, address: SocketAddr) -> bool {
        self.ports.contains(&address.port())
            && !self.open.contains(&address)
            && !self.reserved.values().any(|(reserved, _)| *reserved == address)
    }
}
