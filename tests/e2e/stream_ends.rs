//! Why and when the server ends a connection, and that it does.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use turnbridge::wire::{ChannelNumber, Method};

use crate::authority::{BOTH, ONLY_1_3};
use crate::site::{LOCAL_PEERS, Site, WAYS, Way, peer};
use crate::stream_client::channel_data;
use crate::wire::{Ending, Wire, connect, connect_from};

/// Short deadlines, and one that is not under test long.
const HASTY: &str =
    "[limits]\nhandshake_timeout = \"2s\"\nfirst_request_timeout = \"2s\"\nidle_timeout = \"3s\"\n";
/// The server looks at its deadlines once a second; a busy machine may be late.
const LATE: Duration = Duration::from_secs(8);

#[test]
fn garbage_ends_the_connection_with_its_reason() {
    let site = Site::start("garbage", "");
    let mut odd_length = site.login().bare(Method::BINDING, |writer| writer);
    odd_length[3] = 2;
    let mut no_cookie = site.login().bare(Method::BINDING, |writer| writer);
    no_cookie[4] = 0;
    let cases: [(&str, &[u8]); 8] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: turn.example.org\r\n\r\n"),
        ("TLS", &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
        ("RTP", &[0x80; 40]),
        ("the last byte there is", &[0xFF]),
        ("what STUN does not use", &[0x04, 0, 0, 0]),
        ("ChannelData before any message", &[0x40, 0, 0, 4, 1, 2, 3, 4]),
        ("an odd length", &odd_length),
        ("no cookie", &no_cookie),
    ];
    for (name, bytes) in cases {
        for way in [Way::Tcp, Way::Tls] {
            let mut client = site.client(way);
            client.write(bytes);
            assert!(matches!(client.ending(), Ending::Closed | Ending::Reset), "{name}");
            assert_eq!(site.end_of(client.address()), "garbage", "{name}");
        }
    }
    // Also in the middle of a stream, and then the allocation ends with it. What could be ChannelData is none of these:
    // letters are, of some channel, as is "GET ".
    for (name, bytes) in cases {
        if name.starts_with("ChannelData") || name == "HTTP" {
            continue;
        }
        let mut client = site.client(Way::Tcp);
        client.allocate().unwrap();
        client.write(bytes);
        assert!(matches!(client.ending(), Ending::Closed | Ending::Reset), "{name}");
        assert_eq!(site.end_of(client.address()), "garbage", "{name}");
        assert_eq!(site.end_of_allocation(client.address()), "disconnected", "{name}");
    }
}

#[test]
fn r07_a_long_announcement_takes_memory_only_from_those_who_are_known() {
    let site = Site::start("announced", LOCAL_PEERS);
    let (_socket, address) = peer();
    // A stranger that begins properly.
    let mut stranger = site.client(Way::Tcp);
    stranger.binding();
    stranger.write(&[0x40, 0, 0xFF, 0xFF]);
    stranger.ending();
    assert_eq!(site.end_of(stranger.address()), "message too long");
    // A client of ours may take its time, and is served when the rest comes.
    let mut client = site.client(Way::Tcp);
    client.allocate().unwrap();
    client.bind(ChannelNumber::FIRST, address).unwrap();
    let frame = channel_data(ChannelNumber::FIRST, &[7; 65_535]);
    client.write(&frame[..30_000]);
    site.settle();
    client.write(&frame[30_000..]);
    assert_eq!(client.binding(), client.address());
}

/// Sends a byte now and then until the server has ended the connection. Returns how long that took.
fn trickle(stream: &mut TcpStream, bytes: &[u8], is_over: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    for byte in bytes {
        if is_over() || stream.write_all(&[*byte]).is_err() {
            return begun.elapsed();
        }
        std::thread::park_timeout(Duration::from_millis(250));
    }
    panic!("it goes on for {:?}", begun.elapsed());
}

#[test]
fn r06_a_handshake_that_trickles_ends_at_its_deadline() {
    let site = Site::start("r06-handshake", HASTY);
    // The first message of a real handshake.
    let mut hello = Vec::new();
    site.authority.client(BOTH, &[]).write_tls(&mut hello).unwrap();
    for way in [Way::Tls, Way::AutoTls] {
        for bytes in [&hello[..1], &hello[..100], &hello[..]] {
            let mut stream = connect(site.port(way));
            let address = stream.local_addr().unwrap();
            let begun = Instant::now();
            if bytes.len() == 100 {
                let ended = || {
                    !site.server.logged("connection ended").is_empty()
                        && site
                            .server
                            .logged("connection ended")
                            .iter()
                            .any(|line| line["client"] == address.to_string())
                };
                let took = trickle(&mut stream, bytes, ended);
                assert!(took >= Duration::from_secs(2) && took < LATE, "{took:?}");
            } else {
                stream.write_all(bytes).unwrap();
            }
            assert_eq!(site.end_of(address), "handshake timeout", "{way:?}");
            assert!(begun.elapsed() < LATE);
        }
    }
    // A connection that says nothing: on the TLS port it owes a handshake, on the others a request.
    for (way, reason) in [(Way::Tls, "handshake timeout"), (Way::Tcp, "request timeout")] {
        let stream = connect(site.port(way));
        assert_eq!(site.end_of(stream.local_addr().unwrap()), reason);
    }
}

