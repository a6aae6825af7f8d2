//! What passes through the UDP sockets, relayed or not.

use super::family::Family;
use super::snapshot::{NetFigure, Snapshot};
use crate::net::counters::Counters;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let net = |number: fn(&Counters) -> u64| snapshot.net(number);
    let by_socket = |name, help, listener: fn(&Counters) -> u64, relay: fn(&Counters) -> u64| {
        Family::counter(name, help).by("socket", [("listener", net(listener)), ("relay", net(relay))])
    };
    vec![
        by_socket(
            "turnbridge_udp_received_packets",
            "Datagrams received: from clients at listeners, from peers at relay sockets.",
            |it| it.client_datagrams_received,
            |it| it.peer_datagrams_received,
        ),
        by_socket(
            "turnbridge_udp_received_bytes",
            "Bytes of these datagrams.",
            |it| it.client_bytes_received,
            |it| it.peer_bytes_received,
        ),
        by_socket(
            "turnbridge_udp_recv_dropped",
            "Datagrams that the kernel dropped because the socket's receive buffer was full.",
            |it| it.lost_in_listener,
            |it| it.lost_in_relay,
        ),
        Family::counter("turnbridge_udp_sent_packets", "Datagrams sent, to clients and peers.")
            .only(net(|it| it.datagrams_sent)),
        Family::counter("turnbridge_udp_sent_bytes", "Bytes of these datagrams.")
            .only(net(|it| it.bytes_sent)),
        Family::counter(
            "turnbridge_send_dropped",
            "Datagrams, and data for TCP clients, that could not be sent, by what was in the way.",
        )
        .by("reason", not_sent().map(|(reason, number)| (reason, net(number)))),
        Family::counter("turnbridge_receive_errors", "Receive calls that failed.")
            .by("kind", [("error", net(|it| it.receive_errors)), ("truncated", net(|it| it.truncated))]),
        Family::counter("turnbridge_icmp_received", "ICMP messages that came back from peers.")
            .only(net(|it| it.icmp_received)),
        Family::counter("turnbridge_relay_sockets", "Relay sockets, by what became of them.").by(
            "event",
            [
                ("opened", net(|it| it.relays_opened)),
                ("closed", net(|it| it.relays_closed)),
                ("refused", net(|it| it.relays_refused)),
            ],
        ),
    ]
}

fn not_sent() -> [NetFigure; 9] {
    [
        ("buffer-full", |it| it.dropped_buffer_full),
        ("unreachable", |it| it.dropped_unreachable),
        ("forbidden", |it| it.dropped_forbidden),
        ("too-long", |it| it.dropped_too_long),
        ("bad-address", |it| it.dropped_bad_address),
        ("no-memory", |it| it.dropped_no_memory),
        ("closed", |it| it.dropped_closed),
        ("slow-reader", |it| it.dropped_slow_reader),
        ("other", |it| it.dropped_other),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told() {
        let mut counters = Counters::default();
        for (at, place) in [
            &mut counters.dropped_buffer_full,
            &mut counters.dropped_unreachable,
            &mut counters.dropped_forbidden,
            &mut counters.dropped_too_long,
            &mut counters.dropped_bad_address,
            &mut counters.dropped_no_memory,
            &mut counters.dropped_closed,
            &mut counters.dropped_slow_reader,
            &mut counters.dropped_other,
        ]
        .into_iter()
        .enumerate()
        {
            *place = 1 << at;
        }
        let told: u64 = not_sent().iter().map(|(_, number)| number(&counters)).sum();
        assert_eq!(told, counters.dropped());
    }
}
