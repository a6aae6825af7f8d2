//! Allocations: how many there are, how they began and how they ended.

use super::family::Family;
use super::requests::{answers, word};
use super::snapshot::Snapshot;
use crate::turn::{Ages, EndReason, Family as AddressFamily, Refusal, Transport};

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    vec![active(snapshot), created(snapshot), ended(snapshot), durations(snapshot)]
}

fn active(snapshot: &Snapshot) -> Family {
    let family = Family::gauge(
        "turnbridge_allocations_active",
        "Allocations there are now, by the client's transport and the family of the relay address. One with addresses of \
         both families counts in both.",
    );
    let kinds = Transport::ALL.into_iter().flat_map(|transport| {
        [(AddressFamily::V4, "ipv4"), (AddressFamily::V6, "ipv6")].map(|it| (transport, it.0, it.1))
    });
    kinds.fold(family, |samples, (transport, family, name)| {
        let number = snapshot.relay(|it| it.relays[transport as usize][family as usize]);
        samples.with([("transport", transport.name()), ("family", name)], number)
    })
}

/// Answers to Allocate. The 401 that each login begins with is among them.
fn created(snapshot: &Snapshot) -> Family {
    let results = std::iter::once(None).chain(Refusal::ALL.map(Some));
    Family::counter(
        "turnbridge_allocations_created",
        "Requests for an allocation, by what came of them. A client without a nonce is unauthenticated once, as a rule.",
    )
    .by("result", results.map(|meaning| (word(meaning), answers(snapshot, "allocate", meaning))))
}

fn ended(snapshot: &Snapshot) -> Family {
    let number = |reason: EndReason| snapshot.relay(|it| it.ended[reason as usize]);
    Family::counter("turnbridge_allocations_ended", "Allocations that ended, by the reason.")
        .by("reason", EndReason::ALL.map(|reason| (reason.name(), number(reason))))
}

fn durations(snapshot: &Snapshot) -> Family {
    let counts: Vec<u64> = (0..=Ages::BOUNDS.len())
        .map(|place| snapshot.relay(|it| it.ages.counts.get(place).copied().unwrap_or_default()))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds is read as a float by everybody")]
    let sum = snapshot.relay(|it| it.ages.sum_ms) as f64 / 1000.0;
    Family::histogram(
        "turnbridge_allocation_duration_seconds",
        "How long allocations lasted that have ended.",
    )
    .buckets(&Ages::BOUNDS, &counts, sum)
}
