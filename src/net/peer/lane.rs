//! One direction of a splice.

use crate::net::outbox::Outbox;

/// Bytes on their way from one side to the other.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    bytes: Outbox,
    /// How many of them may go on.
    allowed: usize,
    /// No more will come.
    pub(crate) ended: bool,
    /// The side they go to knows that no more will come.
    pub(crate) shut: bool,
    /// Nothing is read for it until there is room again.
    pub(crate) stalled: bool,
}

impl Lane {
    /// Takes bytes that have arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.push(bytes, &[], 0);
        }
    }

    /// How many have arrived and not gone on.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many may not go on yet.
    pub(crate) const fn held_back(&self) -> usize {
        self.bytes.len() - self.allowed
    }

    /// So many more may go on.
    pub(crate) fn allow(&mut self, count: usize) {
        self.allowed = (self.allowed + count).min(self.bytes.len());
    }

    /// Those that may go on.
    pub(crate) fn allowed(&self) -> &[u8] {
        self.bytes.pending().get(..self.allowed).unwrap_or_default()
    }

    /// So many have gone on.
    pub(crate) fn advance(&mut self, count: usize) {
        self.allowed -= count.min(self.allowed);
        self.bytes.advance(count);
    }

    /// Whether everything has gone on and only the end is still to be told.
    pub(crate) const fn is_over(&self) -> bool {
        self.ended && !self.shut && self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_on_in_order_and_no_more_than_allowed() {
        let mut lane = Lane::default();
        lane.push(b"abcdef");
        assert_eq!((lane.allowed(), lane.held_back()), (&b""[..], 6));
        lane.allow(4);
        assert_eq!((lane.allowed(), lane.held_back()), (&b"abcd"[..], 2));
        lane.advance(3);
        lane.push(b"gh");
        assert_eq!((lane.allowed(), lane.held_back()), (&b"d"[..], 4));
        lane.allow(100);
        assert_eq!(lane.allowed(), b"defgh");
        lane.ended = true;
        assert!(!lane.is_over(), "there is something left");
        lane.advance(5);
        assert!(lane.is_over());
    }
}
