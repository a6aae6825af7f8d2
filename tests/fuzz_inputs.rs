//! The checks of the fuzz targets, run over their checked-in inputs and over small changes of these.
//!
//! `TURNBRIDGE_WRITE_SEEDS=1 cargo test --test fuzz_inputs` writes the seeds. The input of a finding goes into
//! `fuzz/regressions/TARGET`, and stays tested here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use turnbridge::wire::*;

#[allow(unreachable_pub, reason = "it is the library of the fuzz targets")]
#[path = "../fuzz/src/lib.rs"]
mod checks;

/// A fuzz target: its name, what it checks, and what it starts from.
struct Target {
    name: &'static str,
    check: fn(&[u8]),
    seeds: Vec<(&'static str, Vec<u8>)>,
}

fn targets() -> Vec<Target> {
    vec![
        Target { name: "message", check: checks::wire::message, seeds: messages() },
        Target { name: "differential", check: checks::differential::message, seeds: messages() },
        Target { name: "channel_data", check: checks::wire::channel_data, seeds: frames() },
        Target { name: "address", check: checks::wire::address, seeds: addresses() },
        Target { name: "writer", check: checks::wire::writer, seeds: scripts() },
        Target { name: "core", check: checks::model::play, seeds: plays() },
        Target { name: "relay", check: checks::relay::sequence, seeds: sequences() },
        Target { name: "config", check: checks::config::text, seeds: configurations() },
        Target { name: "coturn", check: checks::coturn::text, seeds: foreign_configurations() },
        Target { name: "proxy_protocol", check: checks::proxy_protocol::first_bytes, seeds: proxy_headers() },
        Target { name: "username", check: checks::auth::username, seeds: usernames() },
    ]
}

/// Choices without a plan: enough for a few clients to meet a challenge and to allocate something.
fn plays() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |factor: u32| -> Vec<u8> {
        (1..=300_u32).map(|at| (at.wrapping_mul(at).wrapping_mul(factor) >> 9).to_be_bytes()[3]).collect()
    };
    vec![("first", bytes(2_654_435_761)), ("second", bytes(2_246_822_519)), ("third", bytes(3_266_489_917))]
}

fn request(method: Method, attributes: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    message(Class::Request, method, attributes)
}

