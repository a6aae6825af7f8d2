//! Behind a load balancer that says by the PROXY protocol whose connection it is.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::site::{Site, WAYS, Way};
use crate::wire::{Ending, connect, connect_from};

/// Only connections from 127.0.0.2 come from a load balancer.
fn site(name: &str, more: &str) -> Site {
    let keys = |transport: &str| match transport {
        "udp" => String::new(),
        _ => "proxy_protocol_from = [\"127.0.0.2/32\"]".to_owned(),
    };
    Site::start_with(name, keys, more)
}

fn from_balancer(site: &Site, way: Way) -> TcpStream {
    connect_from("127.0.0.2:0".parse().unwrap(), site.port(way))
}

fn line(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 192.0.2.9 40000 3478\r\n").into_bytes()
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}

/// 127.7.0.7:258, with a field that nobody knows behind the addresses.
fn binary_v4() -> Vec<u8> {
    binary(0x21, 0x11, &[127, 7, 0, 7, 192, 0, 2, 9, 1, 2, 13, 150, 0xEA, 0, 3, 1, 2, 3])
}

fn binary_v6() -> Vec<u8> {
    let ip = |last: u8| [0x20, 1, 0x0D, 0xB9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    binary(0x21, 0x21, &[&ip(7)[..], &ip(9), &[1, 2, 13, 150]].concat())
}

#[test]
fn the_client_that_a_load_balancer_names_is_the_client() {
    let site = site("proxy", "");
    let cases: [(Vec<u8>, &str); 4] = [
        (line("127.7.0.7"), "127.7.0.7:40000"),
        (b"PROXY TCP6 2001:db9::7 2001:db9::9 40000 3478\r\n".to_vec(), "[2001:db9::7]:40000"),
        (binary_v4(), "127.7.0.7:258"),
        (binary_v6(), "[2001:db9::7]:258"),
    ];
    for way in WAYS {
        for (header, expected) in &cases {
            let mut stream = from_balancer(&site, way);
            stream.write_all(header).unwrap();
            let mut client = site.client_on(way, stream);
            assert_eq!(client.binding().to_string(), *expected, "{way:?}");
            let named: SocketAddr = expected.parse().unwrap();
            // From loopback addresses, which are all there is to relay from here, only their neighbours are served.
            if named.is_ipv4() {
                client.allocate().unwrap();
            }
            client.wire.finish();
            assert_eq!(client.ending(), Ending::Closed);
            assert_eq!(site.end_of(named), "closed by client");
            if named.is_ipv4() {
                assert_eq!(site.end_of_allocation(named), "disconnected");
            }
        }
    }
}

#[test]
fn a_load_balancer_that_names_nobody_speaks_for_itself() {
    let site = site("proxy-local", "");
    let headers = [
        binary(0x20, 0, &[]),
        binary(0x20, 0x11, &[7; 12]),
        binary(0x21, 0, &[]),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ];
    for way in WAYS {
        for header in &headers {
            let mut stream = from_balancer(&site, way);
            stream.write_all(header).unwrap();
            let mut client = site.client_on(way, stream);
            assert_eq!(client.binding(), client.address(), "{way:?}");
        }
    }
}

#[test]
fn a_header_may_come_in_pieces_or_together_with_what_follows() {
    let site = site("proxy-split", "");
    for header in [line("127.7.0.7"), binary_v4()] {
        for at in 1..header.len() {
            let mut stream = from_balancer(&site, Way::Tcp);
            stream.write_all(&header[..at]).unwrap();
            site.settle();
            stream.write_all(&header[at..]).unwrap();
            let mut client = site.client_on(Way::Tcp, stream);
            assert_eq!(client.binding().ip().to_string(), "127.7.0.7", "split at {at}");
        }
        // In one piece with the first request, and with another one behind it.
        let mut client = site.client_on(Way::AutoTcp, from_balancer(&site, Way::AutoTcp));
        let request = client.login.bare(turnbridge::wire::Method::BINDING, |writer| writer);
        client.write(&[&header[..], &request].concat());
        client.answer_to(&request);
        assert_eq!(client.binding().ip().to_string(), "127.7.0.7");
    }
}

#[test]
fn whoever_is_no_load_balancer_cannot_name_a_client() {
    let site = site("proxy-stranger", "");
    for header in [line("127.7.0.7"), binary_v4()] {
        let mut client = site.client(Way::Tcp);
        client.write(&header);
        assert!(matches!(client.ending(), Ending::Closed | Ending::Reset));
        assert_eq!(site.end_of(client.address()), "garbage");
    }
    let mut client = site.client(Way::Tls);
    assert_eq!(client.binding(), client.address());
}

#[test]
fn a_load_balancer_without_a_good_header_is_refused_with_the_reason() {
    let site = site("proxy-missing", "");
    let stun = site.login().bare(turnbridge::wire::Method::BINDING, |writer| writer);
    let mut bad = line("127.7.0.7");
    bad[11] = b'x';
    for way in [Way::Tcp, Way::Tls, Way::AutoTcp] {
        for bytes in [&stun[..], &[0x16, 3, 1, 0, 5], &bad, &binary(0x22, 0x11, &[7; 12])] {
            let mut stream = from_balancer(&site, way);
            stream.write_all(bytes).unwrap();
            let address = stream.local_addr().unwrap();
            assert_eq!(site.end_of(address), "no good PROXY header", "{way:?} {bytes:?}");
        }
    }
    site.server.wait_for("no good PROXY header from a load balancer", |line| {
        (line["level"] == "warn" && line["reason"] == "there is none").then_some(())
    });
}

#[test]
fn a_header_has_the_deadline_of_a_handshake() {
    let site = site("proxy-late", "[limits]\nhandshake_timeout = \"1s\"\n");
    for way in [Way::Tcp, Way::Tls, Way::AutoTcp] {
        let mut stream = from_balancer(&site, way);
        stream.write_all(b"PROXY TCP4 127.7").unwrap();
        let begun = Instant::now();
        assert_eq!(site.end_of(stream.local_addr().unwrap()), "handshake timeout", "{way:?}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    // One that hangs up in the middle of it.
    let mut stream = from_balancer(&site, Way::Tcp);
    let address = stream.local_addr().unwrap();
    stream.write_all(b"PROXY TCP4 127.7").unwrap();
    site.settle();
    drop(stream);
    assert!(["closed by client", "broken"].contains(&site.end_of(address).as_str()));
}

#[test]
fn limits_hold_for_the_client_and_not_for_the_load_balancer() {
    let site = site("proxy-caps", "[limits]\nconnections_per_ip = 2\nallocations_per_ip = 1\n");
    let named = |ip: &str| {
        let mut stream = from_balancer(&site, Way::Tcp);
        stream.write_all(&line(ip)).unwrap();
        site.client_on(Way::Tcp, stream)
    };
    // Their ports are all the same, so each has an address of its own.
    let mut clients: Vec<_> = (1..=5).map(|last| named(&format!("127.7.0.{last}"))).collect();
    for client in &mut clients {
        client.allocate().unwrap();
    }
    let second = |port: u16| {
        let mut stream = from_balancer(&site, Way::Tcp);
        write!(stream, "PROXY TCP4 127.7.0.1 192.0.2.9 {port} 3478\r\n").unwrap();
        site.client_on(Way::Tcp, stream)
    };
    let mut two = second(40_001);
    assert_eq!(two.allocate(), Err(486), "one allocation of an address");
    let mut three = second(40_002);
    assert!(matches!(three.ending(), Ending::Closed | Ending::Reset));
    assert_eq!(site.end_of("127.7.0.1:40002".parse().unwrap()), "too many connections");
    // The load balancer itself is no client, and connections that are none of its are as ever.
    let mut direct = site.client_on(Way::Tcp, connect(site.port(Way::Tcp)));
    direct.allocate().unwrap();
}
