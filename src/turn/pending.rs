//! Requests that wait until somebody outside has decided about their user.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::answer::Sink;
use super::five_tuple::FiveTuple;
use super::output::Output;
use super::relay::Relay;
use super::request::Request;
use super::settings::WRONG_PASSWORD_COST;
use super::time::{Millis, Now};
use super::verdict::{QueryId, Verdict};
use crate::wire::{Message, TransactionId};

/// The requests of one relay that wait.
#[derive(Debug)]
pub(super) struct Pending {
    slots: Vec<Option<Held>>,
    by_transaction: HashMap<(FiveTuple, TransactionId), u32, FixedState>,
    generation: u32,
    /// When lost ones were looked for last, while all places were taken.
    swept: Millis,
}

#[derive(Debug)]
struct Held {
    generation: u32,
    client: FiveTuple,
    transaction: TransactionId,
    bytes: Box<[u8]>,
    since: Millis,
    /// When somebody was asked last.
    asked: Millis,
}

/// What becomes of a request that wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits, under this name.
    Waits(QueryId),
    /// It does already, and has for so long that the question may have been lost: it can be asked again.
    Again(QueryId),
    /// It does already: this is a retransmission.
    Known,
    /// Too many wait, or it is too long to be kept. The client will ask again.
    None,
}

/// More do not wait: with [`LONGEST`] the most memory that strangers can take.
const MAX: usize = 1024;
/// No client's request is longer.
const LONGEST: usize = 2048;
/// Whoever is asked has a deadline of its own; after this an answer was lost.
const LOST: Duration = Duration::from_secs(60);
/// A retransmission that comes later than this after a question has it asked again. The first comes after half a second
/// (RFC 8489 §6.2.1).
const ASK_AGAIN: Duration = Duration::from_millis(450);
/// How often lost ones are looked for while all places are taken.
const SWEEP: Duration = Duration::from_secs(1);

impl Pending {
    /// Nobody waits yet; `seed` keeps strangers from choosing addresses that meet in one bucket.
    pub(super) fn new(seed: u64) -> Self {
        let by_transaction = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { slots: Vec::new(), by_transaction, generation: 0, swept: Millis(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_transaction.len()
    }

    fn hold(&mut self, now: Millis, client: FiveTuple, transaction: TransactionId, bytes: &[u8]) -> Place {
        if self.len() >= MAX && now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.drop_where(|held| now.since(held.since) > LOST);
        }
        if self.len() >= MAX || bytes.len() > LONGEST {
            return Place::None;
        }
        let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let Ok(index) = u32::try_from(free) else { return Place::None };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let held = Held { generation, client, transaction, bytes: bytes.into(), since: now, asked: now };
        self.by_transaction.insert((client, transaction), index);
        match self.slots.get_mut(free) {
            Some(slot) => *slot = Some(held),
            None => self.slots.push(Some(held)),
        }
        Place::Waits(QueryId { index, generation })
    }

    /// The place of a request that has come before.
    fn again(&mut self, now: Millis, client: FiveTuple, transaction: TransactionId) -> Option<Place> {
        let index = *self.by_transaction.get(&(client, transaction))?;
        let held = self.slots.get_mut(index as usize)?.as_mut()?;
        if now.since(held.asked) < ASK_AGAIN {
            return Some(Place::Known);
        }
        held.asked = now;
        Some(Place::Again(QueryId { index, generation: held.generation }))
    }

    fn take(&mut self, query: QueryId) -> Option<Held> {
        let slot = self.slots.get_mut(query.index as usize)?;
        let held = slot.take_if(|held| held.generation == query.generation)?;
        self.by_transaction.remove(&(held.client, held.transaction));
        self.give_back();
        Some(held)
    }

    /// A connection is closed, and with it all that waits for an answer over it.
    pub(super) fn forget(&mut self, client: FiveTuple) {
        if self.len() > 0 {
            self.drop_where(|held| held.client == client);
        }
    }

    fn drop_where(&mut self, is_over: impl Fn(&Held) -> bool) {
        for slot in &mut self.slots {
            if let Some(held) = slot.take_if(|held| is_over(held)) {
                self.by_transaction.remove(&(held.client, held.transaction));
            }
        }
        self.give_back();
    }

    /// A crowd that has left leaves no room behind.
    fn give_back(&mut self) {
        if self.by_transaction.is_empty() {
            self.slots = Vec::new();
            self.by_transaction.shrink_to_fit();
        }
    }
}

impl Relay {
    /// Lets a request wait, and asks about its user. Until that is decided it costs its source as much as a wrong
    /// password, so that nobody can ask for all the others.
    pub(super) fn ask(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        let Some(user) = request.user_name() else { return };
        let transaction = request.addressee.header.transaction;
        let place = self.pending.again(now.mono, client, transaction);
        if place.is_none() && !self.charge(client, WRONG_PASSWORD_COST, now) {
            return self.silence(request, out);
        }
        let bytes = request.message.bytes();
        match place.unwrap_or_else(|| self.pending.hold(now.mono, client, transaction, bytes)) {
            Place::Waits(query) | Place::Again(query) => out(Output::FindKey { query, client, user }),
            Place::Known => {}
            Place::None => {
                self.refund(client, WRONG_PASSWORD_COST);
                self.counters.unasked += 1;
                // Over UDP the client asks again; over a connection it would wait for ever.
                if client.is_stream() {
                    out(Output::CloseClient { client });
                }
            }
        }
    }

