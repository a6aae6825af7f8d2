//! The same tests for both implementations, on real sockets over loopback.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::SlotSize;
use super::udp::{self, BufferSizes, Role};

const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn opened(address: &str, role: Role) -> (OwnedFd, SocketAddr) {
    let socket = udp::open(address.parse().unwrap(), role, BufferSizes::default()).unwrap();
    let address = udp::local_address(&socket).unwrap();
    (socket, address)
}

fn std_socket(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Bytes that differ at each position and from one datagram to the next.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251 + seed * 31).to_le_bytes()[0]).collect()
}

/// Longest UDP payload over each family.
fn longest(address: &str) -> usize {
    if address.starts_with('[') { 65_527 } else { 65_507 }
}

macro_rules! for_implementation {
    ($name:ident) => {
        mod $name {
            use super::super::$name::*;
            use super::*;

            #[test]
            fn datagrams_of_every_size_arrive_whole_and_with_their_sender() {
                for at in LOOPBACKS {
                    for size in [SlotSize::Small, SlotSize::Large] {
                        let (socket, address) = opened(at, Role::Alone);
                        let (peer, peer_address) = std_socket(at);
                        let lengths = [0, 1, 160, 1200, 2047, 2048, 2049, 4096, 9000, longest(at)];
                        let mut slots = Slots::new(4);
                        for (seed, length) in lengths.into_iter().enumerate() {
                            peer.send_to(&pattern(length, seed), address).unwrap();
                            let mut round = slots.round();
                            let received = round.receive(socket.as_fd(), 4, size).unwrap();
                            assert!(received.is_drained());
                            let got: Vec<_> = received.collect();
                            assert_eq!(got.len(), 1);
                            assert_eq!(got[0].from, peer_address);
                            assert!(got[0].bytes == pattern(length, seed), "{at} {length}");
                            assert!(!got[0].truncated);
                            assert_eq!(got[0].datagrams().count(), 1);
                        }
                    }
                }
            }

            #[test]
            fn messages_of_one_round_do_not_overwrite_each_other() {
                let (socket, address) = opened(LOOPBACKS[0], Role::Alone);
                let (peer, _) = std_socket(LOOPBACKS[0]);
                let mut slots = Slots::new(8);
                for lap in 0..3 {
                    let mut round = slots.round();
                    let mut got = Vec::new();
                    // Two receive calls, the second with large slots, in one round.
                    for (call, size) in [SlotSize::Small, SlotSize::Large].into_iter().enumerate() {
                        for index in 0..4 {
                            let length = [100, 3000, 2048, 20_000][index];
                            peer.send_to(&pattern(length, lap + call * 10 + index), address).unwrap();
                        }
                        got.extend(round.receive(socket.as_fd(), 4, size).unwrap());
                    }
                    assert_eq!(got.len(), 8);
                    for (index, message) in got.iter().enumerate() {
                        let (call, index) = (index / 4, index % 4);
                        let length = [100, 3000, 2048, 20_000][index];
                        assert!(message.bytes == pattern(length, lap + call * 10 + index));
                    }
                }
            }

            #[test]
            fn a_round_receives_no_more_than_its_slots_and_leaves_the_rest_in_the_socket() {
                let (socket, address) = opened(LOOPBACKS[0], Role::Alone);
                let (peer, _) = std_socket(LOOPBACKS[0]);
                for index in 0..5 {
                    peer.send_to(&[index], address).unwrap();
                }
                let mut slots = Slots::new(3);
                let mut round = slots.round();
                let received = round.receive(socket.as_fd(), 100, SlotSize::Small).unwrap();
                assert!(!received.is_drained(), "two more are waiting");
                let mut got: Vec<u8> = received.map(|message| message.bytes[0]).collect();
                assert_eq!((got.len(), round.free()), (3, 0));
                assert_eq!(round.receive(socket.as_fd(), 100, SlotSize::Small).unwrap().count(), 0);
                let mut round = slots.round();
                let received = round.receive(socket.as_fd(), 100, SlotSize::Small).unwrap();
                assert!(received.is_drained());
                got.extend(received.map(|message| message.bytes[0]));
                assert_eq!(got, [0, 1, 2, 3, 4]);
            }

            #[test]
            fn an_empty_socket_is_drained() {
                let (socket, _) = opened(LOOPBACKS[0], Role::Alone);
                let mut slots = Slots::new(2);
                let received = slots.round().receive(socket.as_fd(), 2, SlotSize::Small).unwrap();
                assert!(received.is_drained());
                assert_eq!(received.count(), 0);
            }

            #[test]
            fn a_parcel_is_gathered_from_parts_and_sent_to_each_address() {
                for at in LOOPBACKS {
                    let (socket, address) = opened(at, Role::Alone);
                    let (first, first_address) = std_socket(at);
                    let (second, second_address) = std_socket(at);
                    let big = pattern(longest(at) - 4, 1);
                    let mut outbox = Outbox::default();
                    let mut parcel = outbox.parcel();
                    parcel.message(first_address, None);
                    parcel.part(b"head");
                    parcel.part(&big);
                    parcel.message(second_address, None);
                    parcel.message(second_address, None);
                    parcel.part(b"z");
                    assert_eq!(parcel.len(), 3);
                    assert_eq!(parcel.send(socket.as_fd(), 0).unwrap(), 3);
                    assert_eq!(parcel.send(socket.as_fd(), 2).unwrap(), 1, "the last again");
                    let mut buffer = vec![0; 65_536];
                    let (length, from) = first.recv_from(&mut buffer).unwrap();
                    assert_eq!(from, address);
                    assert!(buffer[..4] == *b"head" && buffer[4..length] == big);
                    let lengths: Vec<usize> =
                        (0..3).map(|_| second.recv_from(&mut buffer).unwrap().0).collect();
                    assert_eq!(lengths, [0, 1, 1]);
                }
            }

            #[test]
            fn a_message_that_cannot_be_sent_is_named_and_the_next_one_goes() {
                let (socket, _) = opened(LOOPBACKS[0], Role::Alone);
                let (peer, address) = std_socket(LOOPBACKS[0]);
                let mut outbox = Outbox::default();
                let mut parcel = outbox.parcel();
                for to in [address, "127.0.0.1:0".parse().unwrap(), address] {
                    parcel.message(to, None);
                    parcel.part(b"x");
                }
                assert_eq!(parcel.send(socket.as_fd(), 0).unwrap(), 1);
                assert_eq!(parcel.send(socket.as_fd(), 1).unwrap_err().raw_os_error(), Some(libc::EINVAL));
                assert_eq!(parcel.send(socket.as_fd(), 2).unwrap(), 1);
                let mut buffer = [0; 8];
                assert_eq!(peer.recv(&mut buffer).unwrap(), 1);
                assert_eq!(peer.recv(&mut buffer).unwrap(), 1);
            }

            #[test]
            fn one_datagram_is_gathered_from_parts() {
                for at in LOOPBACKS {
                    let (socket, _) = opened(at, Role::Relay);
                    let (peer, address) = std_socket(at);
                    send_one(socket.as_fd(), address, &[b"he", b"", b"ad", b"er"]).unwrap();
                    let mut buffer = [0; 16];
                    let length = peer.recv(&mut buffer).unwrap();
                    assert_eq!(&buffer[..length], b"header");
                }
            }
        }
    };
}

