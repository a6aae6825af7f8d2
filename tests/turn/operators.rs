//! What operators see of the core and do to it: sessions, kicks, revocations, changed credentials, counters.

use std::sync::Arc;
use std::time::Duration;

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::rest::RestSecret;
use turnbridge::auth::users::User;
use turnbridge::auth::{Authenticator, Refused, Revocations, Secret};
use turnbridge::turn::*;
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";

fn sessions(rig: &Rig) -> Vec<Session> {
    let (sessions, next) = rig.relay.sessions(rig.now(), 0, u32::MAX);
    assert_eq!(next, None);
    sessions
}

#[test]
fn a_session_shows_what_an_allocation_is_and_who_is_silent() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[lifetime(900)]);
    rig.bind(&mut alice, 0x4001, addr(PEER));
    rig.advance(Duration::from_secs(3));
    rig.send(&alice, &channel_data(0x4001, b"12345"));
    rig.advance(Duration::from_secs(4));
    let [session] = &sessions(&rig)[..] else { panic!() };
    let seconds = Duration::from_secs;
    let expected = Session {
        id: session.id,
        client: alice.tuple(),
        user: "alice".into(),
        user_id: "alice".into(),
        transport: RelayTransport::Udp,
        relays: [Some(relay), None],
        age: seconds(7),
        left: seconds(893),
        credential_left: None,
        traffic: Traffic { up: Flow { packets: 1, bytes: 5, dropped: 0 }, down: Flow::default() },
        client_silent: seconds(4),
        peers_silent: seconds(7),
        permissions: 1,
        channels: 1,
        connections: 0,
    };
    assert_eq!(*session, expected);
    let (now, id) = (rig.now(), session.id);
    let detail = rig.relay.session(now, id).unwrap();
    assert_eq!(detail.session, expected);
    assert_eq!(detail.permissions, [SessionPermission { peer: addr(PEER).ip(), left: seconds(293) }]);
    let [SessionBinding { channel, peer, left }] = detail.channels[..] else { panic!() };
    assert_eq!((channel.get(), peer, left), (0x4001, addr(PEER), seconds(593)));
    rig.advance(seconds(293));
    let detail = rig.relay.session(rig.now(), id).unwrap();
    assert_eq!((detail.permissions.len(), detail.session.permissions), (0, 0), "what is over is not shown");
}

#[test]
fn a_session_shows_connections_and_the_end_of_a_credential() {
    let mut rig = Rig::with(|setup| setup.credentials.secrets = vec![Secret::new("north")]);
    let user = format!("{}:carol", START + 100);
    let password = RestSecret::new(&Secret::new("north")).password(&user).expose().to_owned();
    let mut carol = Client::new("192.0.2.1:1000", &user, &password).over(Transport::Tls);
    rig.allocate_tcp(&mut carol);
    rig.connect(&mut carol, addr("9.9.9.1:1"));
    rig.ask_to_connect(&mut carol, addr("9.9.9.2:2"));
    let [session] = &sessions(&rig)[..] else { panic!() };
    assert_eq!((&*session.user, &*session.user_id), (&*user, "carol"));
    assert_eq!(session.credential_left, Some(Duration::from_secs(101)));
    assert_eq!((session.transport, session.connections), (RelayTransport::Tcp, 2));
    let detail = rig.relay.session(rig.now(), session.id).unwrap();
    let states: Vec<_> = detail.connections.iter().map(|it| (it.peer, it.state)).collect();
    assert_eq!(states, [(addr("9.9.9.1:1"), "pending"), (addr("9.9.9.2:2"), "connecting")]);
}

#[test]
fn a_long_list_comes_in_parts_and_each_session_once() {
    let mut rig = Rig::new();
    for port in 1..=10 {
        rig.allocate(&mut Client::alice(&format!("192.0.2.1:{port}")), &[]);
    }
    let (mut seen, mut from, mut parts) = (Vec::new(), Some(0), 0);
    while let Some(place) = from {
        let (part, next) = rig.relay.sessions(rig.now(), place, 3);
        seen.extend(part.iter().map(|session| session.client.client().port()));
        (from, parts) = (next, parts + 1);
    }
    assert_eq!((seen, parts), ((1..=10).collect::<Vec<_>>(), 4));
    assert_eq!(rig.relay.sessions(rig.now(), 99, 3), (Vec::new(), None));
}