fn message(class: Class, method: Method, attributes: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut buffer = [0; 512];
    let header = Header::new(class, method, TransactionId(*b"transaction!"));
    attributes(Writer::new(&mut buffer, header)).finish().unwrap().to_vec()
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = "198.51.100.7:9999".parse().unwrap();
    let v6 = "[2001:db8::7]:9999".parse().unwrap();
    vec![
        ("binding", request(Method::BINDING, |w| w.fingerprint())),
        ("classic-binding", {
            let mut bytes = request(Method::BINDING, |w| w.number(AttributeType::CHANGE_REQUEST, 0));
            bytes[4..8].copy_from_slice(b"3489");
            bytes
        }),
        (
            "discovery",
            request(Method::BINDING, |w| {
                w.number(AttributeType::CHANGE_REQUEST, 6)
                    .attribute(AttributeType::RESPONSE_PORT, &[0x0D, 0x97, 0, 0])
                    .attribute(AttributeType::PADDING, &[0; 8])
            }),
        ),
        (
            "discovery-answer",
            message(Class::Success, Method::BINDING, |w| {
                w.xor_address(AttributeType::XOR_MAPPED_ADDRESS, v4)
                    .address(AttributeType::MAPPED_ADDRESS, v4)
                    .address(AttributeType::RESPONSE_ORIGIN, v4)
                    .address(AttributeType::OTHER_ADDRESS, v6)
            }),
        ),
        (
            "allocate",
            request(Method::ALLOCATE, |w| {
                w.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                    .number(AttributeType::LIFETIME, 600)
                    .attribute(AttributeType::EVEN_PORT, &[0x80])
                    .attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])
                    .flag(AttributeType::DONT_FRAGMENT)
                    .attribute(AttributeType::USERNAME, b"1760000000:alice")
                    .attribute(AttributeType::REALM, b"realm")
                    .attribute(AttributeType::NONCE, b"obMatJos2wAAAnonce")
                    .integrity_sha1(b"key")
                    .fingerprint()
            }),
        ),
        (
            "allocate-sha256",
            request(Method::ALLOCATE, |w| {
                w.attribute(AttributeType::RESERVATION_TOKEN, &[1, 2, 3, 4, 5, 6, 7, 8])
                    .attribute(AttributeType::USERHASH, &[7; 32])
                    .attribute(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
                    .attribute(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0])
                    .integrity_sha1(b"key")
                    .integrity_sha256(b"key")
                    .fingerprint()
            }),
        ),
        (
            "create-permission",
            request(Method::CREATE_PERMISSION, |w| {
                w.xor_address(AttributeType::XOR_PEER_ADDRESS, v4)
                    .xor_address(AttributeType::XOR_PEER_ADDRESS, v6)
                    .integrity_sha256(b"key")
            }),
        ),
        (
            "channel-bind",
            request(Method::CHANNEL_BIND, |w| {
                w.attribute(AttributeType::CHANNEL_NUMBER, &[0x40, 0, 0, 0])
                    .xor_address(AttributeType::XOR_PEER_ADDRESS, v4)
                    .integrity_sha1(b"key")
            }),
        ),
        (
            "send",
            message(Class::Indication, Method::SEND, |w| {
                w.xor_address(AttributeType::XOR_PEER_ADDRESS, v6).attribute(AttributeType::DATA, b"hello")
            }),
        ),
        (
            "unknown-attribute",
            message(Class::Error, Method::ALLOCATE, |w| {
                w.error_code(420, "Unknown Attribute")
                    .unknown_attributes(&[AttributeType(0x7ABC)])
                    .attribute(AttributeType::SOFTWARE, b"turnbridge")
            }),
        ),
        (
            "behind-integrity",
            request(Method::REFRESH, |w| {
                w.integrity_sha1(b"key").number(AttributeType::LIFETIME, 0).fingerprint()
            }),
        ),
    ]
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", vec![0x40, 0, 0, 0]),
        ("exact", vec![0x4F, 0xFF, 0, 2, 7, 8]),
        ("padded", vec![0x40, 1, 0, 2, 7, 8, 0, 0]),
        ("old", vec![0x7F, 0xFF, 0, 1, 9]),
        ("too-long", vec![0x40, 0, 0, 9, 1]),
    ]
}

