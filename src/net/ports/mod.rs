//! The relay ports of the whole server: which are taken, and which are kept for a later allocation.
//!
//! Shared by all workers behind a mutex, because the second Allocate of a pair (RFC 8656 §7.2) may arrive at another
//! worker than the first. It is locked when an allocation begins or ends, never per packet.
//!
//! Which addresses and ports there are may change while some are in use. What was given before comes back here, and
//! stays known by the name its client was told.

mod address;
mod bitmap;
mod mapping;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use address::RelayAddress;
use bitmap::Shape;
pub use mapping::Mapping;
use pool::Pool;

use super::random::Random;
use crate::turn::{Family, Millis, OpenError, PortRequest, ReservationToken};

/// The ports of all relay addresses.
pub struct RelayPorts {
    state: Mutex<State>,
}

struct State {
    /// Found by the number in a [`PortId`]. Some are no longer offered, until all their ports are back.
    pools: Vec<Pool>,
    range: RangeInclusive<u16>,
    reservations: HashMap<ReservationToken, Reservation>,
    /// Tokens in the order they run out. Some of them have been used since.
    running_out: VecDeque<(Millis, ReservationToken)>,
    random: Random,
    /// Where to begin among equally free addresses.
    turn: usize,
}

struct Reservation {
    port: PortId,
    until: Millis,
}

/// How long a port is kept for the second allocation of a pair (RFC 8656 §7.2).
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// A port that has been taken, in four bytes: there is one in every relay socket's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortId {
    address: u16,
    port: u16,
}

/// A port for a relay socket that is not open yet: to be kept, or given back with [`RelayPorts::abandon`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the port is taken until it is given back"]
pub struct Taken {
    /// The port, to be given back with [`RelayPorts::release`] when its socket is closed.
    pub port: PortId,
    /// What to bind the socket to.
    pub bind: SocketAddr,
    /// What to tell the client.
    pub external: SocketAddr,
    /// The token for the port above it, if that was asked for.
    pub reservation: Option<ReservationToken>,
}

/// How many ports of a relay address are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortUsage {
    /// Which address.
    pub address: RelayAddress,
    /// Ports of the range that are taken, those included that are kept for a reservation.
    pub taken: u32,
    /// All its ports.
    pub capacity: u32,
}

impl RelayPorts {
    /// All ports of `range` on each address, for free. The seed must be secret, or ports and tokens can be guessed.
    pub fn new(addresses: &[RelayAddress], range: RangeInclusive<u16>, seed: [u8; 32]) -> Self {
        let mut state = State {
            pools: Vec::new(),
            range: range.clone(),
            reservations: HashMap::new(),
            running_out: VecDeque::new(),
            random: Random::new(seed),
            turn: 0,
        };
        state.offer(addresses, range);
        Self { state: Mutex::new(state) }
    }

    /// From now on gives ports of `range` on these addresses. What is in use or reserved stays so, and comes back when it
    /// is released; it keeps the name its client was told. The workers have to be given the mapping that comes of it.
    pub fn reconfigure(&self, addresses: &[RelayAddress], range: RangeInclusive<u16>) {
        self.lock().offer(addresses, range);
    }

    /// The mapping between inside and outside as it is now, for a worker to keep.
    pub fn mapping(&self) -> Mapping {
        let state = self.lock();
        let former = state.pools.iter().flat_map(Pool::former).cloned().collect();
        let addresses: Vec<_> = state.offered().map(Pool::address).collect();
        Mapping::new(former, &addresses, state.range.clone())
    }

    /// Takes a port for a client.
    pub fn take(
        &self,
        now: Millis,
        family: Family,
        client: IpAddr,
        request: PortRequest,
    ) -> Result<Taken, OpenError> {
        let mut state = self.lock();
        state.forget_expired(now);
        let shape = match request {
            PortRequest::Any => Shape::Any,
            PortRequest::Even => Shape::Even,
            PortRequest::EvenAndReserveNext => Shape::Pair,
            PortRequest::Reserved(token) => {
                let port = state.redeem(token, family).ok_or(OpenError::TokenUnknown)?;
                return Ok(state.taken(port, None));
            }
        };
        for number in state.by_preference(family, client)? {
            let State { pools, random, .. } = &mut *state;
            if let Some(port) = pools[number].take(shape, random) {
                let address = u16::try_from(number).expect("a host has fewer addresses than that");
                let reservation = (shape == Shape::Pair).then(|| {
                    let next = PortId { address, port: port + 1 };
                    state.reserve(now.after(RESERVATION_LIFETIME), next, family)
                });
                return Ok(state.taken(PortId { address, port }, reservation));
            }
        }
        Err(OpenError::NoCapacity)
    }

