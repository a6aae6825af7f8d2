//! Limits: how many allocations, how much bandwidth (RFC 8656 §5, §7.2 step 10).

use std::time::Duration;

use turnbridge::auth::Secret;
use turnbridge::auth::rest::RestSecret;
use turnbridge::turn::{AllocationLimits, Denial, DropReason, QuotaError, Rate};
use turnbridge::wire::Method;

use crate::rig::*;

const UNLIMITED: AllocationLimits =
    AllocationLimits { per_user: u32::MAX, per_address: u32::MAX, total: u32::MAX };

/// A rig with these limits, and a function that allocates for a user from an address.
fn allocate(rig: &mut Rig, user: &str, address: &str) -> (u16, Client) {
    let password = if user == "alice" { "wonderland" } else { "builder" };
    let mut client = Client::new(address, user, password);
    (rig.call(&mut client, Method::ALLOCATE, &[udp()]).code(), client)
}

fn limited(limits: AllocationLimits) -> Rig {
    Rig::with(|setup| setup.settings.allocations = limits)
}

/// RFC 8656 §7.2 step 10: 486, by user name rather than by address; what is released can be had again.
#[test]
fn a_user_s_allocations_are_limited() {
    let mut rig = limited(AllocationLimits { per_user: 2, ..UNLIMITED });
    let (_, mut first) = allocate(&mut rig, "alice", "192.0.2.1:1");
    assert_eq!(allocate(&mut rig, "alice", "192.0.2.2:1").0, 0);
    assert_eq!(allocate(&mut rig, "alice", "192.0.2.3:1").0, 486);
    assert_eq!(rig.last.denial(), Some(Denial::Quota(QuotaError::User)));
    assert_eq!(allocate(&mut rig, "bob", "192.0.2.1:2").0, 0);
    assert_eq!(rig.sockets.open_count(), 3, "the refused one has none");
    rig.call(&mut first, Method::REFRESH, &[lifetime(0)]);
    assert_eq!(allocate(&mut rig, "alice", "192.0.2.3:1").0, 0);
    rig.advance(Duration::from_secs(600));
    rig.assert_nothing_is_left();
}

/// All credentials of one user count as one: what counts is the id, not the expiry.
#[test]
fn a_user_s_credentials_share_one_limit() {
    let mut rig = Rig::with(|setup| {
        setup.settings.allocations = AllocationLimits { per_user: 2, ..UNLIMITED };
        setup.credentials.secrets = vec![Secret::new("north")];
    });
    let codes: Vec<_> = (1..=3)
        .map(|host| {
            let user = format!("{}:carol", START + 1000 + host);
            let mut client = Client::new(&format!("192.0.2.{host}:1"), &user, &minted(&user));
            rig.call(&mut client, Method::ALLOCATE, &[udp()]).code()
        })
        .collect();
    assert_eq!(codes, [0, 0, 486]);
}

#[test]
fn an_address_s_allocations_are_limited() {
    let mut rig = limited(AllocationLimits { per_address: 2, ..UNLIMITED });
    let codes = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.2:1"]
        .map(|address| allocate(&mut rig, "alice", address).0);
    assert_eq!(codes, [0, 0, 486, 0]);
    rig.advance(Duration::from_secs(600));
    rig.assert_nothing_is_left();
}

/// The server's own limit is a matter of capacity: 508.
#[test]
fn all_allocations_together_are_limited() {
    let mut rig = limited(AllocationLimits { total: 2, ..UNLIMITED });
    let codes =
        ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(|address| allocate(&mut rig, "bob", address).0);
    assert_eq!(codes, [0, 0, 508]);
    assert_eq!(rig.last.denial(), Some(Denial::Quota(QuotaError::Total)));
    rig.reload(|settings, _| settings.allocations.total = 3);
    assert_eq!(allocate(&mut rig, "bob", "192.0.2.3:1").0, 0, "a reload raises it");
}

/// A refused Allocate counts nowhere, whatever it was refused for; a retransmission counts once.
#[test]
fn only_what_exists_is_counted() {
    let mut rig = Rig::with(|setup| {
        setup.settings.allocations = AllocationLimits { per_user: 1, ..UNLIMITED };
        setup.relay_v6 = None;
    });
    let mut alice = Client::alice("192.0.2.1:1");
    for attributes in [vec![], vec![udp(), family(2)], vec![udp(), token(&[1; 8])]] {
        assert_ne!(rig.call(&mut alice, Method::ALLOCATE, &attributes).code(), 0);
        assert_eq!((rig.quota.total(), rig.quota.holders()), (0, (0, 0)));
    }
    let request = alice.signed(Method::ALLOCATE, &[udp()]);
    assert_eq!(rig.ask(&alice, &request).code(), 0);
    assert_eq!(rig.ask(&alice, &request).code(), 0);
    assert_eq!(rig.quota.total(), 1);
}

