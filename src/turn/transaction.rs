//! Transaction ids of the indications that the server sends.

use crate::wire::TransactionId;

/// A sequence that does not repeat. Nobody answers an indication, so it need not be hard to guess.
#[derive(Debug)]
pub(super) struct TransactionIds {
    seed: u64,
    next: u64,
}

impl TransactionIds {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, next: seed }
    }

    pub(super) fn next(&mut self) -> TransactionId {
        self.next = self.next.wrapping_add(1);
        let spread = mix(self.next).to_be_bytes();
        let [a, b, c, d, ..] = mix(self.seed).to_be_bytes();
        let mut id = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
        id[4..].copy_from_slice(&spread);
        TransactionId(id)
    }
}

/// SplitMix64's finisher: one to one, so distinct inputs stay distinct.
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_do_not_repeat() {
        let mut ids = TransactionIds::new(u64::MAX - 5);
        let seen: HashSet<_> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 1000);
    }
}
