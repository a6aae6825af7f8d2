//! The ends of connections to peers (RFC 6062 §5.5): each takes with it what it must and nothing else.

use std::time::Duration;

use turnbridge::turn::{ConnectionId, EndReason, Transport};
use turnbridge::wire::Method;

use crate::rig::*;

/// Alice with connections in all three states.
struct Scene {
    rig: Rig,
    alice: Client,
    data: Client,
    waiting: ConnectionId,
    pending: ConnectionId,
    bound: ConnectionId,
}

fn scene() -> Scene {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tcp));
    rig.allocate_tcp(&mut alice);
    let bound = rig.connect(&mut alice, addr("9.9.9.1:1"));
    let mut data = Client::alice("192.0.2.1:2000").over(Transport::Tls);
    rig.bind_connection(&mut data, bound);
    let pending = rig.connect(&mut alice, addr("9.9.9.2:2"));
    let waiting = rig.ask_to_connect(&mut alice, addr("9.9.9.3:3"));
    Scene { rig, alice, data, waiting, pending, bound }
}

impl Scene {
    /// Asserts that everything has ended, and gives the codes of the answers.
    fn assert_all_ended(&self, outs: &Outs) -> Vec<u16> {
        for connection in [self.waiting, self.pending, self.bound] {
            let times = outs.0.iter().filter(|out| **out == Out::ClosePeer(connection)).count();
            assert_eq!(times, 1, "{outs:?}");
        }
        assert!(outs.contains(&Out::CloseClient(self.data.tuple())));
        assert_eq!(self.rig.relay.connections(), 0);
        let to_alice = outs.to_client().into_iter().filter(|(client, _)| *client == self.alice.tuple());
        to_alice.map(|(_, bytes)| Answer::parse(&bytes).code()).collect()
    }
}

/// RFC 6062 §5.5: with a peer data connection its client data connection is closed.
#[test]
fn a_peer_that_closes_takes_its_data_connection_along() {
    let mut scene = scene();
    let client = scene.data.tuple();
    let outs = scene.rig.hang_up(scene.bound).clone();
    assert_eq!(outs.0, [Out::ClosePeer(scene.bound), Out::CloseClient(client)]);
    assert!(scene.rig.disconnect(&scene.data).0.is_empty(), "what the driver then tells is no news");
    assert_eq!(scene.rig.hang_up(scene.pending).0, [Out::ClosePeer(scene.pending)]);
    let outs = scene.rig.hang_up(scene.waiting).clone();
    assert_eq!(Answer::parse(&outs.to_client()[0].1).code(), 447);
    assert_eq!((scene.rig.relay.connections(), scene.rig.relay.allocations()), (0, 1));
}

/// RFC 6062 §5.5: with a client data connection its peer data connection is closed; the allocation stays.
#[test]
fn a_data_connection_that_closes_takes_its_peer_along() {
    let mut scene = scene();
    assert_eq!(scene.rig.disconnect(&scene.data).0, [Out::ClosePeer(scene.bound)]);
    assert!(scene.rig.hang_up(scene.bound).0.is_empty());
    assert_eq!((scene.rig.relay.connections(), scene.rig.relay.allocations()), (2, 1));
    scene.rig.connect(&mut scene.alice, addr("9.9.9.1:1"));
}

/// RFC 6062 §5.5: with the allocation all its connections end, whatever ends it.
#[test]
fn all_connections_end_with_their_allocation() {
    let mut over = scene();
    let outs = over.rig.disconnect(&over.alice.clone()).clone();
    assert_eq!(over.assert_all_ended(&outs), [] as [u16; 0], "nobody is left to be told");
    assert_eq!(outs.ended().unwrap().0, EndReason::Disconnected);
    over.rig.assert_nothing_is_left();

    let mut over = scene();
    let request = over.alice.signed(Method::REFRESH, &[lifetime(0)]);
    let outs = over.rig.send(&over.alice, &request).clone();
    assert_eq!(over.assert_all_ended(&outs), [0, 447]);
    over.rig.assert_nothing_is_left();

    let mut over = scene();
    over.rig.oversleep(Duration::from_secs(600));
    let outs = over.rig.advance(Duration::ZERO).clone();
    assert_eq!(over.assert_all_ended(&outs), [447]);
    assert_eq!(outs.ended().unwrap().0, EndReason::Expired);
    over.rig.assert_nothing_is_left();

    let mut over = scene();
    let outs = over.rig.stop().clone();
    assert_eq!(over.assert_all_ended(&outs), [447]);
    over.rig.assert_nothing_is_left();
}