/// RFC 8656 §5: data beyond the bandwidth is discarded, in each direction by itself, and counted.
#[test]
fn an_allocation_s_bandwidth_is_limited_in_both_directions() {
    let rate = Rate { per_second: 1000, burst: 2000 };
    let mut rig = Rig::with(|setup| setup.settings.bandwidth_per_allocation = Some(rate));
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1"), Client::bob("192.0.2.2:1"));
    let relay = rig.allocate(&mut alice, &[]);
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
    rig.permit(&mut alice, addr("9.9.9.8:9"));
    rig.allocate(&mut bob, &[]);
    rig.bind(&mut bob, 0x4000, addr("9.9.9.9:9"));
    let frame = channel_data(0x4000, &[7; 100]);
    let send = alice.indication(Method::SEND, &[xor_peer(addr("9.9.9.8:9")), data(&[7; 100])]);
    let up = |rig: &mut Rig, client: &Client, bytes: &[u8]| {
        (0..30).filter(|_| !rig.send(client, bytes).is_silent()).count()
    };
    let down = |rig: &mut Rig, peer: &str| {
        (0..30).filter(|_| !rig.receive(relay, addr(peer), &[7; 100]).is_silent()).count()
    };
    assert_eq!(up(&mut rig, &alice, &frame), 20);
    assert_eq!(up(&mut rig, &alice, &send), 0, "Send draws from the same");
    assert_eq!(down(&mut rig, "9.9.9.9:9"), 20, "the other direction has its own");
    assert_eq!(down(&mut rig, "9.9.9.8:9"), 0);
    assert_eq!(up(&mut rig, &bob, &frame), 20, "another allocation has its own");
    assert_eq!(rig.dropped(DropReason::Bandwidth), 10 + 30 + 10 + 30 + 10);
    rig.advance(Duration::from_secs(1));
    assert_eq!((up(&mut rig, &alice, &frame), down(&mut rig, "9.9.9.9:9")), (10, 10));
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let (_, _, traffic) = rig.last.ended().unwrap();
    assert_eq!((traffic.up.packets, traffic.up.bytes, traffic.up.dropped), (30, 3000, 60));
    assert_eq!((traffic.down.packets, traffic.down.dropped), (30, 60));
}

/// The total is shared by all, and control messages are none of it.
#[test]
fn all_bandwidth_together_is_limited() {
    let rate = Rate { per_second: 1000, burst: 1000 };
    let mut rig = Rig::with(|setup| setup.settings.bandwidth = Some(rate));
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1"), Client::bob("192.0.2.2:1"));
    for client in [&mut alice, &mut bob] {
        rig.allocate(client, &[]);
        rig.bind(client, 0x4000, addr("9.9.9.9:9"));
    }
    let frame = channel_data(0x4000, &[7; 100]);
    let sent = (0..20).filter(|_| !rig.send(&alice, &frame).is_silent()).count();
    assert_eq!(sent, 10);
    assert!(rig.send(&bob, &frame).is_silent());
    assert_eq!(rig.call(&mut bob, Method::REFRESH, &[]).code(), 0);
    assert_eq!(rig.call(&mut bob, Method::REFRESH, &[lifetime(0)]).code(), 0);
}

/// A reload limits what is already there, and lifts limits again.
#[test]
fn a_reload_limits_living_allocations() {
    let mut rig = Rig::new();
    let mut alice = Client::alice("192.0.2.1:1");
    rig.allocate(&mut alice, &[]);
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
    let frame = channel_data(0x4000, &[7; 100]);
    let sent =
        |rig: &mut Rig, alice: &Client| (0..20).filter(|_| !rig.send(alice, &frame).is_silent()).count();
    assert_eq!(sent(&mut rig, &alice), 20);
    let rate = Rate { per_second: 100, burst: 500 };
    rig.reload(|settings, _| settings.bandwidth_per_allocation = Some(rate));
    assert_eq!(sent(&mut rig, &alice), 5);
    rig.reload(|settings, _| settings.bandwidth_per_allocation = None);
    assert_eq!(sent(&mut rig, &alice), 20);
    rig.reload(|settings, _| settings.bandwidth = Some(rate));
    assert_eq!(sent(&mut rig, &alice), 5);
}

/// The password of a time-limited user name under the secret `north`.
fn minted(user: &str) -> String {
    let secret = RestSecret::new(&Secret::new("north"));
    secret.password(user).expose().to_owned()
}