fn addresses() -> Vec<(&'static str, Vec<u8>)> {
    let with_id = |value: &[u8]| [b"transaction!", value].concat();
    vec![
        ("v4", with_id(&[0, 1, 0x21, 0x12, 192, 0, 2, 1])),
        ("v6", with_id(&[0, 2, 0, 80, 0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
        ("ignored-byte", with_id(&[0xFF, 1, 0, 80, 192, 0, 2, 1])),
        ("unknown-family", with_id(&[0, 3, 0, 80, 192, 0, 2, 1])),
    ]
}

fn scripts() -> Vec<(&'static str, Vec<u8>)> {
    // Room, class, method, transaction id, key length and seal, then the steps.
    let start = |seal: u8| [&[0x04, 0, 0, 0, 3], &b"transaction!"[..], &[seal]].concat();
    let steps: [&[u8]; 7] = [
        &[0, 0, 0x1A],
        &[1, 0, 0x0D, 0, 0, 2, 0x58],
        &[2, 0, 1, 0, 80, 192, 0, 2, 1],
        &[3, 0, 0x12, 0, 81, 0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[4, 0, 138, 5, b'S', b't', b'a', b'l', b'e'],
        &[5, 2, 0x7A, 0xBC, 0, 1],
        &[6, 0, 6, 0, 5, b'a', b'l', b'i', b'c', b'e'],
    ];
    vec![
        ("empty", start(0)),
        ("all-steps", [start(0), steps.concat()].concat()),
        ("all-steps-sealed", [start(0x1F), b"key".to_vec(), steps.concat()].concat()),
        ("no-room", vec![0, 19]),
    ]
}

fn proxy_headers() -> Vec<(&'static str, Vec<u8>)> {
    let binary = |command: u8, family: u8, rest: &[u8]| {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
    };
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 1, 0xBB];
    vec![
        ("line-v4", b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 3478\r\n".to_vec()),
        ("line-v6", b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 40000 3478\r\n".to_vec()),
        ("line-unknown", b"PROXY UNKNOWN anything\r\n".to_vec()),
        ("binary-local", binary(0x20, 0, &[])),
        ("binary-v4", binary(0x21, 0x11, &v4)),
        ("binary-v6", binary(0x21, 0x21, &[7; 36])),
        ("binary-unix", binary(0x21, 0x31, &[b'/'; 216])),
        // An unknown field, one without a value, and the checksum.
        (
            "binary-fields",
            binary(
                0x21,
                0x11,
                &[&v4[..], &[0xEA, 0, 1, 1, 4, 0, 0, 3, 0, 4, 0xE1, 0xA3, 0xFA, 0x1A]].concat(),
            ),
        ),
    ]
}

fn usernames() -> Vec<(&'static str, Vec<u8>)> {
    let names = [
        ("expiry-id", "1760003600:alice"),
        ("id-expiry", "room:alice:1760003600"),
        ("bare", "1760000000"),
        ("expired", "1266890800:mbzrxpgjys"),
        ("too-far", "18446744073709551615:a"),
        ("too-large", "18446744073709551616:a"),
        ("static", "alice"),
        ("letters", "\u{30DE}\u{30C8}\u{30EA}:1760003600"),
        ("escape", "1760003600:\u{1b}[31m"),
    ];
    names.map(|(name, text)| (name, text.as_bytes().to_vec())).into()
}

fn configurations() -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        ("empty", ""),
        (
            "typical",
            "[server]\nrealm = \"example.org\"\n\n[[listener]]\naddress = \"0.0.0.0:3478\"\n\n\
             [relay]\nports = \"49152-65535\"\nexternal = [\"203.0.113.1/10.0.0.1\"]\n\n\
             [auth]\nsecrets = [\"north\"]\nmax_ttl = \"1d\"\n\n\
             [limits]\nallocations_per_user = 10\nbandwidth = \"1 Gbit/s\"\n\n\
             [peers]\nallow = [\"10.1.0.0/16\"]\ndeny = [\"2001:db8::/33\"]\n\n[log]\nlevel = \"debug\"\n",
        ),
        ("user", "[[auth.user]]\nname = \"bob\"\npassword = \"letmein\"\n"),
        ("unknown-key", "[server]\nrelam = 1\n"),
        ("not-toml", "[server\nrealm"),
        (
            "environment",
            "[log]\nlevel = \"info\"\n\0TURNBRIDGE_LOG__LEVEL=warn\nTURNBRIDGE_SERVER__REALM=a\n",
        ),
    ];
    texts.map(|(name, text)| (name, text.as_bytes().to_vec())).into()
}

fn foreign_configurations() -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        ("empty", ""),
        (
            "listeners",
            "listening-ip=192.0.2.1\nlistening-ip=192.0.2.2\nlistening-port=443\ncert=/c\npkey=/k\nrfc5780\n\
             aux-server=[::1]:5\ntcp-proxy-port=9\nno-udp=off\n",
        ),
        (
            "relay",
            "relay-ip=10.0.0.1\nrelay-ip=10.0.0.2\nexternal-ip=1.2.3.4/10.0.0.1\nexternal-ip=1.2.3.5\nmin-port=9\n\
             denied-peer-ip=10.0.0.0-10.9.0.7\nallowed-peer-ip=::1-::9\n",
        ),
        (
            "users",
            "realm \"x\"\nuser=bob:letmein\nuser=eve:0x00112233445566778899aabbccddeeff\nuser-quota=9\nmax-bps=64\n\
             no-cli\nlisten=1\n\0ux bob 00112233445566778899aabbccddeeff\nsx north\nax 10.0.0.1\nox max-bps=7\n",
        ),
    ];
    texts.map(|(name, text)| (name, text.as_bytes().to_vec())).into()
}

fn sequences() -> Vec<(&'static str, Vec<u8>)> {
    // Requests: client, method, proof, transaction, count of attributes and these, user, fingerprint. An
    // Allocate says after the transaction whether it asks for UDP.
    const ALLOCATE: &[u8] = &[8, 0, 0, 4, 1, 1, 0, 0, 1];
    const ALLOCATE_DUAL_SHA256: &[u8] = &[8, 0, 0, 2, 1, 1, 1, 5, 2, 0, 1];
    const PERMIT: &[u8] = &[8, 0, 2, 4, 1, 2, 6, 0, 6, 2, 0, 1];
    const BIND: &[u8] = &[8, 0, 3, 4, 1, 2, 8, 0, 6, 0, 0, 1];
    const SEND: &[u8] = &[8, 0, 4, 0, 1, 2, 6, 0, 9, 4, b'd', b'a', b't', b'a', 0, 0];
    const RELEASE: &[u8] = &[8, 0, 1, 4, 1, 1, 0, 0, 0, 1];
    const CHANNEL_DATA: &[u8] = &[1, 0, 0, 3, b'a', b'b', b'c'];
    const FROM_PEER: &[u8] = &[2, 0, 0, 0, 0, 100];
    const UNREACHABLE: &[u8] = &[3, 0, 0, 0, 3, 1];
    const FIVE_MINUTES: &[u8] = &[4, 1, 0x2C, 2, 1];
    const OPEN_LATER: &[u8] = &[5, 3];
    const OPEN_NOW: &[u8] = &[6];
    const UNASKED: &[u8] = &[7, 9, 3];
    let cases: [(&str, &[&[u8]]); 6] = [
        ("permission", &[&[0], ALLOCATE, PERMIT, SEND, FROM_PEER, UNREACHABLE, RELEASE]),
        ("channel", &[&[0], ALLOCATE, BIND, CHANNEL_DATA, FROM_PEER, FIVE_MINUTES, CHANNEL_DATA]),
        ("dual", &[&[0], ALLOCATE_DUAL_SHA256, PERMIT, SEND]),
        ("late", &[&[0], OPEN_LATER, ALLOCATE, ALLOCATE, RELEASE, OPEN_NOW, PERMIT, SEND, UNASKED]),
        ("bandwidth", &[&[0x18], ALLOCATE, BIND, CHANNEL_DATA, CHANNEL_DATA, FROM_PEER]),
        ("nobody", &[&[0], PERMIT, BIND, SEND, CHANNEL_DATA, FROM_PEER]),
    ];
    cases.map(|(name, steps)| (name, steps.concat())).into()
}

fn folder(kind: &str, target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", kind, target].iter().collect()
}

#[test]
fn the_checked_in_seeds_are_these() {
    let write = std::env::var_os("TURNBRIDGE_WRITE_SEEDS").is_some();
    for target in targets() {
        let folder = folder("seeds", target.name);
        if write {
            fs::create_dir_all(&folder).unwrap();
        }
        for (name, bytes) in &target.seeds {
            let path = folder.join(name);
            if write {
                fs::write(&path, bytes).unwrap();
            }
            assert_eq!(fs::read(&path).unwrap(), *bytes, "{}", path.display());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), target.seeds.len(), "{}", folder.display());
    }
}

#[test]
fn seeds_and_what_is_near_them_pass_the_checks() {
    for Target { check, seeds, .. } in targets() {
        for (_, seed) in seeds {
            check(&seed);
            for end in 0..seed.len() {
                check(&seed[..end]);
            }
            for at in 0..seed.len() {
                for change in [0x01, 0x04, 0x80, 0xFF] {
                    let mut changed = seed.clone();
                    changed[at] ^= change;
                    check(&changed);
                }
            }
        }
    }
}

#[test]
fn inputs_that_once_failed_pass_the_checks() {
    for target in targets() {
        let Ok(inputs) = fs::read_dir(folder("regressions", target.name)) else { continue };
        for input in inputs {
            (target.check)(&fs::read(input.unwrap().path()).unwrap());
        }
    }
}
