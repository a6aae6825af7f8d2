//! ConnectionBind (RFC 6062 §5.4).

use std::time::Duration;

use turnbridge::turn::{ConnectionId, CredentialExpiry, Denial, RelayNumber, Transport};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";

fn data(port: u16) -> Client {
    Client::alice(&format!("192.0.2.1:{port}")).over(Transport::Tcp)
}

/// Alice with a connection to a peer that nobody is bound to.
fn connected() -> (Rig, Client, ConnectionId) {
    let (mut rig, mut alice) = (Rig::new(), data(1000));
    rig.allocate_tcp(&mut alice);
    let connection = rig.connect(&mut alice, addr(PEER));
    (rig, alice, connection)
}

/// RFC 6062 §5.4: any connection of the same user will do: another address, another transport, another scheme.
#[test]
fn any_connection_of_the_same_user_can_be_bound() {
    for address in ["192.0.2.1:2000", "198.51.100.7:1000", "[2001:db8::7]:1000"] {
        for transport in [Transport::Tcp, Transport::Tls] {
            for scheme in Scheme::ALL {
                let (mut rig, _, connection) = connected();
                let mut data = Client::alice(address).over(transport).with_scheme(scheme);
                rig.bind_connection(&mut data, connection);
            }
        }
    }
}

/// RFC 6062 §5.4: the answer says nothing but that it is done, and nothing of the stream before it is the peer's.
#[test]
fn the_answer_to_connection_bind_comes_before_the_data() {
    let (mut rig, _, connection) = connected();
    let mut data = data(2000);
    let answer = rig.call(&mut data, Method::CONNECTION_BIND, &[connection_id(connection)]);
    assert_eq!((answer.code(), answer.kinds().len()), (0, 0));
    let [Out::ToClient { client, .. }, Out::Splice { client: spliced, connection: to }] = rig.last.0[..]
    else {
        panic!("{:?}", rig.last)
    };
    assert_eq!((client, spliced, to), (data.tuple(), data.tuple(), connection));
}

/// A17: without credentials 401, with wrong ones 401, with another user's 441. None of them takes anything away.
#[test]
fn a17_connection_bind_needs_the_allocation_s_own_credentials() {
    let (mut rig, _, connection) = connected();
    let mut stranger = data(2000);
    let request = stranger.unsigned(Method::CONNECTION_BIND, &[connection_id(connection)]);
    assert_eq!(rig.ask(&stranger, &request).code(), 401);
    let mut thief = Client::new("192.0.2.1:2001", "alice", "guess").over(Transport::Tcp);
    let bind = |rig: &mut Rig, client: &mut Client| {
        rig.call(client, Method::CONNECTION_BIND, &[connection_id(connection)]).code()
    };
    assert_eq!(bind(&mut rig, &mut thief), 401);
    let mut bob = Client::bob("192.0.2.1:2002").over(Transport::Tcp);
    assert_eq!(bind(&mut rig, &mut bob), 441);
    assert_eq!(rig.last.denial(), Some(Denial::OtherUser));
    assert!(!rig.last.0.iter().any(|out| matches!(out, Out::Splice { .. })));
    rig.bind_connection(&mut data(2003), connection);
}

/// A03, RFC 6062 §4.3: what a client was challenged with on its control connection is good on its data connections, which
/// spares them a round trip each; it is not good from another host, nor over UDP.
#[test]
fn a03_a_nonce_is_good_on_all_connections_of_its_host() {
    let (mut rig, mut alice, connection) = connected();
    let code = |rig: &mut Rig, mut client: Client, alice: &Client| {
        client.challenge = alice.challenge.clone();
        let request = client.signed(Method::CONNECTION_BIND, &[connection_id(connection)]);
        rig.ask(&client, &request).code()
    };
    assert_eq!(code(&mut rig, Client::alice("192.0.2.2:1000").over(Transport::Tcp), &alice), 438);
    assert_eq!(code(&mut rig, Client::alice("192.0.2.1:1000"), &alice), 438);
    assert_eq!(code(&mut rig, Client::alice("192.0.2.1:2000").over(Transport::Tls), &alice), 0);
    let mut datagrams = Client::alice("192.0.2.1:1000");
    rig.allocate(&mut datagrams, &[]);
    alice.challenge = datagrams.challenge;
    let request = alice.signed(Method::REFRESH, &[]);
    assert_eq!(rig.ask(&alice, &request).code(), 438);
}

