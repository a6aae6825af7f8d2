//! How much is taken of what there is.

use super::family::Family;
use crate::config::checked::Limits;
use crate::control::plane::Plane;

pub(super) fn families(plane: &Plane) -> Vec<Family> {
    let usage = plane.ports().usage(plane.now().mono);
    let ports = |name, help, number: fn(&crate::net::ports::PortUsage) -> u32| {
        let numbers = usage.iter().map(|it| (it.address.bind.to_string(), number(it)));
        Family::gauge(name, help).by("address", numbers)
    };
    let (users, addresses) = plane.quota().holders();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    vec![
        ports(
            "turnbridge_ports_used",
            "Relay ports taken, with those kept for a reservation, by relay address.",
            |it| it.taken,
        ),
        ports("turnbridge_ports_capacity", "Relay ports there are.", |it| it.capacity),
        Family::gauge(
            "turnbridge_users_active",
            "Users who hold an allocation, told apart by their stable id.",
        )
        .only(count(users)),
        Family::gauge(
            "turnbridge_client_addresses_active",
            "Client addresses (in IPv6: /64) that hold an allocation.",
        )
        .only(count(addresses)),
        limits(&plane.live().config.limits),
    ]
}

/// What has no limit is not told.
fn limits(limits: &Limits) -> Family {
    let limits = [("allocations", limits.allocations), ("connections", limits.streams.connections)];
    let set = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
    Family::gauge("turnbridge_limit", "What [limits] allows of the whole server.").by("limit", set)
}
