//! Which ports of a range are taken: one bit each.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::net::random::Random;

/// The ports of one relay address.
pub(super) struct PortMap {
    range: RangeInclusive<u16>,
    /// The port of the first bit: even, so that a port and its next are neighbours in one word.
    base: u16,
    /// A bit is set when the port is taken, or outside the range.
    words: Vec<u64>,
    taken: u32,
    capacity: u32,
    /// Taken ports of an earlier range: they come back, and are not given again.
    beyond: BTreeSet<u16>,
}

/// What a port has to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Any,
    Even,
    /// Even, and the next one is free as well.
    Pair,
}

const BITS: u32 = u64::BITS;
const EVEN: u64 = 0x5555_5555_5555_5555;
/// Random places to try before looking at one after the other, so that ports behind a long run of taken ones are not
/// likelier than others.
const THROWS: usize = 4;

impl PortMap {
    pub(super) fn new(range: &RangeInclusive<u16>) -> Self {
        let base = *range.start() & !1;
        let span = u32::from(*range.end()).saturating_sub(u32::from(base)) + 1;
        let capacity = u32::try_from(range.len()).expect("at most 65536 ports");
        let words = vec![u64::MAX; span.div_ceil(BITS) as usize];
        let mut map =
            Self { range: range.clone(), base, words, taken: capacity, capacity, beyond: BTreeSet::new() };
        for port in range.clone() {
            map.free(port);
        }
        map
    }

    /// From now on gives the ports of another range. What is taken stays taken.
    pub(super) fn set_range(&mut self, range: &RangeInclusive<u16>) {
        if self.range == *range {
            return;
        }
        let before = std::mem::replace(self, Self::new(range));
        for port in before.held() {
            if range.contains(&port) {
                self.set(port);
            } else {
                self.beyond.insert(port);
            }
        }
    }

    pub(super) const fn range(&self) -> &RangeInclusive<u16> {
        &self.range
    }

    /// All ports that have been taken, also those of earlier ranges.
    pub(super) fn held(&self) -> impl Iterator<Item = u16> {
        let is_taken = |port: &u16| {
            let (word, mask) = self.place(*port);
            self.words[word] & mask != 0
        };
        self.range.clone().filter(is_taken).chain(self.beyond.iter().copied())
    }