/// RFC 6062 §5.4: over UDP, without CONNECTION-ID, or with one that names no pending connection, 400.
#[test]
fn what_does_not_name_a_pending_connection_is_a_bad_request() {
    let (mut rig, mut alice, connection) = connected();
    let waiting = rig.ask_to_connect(&mut alice, addr("9.9.9.9:10"));
    let ConnectionId(right) = connection;
    let mut code = |client: &mut Client, attributes: &[Attr]| {
        rig.call(client, Method::CONNECTION_BIND, attributes).code()
    };
    let cases = [
        ("none", vec![]),
        ("short", vec![raw(AttributeType::CONNECTION_ID, &right.to_be_bytes()[..3])]),
        ("long", vec![raw(AttributeType::CONNECTION_ID, &u64::from(right).to_be_bytes())]),
        ("another", vec![connection_id(ConnectionId(right ^ 1))]),
        ("not connected yet", vec![connection_id(waiting)]),
    ];
    for (name, attributes) in cases {
        assert_eq!(code(&mut data(2000), &attributes), 400, "{name}");
    }
    assert_eq!(code(&mut Client::alice("192.0.2.1:2000"), &[connection_id(connection)]), 400, "over UDP");
    let unknown = [connection_id(connection), raw(AttributeType(0x7ABC), b"")];
    assert_eq!(code(&mut data(2000), &unknown), 420);
    assert_eq!(code(&mut data(2000), &[connection_id(connection)]), 0);
    assert_eq!(code(&mut data(2001), &[connection_id(connection)]), 400, "bound");
}

/// A connection over which there is an allocation is a control connection, and cannot become another (RFC 6062 §4.3).
#[test]
fn a_control_connection_carries_no_data() {
    let (mut rig, mut alice, connection) = connected();
    let answer = rig.call(&mut alice, Method::CONNECTION_BIND, &[connection_id(connection)]);
    assert_eq!(answer.code(), 437);
    let mut other = data(2000);
    rig.allocate(&mut other, &[]);
    assert_eq!(rig.call(&mut other, Method::CONNECTION_BIND, &[connection_id(connection)]).code(), 437);
    // RFC 6062 §5.4: what is wrong with the request itself MUST be told as 400, whoever sends it.
    let unknown = ConnectionId(!connection.0);
    for attributes in [vec![], vec![connection_id(unknown)]] {
        assert_eq!(rig.call(&mut other, Method::CONNECTION_BIND, &attributes).code(), 400, "{attributes:?}");
    }
    let mut datagrams = Client::alice("192.0.2.1:2000");
    rig.allocate(&mut datagrams, &[]);
    assert_eq!(rig.call(&mut datagrams, Method::CONNECTION_BIND, &[connection_id(connection)]).code(), 400);
}

/// RFC 6062 §3: once bound, a connection carries no TURN messages; whatever looks like one is not heard.
#[test]
fn a_bound_connection_speaks_no_turn() {
    let (mut rig, _, connection) = connected();
    let mut data = data(2000);
    rig.bind_connection(&mut data, connection);
    let requests = [
        data.signed(Method::ALLOCATE, &[udp()]),
        data.signed(Method::CONNECTION_BIND, &[connection_id(connection)]),
        data.unsigned(Method::BINDING, &[]),
        channel_data(0x4000, b"x"),
    ];
    for request in requests {
        assert!(rig.send(&data, &request).0.is_empty());
    }
    rig.hang_up(connection);
    let binding = data.unsigned(Method::BINDING, &[]);
    assert_eq!(rig.ask(&data, &binding).code(), 0, "until it is its client's again");
}

/// RFC 6062 §5.2: 30 seconds are the time to bind, also where the driver oversleeps.
#[test]
fn a_connection_that_nobody_binds_ends_after_30_seconds() {
    let (mut rig, _, connection) = connected();
    assert!(rig.advance(Duration::from_millis(29_999)).0.is_empty());
    assert_eq!(rig.advance(Duration::from_millis(1)).0, [Out::ClosePeer(connection)]);

    let (mut rig, mut alice, _) = connected();
    let second = rig.connect(&mut alice, addr("9.9.9.9:10"));
    let mut late = data(2000);
    rig.call(&mut late, Method::REFRESH, &[]);
    rig.oversleep(Duration::from_secs(30));
    assert_eq!(rig.call(&mut late, Method::CONNECTION_BIND, &[connection_id(second)]).code(), 400);
    assert_eq!(rig.relay.connections(), 0);
}

