//! Refresh: keeps an allocation or ends it (RFC 8656 §8.2).

use std::time::Duration;

use turnbridge::turn::EndReason;
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

/// RFC 8656 §8.2: the lifetime is computed as for Allocate, and the answer tells it; §5: SOFTWARE.
#[test]
fn refresh_sets_the_time_to_expiry() {
    let cases = [(None, 600), (Some(1), 600), (Some(599), 600), (Some(1800), 1800), (Some(u32::MAX), 3600)];
    for (asked, got) in cases {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        rig.allocate(&mut alice, &[]);
        rig.advance(Duration::from_secs(599));
        let attributes: Vec<_> = asked.map(lifetime).into_iter().collect();
        let answer = rig.call(&mut alice, Method::REFRESH, &attributes);
        assert_eq!(answer.kinds(), [AttributeType::LIFETIME, AttributeType::SOFTWARE]);
        assert_eq!(answer.lifetime(), got);
        rig.advance(Duration::from_secs(u64::from(got) - 1));
        assert_eq!(rig.relay.allocations(), 1, "{asked:?}");
        rig.advance(Duration::from_secs(1));
        assert_eq!(rig.last.ended().unwrap().0, EndReason::Expired);
        rig.assert_nothing_is_left();
    }
}

/// A Refresh can shorten what Allocate gave.
#[test]
fn refresh_can_shorten_a_lifetime() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[lifetime(3600)]);
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).lifetime(), 600);
    rig.advance(Duration::from_secs(600));
    rig.assert_nothing_is_left();
}

/// RFC 8656 §8.2: a lifetime of 0 deletes at once; the port is free before the answer is old.
#[test]
fn a_lifetime_of_zero_deletes_at_once() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_000);
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
    let answer = rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    assert_eq!((answer.code(), answer.lifetime()), (0, 0));
    assert!(rig.last.contains(&Out::Closed(relay)));
    assert!(rig.last.contains(&Out::ChannelDown { channel: 0x4000, peer: addr("9.9.9.9:9") }));
    assert_eq!(rig.last.ended().unwrap().0, EndReason::Released);
    rig.assert_nothing_is_left();
    assert_eq!(rig.allocate(&mut bob, &[]), relay);
}

/// RFC 8656 §8.2, the note: a retransmitted deletion finds nothing, which the client takes for success.
#[test]
fn a_retransmitted_deletion_is_a_mismatch() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    let request = alice.signed(Method::REFRESH, &[lifetime(0)]);
    assert_eq!(rig.ask(&alice, &request).code(), 0);
    assert_eq!(rig.ask(&alice, &request).code(), 437);
}

/// RFC 8656 §8.2: a family the allocation has not is 443.
#[test]
fn a_family_the_allocation_has_not_is_443() {
    for (allocated, refreshed, code) in
        [(1, 1, 0), (1, 2, 443), (2, 1, 443), (2, 2, 0), (1, 3, 443), (1, 0, 443)]
    {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        rig.allocate(&mut alice, &[family(allocated)]);
        for attributes in [vec![family(refreshed)], vec![lifetime(0), family(refreshed)]] {
            let answer = rig.call(&mut alice, Method::REFRESH, &attributes);
            assert_eq!(answer.code(), code, "{allocated} {refreshed}");
        }
        assert_eq!(rig.relay.allocations(), usize::from(code != 0));
    }
}

#[test]
fn malformed_attributes_are_bad_requests() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    for (kind, value) in [
        (AttributeType::LIFETIME, &[0, 0, 0][..]),
        (AttributeType::LIFETIME, &[]),
        (AttributeType::REQUESTED_ADDRESS_FAMILY, &[1]),
    ] {
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[raw(kind, value)]).code(), 400);
    }
    assert_eq!(rig.relay.allocations(), 1);
}

/// RFC 8656 §5: without an allocation 437; §6: only Refresh keeps one alive, traffic does not.
#[test]
fn only_refresh_keeps_an_allocation() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 437);
    let relay = rig.allocate(&mut alice, &[]);
    for _ in 0..599 {
        rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
        assert!(!rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
        assert!(!rig.receive(relay, addr("9.9.9.9:9"), b"x").is_silent());
        rig.advance(Duration::from_secs(1));
    }
    rig.oversleep(Duration::from_secs(1));
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent(), "over, although nobody has swept");
    assert!(rig.receive(relay, addr("9.9.9.9:9"), b"x").is_silent());
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 437);
    rig.assert_nothing_is_left();
}

/// What ended, why, after how long and with what traffic, is told once.
#[test]
fn the_end_is_told_with_its_totals() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
    rig.send(&alice, &channel_data(0x4000, b"12345"));
    rig.send(&alice, &channel_data(0x4001, b"nowhere"));
    rig.receive(relay, addr("9.9.9.9:9"), b"123");
    rig.receive(relay, addr("8.8.8.8:8"), b"stranger");
    rig.advance(Duration::from_secs(77));
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let (reason, age, traffic) = rig.last.ended().unwrap();
    assert_eq!((reason, age), (EndReason::Released, Duration::from_secs(77)));
    let told = |flow: turnbridge::turn::Flow| (flow.packets, flow.bytes, flow.dropped);
    assert_eq!((told(traffic.up), told(traffic.down)), ((1, 5, 1), (1, 3, 1)));
}

/// A server that stops ends everything, and says so.
#[test]
fn stopping_ends_everything() {
    let mut rig = Rig::new();
    for host in 1..10 {
        rig.allocate(&mut Client::alice(&format!("192.0.2.{host}:1")), &[additional(2)]);
    }
    let ended = rig
        .stop()
        .0
        .iter()
        .filter(|out| matches!(out, Out::Told(Told::Ended { reason: EndReason::Stopped, .. })));
    assert_eq!(ended.count(), 9);
    rig.assert_nothing_is_left();
}
