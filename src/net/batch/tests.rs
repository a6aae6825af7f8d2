//! Batches on real sockets over loopback.

use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::*;
use crate::net::counters::Counters;
use crate::net::sys::udp::{self, BufferSizes, Role};
use crate::net::sys::{SlotSize, Slots};

const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];
const HEAD: [u8; 4] = [0x40, 0, 0, 0];

/// Sockets by number.
#[derive(Default)]
struct Rig {
    sockets: Vec<(OwnedFd, RunLimit)>,
    counters: Counters,
}

impl Sockets for Rig {
    fn outlet(&mut self, socket: SocketId) -> Option<Outlet<'_>> {
        let (socket, runs) = self.sockets.get_mut(socket.to_bits() as usize)?;
        Some(Outlet { socket: (*socket).as_fd(), runs })
    }
}

impl Rig {
    fn with_sockets(at: &str, count: usize) -> Self {
        let open = |_| udp::open(at.parse().unwrap(), Role::Relay, BufferSizes::default()).unwrap();
        let sockets = (0..count).map(open).map(|socket| (socket, RunLimit::default())).collect();
        Self { sockets, counters: Counters::default() }
    }

    fn flush(&mut self, batch: &mut Batch<'_>) {
        let mut counters = self.counters;
        batch.flush(self, &mut counters);
        self.counters = counters;
        assert!(batch.is_empty());
    }
}

fn receiver(at: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn expect(socket: &UdpSocket, expected: &[Vec<u8>]) {
    let mut buffer = vec![0; 65_536];
    for (number, datagram) in expected.iter().enumerate() {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(length, datagram.len(), "datagram {number}");
        assert!(buffer[..length] == **datagram, "datagram {number}");
    }
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut buffer).is_err(), "nothing more is to come");
    socket.set_nonblocking(false).unwrap();
}

fn payload(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 13 + seed * 7 + index / 256).to_le_bytes()[0]).collect()
}

fn id(number: u16) -> SocketId {
    SocketId::listener(number)
}

#[test]
fn datagrams_of_equal_size_to_one_address_become_one_message() {
    for at in LOOPBACKS {
        let mut rig = Rig::with_sockets(at, 1);
        let (socket, address) = receiver(at);
        let payloads: Vec<_> = (0..8).map(|seed| payload(1200, seed)).collect();
        let mut batch = Batch::default();
        for payload in &payloads {
            batch.push(id(0), address, Letter { head: &HEAD, payload, padding: 0, dont_fragment: false });
        }
        rig.flush(&mut batch);
        expect(
            &socket,
            &payloads.iter().map(|payload| [&HEAD, payload.as_slice()].concat()).collect::<Vec<_>>(),
        );
        assert_eq!(rig.counters.messages_sent, if MAX_SEGMENTS > 1 { 1 } else { 8 });
        assert_eq!((rig.counters.send_calls, rig.counters.datagrams_sent), (1, 8));
        assert_eq!(rig.counters.bytes_sent, 8 * 1204);
    }
}

#[test]
fn runs_are_found_again_between_datagrams_of_other_flows() {
    let mut rig = Rig::with_sockets(LOOPBACKS[0], 2);
    let receivers: Vec<_> = (0..3).map(|_| receiver(LOOPBACKS[0])).collect();
    let payloads: Vec<_> = (0..12).map(|seed| payload(300, seed)).collect();
    let mut batch = Batch::default();
    for (number, payload) in payloads.iter().enumerate() {
        let socket = id(u16::from(number % 3 == 2));
        batch.push(socket, receivers[number % 3].1, Letter::payload(payload));
    }
    rig.flush(&mut batch);
    for (number, (socket, _)) in receivers.iter().enumerate() {
        expect(socket, &payloads.iter().skip(number).step_by(3).cloned().collect::<Vec<_>>());
    }
    assert_eq!(rig.counters.send_calls, 2, "one per socket");
    assert_eq!(rig.counters.messages_sent, if MAX_SEGMENTS > 1 { 3 } else { 12 });
}

