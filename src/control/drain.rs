//! Taking leave: no new allocations, the old ones to their end or to a deadline.

use std::time::{Duration, Instant};

use crate::config::{alternate::AlternateServer, choice};
use crate::turn::{Admission, Alternate, Transport};

/// What the server is doing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All that is asked of it.
    Serving,
    /// No new allocations are taken.
    Draining(Leave),
}

/// How a server drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Since when, in Unix seconds.
    pub since: u64,
    /// Until when at most, in Unix seconds; `None` as long as the last allocation.
    pub until: Option<u64>,
    /// Whether the server stops then.
    pub stops: bool,
    /// Whether the system asked for it, so that nobody can take it back.
    pub is_final: bool,
}

/// What an operator, or the system, wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// How long it may take; `None` as long as the last allocation.
    pub timeout: Option<Duration>,
    /// Whether the server stops at the end of it.
    pub stops: bool,
    /// Whether nobody can take it back.
    pub is_final: bool,
}

/// The main thread's view of it.
#[derive(Debug)]
pub(super) struct Draining {
    pub(super) leave: Leave,
    deadline: Option<Instant>,
}

impl Draining {
    pub(super) fn begin(order: Order, now: Instant, unix_now: u64) -> Self {
        let until = order.timeout.map(|timeout| unix_now.saturating_add(timeout.as_secs()));
        let Order { timeout, stops, is_final } = order;
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        Self { leave: Leave { since: unix_now, until, stops, is_final }, deadline }
    }

    /// Whether it is time to stop.
    pub(super) fn is_over(&self, now: Instant, allocations: u32) -> bool {
        let is_late = self.deadline.is_some_and(|deadline| deadline <= now);
        self.leave.stops && (allocations == 0 || is_late)
    }
}

/// What the workers are told.
pub(super) fn admission(alternates: &[AlternateServer]) -> Admission {
    let alternate = |server: &AlternateServer| Alternate {
        address: server.address,
        transport: server.transport.map(|transport| match transport {
            choice::Transport::Udp => Transport::Udp,
            choice::Transport::Tcp | choice::Transport::Auto => Transport::Tcp,
            choice::Transport::Tls => Transport::Tls,
        }),
        domain: server.name.as_ref().map(|name| name.0.as_str().into()),
    };
    Admission::Draining(alternates.iter().map(alternate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draining(timeout: Option<u64>, stops: bool, now: Instant) -> Draining {
        let timeout = timeout.map(Duration::from_secs);
        Draining::begin(Order { timeout, stops, is_final: false }, now, 1000)
    }

    #[test]
    fn it_is_over_with_the_last_allocation_or_at_the_deadline() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let bounded = draining(Some(60), true, now);
        assert_eq!(bounded.leave.until, Some(1060));
        assert!(!bounded.is_over(now, 1) && bounded.is_over(now, 0) && bounded.is_over(later, 1));
        let patient = draining(None, true, now);
        assert!(!patient.is_over(later, 1) && patient.is_over(now, 0));
        let idle = draining(Some(60), false, now);
        assert!(!idle.is_over(later, 0), "it goes on until somebody says otherwise");
    }
}
