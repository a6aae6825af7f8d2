//! TLS as clients do it: its versions, ALPN (RFC 7443), both kinds of connection on one port, and those that get it
//! wrong.

use std::io::Read;

use rustls::ProtocolVersion;

use crate::authority::{BOTH, ONLY_1_2, ONLY_1_3, Versions};
use crate::site::{Site, Way};
use crate::stream_client::StreamClient;
use crate::wire::{Ending, Wire, connect};

/// Shakes hands and uses the connection; the protocol that was agreed on.
fn agree(site: &Site, way: Way, versions: Versions, alpn: &[&str]) -> Result<Option<String>, std::io::Error> {
    let wire = Wire::tls(connect(site.port(way)), site.authority.client(versions, alpn))?;
    let Wire::Tls(tls) = &wire else { unreachable!("it was made so") };
    let expected = if versions == ONLY_1_2 { ProtocolVersion::TLSv1_2 } else { ProtocolVersion::TLSv1_3 };
    assert_eq!(tls.conn.protocol_version(), Some(expected));
    let agreed = tls.conn.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
    let mut client = StreamClient::new(wire, site.credential());
    assert_eq!(client.binding(), client.address());
    client.allocate().unwrap();
    client.refresh(0).unwrap();
    // Each side says that it has said all.
    client.wire.finish();
    assert_eq!(client.ending(), Ending::Closed);
    Ok(agreed)
}

#[test]
fn tls_1_2_and_1_3_agree_on_the_protocol_of_rfc_7443() {
    let site = Site::start("alpn", "");
    let cases: [(&[&str], Option<&str>); 4] = [
        (&[], None),
        (&["stun.turn"], Some("stun.turn")),
        (&["stun.nat-discovery"], Some("stun.nat-discovery")),
        (&["h2", "stun.nat-discovery", "stun.turn"], Some("stun.turn")),
    ];
    for way in [Way::Tls, Way::AutoTls] {
        for versions in [ONLY_1_2, ONLY_1_3, BOTH] {
            for (offered, expected) in cases {
                let agreed = agree(&site, way, versions, offered).unwrap();
                assert_eq!(agreed.as_deref(), expected, "{offered:?}");
            }
        }
    }
}

#[test]
fn a_protocol_that_nobody_knows_is_ignored_and_http_is_refused_without_a_fallback() {
    let site = Site::start("alpn-unknown", "");
    // A browser or a library may name its own; TURN goes on without an agreement.
    assert_eq!(agree(&site, Way::Tls, ONLY_1_3, &["webrtc", "c-webrtc"]).unwrap(), None);
    let refused = agree(&site, Way::Tls, ONLY_1_3, &["h2", "http/1.1"]).unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn plain_stun_on_a_tls_port_and_tls_on_a_plain_port_end_with_a_reason() {
    let site = Site::start("wrong-port", "");
    let mut plain = StreamClient::new(Wire::Tcp(connect(site.port(Way::Tls))), site.credential());
    let request = plain.login.bare(turnbridge::wire::Method::BINDING, |writer| writer);
    plain.write(&request);
    let mut said = Vec::new();
    let Wire::Tcp(stream) = &mut plain.wire else { unreachable!("it was made so") };
    // What comes before the end, or the reset, is a TLS alert.
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty() || said[0] == 21, "{said:?}");
    assert_eq!(site.end_of(plain.address()), "TLS failed");

    let tls = connect(site.port(Way::Tcp));
    let address = tls.local_addr().unwrap();
    assert!(Wire::tls(tls, site.authority.client(ONLY_1_3, &[])).is_err());
    assert_eq!(site.end_of(address), "garbage");
}

#[test]
fn a_broken_record_ends_the_connection_with_an_alert() {
    let site = Site::start("bad-record", "");
    let mut client = site.client(Way::Tls);
    client.allocate().unwrap();
    let address = client.address();
    // A record of application data that nobody has encrypted.
    let Wire::Tls(tls) = &mut client.wire else { unreachable!("it was made so") };
    std::io::Write::write_all(
        &mut tls.sock,
        &[
            23, 3, 3, 0, 32, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
            7, 7, 7, 7, 7,
        ],
    )
    .unwrap();
    let error = tls.read(&mut [0; 100]).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert_eq!(site.end_of(address), "TLS failed");
    assert_eq!(site.end_of_allocation(address), "disconnected");
}

#[test]
fn an_old_version_of_tls_is_refused_with_an_alert() {
    let site = Site::start("old-tls", "");
    // A ClientHello that knows nothing above TLS 1.1.
    let mut hello = vec![1, 0, 0, 43, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xC0, 0x13, 1, 0, 0, 0]);
    hello.truncate(4 + 43);
    let length = u16::try_from(hello.len()).unwrap().to_be_bytes();
    let mut stream = connect(site.port(Way::Tls));
    std::io::Write::write_all(&mut stream, &[&[22, 3, 1][..], &length, &hello].concat()).unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    // A fatal alert: protocol_version, or handshake_failure for want of what TLS 1.2 brought.
    assert!(matches!(said[..], [21, 3, _, 0, 2, 2, 40 | 70]), "{said:?}");
    assert_eq!(site.end_of(stream.local_addr().unwrap()), "TLS failed");
}
