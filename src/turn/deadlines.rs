//! When the relay must look at an allocation again.
//!
//! One entry per allocation, at the earliest time something of it expires. What was refreshed meanwhile is found
//! alive when its entry comes up, and is queued anew: refreshing costs nothing here. Entries of what is gone are
//! swept out before they outnumber the others, so that a client that allocates and releases all day long fills no
//! memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::output::AllocationId;
use super::time::Millis;

/// Entries beyond the ones in use that are not worth a sweep.
const SPARE: usize = 64;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: BinaryHeap<Reverse<(Millis, AllocationId)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Millis, allocation: AllocationId) {
        self.queue.push(Reverse((at, allocation)));
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Drops the entries that nobody waits for any more, if they are many beside the allocations that are alive.
    pub(super) fn tidy(&mut self, alive: usize, mut is_awaited: impl FnMut(Millis, AllocationId) -> bool) {
        if alive == 0 {
            self.queue = BinaryHeap::new();
        } else if self.queue.len() > 2 * alive + SPARE {
            self.queue.retain(|Reverse((at, allocation))| is_awaited(*at, *allocation));
            self.queue.shrink_to(2 * alive + SPARE);
        }
    }

    /// Takes the next entry that is due.
    pub(super) fn pop_due(&mut self, now: Millis) -> Option<(Millis, AllocationId)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.queue.pop()?;
        if self.queue.is_empty() {
            self.queue = BinaryHeap::new();
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_what_is_gone_do_not_pile_up() {
        let mut deadlines = Deadlines::default();
        let name = |generation| AllocationId { index: 0, generation };
        let lasting = name(0);
        deadlines.push(Millis(5), lasting);
        for generation in 1..100_000 {
            deadlines.push(Millis(600_000), name(generation));
            deadlines.tidy(1, |_, id| id == lasting);
            assert!(deadlines.queue.len() <= 2 + SPARE);
        }
        assert_eq!(deadlines.next(), Some(Millis(5)));
        deadlines.tidy(0, |_, _| false);
        assert_eq!(deadlines.next(), None);
    }
}
