//! `[limits]`: how much of the server anybody may use.

use super::Findings;
use crate::config::{
    choice::ChannelNumbers,
    raw,
    units::{Bytes, Count, Limit, PerSecond, Seconds},
};
use std::{ops::RangeInclusive, time::Duration};

/// `[limits]`, checked. `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Allocations of the whole server.
    pub allocations: Option<u32>,
    /// Allocations of one user id.
    pub allocations_per_user: Option<u32>,
    /// Allocations of one client address.
    pub allocations_per_ip: Option<u32>,
    /// Peers an allocation may hold permissions for.
    pub permissions_per_allocation: u32,
    /// Channels an allocation may hold.
    pub channels_per_allocation: u32,
    /// TCP connections to peers an allocation may hold.
    pub connections_per_allocation: u32,
    /// The longest lifetime that is granted, in seconds.
    pub max_lifetime_s: u32,
    /// Relayed bits per second of the whole server, each direction.
    pub bandwidth: Option<u64>,
    /// Relayed bits per second of one allocation, each direction.
    pub bandwidth_per_allocation: Option<u64>,
    /// Error answers to one source that has not authenticated.
    pub challenges: Option<Budget>,
    /// Binding answers to one source.
    pub bindings: Option<Budget>,
    /// What clients over TCP and TLS may take up.
    pub streams: StreamLimits,
}

/// What clients over TCP and TLS may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections of the whole server.
    pub connections: Option<u32>,
    /// Connections of one client address (in IPv6: of one /64).
    pub connections_per_ip: Option<u32>,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From there to the first whole message.
    pub first_request_timeout: Duration,
    /// From one message to the next, without an allocation.
    pub idle_timeout: Duration,
    /// Bytes that may wait for one client to read them.
    pub send_queue: usize,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How fast it fills.
    pub per_second: u32,
    /// How much it holds.
    pub burst: u32,
}

pub(super) fn check(raw: &raw::Limits, numbers: ChannelNumbers, findings: &mut Findings<'_>) -> Limits {
    let channels = match numbers {
        ChannelNumbers::Rfc8656 => 0x1000,
        ChannelNumbers::Rfc5766 => 0x4000,
    };
    if raw.channels_per_allocation.0 > channels {
        let message =
            format!("there are {channels} channel numbers with turn.channel_numbers = \"{numbers}\"");
        findings.problem("limits.channels_per_allocation", message);
    }
    // Clients refresh a minute before the end; less than that leaves them no time.
    let max_lifetime = duration("limits.max_lifetime", raw.max_lifetime, LIFETIMES, findings);
    let budget = |rate: Limit<PerSecond>, burst: Count| {
        rate.bound().map(|PerSecond(per_second)| Budget { per_second, burst: burst.0 })
    };
    Limits {
        allocations: count(raw.allocations),
        allocations_per_user: count(raw.allocations_per_user),
        allocations_per_ip: count(raw.allocations_per_ip),
        permissions_per_allocation: raw.permissions_per_allocation.0,
        channels_per_allocation: raw.channels_per_allocation.0,
        connections_per_allocation: raw.connections_per_allocation.0,
        max_lifetime_s: u32::try_from(max_lifetime.as_secs()).unwrap_or(u32::MAX),
        bandwidth: raw.bandwidth.bound().map(|rate| rate.0),
        bandwidth_per_allocation: raw.bandwidth_per_allocation.bound().map(|rate| rate.0),
        challenges: budget(raw.challenge_rate, raw.challenge_burst),
        bindings: budget(raw.binding_rate, raw.binding_burst),
        streams: check_streams(raw, findings),
    }
}

fn check_streams(raw: &raw::Limits, findings: &mut Findings<'_>) -> StreamLimits {
    let mut timeout = |key, value| duration(key, value, TIMEOUTS, findings);
    let handshake_timeout = timeout("limits.handshake_timeout", raw.handshake_timeout);
    let first_request_timeout = timeout("limits.first_request_timeout", raw.first_request_timeout);
    let idle_timeout = timeout("limits.idle_timeout", raw.idle_timeout);
    if !SEND_QUEUES.contains(&raw.send_queue) {
        let (least, most) = SEND_QUEUES.into_inner();
        let message = format!("{} is out of range: expected {least} to {most}", raw.send_queue);
        findings.problem("limits.send_queue", message);
    }
    let (connections, connections_per_ip) = (count(raw.connections), count(raw.connections_per_ip));
    if let (Some(all), Some(one)) = (connections, connections_per_ip)
        && one > all
    {
        findings.warning(format!(
            "limits.connections_per_ip = {one} is more than limits.connections = {all}, so one client address can \
             take all connections"
        ));
    }
    StreamLimits {
        connections,
        connections_per_ip,
        handshake_timeout,
        first_request_timeout,
        idle_timeout,
        send_queue: usize::try_from(raw.send_queue.0).unwrap_or(usize::MAX),
    }
}

const LIFETIMES: RangeInclusive<Seconds> = Seconds(120)..=Seconds(604_800);
const TIMEOUTS: RangeInclusive<Seconds> = Seconds(1)..=Seconds(86_400);
/// The largest frame (64 KiB and its header) must fit behind one that is being sent.
const SEND_QUEUES: RangeInclusive<Bytes> = Bytes(128 << 10)..=Bytes(64 << 20);

fn duration(
    key: &str,
    value: Seconds,
    range: RangeInclusive<Seconds>,
    findings: &mut Findings<'_>,
) -> Duration {
    if !range.contains(&value) {
        let (least, most) = range.into_inner();
        findings.problem(key, format!("{value} is out of range: expected {least} to {most}"));
    }
    Duration::from_secs(value.0)
}

fn count(limit: Limit<Count>) -> Option<u32> {
    limit.bound().map(|Count(count)| count)
}