    /// Takes an answer as [`super::Input::KeyFound`] does, of whoever keeps it no longer than for this.
    pub fn decide(
        &mut self,
        now: Now,
        query: QueryId,
        verdict: &Verdict,
        out: &mut impl FnMut(Output<'static, '_>),
    ) {
        self.key_found(now, query, verdict, out);
    }

    /// Goes on with a request that has waited.
    pub(super) fn key_found(&mut self, now: Now, query: QueryId, verdict: &Verdict, out: Sink<'_, '_>) {
        let Some(held) = self.pending.take(query) else { return };
        self.refund(held.client, WRONG_PASSWORD_COST);
        // It was one when it came.
        if let Ok(message) = Message::parse(&held.bytes) {
            self.request(now, &Request::new(held.client, message).under(verdict), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::five_tuple::ListenerId;
    use super::*;

    fn client(port: u16) -> FiveTuple {
        FiveTuple::new(([192, 0, 2, 1], port).into(), ListenerId(0))
    }

    fn id(number: u8) -> TransactionId {
        TransactionId([number; 12])
    }

    #[test]
    fn a_retransmission_does_not_wait_twice_and_an_answer_is_taken_once() {
        let mut pending = Pending::new(1);
        let Place::Waits(query) = pending.hold(Millis(0), client(1), id(1), b"one") else { panic!() };
        assert_eq!(pending.again(Millis(449), client(1), id(1)), Some(Place::Known));
        assert_eq!(pending.again(Millis(450), client(1), id(1)), Some(Place::Again(query)));
        assert_eq!(pending.again(Millis(500), client(1), id(1)), Some(Place::Known));
        assert_eq!(pending.again(Millis(500), client(1), id(2)), None);
        let Place::Waits(other) = pending.hold(Millis(0), client(1), id(2), b"two") else { panic!() };
        assert_eq!(pending.take(query).unwrap().bytes.as_ref(), b"one");
        assert!(pending.take(query).is_none());
        let Place::Waits(later) = pending.hold(Millis(0), client(2), id(1), b"three") else { panic!() };
        assert_eq!(later.index, query.index, "the place is used again");
        assert!(pending.take(query).is_none(), "and a late answer finds nothing");
        pending.forget(client(1));
        assert!(pending.take(other).is_none());
        assert_eq!(pending.take(later).unwrap().bytes.as_ref(), b"three");
        assert_eq!((pending.len(), pending.slots.capacity()), (0, 0));
    }

    #[test]
    fn only_so_many_wait_until_the_oldest_are_lost() {
        let mut pending = Pending::new(1);
        for port in 0..u16::try_from(MAX).unwrap() {
            assert!(matches!(pending.hold(Millis(0), client(port), id(1), b""), Place::Waits(_)));
        }
        assert_eq!(pending.hold(Millis(60_000), client(60_000), id(1), b""), Place::None);
        let later = pending.hold(Millis(61_000), client(60_000), id(1), b"");
        assert!(matches!(later, Place::Waits(_)));
        assert_eq!(pending.len(), 1);
        assert_eq!(pending.hold(Millis(0), client(1), id(2), &[0; LONGEST + 1]), Place::None);
    }
}
