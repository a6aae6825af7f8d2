//! What the relay counts, for metrics. Plain numbers, written by one thread.

use std::time::Duration;

use super::Family;
use super::event::{EndReason, Flow};
use super::five_tuple::Transport;
use super::refusal::{Denial, Refusal};
use super::tally::Tally;
use crate::wire::Method;

/// Counts since the start. Payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Relayed from clients to peers.
    pub up: Flow,
    /// Relayed from peers to clients.
    pub down: Flow,
    /// Answers given, by method and what they say.
    pub answers: Answers,
    /// Answers not given because the source had drawn its share.
    pub suppressed: u64,
    /// Requests dropped because too many waited for a decision from outside.
    pub unasked: u64,
    /// Requests refused, other than for a fault of their own, by [`Denial::name`].
    pub denials: Tally<32>,
    /// Peers that were denied, by the name of the rule.
    pub peers_denied: Tally<32>,
    /// Allocations that ended, by [`EndReason`].
    pub ended: [u64; EndReason::ALL.len()],
    /// How long they had lasted.
    pub ages: Ages,
    /// Relay addresses there are now, by the client's transport and the address's family.
    pub relays: [[u64; 2]; Transport::ALL.len()],
    /// Datagrams from clients that led to nothing, by reason.
    pub drops: [u64; DropReason::ALL.len()],
}

/// Answers by method, and within that successes and then each error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers([[u64; 1 + Refusal::ALL.len()]; METHODS.len()]);

/// What clients ask for, and what that is called in a metric's label.
const METHODS: [(Method, &str); 7] = [
    (Method::BINDING, "binding"),
    (Method::ALLOCATE, "allocate"),
    (Method::REFRESH, "refresh"),
    (Method::CREATE_PERMISSION, "create-permission"),
    (Method::CHANNEL_BIND, "channel-bind"),
    (Method::CONNECT, "connect"),
    (Method::CONNECTION_BIND, "connection-bind"),
];

/// The name of a method in log lines and labels.
pub fn method_name(method: Method) -> &'static str {
    METHODS.iter().find(|(known, _)| *known == method).map_or("other", |(_, name)| name)
}

impl Answers {
    fn count(&mut self, method: Method, place: usize) {
        // Nothing else is answered.
        if let Some(row) = METHODS.iter().position(|(known, _)| *known == method) {
            self.0[row][place] += 1;
        }
    }

    /// All of them: the method's name, `None` for success or the error, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<Refusal>, u64)> {
        METHODS.iter().zip(self.0).flat_map(|((_, name), row)| {
            let meanings = std::iter::once(None).chain(Refusal::ALL.map(Some));
            meanings.zip(row).map(move |(meaning, count)| (*name, meaning, count))
        })
    }

    fn sum(&self, wanted: impl Fn(&'static str, Option<Refusal>) -> bool) -> u64 {
        self.iter().filter(|(method, meaning, _)| wanted(method, *meaning)).map(|(.., count)| count).sum()
    }
}

/// A histogram of ages, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// How many were no older than each of [`Self::BOUNDS`], and last how many were older than all.
    pub counts: [u64; Self::BOUNDS.len() + 1],
    /// The sum of all ages, in milliseconds.
    pub sum_ms: u64,
}

impl Ages {
    /// Upper bounds in seconds: a failed check, a short call, the default lifetime, a meeting, a day.
    pub const BOUNDS: [u64; 10] = [1, 10, 60, 300, 600, 1800, 3600, 7200, 21_600, 86_400];

    fn count(&mut self, age: Duration) {
        let place = Self::BOUNDS.iter().position(|bound| age <= Duration::from_secs(*bound));
        self.counts[place.unwrap_or(Self::BOUNDS.len())] += 1;
        self.sum_ms = self.sum_ms.saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    }
}

/// Why a datagram led to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Neither STUN nor ChannelData.
    NotStun,
    /// STUN or ChannelData that cannot be read.
    Malformed,
    /// A method or class that no client sends to a server.
    UnknownMethod,
    /// From port 0, from an address of many, or from our own.
    ForgedSource,
    /// For an allocation that is not there.
    NoAllocation,
    /// For a channel that is not bound.
    NoChannel,
    /// No permission for the peer.
    NoPermission,
    /// The peer's port may not be relayed to.
    Forbidden,
    /// The allocation's or the server's bandwidth is used up.
    Bandwidth,
    /// Too long to be wrapped for the client, or for a datagram to the peer.
    TooLong,
    /// A peer's connection that its allocation has no room for.
    Connections,
}

