//! A worker allocates nothing per relayed datagram, from the receive call to the send call and in both directions. One
//! test in a process of its own, because the counting allocator sees all threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

mod counting;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use turnbridge::net::listener::open_listeners;
use turnbridge::net::ports::{RelayAddress, RelayPorts};
use turnbridge::net::sys::udp::BufferSizes;
use turnbridge::net::worker::{Clock, Core, Setup, start};
use turnbridge::turn::{AllocationId, Family, FiveTuple, Input, Millis, Now, Output, PortRequest, RelayId};

/// One client and one peer. The client's first datagram opens the relay socket and is answered with its port.
struct Pipe {
    client: Option<FiveTuple>,
    peer: SocketAddr,
}

const RELAY: RelayId = RelayId { allocation: AllocationId { index: 0, generation: 0 }, family: Family::V4 };

impl Core for Pipe {
    fn handle<'a>(&mut self, _: Now, input: Input<'a>, out: &mut impl FnMut(Output<'a, '_>)) {
        match (input, self.client) {
            (Input::FromClient { client, .. }, None) => {
                self.client = Some(client);
                out(Output::OpenRelay { relay: RELAY, client, port: PortRequest::Any });
            }
            (Input::FromClient { bytes, .. }, Some(_)) => {
                out(Output::ToPeer { relay: RELAY, peer: self.peer, bytes, dont_fragment: false });
            }
            (Input::FromPeer { bytes, .. }, Some(client)) => {
                out(Output::ToClient { client, head: &[0x40, 0, 4, 0xB0], payload: bytes, padding: 0 });
            }
            (Input::RelayOpened { result, .. }, Some(client)) => {
                let head = result.unwrap().address.port().to_be_bytes();
                out(Output::ToClient { client, head: &head, payload: &[], padding: 0 });
            }
            (_, _) => {}
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        None
    }

    fn expire(&mut self, _: Now, _: &mut impl FnMut(Output<'static, '_>)) {}
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

#[test]
fn relaying_allocates_nothing() {
    let (client, peer) = (socket(), socket());
    let listeners =
        open_listeners(&["127.0.0.1:0".parse().unwrap()], 1, BufferSizes::default()).unwrap().remove(0);
    client.connect(listeners[0].address()).unwrap();
    let relay_address = RelayAddress::direct("127.0.0.1".parse().unwrap());
    let setup = Setup {
        listeners,
        ports: Arc::new(RelayPorts::new(&[relay_address], 23_000..=23_099, [0; 32])),
        relay_buffers: BufferSizes::default(),
        clock: Clock::new(),
        observer: Box::new(|_| ()),
    };
    let worker = start("worker", setup, Pipe { client: None, peer: peer.local_addr().unwrap() }).unwrap();
    client.send(b"open").unwrap();
    let mut port = [0; 2];
    client.recv(&mut port).unwrap();
    peer.connect(("127.0.0.1", u16::from_be_bytes(port))).unwrap();

    let mut buffer = [0; 2048];
    let mut lap = || {
        let before = counting::made();
        for length in [160, 1200, 1200, 0, 1] {
            for _ in 0..16 {
                client.send(&[7; 1200][..length]).unwrap();
                peer.send(&[8; 1200][..length]).unwrap();
            }
            for _ in 0..16 {
                assert_eq!(peer.recv(&mut buffer).unwrap(), length);
                assert_eq!(client.recv(&mut buffer).unwrap(), length + 4);
            }
        }
        counting::made() - before
    };
    // The first laps may: buffers find their size. The harness's own thread may in between; so the least counts.
    for _ in 0..10 {
        lap();
    }
    let least = (0..50).map(|_| lap()).min();
    if turnbridge::net::sys::MAX_SEGMENTS > 1 {
        assert_eq!(least, Some(0));
    }
    assert_eq!(worker.counters().dropped(), 0);
    worker.stop().unwrap();
}
