//! What is relayed, live, and what is not.

use super::family::{Family, Number};
use super::snapshot::Snapshot;
use crate::turn::{Counters, DropReason};

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let relay = |number: fn(&Counters) -> u64| snapshot.relay(number);
    let dropped = |reasons: &[DropReason]| -> Vec<(&'static str, u64)> {
        reasons.iter().map(|reason| (reason.name(), snapshot.relay(|it| it.dropped(*reason)))).collect()
    };
    vec![
        both_sides(
            "turnbridge_relay_packets",
            "Payloads relayed, as they are relayed. Each is received on one side and sent on the other; on TCP a piece \
             of the stream counts as one.",
            relay(|it| it.up.packets),
            relay(|it| it.down.packets),
        ),
        both_sides(
            "turnbridge_relay_bytes",
            "Bytes of these payloads, without the headers around them.",
            relay(|it| it.up.bytes),
            relay(|it| it.down.bytes),
        ),
        Family::counter("turnbridge_relay_dropped", "Payloads that were not relayed, by the reason.")
            .by("reason", dropped(&NOT_RELAYED)),
        Family::counter(
            "turnbridge_invalid_packets",
            "Datagrams from clients that are no request, by what is wrong.",
        )
        .by("reason", dropped(&INVALID)),
    ]
}

/// One figure from clients to peers and one back, seen from both sides as an interface would see them.
fn both_sides(name: &'static str, help: &'static str, up: u64, down: u64) -> Family {
    let figures: [(_, _, Number); 4] = [
        ("client", "received", up.into()),
        ("peer", "sent", up.into()),
        ("peer", "received", down.into()),
        ("client", "sent", down.into()),
    ];
    figures.into_iter().fold(Family::counter(name, help), |family, (side, direction, figure)| {
        family.with([("side", side), ("direction", direction)], figure)
    })
}

/// There was a payload.
const NOT_RELAYED: [DropReason; 7] = [
    DropReason::NoAllocation,
    DropReason::NoChannel,
    DropReason::NoPermission,
    DropReason::Forbidden,
    DropReason::Bandwidth,
    DropReason::TooLong,
    DropReason::Connections,
];
/// There was nothing to make sense of.
const INVALID: [DropReason; 4] =
    [DropReason::NotStun, DropReason::Malformed, DropReason::UnknownMethod, DropReason::ForgedSource];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_once() {
        for reason in DropReason::ALL {
            let told = NOT_RELAYED.iter().chain(&INVALID).filter(|it| **it == reason).count();
            assert_eq!(told, 1, "{reason:?}");
        }
    }
}