/// Expiry is exact: with its allocation a connection is over, although nobody has looked.
#[test]
fn a_connection_of_an_expired_allocation_cannot_be_bound() {
    let (mut rig, mut alice, _) = connected();
    rig.advance(Duration::from_secs(580));
    let connection = rig.connect(&mut alice, addr("9.9.9.9:10"));
    rig.oversleep(Duration::from_secs(20));
    let mut data = data(2000);
    assert_eq!(rig.call(&mut data, Method::CONNECTION_BIND, &[connection_id(connection)]).code(), 400);
    rig.assert_nothing_is_left();
}

/// A bound connection needs no refresh but its allocation's (RFC 6062 §4.6).
#[test]
fn a_bound_connection_lasts_as_long_as_its_allocation() {
    let (mut rig, mut alice, connection) = connected();
    let mut data = data(2000);
    rig.bind_connection(&mut data, connection);
    for _ in 0..10 {
        rig.advance(Duration::from_secs(500));
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 0);
    }
    assert_eq!(rig.relay.connections(), 1);
    let outs = rig.advance(Duration::from_secs(600)).clone();
    assert!(outs.contains(&Out::ClosePeer(connection)) && outs.contains(&Out::CloseClient(data.tuple())));
    rig.assert_nothing_is_left();
}

/// A15: an expired credential binds what it could also keep, and nothing where expiry is strict.
#[test]
fn a15_connection_bind_obeys_the_expiry_of_the_allocation_s_credential() {
    for (expiry, code) in [(CredentialExpiry::Strict, 401), (CredentialExpiry::AtAllocation, 0)] {
        let mut rig = Rig::with(|setup| {
            setup.credentials.secrets = vec![turnbridge::auth::Secret::new("north")];
            setup.settings.expiry = expiry;
        });
        let name = format!("{}:carol", START + 100);
        let secret = turnbridge::auth::rest::RestSecret::new(&turnbridge::auth::Secret::new("north"));
        let password = secret.password(&name).expose().to_owned();
        let carol = |port| Client::new(&format!("192.0.2.1:{port}"), &name, &password).over(Transport::Tcp);
        let mut control = carol(1000);
        rig.allocate_tcp(&mut control);
        rig.advance(Duration::from_secs(90));
        let connection = rig.connect(&mut control, addr(PEER));
        rig.advance(Duration::from_secs(20));
        let answer = rig.call(&mut carol(2000), Method::CONNECTION_BIND, &[connection_id(connection)]);
        assert_eq!(answer.code(), code, "{expiry:?}");
    }
}

/// A connection that lands on another worker is handed over before anybody is asked for anything, and its request means
/// there what it says. What no worker has made is refused where it is.
#[test]
fn a_connection_of_another_worker_is_handed_over() {
    let rig = |own| Rig::with(|setup| setup.number = RelayNumber { own, count: 8 });
    let (mut here, mut there) = (rig(2), rig(5));
    let mut alice = data(1000);
    there.allocate_tcp(&mut alice);
    let connection = there.connect(&mut alice, addr(PEER));
    let mut data = data(2000);
    let request = data.unsigned(Method::CONNECTION_BIND, &[connection_id(connection)]);
    assert_eq!(here.send(&data, &request).0, [Out::HandOver { client: data.tuple(), worker: 5 }]);
    assert_eq!(there.ask(&data, &request).code(), 401);
    there.bind_connection(&mut data, connection);

    let mut datagram = Client::alice("192.0.2.1:2000");
    assert_eq!(here.call(&mut datagram, Method::CONNECTION_BIND, &[connection_id(connection)]).code(), 400);
    let mut busy = Client::alice("192.0.2.1:2001").over(Transport::Tcp);
    here.allocate(&mut busy, &[]);
    assert_eq!(here.call(&mut busy, Method::CONNECTION_BIND, &[connection_id(connection)]).code(), 400);
    assert_eq!(rig(2).send(&busy, &[0; 20]).0, [], "nothing else is handed over");
}
