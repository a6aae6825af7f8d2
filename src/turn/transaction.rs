//! Transaction ids of the indications that the server sends.

use sha2::{Digest, Sha256};

use crate::wire::TransactionId;

/// A sequence that does not repeat. Nobody answers an indication, so it need not be hard to guess.
#[derive(Debug)]
pub(super) struct TransactionIds {
    prefix: [u8; 4],
    next: u64,
}

impl TransactionIds {
    /// What a client sees of the sequence must not lead back to the seed, which also keeps the places in hash
    /// tables secret.
    pub(super) fn new(seed: u64) -> Self {
        let digest: [u8; 32] = Sha256::digest(seed.to_be_bytes()).into();
        let [p0, p1, p2, p3, n0, n1, n2, n3, n4, n5, n6, n7, ..] = digest;
        Self { prefix: [p0, p1, p2, p3], next: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]) }
    }

    pub(super) fn next(&mut self) -> TransactionId {
        self.next = self.next.wrapping_add(1);
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.prefix);
        id[4..].copy_from_slice(&mix(self.next).to_be_bytes());
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
    fn ids_do_not_lead_back_to_the_seed() {
        // The finisher can be undone, so whoever sees an id knows the counter.
        let undo = |word: u64| {
            let word = word ^ (word >> 31) ^ (word >> 62);
            let word = word.wrapping_mul(0x3196_42B2_D24D_8EC3);
            let word = word ^ (word >> 27) ^ (word >> 54);
            let word = word.wrapping_mul(0x96DE_1B17_3F11_9089);
            word ^ (word >> 30) ^ (word >> 60)
        };
        assert_eq!(undo(mix(12_345)), 12_345);
        let TransactionId([.., a, b, c, d, e, f, g, h]) = TransactionIds::new(12_345).next();
        let counter = undo(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        assert!(counter.abs_diff(12_345) > u64::from(u32::MAX), "{counter}");
    }

    #[test]
    fn ids_do_not_repeat() {
        let mut ids = TransactionIds::new(u64::MAX - 5);
        let seen: HashSet<_> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 1000);
    }
}