#[test]
fn who_is_kicked_may_come_again_and_nobody_else_notices() {
    let mut rig = Rig::new();
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    rig.allocate(&mut bob, &[]);
    let id = sessions(&rig)[0].id;
    assert!(rig.operate(|relay, now, mut out| relay.kick(now, id, &mut out)));
    assert_eq!(rig.last.ended().unwrap().0, EndReason::Kicked);
    assert!(rig.last.contains(&Out::Closed(relay)));
    assert!(!rig.operate(|relay, now, mut out| relay.kick(now, id, &mut out)), "it is gone");
    assert_eq!(sessions(&rig).len(), 1);
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 437);
    rig.allocate(&mut alice, &[]);
}

/// A15: a revoked credential is good for nothing any more, and what it holds ends at once.
#[test]
fn a15_a_revoked_user_is_cut_off_and_stays_out() {
    let revocations = Arc::new(Revocations::default());
    let credentials = || Credentials {
        realm: REALM.into(),
        secrets: vec![Secret::new("north")],
        users: vec![User::with_password("alice", &Secret::new("wonderland")).unwrap()],
        ..Credentials::default()
    };
    let mut rig = Rig::new();
    let authenticator = Arc::new(Authenticator::new(credentials()).under(revocations.clone()));
    rig.operate(|relay, now, mut out| relay.set_authenticator(now, authenticator, &mut out));
    let carol = |expiry: u64, port: u16| {
        let user = format!("{expiry}:carol");
        let password = RestSecret::new(&Secret::new("north")).password(&user).expose().to_owned();
        Client::new(&format!("192.0.2.3:{port}"), &user, &password)
    };
    let (one, other) = (START + 1000, START + 2000);
    let (mut first, mut second) = (carol(one, 1), carol(other, 2));
    let mut alice = Client::alice("192.0.2.1:1000");
    for client in [&mut first, &mut second, &mut alice] {
        rig.allocate(client, &[]);
    }
    let end = |rig: &mut Rig, name: &str| {
        rig.operate(|relay, now, mut out| relay.end_user(now, name, EndReason::Revoked, &mut out))
    };
    let name = first.user.clone();
    revocations.add(&name, Some(one), START).unwrap();
    assert_eq!(end(&mut rig, &name), 1, "one credential");
    let refused = |rig: &mut Rig, client: &mut Client| {
        let code = rig.call(client, Method::ALLOCATE, &[udp()]).code();
        assert_eq!((code, rig.last.denial()), (401, Some(Denial::Credential(Refused::Revoked))));
    };
    refused(&mut rig, &mut first);
    assert_eq!(rig.call(&mut second, Method::REFRESH, &[]).code(), 0, "another credential of the same user");
    revocations.add("carol", None, START).unwrap();
    assert_eq!(end(&mut rig, "carol"), 1, "all that is left of the user");
    refused(&mut rig, &mut second);
    refused(&mut rig, &mut carol(START + 3000, 3));
    revocations.add("alice", None, START).unwrap();
    assert_eq!(end(&mut rig, "alice"), 1, "a static user");
    refused(&mut rig, &mut alice);
    revocations.remove("alice");
    rig.allocate(&mut alice, &[]);
}

/// A secret can be rotated while people talk; a static user that is removed, or gets another password, is out.
#[test]
fn changed_credentials_end_what_static_users_hold_and_spare_what_expires_by_itself() {
    let user = |name, password| User::with_password(name, &Secret::new(password)).unwrap();
    let mut rig = Rig::with(|setup| setup.credentials.secrets = vec![Secret::new("north")]);
    let name = format!("{}:carol", START + 1000);
    let password = RestSecret::new(&Secret::new("north")).password(&name).expose().to_owned();
    let mut carol = Client::new("192.0.2.3:1", &name, &password);
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    for client in [&mut alice, &mut bob, &mut carol] {
        rig.allocate(client, &[]);
    }
    let change = |rig: &mut Rig, users, secret| {
        let secrets = vec![Secret::new(secret)];
        let credentials = Credentials { realm: REALM.into(), secrets, users, ..Credentials::default() };
        let authenticator = Arc::new(Authenticator::new(credentials));
        rig.operate(|relay, now, mut out| relay.set_authenticator(now, authenticator, &mut out));
        rig.last.ended().map(|(reason, ..)| reason)
    };
    assert_eq!(change(&mut rig, vec![user("alice", "wonderland"), user("bob", "builder")], "south"), None);
    assert_eq!(rig.call(&mut carol, Method::REFRESH, &[]).code(), 0, "it was made under the old secret");
    assert_eq!(change(&mut rig, vec![user("alice", "wonderland")], "south"), Some(EndReason::Revoked));
    assert_eq!(change(&mut rig, vec![user("alice", "another")], "south"), Some(EndReason::Revoked));
    let left: Vec<_> = sessions(&rig).iter().map(|session| session.user_id.to_string()).collect();
    assert_eq!(left, ["carol"]);
    rig.call(&mut carol, Method::REFRESH, &[lifetime(0)]);
    assert_eq!(
        rig.call(&mut carol, Method::ALLOCATE, &[udp()]).code(),
        401,
        "a new one needs the new secret"
    );
}