#[test]
fn bursts_of_many_flows_that_arrive_mixed_are_joined_per_flow() {
    let mut batch = Batch::default();
    let payload = [0; 100];
    for lap in 0..3 {
        // Flows of earlier batches must not be mistaken for flows of this one.
        for _ in 0..5 {
            for flow in 0..100 {
                let to = SocketAddr::new("127.0.0.1".parse().unwrap(), 1000 + flow + lap);
                batch.push(SocketId::relay(u32::from(flow)), to, Letter::payload(&payload));
            }
        }
        let joined = if MAX_SEGMENTS > 1 { 100 } else { 500 };
        assert!((joined..joined + 5).contains(&batch.runs.len()), "{}", batch.runs.len());
        assert_eq!(batch.groups.len(), 100);
        batch = batch.renew();
    }
}

#[test]
fn datagrams_of_one_flow_keep_their_order_and_length_whatever_their_sizes() {
    for at in LOOPBACKS {
        let mut rig = Rig::with_sockets(at, 1);
        let (socket, address) = receiver(at);
        // Equal, shorter (ends a run), equal again, longer (begins one), empty (never in a run), the longest of all.
        let longest = if at.starts_with('[') { 65_527 } else { 65_507 };
        let lengths = [100, 100, 60, 100, 100, 200, 200, 0, 0, 200, 1, 1, 0, 1, longest, 5];
        let payloads: Vec<_> =
            lengths.iter().enumerate().map(|(seed, length)| payload(*length, seed)).collect();
        let mut batch = Batch::default();
        for payload in &payloads {
            batch.push(id(0), address, Letter::payload(payload));
        }
        rig.flush(&mut batch);
        expect(&socket, &payloads);
        assert_eq!(rig.counters.datagrams_sent, 16);
    }
}

#[test]
fn a_run_ends_at_its_limits() {
    let mut rig = Rig::with_sockets(LOOPBACKS[0], 1);
    let (socket, address) = receiver(LOOPBACKS[0]);
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    for (length, count, messages) in
        [(20, 130, 130_usize.div_ceil(60)), (1400, 100, 100_usize.div_ceil(65_000 / 1400))]
    {
        let payloads: Vec<_> = (0..count).map(|seed| payload(length, seed)).collect();
        let mut batch = Batch::default();
        for payload in &payloads {
            batch.push(id(0), address, Letter::payload(payload));
        }
        rig.counters = Counters::default();
        rig.flush(&mut batch);
        expect(&socket, &payloads);
        let messages = if MAX_SEGMENTS > 1 { messages } else { count };
        assert_eq!(rig.counters.messages_sent, messages as u64);
    }
}

#[test]
fn runs_of_long_datagrams_arrive_whatever_the_interface_takes() {
    for at in LOOPBACKS {
        let mut rig = Rig::with_sockets(at, 1);
        let (socket, address) = receiver(at);
        let payloads: Vec<_> = (0..4).map(|seed| payload(5000, seed)).collect();
        for _ in 0..2 {
            let mut batch = Batch::default();
            for payload in &payloads {
                batch.push(id(0), address, Letter::payload(payload));
            }
            rig.flush(&mut batch);
            expect(&socket, &payloads);
        }
        // On an interface with a smaller MTU than the loopback interface usually has, the first run is refused.
        assert!(rig.counters.segmentation_refused <= 1);
        assert_eq!(rig.counters.dropped(), 0);
    }
}

#[test]
fn heads_and_padding_surround_the_payload_and_differ_within_a_run() {
    let mut rig = Rig::with_sockets(LOOPBACKS[0], 1);
    let (socket, address) = receiver(LOOPBACKS[0]);
    let payloads: Vec<_> = (0..4).map(|seed| payload(90, seed)).collect();
    let heads = [[1; 4], [1; 4], [2; 4], [1; 4]];
    let mut batch = Batch::default();
    let mut expected = Vec::new();
    for (payload, head) in payloads.iter().zip(&heads) {
        batch.push(id(0), address, Letter { head, payload, padding: 2, dont_fragment: false });
        expected.push([head, payload.as_slice(), &[0, 0]].concat());
    }
    rig.flush(&mut batch);
    expect(&socket, &expected);
    assert_eq!(rig.counters.messages_sent, if MAX_SEGMENTS > 1 { 1 } else { 4 });
}

