//! What is counted about records, for whoever scrapes it.

use super::tally::{Count, Delivery, Tally};
use crate::control::metrics::Family;

impl Tally {
    /// As metrics. What an outlet has that is not configured is 0.
    pub(in crate::control) fn families(&self) -> Vec<Family> {
        let by_outlet = |family: Family, number: fn(&Delivery) -> &Count| {
            let outlets = [("file", &self.file), ("webhook", &self.webhook), ("otlp", &self.otlp)];
            family.by("outlet", outlets.map(|(outlet, delivery)| (outlet, number(delivery).get())))
        };
        let kinds = [("start", &self.started), ("interim", &self.interim), ("stop", &self.stopped)];
        vec![
            Family::counter("turnbridge_accounting_records", "Records of allocations that were made.")
                .by("record", kinds.map(|(kind, count)| (kind, count.get()))),
            Family::counter(
                "turnbridge_accounting_events_lost",
                "Events that came faster than records could be made of them.",
            )
            .only(self.lost.get()),
            by_outlet(
                Family::counter("turnbridge_accounting_delivered", "Records that an outlet has taken."),
                |delivery| &delivery.delivered,
            ),
            by_outlet(
                Family::counter("turnbridge_accounting_lost", "Records that an outlet will never get."),
                |delivery| &delivery.lost,
            ),
            by_outlet(
                Family::counter("turnbridge_accounting_failures", "Attempts to deliver that failed."),
                |delivery| &delivery.failures,
            ),
            by_outlet(
                Family::gauge("turnbridge_accounting_waiting", "Records that wait for an outlet."),
                |delivery| &delivery.waiting,
            ),
        ]
    }
}