impl DropReason {
    /// All of them, in the order of [`Counters::drops`].
    pub const ALL: [Self; 11] = [
        Self::NotStun,
        Self::Malformed,
        Self::UnknownMethod,
        Self::ForgedSource,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::Forbidden,
        Self::Bandwidth,
        Self::TooLong,
        Self::Connections,
    ];

    /// The reason in a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStun => "not-stun",
            Self::Malformed => "malformed",
            Self::UnknownMethod => "unknown-method",
            Self::ForgedSource => "forged-source",
            Self::NoAllocation => "no-allocation",
            Self::NoChannel => "no-channel",
            Self::NoPermission => "no-permission",
            Self::Forbidden => "forbidden",
            Self::Bandwidth => "bandwidth",
            Self::TooLong => "too-long",
            Self::Connections => "connections",
        }
    }
}

impl Counters {
    /// Counts one dropped datagram.
    pub(super) fn drop_one(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// How many datagrams were dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Counts a success answer.
    pub(super) fn succeed(&mut self, method: Method) {
        self.answers.count(method, 0);
    }

    /// Counts an error answer.
    pub(super) fn refuse(&mut self, method: Method, refusal: Refusal) {
        self.answers.count(method, 1 + refusal as usize);
    }

    /// Counts the cause of one.
    pub(super) fn deny(&mut self, denial: Denial) {
        if let Denial::Request(_) = denial {
            return;
        }
        if let Denial::Peer(rule) = denial {
            self.peers_denied.count(rule);
        }
        self.denials.count(denial.name());
    }

    /// Counts a relay address that a client gets.
    pub(super) fn open(&mut self, transport: Transport, family: Family) {
        self.relays[transport as usize][family as usize] += 1;
    }

    /// Counts a relay address that is closed.
    pub(super) fn close(&mut self, transport: Transport, family: Family) {
        self.relays[transport as usize][family as usize] -= 1;
    }

    /// Counts an allocation that has ended.
    pub(super) fn end(&mut self, reason: EndReason, age: Duration) {
        self.ended[reason as usize] += 1;
        self.ages.count(age);
    }

    /// Binding requests answered with an address.
    pub fn bindings(&self) -> u64 {
        self.answers.sum(|method, meaning| method == "binding" && meaning.is_none())
    }

    /// Requests that succeeded, Binding aside.
    pub fn successes(&self) -> u64 {
        self.answers.sum(|method, meaning| method != "binding" && meaning.is_none())
    }

    /// Requests that were refused with an error answer.
    pub fn refusals(&self) -> u64 {
        self.answers.sum(|_, meaning| meaning.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_in_the_order_of_their_numbers() {
        assert!(Refusal::ALL.iter().enumerate().all(|(at, refusal)| *refusal as usize == at));
        assert!(EndReason::ALL.iter().enumerate().all(|(at, reason)| *reason as usize == at));
        assert!(DropReason::ALL.iter().enumerate().all(|(at, reason)| *reason as usize == at));
        assert!(Transport::ALL.iter().enumerate().all(|(at, transport)| *transport as usize == at));
        assert_eq!([Family::V4 as usize, Family::V6 as usize], [0, 1]);
    }

    #[test]
    fn answers_are_found_under_their_method_and_code() {
        let mut counters = Counters::default();
        counters.succeed(Method::BINDING);
        counters.succeed(Method::REFRESH);
        counters.refuse(Method::ALLOCATE, Refusal::StaleNonce);
        let found: Vec<_> = counters.answers.iter().filter(|(.., count)| *count > 0).collect();
        let expected =
            [("binding", None, 1), ("allocate", Some(Refusal::StaleNonce), 1), ("refresh", None, 1)];
        assert_eq!(found, expected);
        assert_eq!((counters.bindings(), counters.successes(), counters.refusals()), (1, 1, 1));
    }

    #[test]
    fn an_age_is_counted_once_where_it_belongs() {
        let mut ages = Ages::default();
        for seconds in [0, 1, 2, 86_400, 86_401] {
            ages.count(Duration::from_secs(seconds));
        }
        assert_eq!(ages.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(ages.sum_ms, 172_804_000);
    }
}