#[cfg(target_os = "linux")]
for_implementation!(linux);
for_implementation!(portable);

#[test]
fn granted_buffer_sizes_are_those_asked_for_when_the_kernel_does_not_cap_them() {
    let asked = BufferSizes { receive: Some(65_536), send: Some(32_768) };
    let socket = udp::open("127.0.0.1:0".parse().unwrap(), Role::Alone, asked).unwrap();
    assert_eq!(udp::granted(&socket).unwrap(), asked);
}

#[test]
fn listeners_share_an_address_and_others_do_not() {
    let (_first, address) = opened("127.0.0.1:0", Role::Listener);
    udp::open(address, Role::Listener, BufferSizes::default()).unwrap();
    let error = udp::open(address, Role::Alone, BufferSizes::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

/// Makes the kernel refuse to cut runs apart on this socket: without checksums it cannot. It stands for a device
/// that cannot.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub(crate) fn refuse_runs(socket: &OwnedFd) {
    use std::os::fd::AsRawFd;
    let value: libc::c_int = 1;
    // SAFETY: an int and its size, both of which outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NO_CHECK,
            (&raw const value).cast(),
            4,
        )
    };
    assert_eq!(result, 0);
}

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux_only {
    use std::os::fd::AsRawFd;

    use socket2::{Domain, Protocol, Socket, Type};

    use super::super::linux::*;
    use super::*;
    use crate::net::sys::IcmpReport;
    use crate::turn::Family;

    #[test]
    fn a_cut_message_arrives_as_its_datagrams_and_a_joined_one_is_taken_apart() {
        for at in LOOPBACKS {
            let (sender, sender_address) = opened(at, Role::Alone);
            let (plain, plain_address) = std_socket(at);
            let (joining, joining_address) = opened(at, Role::Alone);
            let parts: Vec<Vec<u8>> =
                (0..5).map(|seed| pattern([1200, 1200, 1200, 1200, 77][seed], seed)).collect();
            let mut outbox = Outbox::default();
            let mut parcel = outbox.parcel();
            for to in [plain_address, joining_address] {
                parcel.message(to, Some(1204));
                for part in &parts {
                    parcel.part(b"head");
                    parcel.part(part);
                }
            }
            assert_eq!(parcel.send(sender.as_fd(), 0).unwrap(), 2);
            let expected: Vec<Vec<u8>> =
                parts.iter().map(|part| [b"head", part.as_slice()].concat()).collect();

            let mut buffer = [0; 2048];
            for datagram in &expected {
                let length = plain.recv(&mut buffer).unwrap();
                assert!(buffer[..length] == *datagram);
            }
            for size in [SlotSize::Small, SlotSize::Large] {
                let mut slots = Slots::new(2);
                let mut round = slots.round();
                let got: Vec<_> = round.receive(joining.as_fd(), 2, size).unwrap().collect();
                assert_eq!(got.len(), 1, "one message for five datagrams");
                assert_eq!((got[0].segment, got[0].from, got[0].is_joined()), (1204, sender_address, true));
                assert!(got[0].datagrams().eq(expected.iter().map(Vec::as_slice)));
                parcel.send(sender.as_fd(), 1).unwrap();
            }
        }
    }

    #[test]
    fn an_icmp_message_is_read_with_the_peer_it_is_about() {
        for at in LOOPBACKS {
            let (socket, _) = opened(at, Role::Relay);
            let closed = std_socket(at).1;
            assert_eq!(read_error(socket.as_fd()).unwrap(), None);
            send_one(socket.as_fd(), closed, &[b"x"]).unwrap();
            // Port unreachable: type 3 code 3 (RFC 792), type 1 code 4 (RFC 4443).
            let (kind, code) = if closed.is_ipv4() { (3, 3) } else { (1, 4) };
            let report = read_error(socket.as_fd()).unwrap();
            assert_eq!(report, Some(IcmpReport { peer: closed, kind, code, info: 0 }));
            assert_eq!(read_error(socket.as_fd()).unwrap(), None);
        }
    }

    #[test]
    fn fragmentation_is_allowed_at_first_and_after_it_was_forbidden_for_a_while() {
        for at in LOOPBACKS {
            let (socket, address) = opened(at, Role::Relay);
            let family = Family::of(address.ip());
            let (_peer, peer_address) = std_socket(at);
            let long = vec![0; longest(at)];
            let allowed = match family {
                Family::V4 => libc::IP_PMTUDISC_OMIT,
                Family::V6 => libc::IPV6_PMTUDISC_DONT,
            };
            send_one(socket.as_fd(), peer_address, &[&long]).unwrap();
            assert_eq!(mtu_discovery(&socket, family), allowed);
            disable_fragmentation(socket.as_fd(), family).unwrap();
            assert_eq!(mtu_discovery(&socket, family), libc::IP_PMTUDISC_DO);
            // Only IPv6 has datagrams that are longer, with their headers, than the loopback interface takes.
            if family == Family::V6 {
                let error = send_one(socket.as_fd(), peer_address, &[&long]).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
            }
            restore_fragmentation(socket.as_fd(), family).unwrap();
            assert_eq!(mtu_discovery(&socket, family), allowed);
            send_one(socket.as_fd(), peer_address, &[&long]).unwrap();
        }
    }

    /// RFC 8656 §11.5: the router's answer to an unfragmented datagram comes when others may be fragmented again.
    #[test]
    fn a_router_that_needs_fragments_is_heard_later() {
        let Ok(router) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)) else {
            println!("skipped: only root can forge what a router says");
            return;
        };
        let (socket, address) = opened(LOOPBACKS[0], Role::Relay);
        let (_peer, peer) = std_socket(LOOPBACKS[0]);
        disable_fragmentation(socket.as_fd(), Family::V4).unwrap();
        restore_fragmentation(socket.as_fd(), Family::V4).unwrap();
        let complaint = fragmentation_needed(1280, address.port(), peer.port());
        router.send_to(&complaint, &SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let report = read_error(socket.as_fd()).unwrap();
        assert_eq!(report, Some(IcmpReport { peer, kind: 3, code: 4, info: 1280 }));
    }

    /// What a router says of a datagram between two ports of 127.0.0.1 (RFC 792, RFC 1191).
    fn fragmentation_needed(mtu: u16, from: u16, to: u16) -> Vec<u8> {
        let [mtu, from, to] = [mtu, from, to].map(u16::to_be_bytes);
        let ip = [0x45, 0, 5, 148, 0, 1, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        let head = [3, 4, 0, 0, 0, 0];
        let mut message = [&head[..], &mtu, &ip, &from, &to, &[5, 128, 0, 0]].concat();
        let words = message.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        let sum = !u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    fn mtu_discovery(socket: &OwnedFd, family: Family) -> libc::c_int {
        let (level, name) = match family {
            Family::V4 => (libc::SOL_IP, libc::IP_MTU_DISCOVER),
            Family::V6 => (libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER),
        };
        let (mut value, mut length) = (-1, 4);
        // SAFETY: an int and its size, both of which outlive the call.
        let result = unsafe {
            libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
        };
        assert_eq!((result, length), (0, 4));
        value
    }

    #[test]
    fn datagrams_lost_to_a_full_receive_buffer_are_counted_by_the_kernel() {
        let small = BufferSizes { receive: Some(2048), send: None };
        let socket = udp::open("127.0.0.1:0".parse().unwrap(), Role::Alone, small).unwrap();
        let address = udp::local_address(&socket).unwrap();
        let (peer, _) = std_socket(LOOPBACKS[0]);
        let mut slots = Slots::new(64);
        let mut lost = None;
        for _ in 0..2 {
            for _ in 0..50 {
                peer.send_to(&[0; 1000], address).unwrap();
            }
            let mut round = slots.round();
            for message in round.receive(socket.as_fd(), 64, SlotSize::Small).unwrap() {
                lost = lost.max(message.lost);
            }
        }
        assert!(lost.is_some_and(|lost| lost > 10), "{lost:?}");
    }
}
