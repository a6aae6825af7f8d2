//! Allocations as spans of OpenTelemetry: OTLP 1 over HTTP in its JSON encoding, which a few lines can write. Names
//! of attributes are those of the semantic conventions where they have one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::record::{Record, State, Way};
use crate::auth::encoding::hex;

/// A span has a beginning and an end, so there is one when an allocation has ended.
pub(super) fn is_span(record: &Record) -> bool {
    matches!(record.state, State::Stop { .. })
}

/// The body of an export request.
pub(super) fn letter(batch: &[Arc<Record>]) -> Vec<u8> {
    // All records of one server have its name.
    let Some(first) = batch.first() else { return Vec::new() };
    let resource = [
        text("service.name", "turnbridge"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", &first.server),
    ];
    let scope = json!({"name": "turnbridge.accounting", "version": env!("CARGO_PKG_VERSION")});
    let spans: Vec<Value> = batch.iter().filter_map(|record| span(record)).collect();
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]});
    request.to_string().into_bytes()
}

fn span(record: &Record) -> Option<Value> {
    const SERVER: u32 = 2;
    let State::Stop { reason, duration_ms, up, down } = &record.state else { return None };
    let end = record.at.unix();
    let begin = end.saturating_sub(Duration::from_millis(*duration_ms));
    // The identity of an allocation is as good as random, so both names are.
    let (_, span_id) = record.id.0.split_at(8);
    let ended = json!({
        "timeUnixNano": nanos(end),
        "name": "allocation.ended",
        "attributes": [text("turn.end_reason", reason)],
    });
    Some(json!({
        "traceId": hex(&record.id.0),
        "spanId": hex(span_id),
        "name": "turn allocation",
        "kind": SERVER,
        "startTimeUnixNano": nanos(begin),
        "endTimeUnixNano": nanos(end),
        "attributes": attributes(record, reason, (up, down)),
        "events": [{"timeUnixNano": nanos(begin), "name": "allocation.created"}, ended],
    }))
}

fn attributes(record: &Record, reason: &str, (up, down): (&Way, &Way)) -> Vec<Value> {
    let is_tls = record.transport == "tls";
    let mut attributes = vec![
        text("network.protocol.name", "turn"),
        text("network.transport", if is_tls { "tcp" } else { record.transport }),
        text("network.type", if record.client.is_ipv4() { "ipv4" } else { "ipv6" }),
        json!({"key": "tls.established", "value": {"boolValue": is_tls}}),
        text("user.id", &record.user_id),
        text("user.name", &record.user),
        text("turn.realm", &record.realm),
        text("turn.allocation.id", &record.id.to_string()),
        text("turn.end_reason", reason),
    ];
    attributes.extend(address("client", record.client));
    attributes.extend(record.listener.into_iter().flat_map(|listener| address("server", listener)));
    let relays = record.relay.iter().map(|relay| json!({"stringValue": relay.to_string()}));
    attributes.push(json!({
        "key": "turn.relay.addresses",
        "value": {"arrayValue": {"values": relays.collect::<Vec<_>>()}},
    }));
    for (name, way) in [("up", up), ("down", down)] {
        for (what, count) in [("bytes", way.bytes), ("packets", way.packets), ("dropped", way.dropped)] {
            attributes.push(number(&format!("turn.{name}.{what}"), count));
        }
    }
    attributes
}

fn address(whose: &str, address: SocketAddr) -> [Value; 2] {
    [
        text(&format!("{whose}.address"), &address.ip().to_string()),
        number(&format!("{whose}.port"), address.port().into()),
    ]
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Numbers of 64 bits are text in the JSON of protobuf.
fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn nanos(unix: Duration) -> String {
    unix.as_nanos().to_string()
}

/// How many spans a collector that has taken a request has left out of it.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or_default()
}

/// OTLP names the answers after which a client may try again; after all others it must not.
pub(super) fn is_final(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_a_collector_leaves_out_are_counted_in_either_way_of_writing() {
        for (answer, expected) in [
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":3}}"#, 3),
            (r#"{"partialSuccess":{}}"#, 0),
            ("{}", 0),
            ("", 0),
            ("garbage", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}
