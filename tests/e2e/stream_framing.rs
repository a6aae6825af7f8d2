//! Where messages begin and end over TCP and TLS (RFC 8489 §6.2.2, RFC 8656 §12.5).

use turnbridge::wire::{AttributeType, ChannelNumber, Class, Message, Method, decode_xor_address};

use crate::site::{LOCAL_PEERS, Site, WAYS, Way, peer};
use crate::stream_client::{Frame, StreamClient, channel_data};

const CHANNEL: ChannelNumber = ChannelNumber::FIRST;

/// A client with a channel to a peer.
fn with_channel(site: &Site, way: Way, peer: std::net::SocketAddr) -> StreamClient {
    let mut client = site.client(way);
    client.allocate().unwrap();
    client.bind(CHANNEL, peer).unwrap();
    client
}

#[test]
fn a_stream_means_the_same_wherever_it_is_split() {
    let site = Site::start("split", LOCAL_PEERS);
    let (socket, address) = peer();
    for way in [Way::Tcp, Way::Tls] {
        let mut client = with_channel(&site, way, address);
        // ChannelData of an odd length, a Binding request with FINGERPRINT, a Send indication, ChannelData again.
        let binding = client.login.bare(Method::BINDING, |writer| writer.fingerprint());
        let stream = [
            channel_data(CHANNEL, b"odd"),
            binding.clone(),
            client.indication(address, b"an indication"),
            channel_data(CHANNEL, b"more"),
        ]
        .concat();
        for at in 1..stream.len() {
            client.write(&stream[..at]);
            site.settle();
            client.write(&stream[at..]);
            let answer = client.answer_to(&binding);
            assert!(Message::parse(&answer).unwrap().has_fingerprint(), "split at {at}");
            for expected in [&b"odd"[..], b"an indication", b"more"] {
                let mut heard = [0; 100];
                let length = socket.recv(&mut heard).unwrap();
                assert_eq!(&heard[..length], expected, "split at {at}");
            }
        }
        // All of it byte by byte.
        for byte in &stream {
            client.write(&[*byte]);
        }
        client.answer_to(&binding);
        for expected in [3, 13, 4] {
            assert_eq!(socket.recv(&mut [0; 100]).unwrap(), expected);
        }
    }
}

#[test]
fn many_messages_in_one_piece_are_all_served_in_order() {
    const COUNT: u8 = 200;
    let site = Site::start("coalesced", LOCAL_PEERS);
    let (socket, address) = peer();
    for way in WAYS {
        let mut client = with_channel(&site, way, address);
        let mut stream = Vec::new();
        let mut requests = Vec::new();
        for number in 0..COUNT {
            let request = client.login.bare(Method::BINDING, |writer| writer);
            stream.extend_from_slice(&request);
            stream.extend(channel_data(CHANNEL, &vec![number; usize::from(number)]));
            requests.push(request);
        }
        client.write(&stream);
        for request in &requests {
            let Ok(Frame::Message(answer)) = client.hear() else { panic!("no answer") };
            assert_eq!(answer[8..20], request[8..20], "answers come in order");
        }
        for number in 0..COUNT {
            let mut heard = [0; 300];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(heard[..length], vec![number; usize::from(number)]);
        }
    }
}

#[test]
fn data_of_any_length_is_padded_to_four_both_ways() {
    let site = Site::start("padding", LOCAL_PEERS);
    let (socket, address) = peer();
    for way in WAYS {
        let mut client = with_channel(&site, way, address);
        let mut heard = [0; 2000];
        for length in (0..=9).chain(1195..=1205) {
            let payload: Vec<u8> = (0..length).map(|at: u16| at.to_be_bytes()[1] | 1).collect();
            client.send(CHANNEL, &payload);
            let (count, relay) = socket.recv_from(&mut heard).unwrap();
            assert_eq!(heard[..count], payload, "{length} bytes up, {way:?}");
            // The client checks that there is padding, and that it is zero.
            socket.send_to(&payload, relay).unwrap();
            assert_eq!(client.receive(CHANNEL), payload, "{length} bytes down, {way:?}");
        }
        // The stream is where it should be.
        assert_eq!(client.binding(), client.address());
    }
}

#[test]
fn data_indications_are_messages_like_any_other() {
    let site = Site::start("indications", LOCAL_PEERS);
    let (socket, address) = peer();
    for way in WAYS {
        let mut client = site.client(way);
        client.allocate().unwrap();
        let permission = client.request(Method::CREATE_PERMISSION, |writer| {
            writer.xor_address(AttributeType::XOR_PEER_ADDRESS, address)
        });
        permission.unwrap();
        for length in 0..9 {
            let payload = vec![7; length];
            let indication = client.indication(address, &payload);
            client.write(&indication);
            let mut heard = [0; 100];
            let (count, relay) = socket.recv_from(&mut heard).unwrap();
            assert_eq!(heard[..count], payload);
            socket.send_to(&payload, relay).unwrap();
            let Ok(Frame::Message(bytes)) = client.hear() else { panic!("no indication") };
            let message = Message::parse(&bytes).unwrap();
            assert_eq!((message.header().class, message.header().method), (Class::Indication, Method::DATA));
            assert_eq!(message.get(AttributeType::DATA), Some(&payload[..]));
            let peer = message.get(AttributeType::XOR_PEER_ADDRESS);
            assert_eq!(peer.and_then(|value| decode_xor_address(value, message.header())), Some(address));
        }
    }
}

#[test]
fn the_longest_frames_pass_or_are_dropped_and_the_stream_lives() {
    /// What fits into a UDP datagram over IPv4.
    const DATAGRAM_MAX: usize = 65_507;
    let site = Site::start("longest", LOCAL_PEERS);
    let (socket, address) = peer();
    for way in WAYS {
        let mut client = with_channel(&site, way, address);
        let mut heard = vec![0; 70_000];
        for length in [DATAGRAM_MAX, 65_508, 65_531, 65_532, 65_535, DATAGRAM_MAX - 1] {
            client.send(CHANNEL, &vec![9; length]);
            client.send(CHANNEL, b"behind it");
            if length <= DATAGRAM_MAX {
                assert_eq!(socket.recv(&mut heard).unwrap(), length, "{way:?}");
            }
            let (count, relay) = socket.recv_from(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"behind it", "{length} bytes, {way:?}");
            socket.send_to(&vec![8; length.min(DATAGRAM_MAX)], relay).unwrap();
            assert_eq!(client.receive(CHANNEL), vec![8; length.min(DATAGRAM_MAX)]);
            assert_eq!(client.binding(), client.address());
        }
        // For a channel that is not bound there is nobody to send to.
        client.send(ChannelNumber::LAST, &vec![9; 65_535]);
        client.send(CHANNEL, b"still here");
        assert_eq!(socket.recv(&mut heard).unwrap(), 10);
    }
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let site = Site::start("half-closed", "");
    for way in WAYS {
        let mut client = site.client(way);
        let requests: Vec<_> = (0..50).map(|_| client.login.bare(Method::BINDING, |writer| writer)).collect();
        client.write(&requests.concat());
        client.wire.finish();
        for request in &requests {
            client.answer_to(request);
        }
        assert_eq!(client.ending(), crate::wire::Ending::Closed, "{way:?}");
    }
}