/// RFC 8656 §8.1: half of a dual allocation that is given back takes its own connections, and not the other's.
#[test]
fn half_of_a_dual_allocation_takes_its_own_connections() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tcp));
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[tcp(), additional(2)]).relayed().len(), 2);
    let v4 = rig.connect(&mut alice, addr("9.9.9.9:9"));
    let v6 = rig.connect(&mut alice, addr("[2a00:9::9]:9"));
    let request = alice.signed(Method::REFRESH, &[lifetime(0), family(1)]);
    let outs = rig.send(&alice, &request).clone();
    assert!(outs.contains(&Out::ClosePeer(v4)) && !outs.contains(&Out::ClosePeer(v6)));
    rig.bind_connection(&mut Client::alice("192.0.2.1:2000").over(Transport::Tcp), v6);
}

/// P16: a reload that forbids a peer ends its connections at once: bound, pending, and in the making. The rest stays.
#[test]
fn p16_a_reload_ends_connections_to_peers_that_it_forbids() {
    for (net, ended) in
        [("9.9.9.1/32", 1), ("9.9.9.2/32", 2), ("9.9.9.3/32", 3), ("9.0.0.0/8", 0), ("8.0.0.0/8", 4)]
    {
        let mut scene = scene();
        let outs = scene.rig.reload(|_, rules| rules.deny = vec![net.parse().unwrap()]).clone();
        let closed = |connection| outs.contains(&Out::ClosePeer(connection));
        let expected = |number| ended == number || ended == 0;
        assert_eq!(
            [closed(scene.bound), closed(scene.pending), closed(scene.waiting)],
            [expected(1), expected(2), expected(3)],
            "{net}"
        );
        assert_eq!(outs.contains(&Out::CloseClient(scene.data.tuple())), expected(1));
        let answers = outs.to_client();
        assert_eq!(answers.len(), usize::from(expected(3)));
        assert!(answers.iter().all(|(_, bytes)| Answer::parse(bytes).code() == 403));
        assert_eq!(scene.rig.relay.allocations(), 1);
    }
}

/// A permission is for who comes (RFC 6062 §5.3): that it is over ends no connection that is there.
#[test]
fn a_connection_outlives_its_permission() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tcp));
    let relay = rig.allocate_tcp(&mut alice);
    rig.permit(&mut alice, addr("9.9.9.9:9"));
    let Out::KeepPeer(connection) = rig.accept(relay, addr("9.9.9.9:9")).0[0] else { panic!() };
    rig.bind_connection(&mut Client::alice("192.0.2.1:2000").over(Transport::Tcp), connection);
    assert!(rig.advance(Duration::from_secs(400)).0.is_empty());
    assert_eq!(rig.relay.connections(), 1);
}

/// R03: connecting, binding and hanging up all day long holds nothing.
#[test]
fn r03_connections_that_come_and_go_leave_nothing() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tcp));
    rig.allocate_tcp(&mut alice);
    for number in 0..3000u16 {
        let connection = rig.connect(&mut alice, addr("9.9.9.9:9"));
        let mut data = Client::alice(&format!("192.0.2.1:{}", 2000 + number)).over(Transport::Tcp);
        match number % 4 {
            0 => drop(rig.hang_up(connection)),
            1 => {
                rig.bind_connection(&mut data, connection);
                rig.hang_up(connection);
            }
            2 => {
                rig.bind_connection(&mut data, connection);
                rig.disconnect(&data);
            }
            _ => drop(rig.advance(Duration::from_secs(30))),
        }
        if number % 8 == 7 {
            rig.call(&mut alice, Method::REFRESH, &[]);
        }
        assert_eq!(rig.relay.connections(), 0);
    }
    rig.disconnect(&alice);
    rig.assert_nothing_is_left();
}
