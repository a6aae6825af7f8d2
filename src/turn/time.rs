//! Time as it comes in from the driver; it is never read here.

use std::time::Duration;

/// Milliseconds on a clock that never jumps, counted from the process's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The time this much later.
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long it is since an earlier time; nothing if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks at one moment. Lifetimes run on `mono`; `unix` is asked for credentials alone, when they are first
/// shown, so that a jump of the wall clock ends no live allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time.
    pub mono: Millis,
    /// Seconds since 1970.
    pub unix: u64,
}

impl Now {
    /// When a Unix second that lies ahead will be over, told on the clock that never jumps.
    pub(super) fn end_of(self, second: u64) -> Millis {
        self.mono.after(Duration::from_secs(second.saturating_sub(self.unix).saturating_add(1)))
    }
}
