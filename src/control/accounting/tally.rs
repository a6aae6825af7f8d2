//! What is counted about records: plain numbers that metrics can read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that any thread may change and read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::control) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(in crate::control) fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records of allocations that began.
    pub started: Count,
    /// Records of allocations that go on.
    pub interim: Count,
    /// Records of allocations that ended.
    pub stopped: Count,
    /// Events of which no record was made, because too many waited.
    pub lost: Count,
    /// Records for the file.
    pub file: Delivery,
    /// Records for the webhook.
    pub webhook: Delivery,
    /// Spans for the collector of OpenTelemetry.
    pub otlp: Delivery,
}

/// What became of the records for one outlet.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Waiting now.
    pub waiting: Count,
    /// Written, or taken by the other side.
    pub delivered: Count,
    /// Given up: too many waited, the other side did not want them, or the server stopped.
    pub lost: Count,
    /// Attempts that failed. Most are made again.
    pub failures: Count,
}

impl Delivery {
    /// Records that were waiting have arrived.
    pub(super) fn deliver(&self, records: u64) {
        self.waiting.subtract(records);
        self.delivered.add(records);
    }

    /// Records that were waiting never will.
    pub(super) fn lose(&self, records: u64) {
        self.waiting.subtract(records);
        self.lost.add(records);
    }
}