#[test]
fn r06_the_first_request_has_a_deadline_that_single_bytes_do_not_move() {
    let site = Site::start("r06-request", HASTY);
    for way in WAYS {
        let mut client = site.client(way);
        let address = client.address();
        let request = client.login.bare(Method::ALLOCATE, |writer| writer);
        let begun = Instant::now();
        for byte in &request[..19] {
            if client.wire.write(&[*byte]).is_err() || begun.elapsed() > LATE {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(250));
        }
        assert_eq!(site.end_of(address), "request timeout", "{way:?}");
    }
}

#[test]
fn who_holds_nothing_is_put_out_after_a_while_and_who_does_stays() {
    let site = Site::start("idle", HASTY);
    let mut holders = WAYS.map(|way| site.client(way));
    for holder in &mut holders {
        holder.allocate().unwrap();
    }
    for way in WAYS {
        let mut client = site.client(way);
        client.binding();
        let begun = Instant::now();
        assert_eq!(client.ending(), Ending::Closed, "{way:?}");
        assert!(begun.elapsed() > Duration::from_secs(2) && begun.elapsed() < LATE, "{:?}", begun.elapsed());
        assert_eq!(site.end_of(client.address()), "idle");
    }
    // Those were silent for much longer.
    for holder in &mut holders {
        holder.refresh(600).unwrap();
        holder.refresh(0).unwrap();
        assert_eq!(holder.ending(), Ending::Closed);
    }
}

#[test]
fn a_client_that_leaves_ends_its_allocation_at_once_however_it_leaves() {
    let site = Site::start("leaves", "");
    for way in WAYS {
        for is_polite in [true, false] {
            let mut client = site.client(way);
            client.allocate().unwrap();
            let address = client.address();
            let begun = Instant::now();
            if is_polite {
                client.wire.finish();
                assert_eq!(client.ending(), Ending::Closed, "{way:?}");
            } else {
                // Closed with a reset: what was to be sent is thrown away.
                socket2::SockRef::from(client.wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
                drop(client);
            }
            assert_eq!(site.end_of_allocation(address), "disconnected", "{way:?}");
            assert!(begun.elapsed() < LATE);
        }
    }
}

#[test]
fn one_address_over_udp_and_tcp_is_two_clients() {
    let site = Site::start("same-address", "");
    let mut tcp = site.client(Way::Tcp);
    let mut udp = crate::client::Client::at(tcp.address(), site.at("udp"), site.credential());
    let mut tls = site.client_on(Way::Tls, connect_from(tcp.address(), site.at("tls")));
    assert_eq!((udp.address(), tls.address()), (tcp.address(), tcp.address()));
    let relays = [tcp.allocate().unwrap(), udp.allocate(|writer| writer).unwrap(), tls.allocate().unwrap()];
    assert!(relays[0] != relays[1] && relays[1] != relays[2] && relays[0] != relays[2]);
    // What one gives back the others keep.
    tcp.refresh(0).unwrap();
    assert_eq!(tcp.refresh(600), Err(437));
    tls.refresh(600).unwrap();
    tls.wire.finish();
    tls.ending();
    assert_eq!(udp.allocate(|writer| writer), Err(437));
    udp.release();
}

#[test]
fn a_stopping_server_says_good_bye_to_its_connections() {
    let mut site = Site::start("good-bye", "[drain]\ntimeout = \"0s\"\n");
    let mut clients = WAYS.map(|way| site.client(way));
    for client in &mut clients {
        client.allocate().unwrap();
    }
    // One in the middle of its handshake does not hold up anything.
    let _halfway = connect(site.port(Way::Tls));
    let begun = Instant::now();
    assert_eq!(site.server.stop().code(), Some(0));
    assert!(begun.elapsed() < LATE);
    for client in &mut clients {
        assert_eq!(client.ending(), Ending::Closed);
    }
    let ended = site.server.logged("allocation ended");
    assert_eq!(ended.len(), WAYS.len());
    assert!(ended.iter().all(|line| line["reason"] == "stopped"), "{ended:?}");
}

#[test]
fn a_dropped_wire_is_noticed_in_the_middle_of_a_handshake() {
    let site = Site::start("hung-up", "");
    let mut hello = Vec::new();
    site.authority.client(ONLY_1_3, &[]).write_tls(&mut hello).unwrap();
    for length in [0, 1, 60, hello.len()] {
        let mut stream = connect(site.port(Way::Tls));
        let address = stream.local_addr().unwrap();
        stream.write_all(&hello[..length]).unwrap();
        site.settle();
        drop(stream);
        let reason = site.end_of(address);
        assert!(["TLS failed", "broken"].contains(&reason.as_str()), "{reason}");
    }
    // Others do not notice.
    let Wire::Tls(_) = site.client(Way::Tls).wire else { panic!("no TLS") };
}
