//! When the relay must look at an allocation again.
//!
//! One entry per allocation, at the earliest time something of it expires. What was refreshed meanwhile is found
//! alive when its entry comes up, and is queued anew: refreshing costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::output::AllocationId;
use super::time::Millis;

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
