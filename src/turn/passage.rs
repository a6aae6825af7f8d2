//! How much of a spliced stream may pass: the bandwidth of a TCP allocation. A stream loses nothing, it waits.

use super::connection::State;
use super::connection_id::ConnectionId;
use super::event::Direction;
use super::relay::Relay;
use super::time::{Millis, Now};

/// What may happen to bytes that have arrived on one side of a splice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// This many may be sent to the other side, and are counted as relayed.
    Now(usize),
    /// None, before this time.
    At(Millis),
    /// None: the connection has ended.
    Never,
}

/// Less than this is not worth a wake-up, where more waits: about a segment.
const WORTHWHILE: u64 = 1400;

impl Relay {
    /// How many of these bytes may go on now. Asked again for the rest, once it is time.
    pub fn pass(
        &mut self,
        now: Now,
        connection: ConnectionId,
        direction: Direction,
        bytes: usize,
    ) -> Passage {
        let is_bound = |state: &State| matches!(state, State::Bound { .. });
        let Some((id, _)) = self.connection(connection).filter(|(_, found)| is_bound(&found.state)) else {
            return Passage::Never;
        };
        let Some(allocation) = self.table.get(id) else { return Passage::Never };
        let limits = [allocation.bandwidth.as_deref_mut(), self.bandwidth.as_mut()];
        let mut buckets = limits.map(|limit| limit.map(|bandwidth| bandwidth.bucket(direction)));
        let wanted = bytes as u64;
        let (mut granted, mut at) = (wanted, now.mono);
        for (bucket, rate) in buckets.iter_mut().flatten() {
            let least = wanted.min(WORTHWHILE).min(rate.burst).max(1);
            granted = granted.min(bucket.level(*rate, now.mono));
            at = at.max(bucket.when(least, *rate, now.mono));
        }
        if at > now.mono {
            return Passage::At(at);
        }
        for (bucket, rate) in buckets.iter_mut().flatten() {
            bucket.take(granted, *rate, now.mono);
        }
        allocation.traffic.flow(direction).bytes += granted;
        allocation.heard.note(direction, now.mono);
        let all = match direction {
            Direction::Up => &mut self.counters.up,
            Direction::Down => &mut self.counters.down,
        };
        all.bytes += granted;
        // No more than was asked for.
        Passage::Now(usize::try_from(granted).unwrap_or(bytes))
    }
}
