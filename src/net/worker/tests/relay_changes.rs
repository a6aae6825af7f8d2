//! Relay addresses and ports that change while allocations live.

use std::ops::RangeInclusive;

use super::*;

/// An allocation and its peer, between which numbered datagrams go both ways.
struct Call {
    client: Socket,
    relay: SocketAddr,
    peer: Socket,
    sent: u32,
}

/// Sent each way before a change and again behind it, without waiting.
const BURST: u32 = 30;

impl Call {
    fn new(rig: &Rig) -> Self {
        let client = rig.client();
        let relay = client.open(Family::V4);
        Self { client, relay, peer: Socket::new(Family::V4), sent: 0 }
    }

    /// Sends in both directions while `change` happens: all arrives, in order.
    fn talk(&mut self, change: impl FnOnce()) {
        let first = self.sent;
        self.send_burst();
        change();
        self.send_burst();
        for number in first..self.sent {
            assert_eq!(self.peer.receive(), number.to_be_bytes());
            let down = [b"D", &self.peer.port()[..], &number.to_be_bytes()].concat();
            assert_eq!(self.client.receive(), down);
        }
    }

    fn send_burst(&mut self) {
        for number in self.sent..self.sent + BURST {
            self.client.send_through(&self.peer, &number.to_be_bytes());
            self.peer.0.send_to(&number.to_be_bytes(), self.relay).unwrap();
        }
        self.sent += BURST;
    }
}

impl Rig {
    fn relay_from(&self, addresses: &[RelayAddress], range: RangeInclusive<u16>) {
        self.ports.reconfigure(addresses, range);
        self.reconfigure(StreamOptions::default(), Neighbours::default());
    }

    /// Waits until this many relay sockets have been closed.
    fn closed(&self, count: u64) {
        self.counters_when(|counters| counters.relays_closed == count);
    }
}

const fn called(external: [u8; 4]) -> RelayAddress {
    let [a, b, c, d] = external;
    RelayAddress { bind: IpAddr::V4(Ipv4Addr::LOCALHOST), external: IpAddr::V4(Ipv4Addr::new(a, b, c, d)) }
}

#[test]
fn allocations_go_on_whatever_new_ones_are_given() {
    let rig = Rig::new(Family::V4, 24_000..=24_009);
    let [v4, v6] = LOOPBACK;
    let changes: [(&[RelayAddress], RangeInclusive<u16>); 6] = [
        (&[v4, v6], 24_100..=24_109),
        (&[v4, v6], 24_005..=24_014),
        (&[v6], 24_005..=24_014),
        (&[v4], 24_020..=24_029),
        (&[called([203, 0, 113, 7])], 24_000..=24_009),
        (&[called([203, 0, 113, 8])], 24_000..=24_009),
    ];
    let mut calls = vec![Call::new(&rig)];
    for (number, (addresses, range)) in changes.iter().enumerate() {
        let mut last = calls.pop().unwrap();
        last.talk(|| rig.relay_from(addresses, range.clone()));
        calls.push(last);
        calls.iter_mut().for_each(|call| call.talk(|| ()));
        if addresses.iter().any(|address| address.bind.is_ipv4()) {
            let next = Call::new(&rig);
            assert!(range.contains(&next.relay.port()), "change {number}: {}", next.relay);
            calls.push(next);
        } else {
            let client = rig.client();
            client.0.send(b"A").unwrap();
            assert_eq!(client.receive(), b"E  ", "change {number}");
        }
    }
    assert_eq!(rig.worker.line().counters().dropped(), 0);
    for call in &calls {
        call.client.0.send(b"C").unwrap();
    }
    rig.closed(calls.len() as u64);
    assert_eq!(rig.taken(), 0);
    for call in calls {
        UdpSocket::bind(call.relay).unwrap();
    }
}

#[test]
fn a_port_of_both_ranges_is_given_again_when_its_socket_is_closed_and_not_before() {
    let rig = Rig::new(Family::V4, 24_200..=24_201);
    let mut old = [Call::new(&rig), Call::new(&rig)];
    old.sort_by_key(|call| call.relay);
    rig.relay_from(&LOOPBACK, 24_201..=24_202);
    assert_eq!(Call::new(&rig).relay.port(), 24_202);
    let client = rig.client();
    let refused = || {
        client.0.send(b"A").unwrap();
        client.receive() == b"E  "
    };
    assert!(refused());
    old[0].client.0.send(b"C").unwrap();
    rig.closed(1);
    assert!(refused(), "port 24200 is not in the range any more");
    old[1].client.0.send(b"C").unwrap();
    rig.closed(2);
    assert_eq!(client.open(Family::V4).port(), 24_201);
}

#[test]
fn allocations_reach_each_other_by_the_names_their_clients_were_told() {
    let (old, new) = ([203, 0, 113, 7], [203, 0, 113, 8]);
    let rig = Rig::relaying_from(&[called(old)], Family::V4, 24_300..=24_309);
    let (first, second) = (rig.client(), rig.client());
    let first_port = first.open(Family::V4).port();
    rig.relay_from(&[called(new)], 24_310..=24_319);
    let second_port = second.open(Family::V4).port();
    let reaches = |from: &Socket, to: &Socket, name: [u8; 4], port: u16, shown: ([u8; 4], u16)| {
        from.0.send(&[b"H", &name[..], &port.to_be_bytes(), b"here"].concat()).unwrap();
        assert_eq!(to.receive(), [b"D", &shown.1.to_be_bytes()[..], b"here"].concat());
        assert_eq!(rig.ask(|core| core.last_peer), Some(SocketAddr::from(shown)));
    };
    reaches(&first, &second, new, second_port, (old, first_port));
    reaches(&second, &first, old, first_port, (new, second_port));
    rig.relay_from(&[called([203, 0, 113, 9])], 24_300..=24_309);
    reaches(&first, &second, new, second_port, (old, first_port));
    reaches(&second, &first, old, first_port, (new, second_port));
}