    /// Whether nothing is to come back.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0 && self.beyond.is_empty()
    }

    /// How many ports of the range are taken.
    pub(super) const fn taken(&self) -> u32 {
        self.taken
    }

    pub(super) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Takes a random port of that shape; of a pair the even one is returned and both are taken.
    pub(super) fn take(&mut self, shape: Shape, random: &mut Random) -> Option<u16> {
        let span = u32::try_from(self.words.len()).expect("at most 1024 words") * BITS;
        let mut bit = None;
        for _ in 0..THROWS {
            let start = random.below(span);
            let candidates = self.candidates(start / BITS, shape);
            if candidates & 1 << (start % BITS) != 0 {
                bit = Some(start);
                break;
            }
        }
        let bit = bit.or_else(|| self.search(random.below(span), shape))?;
        let port = self.base + u16::try_from(bit).expect("a bit of the map is a port");
        self.set(port);
        if shape == Shape::Pair {
            self.set(port + 1);
        }
        Some(port)
    }

    /// The port is free again.
    pub(super) fn free(&mut self, port: u16) {
        if !self.range.contains(&port) {
            self.beyond.remove(&port);
            return;
        }
        let (word, mask) = self.place(port);
        if self.words[word] & mask != 0 {
            self.words[word] &= !mask;
            self.taken -= 1;
        }
    }

    /// The first that fits at or behind `start`, going round once.
    fn search(&self, start: u32, shape: Shape) -> Option<u32> {
        let count = u32::try_from(self.words.len()).expect("at most 1024 words");
        let first = start / BITS;
        let behind = u64::MAX << (start % BITS);
        let parts = std::iter::once((first, behind))
            .chain((1..count).map(|step| ((first + step) % count, u64::MAX)))
            .chain([(first, !behind)]);
        for (word, mask) in parts {
            let candidates = self.candidates(word, shape) & mask;
            if candidates != 0 {
                return Some(word * BITS + candidates.trailing_zeros());
            }
        }
        None
    }

    /// The free ports of a word that fit.
    fn candidates(&self, word: u32, shape: Shape) -> u64 {
        let free = !self.words[word as usize];
        match shape {
            Shape::Any => free,
            Shape::Even => free & EVEN,
            Shape::Pair => free & (free >> 1) & EVEN,
        }
    }

    fn set(&mut self, port: u16) {
        let (word, mask) = self.place(port);
        self.words[word] |= mask;
        self.taken += 1;
    }

    fn place(&self, port: u16) -> (usize, u64) {
        let bit = u32::from(port - self.base);
        ((bit / BITS) as usize, 1 << (bit % BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(map: &mut PortMap, shape: Shape) -> Vec<u16> {
        let mut random = Random::new([3; 32]);
        let mut ports: Vec<_> = std::iter::from_fn(|| map.take(shape, &mut random)).collect();
        ports.sort_unstable();
        ports
    }

    #[test]
    fn every_port_of_the_range_is_given_once_and_no_other() {
        for range in [49_152..=65_535, 1..=1, 0..=65_535, 63..=64, 10_001..=10_130, 1024..=1024] {
            let mut map = PortMap::new(&range);
            assert_eq!(map.taken(), 0);
            assert_eq!(all(&mut map, Shape::Any), range.clone().collect::<Vec<_>>(), "{range:?}");
            assert_eq!(map.taken() as usize, range.len());
            for port in range.clone() {
                map.free(port);
                map.free(port);
            }
            assert_eq!(map.taken(), 0);
        }
    }

    #[test]
    fn even_ports_are_even_and_pairs_have_both_ports_inside_the_range() {
        let mut map = PortMap::new(&(1001..=1200));
        assert_eq!(all(&mut map, Shape::Even), (1002..=1200).step_by(2).collect::<Vec<_>>());
        let mut map = PortMap::new(&(1001..=1200));
        assert_eq!(all(&mut map, Shape::Pair), (1002..1200).step_by(2).collect::<Vec<_>>());
        assert_eq!(map.taken(), 198);
        assert_eq!(all(&mut map, Shape::Any), [1001, 1200]);
    }

    #[test]
    fn a_pair_needs_both_ports_free() {
        let mut map = PortMap::new(&(2000..=2003));
        map.set(2001);
        assert_eq!(all(&mut map, Shape::Pair), [2002]);
    }

    #[test]
    fn ports_are_spread_over_the_range() {
        let mut random = Random::new([9; 32]);
        let mut map = PortMap::new(&(49_152..=65_535));
        let mut quarters = [0; 4];
        let mut ascending = 0;
        let mut before = 0;
        for _ in 0..4000 {
            let port = map.take(Shape::Any, &mut random).unwrap();
            quarters[usize::from((port - 49_152) / 4096)] += 1;
            ascending += u32::from(port > before);
            before = port;
        }
        assert!(quarters.iter().all(|count| (850..1150).contains(count)), "{quarters:?}");
        assert!((1800..2200).contains(&ascending), "{ascending}");
    }

    #[test]
    fn another_range_gives_its_own_ports_and_takes_those_of_the_earlier_one_back() {
        let mut map = PortMap::new(&(1000..=1009));
        assert_eq!(all(&mut map, Shape::Any).len(), 10);
        map.set_range(&(1005..=1014));
        assert_eq!((map.taken(), map.capacity()), (5, 10));
        assert_eq!(all(&mut map, Shape::Any), [1010, 1011, 1012, 1013, 1014]);
        for port in [1000, 1005, 1014] {
            map.free(port);
            map.free(port);
        }
        assert_eq!(
            all(&mut map, Shape::Any),
            [1005, 1014],
            "one that is not in the range any more is not given"
        );
        map.set_range(&(1000..=1009));
        assert_eq!(all(&mut map, Shape::Any), [1000], "one that was released meanwhile is free");
        assert_eq!(map.held().count(), 15);
        for port in 1000..=1014 {
            map.free(port);
        }
        assert!(map.is_empty());
    }
}
