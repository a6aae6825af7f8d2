//! What a worker drives.

use crate::turn::{ConnectionId, Direction, FiveTuple, Input, Millis, Now, Output, Passage, Relay};

/// A state machine without I/O: the relay, or in tests something whose every move is known.
pub trait Core {
    /// One thing has happened.
    fn handle<'a>(&mut self, now: Now, input: Input<'a>, out: &mut impl FnMut(Output<'a, '_>));

    /// When [`Self::expire`] wants to be called.
    fn next_deadline(&self) -> Option<Millis>;

    /// Time has passed.
    fn expire(&mut self, now: Now, out: &mut impl FnMut(Output<'static, '_>));

    /// How many bytes of a peer's connection may go on, as [`Relay::pass`] says.
    fn pass(&mut self, now: Now, connection: ConnectionId, direction: Direction, bytes: usize) -> Passage;

    /// Whether a client holds something. A connection of one that does not has to earn its keep.
    fn holds(&self, client: FiveTuple) -> bool;
}

impl Core for Relay {
    #[inline]
    fn handle<'a>(&mut self, now: Now, input: Input<'a>, out: &mut impl FnMut(Output<'a, '_>)) {
        self.handle(now, input, out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.next_deadline()
    }

    fn expire(&mut self, now: Now, out: &mut impl FnMut(Output<'static, '_>)) {
        self.expire(now, out);
    }

    fn pass(&mut self, now: Now, connection: ConnectionId, direction: Direction, bytes: usize) -> Passage {
        self.pass(now, connection, direction, bytes)
    }

    fn holds(&self, client: FiveTuple) -> bool {
        self.holds(client)
    }
}
