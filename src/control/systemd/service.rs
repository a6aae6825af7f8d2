//! The service as its manager sees it: up, reloading, alive, on its way out.

use std::time::{Duration, Instant};

use super::{Notifier, watchdog::Watchdog};
use crate::control::advert::{Advert, Listening};
use crate::net::worker::WorkerLine;

/// All that the service manager is told, at the right time.
#[derive(Debug)]
pub(in super::super) struct Service {
    notifier: Notifier,
    watchdog: Option<Watchdog>,
    /// What it does, and where clients are heard, for `systemctl status`.
    doing: &'static str,
    listeners: String,
    /// What the status says, and since when.
    told: Option<(u32, Instant)>,
}

/// A status that changes more often than this is of no use to people.
const STATUS_PATIENCE: Duration = Duration::from_secs(10);

impl Service {
    pub(in super::super) fn of_this_process() -> Self {
        let (notifier, watchdog) = (Notifier::of_this_process(), Watchdog::of_this_process(Instant::now()));
        Self { notifier, watchdog, doing: "serving", listeners: String::new(), told: None }
    }

    /// Everything is open and served.
    pub(in super::super) fn ready(&mut self, advert: &Advert) {
        let listeners: Vec<_> = advert.listeners.iter().map(Listening::to_string).collect();
        self.listeners = listeners.join(",");
        self.told = Some((0, Instant::now()));
        self.notifier.ready(&self.status(0));
    }

    pub(in super::super) fn reloading(&self) {
        self.notifier.reloading("reloading");
    }

    /// The reload is over, whatever came of it: the server goes on.
    pub(in super::super) fn reloaded(&mut self, allocations: u32) {
        self.told = Some((allocations, Instant::now()));
        self.notifier.ready(&self.status(allocations));
    }

    /// The server drains before it stops, which may take this long.
    pub(in super::super) fn leaving(&mut self, patience: Duration) {
        self.doing = "draining";
        self.notifier.stopping("draining");
        self.notifier.extend(patience);
    }

    pub(in super::super) fn stopping(&self) {
        self.notifier.stopping("stopping");
    }

    /// How often to call [`Self::turn`] at least.
    pub(in super::super) fn every(&self, otherwise: Duration) -> Duration {
        self.watchdog.as_ref().map_or(otherwise, |watchdog| watchdog.every().min(otherwise))
    }

    /// The main loop turns: what has to be told now?
    pub(in super::super) fn turn<C>(&mut self, now: Instant, workers: &[WorkerLine<C>], allocations: u32) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.look(now, workers, &self.notifier);
        }
        let is_news = |(told, at): (u32, Instant)| told != allocations && now >= at + STATUS_PATIENCE;
        if self.told.is_some_and(is_news) {
            self.told = Some((allocations, now));
            self.notifier.status(&self.status(allocations));
        }
    }

    fn status(&self, allocations: u32) -> String {
        let plural = if allocations == 1 { "" } else { "s" };
        format!("{} {allocations} allocation{plural} on {}", self.doing, self.listeners)
    }
}
