//! The names of peer connections (RFC 6062 §6.2.1).

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Names a connection to a peer, on the wire and among all workers. Whoever sees one cannot tell the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// Which relay this is, of how many that listen on the same addresses: at most 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayNumber {
    /// Its number, from 0.
    pub own: u16,
    /// How many there are.
    pub count: u16,
}

impl RelayNumber {
    /// The only one.
    pub const ALONE: Self = Self { own: 0, count: 1 };
}

/// Makes names and reads them. A name is the number of its relay and a count, under a permutation that only the relays
/// know: unique, hard to guess, and any of them can tell whose it is without asking.
pub(super) struct ConnectionIds {
    keyed: Hmac<Sha256>,
    number: RelayNumber,
    next: u32,
}

/// Bits of the count; those above are the relay's number.
const COUNT_BITS: u32 = 20;
/// Rounds of the permutation: four make a good one (Luby and Rackoff).
const ROUNDS: u8 = 4;

impl ConnectionIds {
    /// All relays that know each other's names have one key.
    pub(super) fn new(key: &[u8; 32], number: RelayNumber) -> Self {
        let mut keyed: Hmac<Sha256> = Hmac::new_from_slice(key).expect("an HMAC takes a key of any length");
        // The key makes nonces too.
        keyed.update(b"CONNECTION-ID");
        Self { keyed, number, next: 0 }
    }

    /// The next name of this relay. It comes back after a million others.
    pub(super) fn next(&mut self) -> ConnectionId {
        let count = self.next % (1 << COUNT_BITS);
        self.next = self.next.wrapping_add(1);
        ConnectionId(self.permute(u32::from(self.number.own) << COUNT_BITS | count))
    }

    /// The number of the other relay that made this name, if there is one with this number.
    pub(super) fn foreign(&self, id: ConnectionId) -> Option<u16> {
        let maker = u16::try_from(self.restore(id.0) >> COUNT_BITS).ok()?;
        (maker != self.number.own && maker < self.number.count).then_some(maker)
    }

    fn permute(&self, word: u32) -> u32 {
        let (mut left, mut right) = halves(word);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        whole(left, right)
    }

    fn restore(&self, word: u32) -> u32 {
        let (mut left, mut right) = halves(word);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        whole(left, right)
    }

    fn round(&self, round: u8, half: u16) -> u16 {
        let mut mac = self.keyed.clone();
        mac.update(&[round]);
        mac.update(&half.to_be_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        u16::from_be_bytes([hash[0], hash[1]])
    }
}

impl std::fmt::Debug for ConnectionIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionIds").field("number", &self.number).finish_non_exhaustive()
    }
}

fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

fn whole(left: u16, right: u16) -> u32 {
    u32::from(left) << 16 | u32::from(right)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ids(own: u16) -> ConnectionIds {
        ConnectionIds::new(&[7; 32], RelayNumber { own, count: 64 })
    }

    #[test]
    fn names_do_not_repeat_and_tell_every_relay_whose_they_are() {
        let mut seen = HashSet::new();
        for own in [0, 1, 2, 63] {
            let mut maker = ids(own);
            for _ in 0..500 {
                let id = maker.next();
                assert!(seen.insert(id));
                assert_eq!(maker.foreign(id), None);
                assert_eq!(ids(5).foreign(id), Some(own));
            }
        }
    }

    #[test]
    fn a_name_of_no_relay_is_nobody_s() {
        let mut beyond = ConnectionIds::new(&[7; 32], RelayNumber { own: 64, count: 65 });
        assert_eq!(ids(5).foreign(beyond.next()), None);
        // A guess names one of 4096 relays, and there are 64.
        let hits = (0..4096).filter(|guess| ids(0).foreign(ConnectionId(*guess)).is_some()).count();
        assert!(hits < 200, "{hits}");
    }

    #[test]
    fn names_do_not_tell_the_next() {
        let mut maker = ids(3);
        let all: Vec<_> = (0..1000).map(|_| maker.next().0).collect();
        let near = all.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 24).count();
        assert!(near < 50, "{near} of 999 are near, where chance has 8");
        let other = ConnectionIds::new(&[8; 32], RelayNumber { own: 3, count: 64 }).next();
        assert_ne!(other.0, all[0], "another key");
    }

    #[test]
    fn r12_the_count_wraps_without_touching_the_relay_s_number() {
        let mut maker = ids(9);
        maker.next = u32::MAX;
        let before = maker.next();
        let after = maker.next();
        assert_ne!(before, after);
        assert_eq!([before, after].map(|id| ids(5).foreign(id)), [Some(9); 2]);
    }
}
