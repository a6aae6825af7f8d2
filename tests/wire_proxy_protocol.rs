//! Properties of the PROXY protocol: what a load balancer writes is read, however it is cut on its way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use turnbridge::wire::proxy_protocol::{Ends, Parsed, ProxyHeader, parse};

fn address(is_v4: bool) -> BoxedStrategy<SocketAddr> {
    let ip = if is_v4 {
        any::<[u8; 4]>().prop_map(IpAddr::from).boxed()
    } else {
        any::<[u8; 16]>().prop_map(IpAddr::from).boxed()
    };
    (ip, any::<u16>()).prop_map(SocketAddr::from).boxed()
}

fn ends() -> impl Strategy<Value = Ends> {
    any::<bool>().prop_flat_map(|is_v4| (address(is_v4), address(is_v4))).prop_map(|(source, destination)| {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Ends { source: plain(source), destination: plain(destination) }
    })
}

/// Both ends in one version of IP, as a header has to have them.
fn dressed(ends: Ends) -> (bool, IpAddr, IpAddr) {
    let (source, destination) = (ends.source.ip(), ends.destination.ip());
    let clothed = |ip| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    };
    match (source, destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (true, source, destination),
        _ => (false, clothed(source), clothed(destination)),
    }
}

fn line(ends: Ends) -> Vec<u8> {
    let (is_v4, source, destination) = dressed(ends);
    let protocol = if is_v4 { "TCP4" } else { "TCP6" };
    let (from, to) = (ends.source.port(), ends.destination.port());
    format!("PROXY {protocol} {source} {destination} {from} {to}\r\n").into_bytes()
}

fn binary(ends: Ends, fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let (is_v4, source, destination) = dressed(ends);
    let mut rest = Vec::new();
    for ip in [source, destination] {
        match ip {
            IpAddr::V4(ip) => rest.extend(ip.octets()),
            IpAddr::V6(ip) => rest.extend(ip.octets()),
        }
    }
    rest.extend(ends.source.port().to_be_bytes());
    rest.extend(ends.destination.port().to_be_bytes());
    for (kind, value) in fields {
        rest.push(*kind);
        rest.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        rest.extend(value);
    }
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let family = if is_v4 { 0x11 } else { 0x21 };
    [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family], &length, &rest].concat()
}

/// Fields of any kind but the checksum.
fn fields() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let kind = any::<u8>().prop_filter("not a checksum", |kind| *kind != 3);
    vec((kind, vec(any::<u8>(), 0..300)), 0..5)
}

/// Reads as a connection does: whenever something has come, all of it so far.
fn read_in_pieces(bytes: &[u8], mut cuts: Vec<usize>) -> ProxyHeader {
    cuts.push(bytes.len());
    cuts.sort_unstable();
    cuts.iter()
        .find_map(|end| match parse(&bytes[..*end]).unwrap() {
            Parsed::NeedMore => None,
            Parsed::Header(header) => Some(header),
        })
        .unwrap()
}

proptest! {
    #[test]
    fn a_header_is_the_same_however_it_is_cut(
        ends in ends(),
        fields in proptest::option::of(fields()),
        behind in vec(any::<u8>(), 0..200),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let header = fields.map_or_else(|| line(ends), |fields| binary(ends, &fields));
        let bytes = [&header[..], &behind].concat();
        let cuts = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        let expected = ProxyHeader { ends: Some(ends), length: header.len() };
        prop_assert_eq!(read_in_pieces(&bytes, cuts), expected);
        for end in 0..header.len() {
            prop_assert_eq!(parse(&bytes[..end]), Ok(Parsed::NeedMore));
        }
    }
}
