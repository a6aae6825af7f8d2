//! What waits to be sent over one connection.

/// Bytes that may be kept for a side that takes no more, before nothing more is read for it from the other one.
pub(crate) const KEPT_MAX: usize = 64 << 10;

/// Bytes in the order they go out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// Something was added since the last look.
    used: bool,
}

/// STUN pads to four bytes.
static ZEROES: [u8; 3] = [0; 3];

impl Outbox {
    /// What has not been sent.
    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// How much has not been sent.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a frame.
    #[inline]
    pub(crate) fn push(&mut self, head: &[u8], payload: &[u8], padding: u8) {
        let padding = ZEROES.get(..usize::from(padding)).unwrap_or(&ZEROES);
        self.used = true;
        self.bytes.reserve(head.len() + payload.len() + padding.len());
        for part in [head, payload, padding] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Gives back the room of one that was not used since the last call; one in use keeps it for the next burst.
    pub(crate) fn trim(&mut self) {
        if !std::mem::take(&mut self.used) && self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Forgets what has not been sent.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// So many bytes have been sent.
    pub(crate) fn advance(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= self.bytes.len() / 2 {
            // Moved at most once per byte sent, so a queue that is never empty costs no more than one that is.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_however_much_is_sent_at_once() {
        for step in 1..40 {
            let mut outbox = Outbox::default();
            let mut sent = Vec::new();
            for number in 0..20_u8 {
                outbox.push(&[number; 4], &[number; 7], 1);
                let count = step.min(outbox.len());
                sent.extend_from_slice(&outbox.pending()[..count]);
                outbox.advance(count);
            }
            sent.extend_from_slice(outbox.pending());
            outbox.advance(outbox.len());
            assert!(outbox.is_empty());
            let expected: Vec<u8> = (0..20).flat_map(|number| [&[number; 11][..], &[0]].concat()).collect();
            assert_eq!(sent, expected, "{step} at a time");
        }
    }

    #[test]
    fn a_burst_leaves_no_room_behind_once_it_is_over() {
        let mut outbox = Outbox::default();
        outbox.push(&[0; 4], &[1; 200_000], 0);
        outbox.advance(200_003);
        assert_eq!(outbox.pending(), [1]);
        outbox.trim();
        outbox.trim();
        assert_eq!(outbox.pending(), [1], "what waits is not lost");
        outbox.push(&[2], &[], 0);
        outbox.advance(2);
        outbox.trim();
        assert!(outbox.bytes.capacity() > 0, "in use");
        outbox.trim();
        assert_eq!(outbox.bytes.capacity(), 0);
    }
}
