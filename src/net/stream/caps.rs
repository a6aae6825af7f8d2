//! How many connections there may be, in all and from one source. Shared by all workers, asked only when a connection
//! begins or ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;

use crate::turn::Source;

/// Counts connections.
#[derive(Debug)]
pub struct Caps {
    held: Mutex<Held>,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapLimits {
    /// In all.
    pub total: u32,
    /// From one IPv4 address, or from the /64 of an IPv6 address.
    pub per_source: u32,
}

impl CapLimits {
    /// As many as come.
    pub const NONE: Self = Self { total: u32::MAX, per_source: u32::MAX };
}

#[derive(Debug)]
struct Held {
    limits: CapLimits,
    total: u32,
    sources: HashMap<Source, u32, FixedState>,
}

/// Which limit forbids one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapReached {
    /// The server's.
    Total,
    /// The source's: an IPv4 address, or the /64 of an IPv6 address.
    Source,
}

/// The right to one connection; it is given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    caps: Arc<Caps>,
    source: Option<Source>,
}

impl Caps {
    /// No connections yet. `seed` keeps strangers from choosing addresses that meet in one bucket.
    pub fn new(limits: CapLimits, seed: u64) -> Self {
        let sources = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { held: Mutex::new(Held { limits, total: 0, sources }) }
    }

    /// Other limits for connections to come. Those that stand are counted as before, and none is ended.
    pub fn set_limits(&self, limits: CapLimits) {
        self.held().limits = limits;
    }

    /// The limits.
    pub fn limits(&self) -> CapLimits {
        self.held().limits
    }

    /// Counts one more connection, whose client is not known yet.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Place, CapReached> {
        let mut held = self.held();
        if held.total >= held.limits.total {
            return Err(CapReached::Total);
        }
        held.total += 1;
        Ok(Place { caps: self.clone(), source: None })
    }

    /// For tables of connections: seeded like the one here.
    pub(crate) fn hasher(&self) -> FixedState {
        self.held().sources.hasher().clone()
    }

    /// How many connections there are.
    pub fn total(&self) -> u32 {
        self.held().total
    }

    /// A count is whole after each step, so a thread that panicked while holding it has broken nothing.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts the connection for its source too. Once per connection: behind a load balancer the source is known only
    /// when the balancer has told it.
    pub(crate) fn claim(&mut self, ip: IpAddr) -> Result<(), CapReached> {
        debug_assert!(self.source.is_none(), "claimed once");
        let source = Source::of(ip);
        let mut held = self.caps.held();
        let limit = held.limits.per_source;
        let count = held.sources.entry(source).or_default();
        if *count >= limit {
            return Err(CapReached::Source);
        }
        *count += 1;
        self.source = Some(source);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.caps.held();
        held.total = held.total.saturating_sub(1);
        let Some(source) = self.source else { return };
        match held.sources.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                held.sources.remove(&source);
                // A crowd that has left should leave its room behind.
                if held.sources.is_empty() {
                    held.sources.shrink_to_fit();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_what_ends_makes_room() {
        let caps = Arc::new(Caps::new(CapLimits { total: 3, per_source: 2 }, 1));
        let claim = |ip: &str| {
            let mut place = caps.take()?;
            place.claim(ip.parse().unwrap()).map(|()| place)
        };
        let first = claim("192.0.2.1").unwrap();
        let second = claim("192.0.2.1").unwrap();
        assert_eq!(claim("192.0.2.1").unwrap_err(), CapReached::Source);
        assert_eq!(caps.total(), 2, "a refused one takes nothing");
        let third = claim("2001:db8::1").unwrap();
        assert_eq!(claim("192.0.2.9").unwrap_err(), CapReached::Total);
        drop(first);
        let fourth = claim("192.0.2.1").unwrap();
        drop((second, third, fourth));
        assert_eq!((caps.total(), caps.held().sources.len()), (0, 0));
    }

    #[test]
    fn other_limits_hold_for_the_next_and_the_count_stays_right() {
        let caps = Arc::new(Caps::new(CapLimits { total: 9, per_source: 9 }, 1));
        let claim = |ip: &str| {
            let mut place = caps.take()?;
            place.claim(ip.parse().unwrap()).map(|()| place)
        };
        let mut held: Vec<_> = (0..4).map(|_| claim("192.0.2.1").unwrap()).collect();
        caps.set_limits(CapLimits { total: 5, per_source: 3 });
        assert_eq!(claim("192.0.2.1").unwrap_err(), CapReached::Source);
        let other = claim("192.0.2.2").unwrap();
        assert_eq!(claim("192.0.2.3").unwrap_err(), CapReached::Total);
        held.truncate(2);
        held.push(claim("192.0.2.1").unwrap());
        assert_eq!(claim("192.0.2.1").unwrap_err(), CapReached::Source);
        caps.set_limits(CapLimits { total: 5, per_source: 4 });
        held.push(claim("192.0.2.1").unwrap());
        drop((held, other));
        assert_eq!((caps.total(), caps.held().sources.len()), (0, 0));
    }

    #[test]
    fn a_network_of_one_client_is_one_source() {
        let caps = Arc::new(Caps::new(CapLimits { total: 9, per_source: 1 }, 1));
        let mut first = caps.take().unwrap();
        first.claim("2001:db8:0:1::1".parse().unwrap()).unwrap();
        let second = caps.take().unwrap().claim("2001:db8:0:1:ffff::2".parse().unwrap());
        assert_eq!(second, Err(CapReached::Source));
    }
}