    /// Gives back the port of a socket that has been closed.
    pub fn release(&self, port: PortId) {
        self.lock().free(port);
    }

    /// Gives back a port that could not be bound, and the one reserved along with it.
    pub fn abandon(&self, taken: Taken) {
        let mut state = self.lock();
        state.free(taken.port);
        if let Some(reserved) = taken.reservation.and_then(|token| state.reservations.remove(&token)) {
            state.free(reserved.port);
        }
    }

    /// How full the ports of each address are.
    pub fn usage(&self, now: Millis) -> Vec<PortUsage> {
        let mut state = self.lock();
        state.forget_expired(now);
        state.offered().map(Pool::usage).collect()
    }

    /// A panic elsewhere does not make the ports worse: every change below is complete by itself.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives ports of `range` on these addresses and on no others.
    fn offer(&mut self, addresses: &[RelayAddress], range: RangeInclusive<u16>) {
        for pool in &mut self.pools {
            if !addresses.iter().any(|address| address.bind == pool.address().bind) {
                pool.withdraw();
            }
        }
        for address in addresses {
            let is_same = |pool: &&mut Pool| pool.address().bind == address.bind;
            if let Some(pool) = self.pools.iter_mut().find(is_same) {
                pool.offer(*address, &range);
                continue;
            }
            let pool = Pool::new(*address, &range);
            match self.pools.iter_mut().find(|pool| !pool.is_offered() && pool.is_empty()) {
                Some(unused) => *unused = pool,
                None => self.pools.push(pool),
            }
        }
        self.range = range;
    }

    fn offered(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.is_offered())
    }

    /// The addresses this client may get, the one with most free ports first.
    ///
    /// A loopback address is given only to clients on this host, and only if there is no other: everyone else could
    /// do nothing with it.
    fn by_preference(&mut self, family: Family, client: IpAddr) -> Result<Vec<usize>, OpenError> {
        let of_kind = |loopback: bool| -> Vec<usize> {
            let fits = |pool: &Pool| {
                let address = pool.address();
                pool.is_offered() && address.family() == family && address.is_loopback() == loopback
            };
            (0..self.pools.len()).filter(|number| fits(&self.pools[*number])).collect()
        };
        let mut found = of_kind(false);
        if found.is_empty() && client.is_loopback() {
            found = of_kind(true);
        }
        if found.is_empty() {
            return Err(OpenError::FamilyUnsupported);
        }
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn % found.len();
        found.rotate_left(turn);
        found.sort_by_key(|number| self.pools[*number].usage().taken);
        Ok(found)
    }

    fn taken(&self, port: PortId, reservation: Option<ReservationToken>) -> Taken {
        let (bind, external) = self.pools[usize::from(port.address)].ends(port.port);
        Taken { port, bind, external, reservation }
    }

    fn free(&mut self, port: PortId) {
        self.pools[usize::from(port.address)].free(port.port);
    }

    fn reserve(&mut self, until: Millis, port: PortId, family: Family) -> ReservationToken {
        let token = loop {
            let token = ReservationToken::new(family, self.random.bytes());
            if !self.reservations.contains_key(&token) {
                break token;
            }
        };
        self.reservations.insert(token, Reservation { port, until });
        self.running_out.push_back((until, token));
        token
    }

    /// The port kept under this token, which is good for one time.
    fn redeem(&mut self, token: ReservationToken, family: Family) -> Option<PortId> {
        let port = self.reservations.get(&token)?.port;
        if self.pools[usize::from(port.address)].address().family() != family {
            return None;
        }
        self.reservations.remove(&token);
        Some(port)
    }

    fn forget_expired(&mut self, now: Millis) {
        while let Some((until, token)) = self.running_out.front().copied()
            && until <= now
        {
            self.running_out.pop_front();
            // A token that was used may have been made again since, for later.
            if self.reservations.get(&token).is_some_and(|reservation| reservation.until <= now)
                && let Some(reservation) = self.reservations.remove(&token)
            {
                self.free(reservation.port);
            }
        }
    }
}
