//! The record of one allocation (RFC 8656 §3.2).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use super::Family;
use super::answer::{Addressee, Seal};
use super::bucket::{Rate, TokenBucket};
use super::channel::Channels;
use super::connection::Connections;
use super::event::{Direction, Flow, Traffic};
use super::five_tuple::FiveTuple;
use super::input::{OpenError, OpenedRelay};
use super::judge::Origin;
use super::output::ReservationToken;
use super::peers::PortRule;
use super::permission::Permissions;
use super::time::Millis;
use super::verdict::{PeerTerms, Terms};
use crate::auth::Key;
use crate::wire::TransactionId;

/// One allocation: who holds it, its relay addresses, whom it may talk to.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: FiveTuple,
    pub(super) user: UserName,
    /// What the owner's requests are signed with.
    pub(super) key: Key,
    /// Who vouches for it.
    pub(super) origin: Origin,
    /// When the credential is over, on the clock that never jumps.
    pub(super) credential_expires: Option<Millis>,
    pub(super) began: Millis,
    /// The Allocate request, to tell a retransmission from a second one (RFC 8656 §7.2).
    pub(super) transaction: TransactionId,
    pub(super) reservation: Option<ReservationToken>,
    /// The family that a dual allocation asked for and did not get.
    pub(super) address_error: Option<(Family, OpenError)>,
    /// Waits for relay sockets; gone once the Allocate request is answered.
    pub(super) opening: Option<Box<Opening>>,
    pub(super) relays: Relays,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    /// Those of a TCP allocation, which has no datagrams (RFC 6062).
    pub(super) connections: Option<Box<Connections>>,
    pub(super) traffic: Traffic,
    /// When it last relayed something.
    pub(super) heard: Heard,
    pub(super) bandwidth: Option<Box<Bandwidth>>,
    /// What is different for its user.
    pub(super) terms: Option<Arc<Terms>>,
    /// When the deadline queue will look at this allocation next.
    pub(super) wake: Millis,
}

/// The user name as the client sent it, and what stays the same when a credential is renewed: mostly a part of it.
#[derive(Clone, Debug)]
pub(super) struct UserName {
    /// The name, and behind it the id where that is not a part of the name.
    text: Box<str>,
    name: u16,
    id: Range<u16>,
}

impl UserName {
    pub(super) fn new(name: &str, id: &str) -> Self {
        let within = name.find(id);
        let text = if within.is_some() { name.into() } else { [name, id].concat() };
        let start = within.unwrap_or(name.len());
        // Both come from a message, or are checked to be as short.
        let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        Self { name: short(name.len()), id: short(start)..short(start + id.len()), text: text.into() }
    }

    pub(super) fn name(&self) -> &str {
        self.text.get(..usize::from(self.name)).unwrap_or(&self.text)
    }

    /// What quotas count.
    pub(super) fn id(&self) -> &str {
        self.text.get(usize::from(self.id.start)..usize::from(self.id.end)).unwrap_or(&self.text)
    }
}

/// An Allocate request whose relay sockets are not open yet.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) addressee: Addressee,
    pub(super) seal: Seal,
    pub(super) lifetime: std::time::Duration,
    /// What was asked for in IPv4, and what came of it.
    pub(super) v4: Option<Asked>,
    /// The same in IPv6.
    pub(super) v6: Option<Asked>,
}

/// One relay socket that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Waiting,
    Opened(OpenedRelay),
    Failed(OpenError),
}

/// The relay addresses of an allocation, at most one of each family, each with a lifetime of its own
/// (RFC 8656 §8.1).
#[derive(Debug, Default)]
pub(super) struct Relays {
    v4: Option<RelayAddress>,
    v6: Option<RelayAddress>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RelayAddress {
    pub(super) address: SocketAddr,
    pub(super) expires: Millis,
}

impl Relays {
    pub(super) fn get(&self, family: Family) -> Option<&RelayAddress> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    pub(super) fn slot(&mut self, family: Family) -> &mut Option<RelayAddress> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Whether there is an address of this family whose time is not over.
    #[inline]
    pub(super) fn is_live(&self, family: Family, now: Millis) -> bool {
        self.get(family).is_some_and(|relay| now < relay.expires)
    }

