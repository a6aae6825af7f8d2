//! Clients over TCP and TLS.

use super::family::Family;
use super::snapshot::{NetFigure, Snapshot};
use crate::net::counters::Counters;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let net = |number: fn(&Counters) -> u64| snapshot.net(number);
    vec![
        Family::gauge("turnbridge_connections_active", "TCP and TLS connections of clients.")
            .only(snapshot.connections),
        Family::counter(
            "turnbridge_connections_accepted",
            "Connections accepted, those included that were refused.",
        )
        .only(net(|it| it.connections_accepted)),
        Family::counter(
            "turnbridge_connections_refused",
            "Connections closed at once, by the limit they met.",
        )
        .by(
            "limit",
            [
                ("connections", net(|it| it.connections_refused_total)),
                ("connections-per-ip", net(|it| it.connections_refused_source)),
            ],
        ),
        Family::counter("turnbridge_connections_ended", "Connections that ended, by the reason.")
            .by("reason", ended().map(|(reason, number)| (reason, net(number)))),
        Family::counter(
            "turnbridge_accept_errors",
            "Accept calls that failed, most often for want of descriptors.",
        )
        .only(net(|it| it.accept_errors)),
        Family::counter(
            "turnbridge_tls_handshakes",
            "TLS handshakes, by the version agreed on. A failed one has agreed on none.",
        )
        .with([("version", "1.2"), ("result", "success")], net(|it| it.tls12_handshakes))
        .with([("version", "1.3"), ("result", "success")], net(|it| it.tls13_handshakes))
        .with([("version", "none"), ("result", "failed")], net(|it| it.tls_handshakes_failed)),
        Family::counter(
            "turnbridge_stream_received_bytes",
            "Bytes received over connections, without those of TLS.",
        )
        .only(net(|it| it.stream_bytes_received)),
        Family::counter("turnbridge_stream_sent_bytes", "Bytes sent over connections, without those of TLS.")
            .only(net(|it| it.stream_bytes_sent)),
        Family::counter(
            "turnbridge_stream_frames_received",
            "STUN messages and ChannelData over connections.",
        )
        .only(net(|it| it.frames_received)),
        Family::counter("turnbridge_stream_writes", "Turns of writing to a connection.")
            .only(net(|it| it.stream_writes)),
        Family::counter("turnbridge_connections_handed_over", "Connections handed to another worker.")
            .only(net(|it| it.connections_handed_over)),
        Family::counter(
            "turnbridge_peer_connections_accepted",
            "Connections from peers to TCP relay addresses.",
        )
        .only(net(|it| it.peers_accepted)),
        Family::counter("turnbridge_fallback_connections", "Connections for the web server behind this one.")
            .by(
                "result",
                [("passed-on", net(|it| it.connections_passed_on)), ("failed", net(|it| it.passages_failed))],
            ),
    ]
}

fn ended() -> [NetFigure; 11] {
    [
        ("closed-by-client", |it| it.connections_closed_by_client),
        ("broken", |it| it.connections_broken),
        ("tls-failed", |it| it.connections_tls_failed),
        ("garbage", |it| it.connections_garbage),
        ("too-long", |it| it.connections_too_long),
        ("handshake-timeout", |it| it.connections_handshake_timeout),
        ("request-timeout", |it| it.connections_request_timeout),
        ("idle", |it| it.connections_idle),
        ("dismissed", |it| it.connections_dismissed),
        ("replaced", |it| it.connections_replaced),
        ("bad-proxy-header", |it| it.connections_bad_proxy_header),
    ]
}
