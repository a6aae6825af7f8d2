//! How reading the configuration again went.

use std::sync::atomic::{AtomicU64, Ordering};

use super::family::Family;

/// Written by whoever reloads, read at each scrape.
#[derive(Debug)]
pub struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_failed: AtomicU64,
    last_success: AtomicU64,
}

impl Reloads {
    /// The start was the first success, at this time in Unix seconds.
    pub fn new(started: u64) -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_failed: AtomicU64::new(0),
            last_success: AtomicU64::new(started),
        }
    }

    /// All was read again, and is in use.
    pub fn note_success(&self, now: u64) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.last_success.store(now, Ordering::Relaxed);
        self.last_failed.store(0, Ordering::Relaxed);
    }

    /// Something was wrong, and what was in use still is.
    pub fn note_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.last_failed.store(1, Ordering::Relaxed);
    }

    /// What is told of it.
    pub fn families(&self) -> Vec<Family> {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        vec![
            Family::gauge(
                "turnbridge_config_reload_success",
                "1 if the last reload, or the start, went well.",
            )
            .only(1 - read(&self.last_failed)),
            Family::gauge(
                "turnbridge_config_reload_timestamp_seconds",
                "When what is in use was read, in Unix seconds.",
            )
            .only(read(&self.last_success)),
            Family::counter("turnbridge_config_reloads", "Reloads, by how they went.")
                .by("result", [("success", read(&self.succeeded)), ("failed", read(&self.failed))]),
        ]
    }
}