    /// The addresses there are, IPv4 first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Family, RelayAddress)> {
        let v4 = self.v4.map(|relay| (Family::V4, relay));
        v4.into_iter().chain(self.v6.map(|relay| (Family::V6, relay)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }
}

/// When something was last relayed from each side; when the allocation began, where nothing was yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) up: Millis,
    pub(super) down: Millis,
}

impl Heard {
    #[inline]
    pub(super) fn note(&mut self, direction: Direction, now: Millis) {
        match direction {
            Direction::Up => self.up = now,
            Direction::Down => self.down = now,
        }
    }
}

/// What an allocation may still relay, where that is limited.
#[derive(Debug)]
pub(super) struct Bandwidth {
    rate: Rate,
    up: TokenBucket,
    down: TokenBucket,
}

impl Bandwidth {
    pub(super) fn full(rate: Rate, now: Millis) -> Self {
        Self { rate, up: TokenBucket::full(rate, now), down: TokenBucket::full(rate, now) }
    }

    /// What may still go this way, and how fast it comes back.
    #[inline]
    pub(super) fn bucket(&mut self, direction: Direction) -> (&mut TokenBucket, Rate) {
        let bucket = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        (bucket, self.rate)
    }
}

impl Allocation {
    /// Which ports of a peer datagrams may come from and go to at the relay address of this family; `None` without a
    /// live permission, without a live relay address, for a peer of the other family, and in a TCP allocation.
    #[inline]
    pub(super) fn permission(&self, family: Family, peer: IpAddr, now: Millis) -> Option<PortRule> {
        if self.connections.is_some() { None } else { self.live_permission(family, peer, now) }
    }

    /// The same for datagrams and connections alike.
    #[inline]
    pub(super) fn live_permission(&self, family: Family, peer: IpAddr, now: Millis) -> Option<PortRule> {
        let fits = Family::of(peer) == family && self.relays.is_live(family, now);
        if fits { self.permissions.find(peer, now) } else { None }
    }

    /// Whether it has a relay socket of this family, be its Allocate request answered or not.
    pub(super) fn holds(&mut self, family: Family) -> bool {
        let is_opened = |opening: &mut Box<Opening>| matches!(opening.asked(family), Some(Asked::Opened(_)));
        self.relays.get(family).is_some() || self.opening.as_mut().is_some_and(is_opened)
    }

    /// Limits what it relays to the rate of its user, or else of all. What is in force already is left as it is.
    pub(super) fn limit(&mut self, of_all: Option<Rate>, now: Millis) {
        let rate = self.terms.as_ref().and_then(|terms| terms.bandwidth).or(of_all);
        if self.bandwidth.as_ref().map(|bandwidth| bandwidth.rate) != rate {
            self.bandwidth = rate.map(|rate| Box::new(Bandwidth::full(rate, now)));
        }
    }

    /// The peer ranges of its user.
    pub(super) fn peer_terms(&self) -> Option<&PeerTerms> {
        self.terms.as_ref()?.peers.as_ref()
    }

    /// When something of this allocation expires next.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        let relays = self.relays.iter().map(|(_, relay)| relay.expires).min();
        let connections = self.connections.as_ref().and_then(|connections| connections.next_expiry());
        let peers = self.permissions.next_expiry().into_iter().chain(self.channels.next_expiry());
        relays.into_iter().chain(peers).chain(connections).min()
    }
}

impl Flow {
    #[inline]
    pub(super) fn count(&mut self, payload: usize) {
        self.packets += 1;
        self.bytes += payload as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_id_of_a_user_name_is_found_again() {
        for (name, id) in
            [("1760000000:alice", "alice"), ("alice:1760000000", "alice"), ("1760000000", "1760000000")]
        {
            let user = UserName::new(name, id);
            assert_eq!((user.name(), user.id()), (name, id));
        }
        let other = UserName::new("alice", "bob");
        assert_eq!((other.name(), other.id()), ("alice", "bob"), "one that is no part of the name");
    }

    #[test]
    fn an_idle_allocation_is_small() {
        // Held allocations must cost less than 2 KiB with everything around them.
        assert!(size_of::<Allocation>() <= 512, "{} bytes", size_of::<Allocation>());
    }
}
