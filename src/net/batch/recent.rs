//! Finding a run or a group of the current batch again.

/// A hash table of indexes that is never cleared: an entry counts only if what it points to says that it was entered
/// at this very place, which nothing from an earlier batch does.
pub(super) struct Recent([u16; PLACES]);

/// More than runs in an ordinary batch, and still small beside the first-level cache.
const PLACES: usize = 512;
/// Places to look at. Whoever makes addresses collide only loses the joining of their own datagrams.
const PROBES: usize = 8;

/// What an index in the table points to.
pub(super) enum Seen {
    /// Nothing that was entered at this place.
    Stale,
    /// Something else.
    Other,
    /// What is looked for.
    Wanted,
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self([u16::MAX; PLACES])
    }

    /// Looks for something with this hash. Returns where to enter it, and its index if it is there already.
    #[inline]
    pub(super) fn find(&self, hash: u32, look: impl Fn(usize, u16) -> Seen) -> (u16, Option<usize>) {
        let mut place = 0;
        for probe in 0..PROBES {
            place = (hash as usize + probe) % PLACES;
            let index = usize::from(self.0[place]);
            match look(index, as_u16(place)) {
                Seen::Stale => return (as_u16(place), None),
                Seen::Other => {}
                Seen::Wanted => return (as_u16(place), Some(index)),
            }
        }
        (as_u16(place), None)
    }

    /// Enters an index where [`Self::find`] said. What is pointed to must remember the place.
    #[inline]
    pub(super) fn enter(&mut self, place: u16, index: usize) {
        self.0[usize::from(place)] = as_u16(index);
    }
}

/// Places are below 512; an index too large to be entered is found stale.
fn as_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
