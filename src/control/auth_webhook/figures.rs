//! What is counted about questions to the auth webhook, for whoever scrapes it.

use super::tally::Tally;
use crate::control::metrics::Family;

impl Tally {
    /// As metrics; all 0 where there is no webhook.
    pub(in crate::control) fn families(&self) -> Vec<Family> {
        let results = [("granted", &self.granted), ("refused", &self.refused), ("failed", &self.failures)];
        let others =
            [("remembered", &self.remembered), ("undecided", &self.undecided), ("dropped", &self.dropped)];
        vec![
            Family::counter(
                "turnbridge_auth_webhook_requests",
                "Questions that were sent, by what came of them.",
            )
            .by("result", results.map(|(result, count)| (result, count.get()))),
            Family::counter(
                "turnbridge_auth_webhook_unsent",
                "Questions that were not, or got no answer, by what was done instead.",
            )
            .by("how", others.map(|(how, count)| (how, count.get()))),
            Family::gauge("turnbridge_auth_webhook_in_flight", "Questions that are under way.")
                .only(self.in_flight.get()),
        ]
    }
}
