//! What is counted about questions: plain numbers that metrics can read at any time.

use crate::control::accounting::Count;

/// All that is counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Questions of workers that were answered from memory.
    pub remembered: Count,
    /// Answers that let somebody in.
    pub granted: Count,
    /// Answers that did not.
    pub refused: Count,
    /// Requests without an answer of status 2xx that could be understood.
    pub failures: Count,
    /// Questions that were answered by `when_down`, for whatever reason.
    pub undecided: Count,
    /// Questions that were dropped because too many waited, and answers that a worker did not take in time.
    pub dropped: Count,
    /// Requests that are under way.
    pub in_flight: Count,
}
