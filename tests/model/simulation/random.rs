//! Where the choices come from: whoever plays gives a source of numbers.

use std::ops::Range;

/// A source of choices that gives the same ones for the same numbers.
pub struct Random {
    /// A number from this many bytes, as long as there are any; then all choices are 0.
    source: Box<dyn FnMut(usize) -> Option<u64>>,
    taken: u64,
    is_spent: bool,
}

impl Random {
    pub fn new(source: impl FnMut(usize) -> Option<u64> + 'static) -> Self {
        Self { source: Box::new(source), taken: 0, is_spent: false }
    }

    /// Whether the source has come to its end.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let bytes = if end <= 256 { 1 } else { 4 };
        let word = usize::try_from(self.word(bytes) & 0xFFFF_FFFF).unwrap();
        // The small bias of a remainder does not matter here.
        word % end.max(1)
    }

    pub fn within(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        // The last of the numbers, so that a source of zeroes is an uneventful one.
        self.below(n) == n - 1
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Bytes that mean nothing but must differ. They cost one byte of the source, which is the first of them.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let word = self.word(1);
        let mut rest = mix(word << 32 | self.taken);
        std::array::from_fn(|place| {
            let byte = if place == 0 { word } else { rest };
            rest = mix(rest);
            byte.to_be_bytes()[7]
        })
    }

    fn word(&mut self, bytes: usize) -> u64 {
        self.taken += 1;
        (self.source)(bytes).unwrap_or_else(|| {
            self.is_spent = true;
            0
        })
    }
}

/// Each bit of the word moves all of the result.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