/// What is wrong with a request, and not with its sender, is told as well.
#[test]
fn every_refusal_is_told_with_the_cause() {
    let note = |refusal| Some(Denial::Request(refusal));
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = alice.unsigned(Method::ALLOCATE, &[udp()]);
    rig.ask(&alice, &request);
    assert_eq!(rig.last.noted(), note(Refusal::Unauthenticated));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 437);
    assert_eq!(rig.last.noted(), note(Refusal::AllocationMismatch));
    let cases: &[(Method, &[Attr], Refusal)] = &[
        (Method::ALLOCATE, &[], Refusal::BadRequest),
        (
            Method::ALLOCATE,
            &[raw(AttributeType::REQUESTED_TRANSPORT, &[1, 0, 0, 0])],
            Refusal::TransportUnsupported,
        ),
        (Method::ALLOCATE, &[udp(), raw(AttributeType(0x7777), &[])], Refusal::UnknownAttribute),
        (Method::ALLOCATE, &[udp(), family(9)], Refusal::FamilyUnsupported),
    ];
    for (method, attributes, refusal) in cases {
        assert_eq!(rig.call(&mut alice, *method, attributes).code(), refusal.code());
        assert_eq!(rig.last.noted(), note(*refusal));
    }
    rig.allocate(&mut alice, &[]);
    assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &[xor_peer(addr("[2a00::1]:1"))]).code(), 443);
    assert_eq!(rig.last.noted(), note(Refusal::FamilyMismatch));
    // A nonce lives for 600 seconds at most.
    rig.advance(Duration::from_secs(599));
    rig.oversleep(Duration::from_secs(2));
    let request = alice.signed(Method::REFRESH, &[]);
    assert_eq!(rig.ask(&alice, &request).code(), 438);
    assert_eq!(rig.last.noted(), note(Refusal::StaleNonce));
}

#[test]
fn counters_tell_answers_denials_ends_and_what_is_held() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tls));
    let mut dual = Client::bob("192.0.2.2:1000");
    rig.allocate(&mut alice, &[]);
    rig.allocate(&mut dual, &[additional(2)]);
    for peer in ["10.0.0.1:1", "10.0.0.2:1", "127.0.0.1:1"] {
        assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &[xor_peer(addr(peer))]).code(), 403);
    }
    let mut thief = Client::new("192.0.2.66:1", "alice", "wrong");
    assert_eq!(rig.call(&mut thief, Method::ALLOCATE, &[udp()]).code(), 401);
    rig.advance(Duration::from_secs(30));
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let counters = rig.relay.counters();
    let answers: Vec<_> = counters.answers.iter().filter(|(.., count)| *count > 0).collect();
    let expected = [
        ("allocate", None, 2),
        ("allocate", Some(Refusal::Unauthenticated), 4),
        ("refresh", None, 1),
        ("create-permission", Some(Refusal::Forbidden), 3),
    ];
    assert_eq!(answers, expected);
    assert_eq!(counters.peers_denied.iter().collect::<Vec<_>>(), [("private", 2), ("loopback", 1)]);
    assert_eq!(counters.denials.iter().collect::<Vec<_>>(), [("peer", 3), ("wrong-password", 1)]);
    assert_eq!(counters.ended[EndReason::Released as usize], 1);
    assert_eq!((counters.ages.counts[2], counters.ages.sum_ms), (1, 30_000));
    assert_eq!(counters.relays, [[1, 1], [0, 0], [0, 0]], "bob's two; alice gave hers back");
}
