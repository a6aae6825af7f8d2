//! When to send and when to look for what came: the loop that all loads with a rate or a window share.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::tally::Tally;

/// How fast to send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many a second in each direction, whatever happens to them.
    Rate(u32),
    /// As many as possible with no more than so many on their way in each direction.
    Window(u64),
}

/// A load that can be sent and received in portions.
pub(super) trait Exchange {
    /// Sends what is due, a bounded part of it, and returns how much that was.
    fn send_due(&mut self, elapsed: Duration) -> Result<u64>;
    /// Empties the sockets and returns how much came.
    fn receive(&mut self) -> Result<u64>;
    /// Sent and not yet received.
    fn outstanding(&self) -> u64;
    /// Called when a full window has nothing to receive.
    fn give_up_lost(&mut self, now: Instant);
}

/// Sends for `duration`, then waits until all has arrived or nothing more comes. The sockets are emptied once per
/// `round`, which is what keeps the generator cheap, or when a window is full. Returns how long was sent.
pub(super) fn run(
    exchange: &mut impl Exchange,
    pace: Pace,
    round: Duration,
    duration: Duration,
) -> Result<Duration> {
    let start = Instant::now();
    let (mut now, mut next_round) = (start, start + round);
    while now - start < duration {
        let mut moved = exchange.send_due(now - start)?;
        now = Instant::now();
        let starved = moved == 0 && matches!(pace, Pace::Window(_));
        if starved || now >= next_round {
            moved += exchange.receive()?;
            now = Instant::now();
            next_round = now + round;
        }
        if moved == 0 {
            exchange.give_up_lost(now);
            std::thread::sleep(NAP.min(next_round - now));
            now = Instant::now();
        }
    }
    let sent_for = start.elapsed();
    let mut quiet_since = Instant::now();
    while exchange.outstanding() > 0 && quiet_since.elapsed() < QUIET {
        if exchange.receive()? > 0 {
            quiet_since = Instant::now();
        }
        std::thread::sleep(NAP);
    }
    Ok(sent_for)
}

/// One direction of a load.
pub(super) struct Lane {
    pub(super) tally: Tally,
    /// Whose turn it is to send.
    pub(super) turn: u32,
    flows: u32,
    active: bool,
    /// Due once, but too late to be sent: the generator was held up.
    skipped: u64,
    /// Taken as lost when a window had stood still for long.
    given_up: u64,
    /// How many had been received when that last changed, and when it did.
    progress: Option<(u64, Instant)>,
}

impl Lane {
    pub(super) fn new(flows: u32, active: bool) -> Self {
        Self { tally: Tally::new(flows), turn: 0, flows, active, skipped: 0, given_up: 0, progress: None }
    }

    /// How many may go now, a bounded number.
    pub(super) fn due(&mut self, pace: Pace, elapsed: Duration) -> u64 {
        if !self.active {
            return 0;
        }
        let due = match pace {
            Pace::Rate(per_second) => {
                let wanted = due_after(per_second, elapsed);
                let due = wanted.saturating_sub(self.tally.counts().sent + self.skipped);
                // What is long overdue is not made up for: that would be a flood that nobody asked for.
                let most = due_after(per_second, LATEST);
                self.skipped += due.saturating_sub(most.max(QUANTUM));
                due
            }
            Pace::Window(size) => size.saturating_sub(self.tally.outstanding().saturating_sub(self.given_up)),
        };
        due.min(QUANTUM)
    }

    /// Enters what the flow whose turn it was has sent, and makes it the next one's turn.
    pub(super) fn sent(&mut self, count: u32) {
        self.tally.sent(self.turn, count);
        self.turn = (self.turn + 1) % self.flows;
    }

    /// Opens a window that losses have closed.
    pub(super) fn give_up_lost(&mut self, now: Instant) {
        let received = self.tally.counts().received;
        match self.progress {
            Some((before, since)) if before == received => {
                if now - since > STALLED {
                    self.given_up = self.tally.outstanding();
                }
            }
            Some(_) | None => self.progress = Some((received, now)),
        }
    }
}

/// How many a rate makes due in a span of time.
fn due_after(per_second: u32, span: Duration) -> u64 {
    let due = span.as_micros() * u128::from(per_second) / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// At most so many of a direction before the other and the sockets get their turn.
const QUANTUM: u64 = 64;
/// How long to sleep when nothing is due.
const NAP: Duration = Duration::from_millis(1);
/// How much lateness is made up for.
const LATEST: Duration = Duration::from_millis(5);
/// When a window that does not move counts as lost.
const STALLED: Duration = Duration::from_millis(50);
/// How long nothing must come until the rest counts as lost.
const QUIET: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_makes_up_for_a_little_lateness_only() {
        let mut lane = Lane::new(1, true);
        let pace = Pace::Rate(100_000);
        assert_eq!(lane.due(pace, Duration::from_micros(100)), 10);
        assert_eq!(lane.due(pace, Duration::from_secs(1)), QUANTUM);
        assert_eq!(lane.skipped, 100_000 - 500);
    }

    #[test]
    fn a_window_closes_and_opens_again_when_all_in_it_is_lost() {
        let mut lane = Lane::new(1, true);
        let pace = Pace::Window(8);
        lane.tally.sent(0, 8);
        assert_eq!(lane.due(pace, Duration::ZERO), 0);
        let start = Instant::now();
        lane.give_up_lost(start);
        assert_eq!(lane.due(pace, Duration::ZERO), 0);
        lane.give_up_lost(start + STALLED * 2);
        assert_eq!(lane.due(pace, Duration::ZERO), 8);
    }
}
