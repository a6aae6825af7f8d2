//! Memory to receive streams into.

/// What is received from streams in one round lies here, so that a batch of sends can borrow it.
pub(crate) struct Arena(Box<[u8]>);

/// The part of an [`Arena`] that is still free in this round.
pub(crate) struct ArenaRound<'s> {
    free: &'s mut [u8],
}

/// Two connections can receive all they may in one turn; of small messages many more can.
const ROUND: usize = 256 << 10;

impl Default for Arena {
    fn default() -> Self {
        Self(vec![0; ROUND].into())
    }
}

impl Arena {
    /// Begins a round: what was received in the last one is forgotten.
    pub(crate) const fn round(&mut self) -> ArenaRound<'_> {
        ArenaRound { free: &mut self.0 }
    }
}

impl<'s> ArenaRound<'s> {
    /// Whether so many bytes are free.
    pub(crate) const fn has_room(&self, bytes: usize) -> bool {
        self.free.len() >= bytes
    }

    /// Lets `fill` write from the beginning of what is free; it says how much it has written.
    pub(crate) fn fill<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> (&'s [u8], R) {
        let free = std::mem::take(&mut self.free);
        let (length, result) = fill(free);
        let (filled, rest) = free.split_at_mut(length.min(free.len()));
        self.free = rest;
        (filled, result)
    }
}