#[test]
fn a_message_that_cannot_be_sent_takes_no_other_with_it() {
    for at in LOOPBACKS {
        let mut rig = Rig::with_sockets(at, 1);
        let (socket, address) = receiver(at);
        let no_port = SocketAddr::new(address.ip(), 0);
        let too_long = vec![0; 65_530];
        let letters: [(SocketAddr, &[u8]); 8] = [
            (no_port, b"first"),
            (address, b"one"),
            (no_port, b"again"),
            (no_port, b"again"),
            (address, b"two"),
            (address, &too_long),
            (address, b"three"),
            (no_port, b"last"),
        ];
        let mut batch = Batch::default();
        for (to, payload) in &letters {
            batch.push(id(0), *to, Letter::payload(payload));
        }
        rig.flush(&mut batch);
        expect(&socket, &[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert_eq!(rig.counters.dropped_bad_address, 4, "{at}");
        assert_eq!((rig.counters.dropped_too_long, rig.counters.datagrams_sent), (1, 3), "{at}");
        assert_eq!(rig.counters.segmentation_refused, 0, "it was not the run that failed");
        assert_eq!(rig.sockets[0].1, RunLimit::default());
    }
}

#[test]
fn an_address_of_the_other_family_is_counted_and_passed_over() {
    for (at, other) in [(LOOPBACKS[0], "[::1]:9"), (LOOPBACKS[1], "127.0.0.1:9")] {
        let mut rig = Rig::with_sockets(at, 1);
        let (socket, address) = receiver(at);
        let mut batch = Batch::default();
        batch.push(id(0), other.parse().unwrap(), Letter::payload(b"x"));
        batch.push(id(0), address, Letter::payload(b"y"));
        rig.flush(&mut batch);
        expect(&socket, &[b"y".to_vec()]);
        assert_eq!(rig.counters.dropped(), 1);
    }
}

#[test]
fn an_icmp_error_from_an_earlier_batch_does_not_lose_a_datagram_to_another_peer() {
    for at in LOOPBACKS {
        let mut rig = Rig::with_sockets(at, 1);
        let (socket, address) = receiver(at);
        let closed = receiver(at).1;
        for _ in 0..3 {
            let mut batch = Batch::default();
            // The send to the closed port leaves an error in the socket; the next message finds it.
            batch.push(id(0), closed, Letter::payload(b"nobody"));
            batch.push(id(0), address, Letter::payload(b"somebody"));
            batch.push(id(0), closed, Letter::payload(b"nobody is here"));
            rig.flush(&mut batch);
            expect(&socket, &[b"somebody".to_vec()]);
        }
        assert_eq!(rig.counters.dropped(), 0, "{at}");
    }
}

#[test]
fn a_closed_socket_is_counted_and_the_others_are_served() {
    let mut rig = Rig::with_sockets(LOOPBACKS[0], 1);
    let (socket, address) = receiver(LOOPBACKS[0]);
    let mut batch = Batch::default();
    for number in [7, 0, 7] {
        batch.push(id(number), address, Letter::payload(b"x"));
    }
    rig.flush(&mut batch);
    expect(&socket, &[b"x".to_vec()]);
    assert_eq!(rig.counters.dropped_closed, 2);
}

#[test]
fn the_batch_borrows_from_the_receive_slots_and_is_renewed_for_the_next_round() {
    let mut rig = Rig::with_sockets(LOOPBACKS[0], 2);
    let from = udp::local_address(&rig.sockets[0].0).unwrap();
    let (peer, _) = receiver(LOOPBACKS[0]);
    let (socket, address) = receiver(LOOPBACKS[0]);
    let mut slots = Slots::new(8);
    let mut batch = Batch::default();
    for lap in 0..3 {
        for seed in 0..4 {
            peer.send_to(&payload(700, lap * 4 + seed), from).unwrap();
        }
        let mut round = slots.round();
        let mut filling = batch.renew();
        for message in round.receive(rig.sockets[0].0.as_fd(), 8, SlotSize::Small).unwrap() {
            for datagram in message.datagrams() {
                filling.push(id(1), address, Letter::payload(datagram));
            }
        }
        rig.flush(&mut filling);
        expect(&socket, &(0..4).map(|seed| payload(700, lap * 4 + seed)).collect::<Vec<_>>());
        batch = filling.renew();
    }
}

#[test]
fn a_batch_is_full_before_it_has_to_grow() {
    let mut batch = Batch::default();
    let address = "127.0.0.1:9".parse().unwrap();
    let payload = [0; 10];
    while !batch.is_full() {
        batch.push(id(0), address, Letter::payload(&payload));
    }
    assert!(batch.datagrams.len() + MARGIN <= batch.datagrams.capacity());
    assert!(batch.runs.len() + MARGIN <= batch.runs.capacity());
    let mut batch = Batch::default();
    while !batch.is_full() {
        batch.push(
            id(0),
            address,
            Letter { head: &[1; 1000], payload: &payload, padding: 0, dont_fragment: false },
        );
        batch.push(
            id(0),
            address,
            Letter { head: &[2; 1000], payload: &payload, padding: 0, dont_fragment: false },
        );
    }
    assert!(batch.heads.len() <= batch.heads.capacity());
}

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux_only {
    use super::*;

    use crate::net::sys::tests::refuse_runs;

    #[test]
    fn a_run_the_kernel_refuses_is_sent_singly_and_remembered() {
        let mut rig = Rig::with_sockets(LOOPBACKS[0], 1);
        let (socket, address) = receiver(LOOPBACKS[0]);
        refuse_runs(&rig.sockets[0].0);
        let payloads: Vec<_> = (0..3).map(|seed| payload(500, seed)).collect();
        for lap in 1..3 {
            let mut batch = Batch::default();
            for payload in &payloads {
                batch.push(id(0), address, Letter::payload(payload));
            }
            rig.flush(&mut batch);
            expect(&socket, &payloads);
            assert_eq!(rig.counters.segmentation_refused, 1, "lap {lap}");
            assert_eq!(rig.sockets[0].1, RunLimit(499));
            assert_eq!(rig.counters.datagrams_sent, 3 * lap);
        }
        assert_eq!(rig.counters.dropped(), 0);
    }

    #[test]
    fn a_device_without_checksums_is_asked_for_no_run_again() {
        let mut limit = RunLimit::default();
        limit.lower(1200, libc::EMSGSIZE);
        assert_eq!((limit.segment(1200), limit.segment(1199)), (None, Some(1199)));
        limit.lower(1000, libc::EIO);
        assert_eq!(limit.segment(1), None);
    }

    #[test]
    fn the_df_bit_is_set_for_one_datagram_and_off_for_the_next() {
        // Longer, with its headers, than the loopback interface takes whole; only IPv6 has such datagrams.
        let mut rig = Rig::with_sockets(LOOPBACKS[1], 1);
        let (socket, address) = receiver(LOOPBACKS[1]);
        let long = payload(65_527, 1);
        let mut batch = Batch::default();
        for (payload, dont_fragment) in [(b"short".as_slice(), true), (&long, true), (&long, false)] {
            batch.push(id(0), address, Letter { head: &[], payload, padding: 0, dont_fragment });
        }
        rig.flush(&mut batch);
        expect(&socket, &[long.clone(), b"short".to_vec()]);
        assert_eq!((rig.counters.dropped_too_long, rig.counters.datagrams_sent), (1, 2));
        // The kernel's own refusal is in the error queue too, and is not an ICMP message.
        assert_eq!(crate::net::sys::read_error(rig.sockets[0].0.as_fd()).unwrap(), None);
    }
}
