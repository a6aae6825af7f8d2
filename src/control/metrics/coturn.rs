//! The same figures under coturn's names, so that dashboards made for it keep working.
//!
//! Names, labels and directions are coturn's; the numbers are live, where coturn counts a session when it ends. What
//! has no counterpart here is left out, and docs/monitoring.md says so.

use super::family::Family;
use super::requests;
use super::snapshot::Snapshot;
use crate::turn::{Counters, Flow, Transport};

/// Names of one side: packets and bytes received, packets and bytes sent. Once by realm, once in all.
struct Side {
    by_realm: [&'static str; 4],
    total: [&'static str; 4],
}

const CLIENTS: Side = Side {
    by_realm: ["turn_traffic_rcvp", "turn_traffic_rcvb", "turn_traffic_sentp", "turn_traffic_sentb"],
    total: [
        "turn_total_traffic_rcvp",
        "turn_total_traffic_rcvb",
        "turn_total_traffic_sentp",
        "turn_total_traffic_sentb",
    ],
};
const PEERS: Side = Side {
    by_realm: [
        "turn_traffic_peer_rcvp",
        "turn_traffic_peer_rcvb",
        "turn_traffic_peer_sentp",
        "turn_traffic_peer_sentb",
    ],
    total: [
        "turn_total_traffic_peer_rcvp",
        "turn_total_traffic_peer_rcvb",
        "turn_total_traffic_peer_sentp",
        "turn_total_traffic_peer_sentb",
    ],
};
const HELP: [&str; 4] = ["Packets received.", "Bytes received.", "Packets sent.", "Bytes sent."];

pub(super) fn families(snapshot: &Snapshot, realm: &str) -> Vec<Family> {
    let flow = |flow: fn(&Counters) -> &Flow| {
        [snapshot.relay(|it| flow(it).packets), snapshot.relay(|it| flow(it).bytes)]
    };
    let (up, down) = (flow(|it| &it.up), flow(|it| &it.down));
    let mut families = Vec::with_capacity(32);
    for (side, [received, sent]) in [(CLIENTS, [up, down]), (PEERS, [down, up])] {
        let figures = [received[0], received[1], sent[0], sent[1]];
        for ((name, help), figure) in side.by_realm.into_iter().zip(HELP).zip(figures) {
            families.push(Family::foreign_counter(name, help).with([("realm", realm.to_owned())], figure));
        }
        for ((name, help), figure) in side.total.into_iter().zip(HELP).zip(figures) {
            families.push(Family::foreign_counter(name, help).only(figure));
        }
    }
    families.extend(others(snapshot));
    families
}

fn others(snapshot: &Snapshot) -> Vec<Family> {
    let net = |number: fn(&crate::net::counters::Counters) -> u64| snapshot.net(number);
    let [(_, bindings), (_, challenges)] = requests::sent(snapshot);
    let [(_, silent_bindings), (_, silent_challenges)] = requests::suppressed(snapshot);
    let answered = requests::answers(snapshot, "binding", None);
    let counter = Family::foreign_counter;
    vec![
        counter("stun_binding_request", "Incoming STUN Binding requests.").only(bindings + silent_bindings),
        counter("stun_binding_response", "Outgoing STUN Binding responses.").only(answered),
        counter("stun_binding_error", "STUN Binding errors.").only(bindings - answered),
        allocations(snapshot),
        counter("turn_packet_processed", "Incoming packets processed.")
            .only(net(|it| it.client_datagrams_received + it.peer_datagrams_received + it.frames_received)),
        counter("turn_packet_dropped", "Incoming packets dropped.")
            .only(snapshot.relay(|it| it.drops.iter().sum())),
        counter("turn_unauthenticated_401_requests", "Requests that required a challenge.")
            .only(challenges + silent_challenges),
        counter("turn_unauthenticated_401_responses", "Challenges sent.").only(challenges),
        counter(
            "turn_unauthenticated_401_dropped_responses",
            "Challenges not sent, to sources over their share.",
        )
        .only(silent_challenges),
    ]
}

fn allocations(snapshot: &Snapshot) -> Family {
    let types = Transport::ALL.map(|transport| {
        let name = match transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS/TCP",
        };
        (name, snapshot.relay(|it| it.relays[transport as usize].iter().sum()))
    });
    // coturn's name says total, and means how many there are now.
    Family::gauge("turn_total_allocations", "Current allocations.").by("type", types)
}
