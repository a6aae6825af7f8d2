//! The book of one direction: what was sent, what came, what came twice, damaged or to the wrong door.

use std::fmt;

use serde::Serialize;

use super::payload::Damage;

/// Counts of one phase in one direction. Every payload has a bit of its own, so "lost" and "twice" are facts and not
/// differences of two sums.
pub(super) struct Tally {
    flows: Vec<FlowBook>,
    counts: Counts,
}

/// The sums that are reported.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Handed to the kernel.
    pub(super) sent: u64,
    /// Different payloads that reached their owner intact.
    pub(super) received: u64,
    /// Sent, and never received intact by their owner.
    pub(super) lost: u64,
    /// Intact, but a second time.
    pub(super) duplicated: u64,
    /// Changed on the way, or in a frame that is none.
    pub(super) corrupted: u64,
    /// Intact, but at a socket, from an address or on a channel that is not its own.
    pub(super) misdelivered: u64,
    /// Of another phase or another program.
    pub(super) foreign: u64,
}

#[derive(Default)]
struct FlowBook {
    next: u32,
    seen: Vec<u64>,
}

impl Tally {
    pub(super) fn new(flows: u32) -> Self {
        Self { flows: (0..flows).map(|_| FlowBook::default()).collect(), counts: Counts::default() }
    }

    /// The sequence number of the flow's next payload.
    pub(super) fn next_sequence(&self, flow: u32) -> u32 {
        self.flows[flow as usize].next
    }

    /// Enters `count` payloads of a flow as sent.
    pub(super) fn sent(&mut self, flow: u32, count: u32) {
        self.flows[flow as usize].next += count;
        self.counts.sent += u64::from(count);
    }

    /// Enters an intact payload that reached its owner.
    pub(super) fn received(&mut self, flow: u32, sequence: u32) {
        let book = &mut self.flows[flow as usize];
        if sequence >= book.next {
            // Nobody can have sent it: a stamp that is right by accident.
            self.counts.corrupted += 1;
            return;
        }
        let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
        if word >= book.seen.len() {
            book.seen.resize(word + 1, 0);
        }
        if book.seen[word] & bit == 0 {
            book.seen[word] |= bit;
            self.counts.received += 1;
        } else {
            self.counts.duplicated += 1;
        }
    }

    /// Enters a payload that is not what was sent.
    pub(super) fn damaged(&mut self, damage: Damage) {
        match damage {
            Damage::Foreign => self.counts.foreign += 1,
            Damage::Corrupted => self.counts.corrupted += 1,
        }
    }

    /// Enters an intact payload in the wrong hands.
    pub(super) fn misdelivered(&mut self) {
        self.counts.misdelivered += 1;
    }

    /// Sent and not yet received.
    pub(super) fn outstanding(&self) -> u64 {
        self.counts.sent - self.counts.received
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { lost: self.outstanding(), ..self.counts }
    }
}

impl Counts {
    /// Whether something arrived that must never arrive. Loss is not in it: UDP may lose.
    pub(super) fn is_clean(&self) -> bool {
        self.corrupted == 0 && self.misdelivered == 0 && self.duplicated == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {}, received {}, lost {}, ", self.sent, self.received, self.lost)?;
        write!(f, "duplicated {}, corrupted {}, ", self.duplicated, self.corrupted)?;
        write!(f, "misdelivered {}, foreign {}", self.misdelivered, self.foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payload_counts_once_and_what_is_missing_is_lost() {
        let mut tally = Tally::new(2);
        tally.sent(1, 200);
        for sequence in (0..200).filter(|sequence| *sequence != 77) {
            tally.received(1, sequence);
        }
        tally.received(1, 199);
        let counts = tally.counts();
        assert_eq!((counts.received, counts.lost, counts.duplicated), (199, 1, 1));
        assert!(!counts.is_clean());
    }

    #[test]
    fn a_payload_nobody_sent_is_corrupted() {
        let mut tally = Tally::new(1);
        tally.sent(0, 1);
        tally.received(0, 1);
        assert_eq!((tally.counts().received, tally.counts().corrupted), (0, 1));
    }
}
