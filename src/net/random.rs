//! Random numbers that strangers cannot guess: relay ports and reservation tokens.

use sha2::{Digest, Sha256};

/// SHA-256 over a secret seed and a counter. The seed comes from outside, so a test is the same on every run.
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    /// Bytes of the block that have been handed out.
    used: usize,
}

impl Random {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0, block: [0; 32], used: 32 }
    }

    pub(crate) fn bytes(&mut self) -> [u8; 8] {
        if self.used == self.block.len() {
            let hash = Sha256::new().chain_update(self.seed).chain_update(self.counter.to_be_bytes());
            self.block = hash.finalize().into();
            self.counter = self.counter.wrapping_add(1);
            self.used = 0;
        }
        let bytes = std::array::from_fn(|index| self.block[self.used + index]);
        self.used += bytes.len();
        bytes
    }

    /// A number below `bound`, each as likely as the others but for less than 2⁻³².
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u128::from(u64::from_be_bytes(self.bytes())) * u128::from(bound);
        u32::try_from(wide >> 64).expect("less than the bound, which is a u32")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_the_bound_and_differ_by_seed() {
        let (mut one, mut same, mut other) =
            (Random::new([1; 32]), Random::new([1; 32]), Random::new([2; 32]));
        let mut seen = [0_u32; 10];
        for _ in 0..1000 {
            let number = one.below(10);
            assert_eq!(number, same.below(10));
            seen[number as usize] += 1;
        }
        assert!(seen.iter().all(|count| (50..200).contains(count)), "{seen:?}");
        assert_ne!(one.bytes(), other.bytes());
    }
}
