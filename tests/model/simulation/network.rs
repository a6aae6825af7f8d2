//! The relay's driver without a network: relay ports, reservations, and datagrams between our own relay sockets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use turnbridge::turn::{Family, OpenError, OpenedRelay, PortRequest, RelayId, ReservationToken};

use super::cast::{RELAY_PORTS, relay_address};
use super::random::Random;

/// RFC 8656 §7.2: a reservation is kept for at least 30 seconds.
const RESERVATION_MS: u64 = 30_000;

/// A relay socket that the core asked for and has not been told about.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub relay: RelayId,
    pub port: PortRequest,
}

/// A datagram on its way from one relay socket to another.
#[derive(Clone, Debug)]
pub struct InFlight {
    pub to: RelayId,
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
pub struct Network {
    pub open: HashMap<RelayId, SocketAddr>,
    /// In the order of opening, so that a choice among them is the same on every run.
    pub order: Vec<RelayId>,
    pub waiting: Vec<Waiting>,
    pub in_flight: Vec<InFlight>,
    /// Answers given lately, to be given again.
    pub answered: Vec<(RelayId, OpenedRelay)>,
    /// All tokens handed out lately, good or not.
    pub tokens: Vec<ReservationToken>,
    reserved: Vec<Reserved>,
}

struct Reserved {
    token: ReservationToken,
    address: SocketAddr,
    until: u64,
}

impl Network {
    /// Opens a relay socket, unless there is no port, or bad luck.
    pub fn open(&mut self, wanted: Waiting, now: u64, random: &mut Random) -> Result<OpenedRelay, OpenError> {
        // A family that is not there has no tokens either.
        let is_named = !matches!(wanted.port, PortRequest::Reserved(_));
        if random.once_in(24) {
            let unsupported = is_named && random.once_in(2);
            return Err(if unsupported { OpenError::FamilyUnsupported } else { OpenError::NoCapacity });
        }
        self.reserved.retain(|reserved| now < reserved.until);
        let ip = relay_address(wanted.relay.family == Family::V6);
        let (address, reservation) = match wanted.port {
            PortRequest::Reserved(token) => (self.reserved_for(token)?, None),
            PortRequest::Any => (self.free(ip, random, |_, _| true)?, None),
            PortRequest::Even => (self.free(ip, random, |_, at| at.port() % 2 == 0)?, None),
            PortRequest::EvenAndReserveNext => {
                let next = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
                let address = self.free(ip, random, |own, at| at.port() % 2 == 0 && own.is_free(next(at)))?;
                let token = ReservationToken::new(wanted.relay.family, random.array());
                self.reserved.push(Reserved { token, address: next(address), until: now + RESERVATION_MS });
                self.tokens.push(token);
                if self.tokens.len() > 4 {
                    self.tokens.remove(0);
                }
                (address, Some(token))
            }
        };
        let opened = OpenedRelay { address, reservation };
        assert!(self.open.insert(wanted.relay, address).is_none(), "{:?} is asked for twice", wanted.relay);
        self.order.push(wanted.relay);
        self.answered.push((wanted.relay, opened));
        if self.answered.len() > 8 {
            self.answered.remove(0);
        }
        Ok(opened)
    }

    pub fn close(&mut self, relay: RelayId) {
        assert!(self.open.remove(&relay).is_some(), "{relay:?} is closed without being open");
        self.order.retain(|open| *open != relay);
    }

    /// What a datagram to one of our own relay sockets leads to.
    pub fn carry(&mut self, from: RelayId, to: SocketAddr, bytes: &[u8]) {
        let target = self.order.iter().find(|relay| self.open[relay] == to);
        if let (Some(target), Some(from)) = (target, self.open.get(&from))
            && self.in_flight.len() < 16
        {
            self.in_flight.push(InFlight { to: *target, from: *from, bytes: bytes.to_vec() });
        }
    }

    fn reserved_for(&mut self, token: ReservationToken) -> Result<SocketAddr, OpenError> {
        let place = self.reserved.iter().position(|reserved| reserved.token == token);
        place.map(|place| self.reserved.swap_remove(place).address).ok_or(OpenError::TokenUnknown)
    }

    fn free(
        &self,
        ip: IpAddr,
        random: &mut Random,
        good: impl Fn(&Self, SocketAddr) -> bool,
    ) -> Result<SocketAddr, OpenError> {
        let all = RELAY_PORTS.map(|port| SocketAddr::new(ip, port));
        let free: Vec<_> = all.filter(|at| self.is_free(*at) && good(self, *at)).collect();
        if free.is_empty() { Err(OpenError::NoCapacity) } else { Ok(*random.pick(&free)) }
    }

    fn is_free(&self, address: SocketAddr) -> bool {
        RELAY_PORTS.contains(&address.port())
            && !self.open.values().any(|open| *open == address)
            && !self.reserved.iter().any(|reserved| reserved.address == address)
    }
}
