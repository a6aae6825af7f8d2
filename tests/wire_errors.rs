//! What is not a STUN message, which integrity proves nothing, and what is no address: as tables.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use turnbridge::wire::*;

const KEY: &[u8] = b"key";
const UNKNOWN: AttributeType = AttributeType(0x7ABC);

fn header() -> Header {
    Header::new(Class::Request, Method::ALLOCATE, TransactionId([0x5A; 12]))
}

/// A message from raw attribute bytes, its length field right whatever they are.
fn message(attributes: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 20];
    let mut bytes = Writer::new(&mut buffer, header()).finish().unwrap().to_vec();
    bytes.extend(attributes.concat());
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn attribute(kind: AttributeType, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.0.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The FINGERPRINT of a message with these attributes before it, and `more` bytes behind it.
fn fingerprint(attributes: &[&[u8]], more: usize) -> Vec<u8> {
    let mut covered = message(attributes);
    let length = u16::try_from(covered.len() - 20 + 8 + more).unwrap();
    covered[2..4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32fast::hash(&covered) ^ 0x5354_554E;
    attribute(AttributeType::FINGERPRINT, &crc.to_be_bytes())
}

fn with_length(mut bytes: Vec<u8>, length: u16) -> Vec<u8> {
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn a_header_that_is_not_one_is_told() {
    let empty = message(&[]);
    let mut cases: Vec<(String, Vec<u8>, ParseError)> = (0..20)
        .map(|n| (format!("{n} bytes of a header"), empty[..n].to_vec(), ParseError::TooShort))
        .collect();
    for bits in [0x40, 0x80, 0xC0] {
        let mut bytes = empty.clone();
        bytes[0] |= bits;
        cases.push((format!("first bits {bits:#x}"), bytes, ParseError::NotStun));
    }
    let one = message(&[&attribute(UNKNOWN, b"abcd")]);
    for length in [1, 2, 3, 5, 6, 7] {
        let bytes = with_length(one.clone(), length);
        cases.push((format!("length {length}, no multiple of four"), bytes, ParseError::Length));
        let cut = with_length(one[..20 + usize::from(length)].to_vec(), length);
        cases.push((format!("length {length}, as many bytes"), cut, ParseError::Length));
    }
    for length in [0, 4, 12, 0xFFFC] {
        let bytes = with_length(one.clone(), length);
        cases.push((format!("length {length} of 8"), bytes, ParseError::Length));
    }
    for more in 1..9 {
        let mut bytes = one.clone();
        bytes.resize(bytes.len() + more, 0);
        cases.push((format!("{more} bytes behind the message"), bytes, ParseError::Length));
    }
    for (name, bytes, expected) in cases {
        assert_eq!(Message::parse(&bytes).unwrap_err(), expected, "{name}");
    }
}

#[test]
fn an_attribute_beyond_the_message_is_told() {
    let software = attribute(AttributeType::SOFTWARE, b"abcd");
    let cases: &[(&str, &[&[u8]])] = &[
        ("one byte too long", &[&[0x80, 0x22, 0, 5], b"abcd"]),
        ("a value of which nothing is there", &[&[0x80, 0x22, 0, 1]]),
        ("the longest length", &[&[0x80, 0x22, 0xFF, 0xFF], b"abcd"]),
        ("the second one", &[&software, &[0, 6, 0, 9], b"abcdefgh"]),
        (
            "behind MESSAGE-INTEGRITY",
            &[&attribute(AttributeType::MESSAGE_INTEGRITY, &[0; 20]), &[0, 6, 0, 1]],
        ),
        ("MESSAGE-INTEGRITY itself", &[&[0, 8, 0, 20], &[0; 16]]),
        ("MESSAGE-INTEGRITY-SHA256 itself", &[&[0, 0x1C, 0, 32], &[0; 28]]),
        ("FINGERPRINT itself", &[&[0x80, 0x28, 0, 4]]),
    ];
    for (name, attributes) in cases {
        assert_eq!(Message::parse(&message(attributes)).unwrap_err(), ParseError::AttributeOverrun, "{name}");
    }
}

#[test]
fn attributes_may_be_empty_repeated_and_padded_with_anything() {
    let bytes = message(&[
        &attribute(AttributeType::DONT_FRAGMENT, b""),
        &attribute(AttributeType::DATA, b""),
        &[0x80, 0x22, 0, 5, b'f', b'i', b'r', b's', b't', 0xFF, 0xFE, 0xFD],
        &attribute(AttributeType::SOFTWARE, b"second"),
        &attribute(AttributeType(0), b""),
    ]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.get(AttributeType::DONT_FRAGMENT), Some(&[][..]));
    assert_eq!(message.get(AttributeType::DATA), Some(&[][..]));
    assert_eq!(message.get(AttributeType::SOFTWARE), Some(&b"first"[..]), "the first one counts");
    assert!(message.has(AttributeType(0)));
    assert_eq!(message.attributes().count(), 5);
}

#[test]
fn the_largest_message_is_read() {
    // 65,532 is the largest multiple of four that the length field can hold.
    let value = vec![7; 65_532 - 4];
    let bytes = message(&[&attribute(AttributeType::DATA, &value)]);
    assert_eq!(bytes.len(), 20 + 65_532);
    assert_eq!(Message::parse(&bytes).unwrap().get(AttributeType::DATA), Some(&value[..]));
}

#[test]
fn a_fingerprint_must_be_right_and_last() {
    let software = attribute(AttributeType::SOFTWARE, b"abcd");
    let good = fingerprint(&[&software], 0);
    let mut wrong = good.clone();
    wrong[7] ^= 1;
    let mut without_xor = good.clone();
    for (byte, mask) in without_xor[4..].iter_mut().zip(0x5354_554E_u32.to_be_bytes()) {
        *byte ^= mask;
    }
    let before = fingerprint(&[], software.len());
    let twice = fingerprint(&[&software], 8);
    let second = fingerprint(&[&software, &twice], 0);
    let integrity = attribute(AttributeType::MESSAGE_INTEGRITY, &[0; 20]);
    let cases: &[(&str, &[&[u8]])] = &[
        ("wrong checksum", &[&software, &wrong]),
        ("checksum without the XOR", &[&software, &without_xor]),
        ("checksum of something else", &[&attribute(AttributeType::SOFTWARE, b"abce"), &good]),
        ("before an attribute", &[&before, &software]),
        ("before MESSAGE-INTEGRITY", &[&fingerprint(&[], 24), &integrity]),
        ("twice", &[&software, &twice, &second]),
        ("empty", &[&software, &attribute(AttributeType::FINGERPRINT, b"")]),
        ("three bytes", &[&software, &[0x80, 0x28, 0, 3], &good[4..]]),
        ("eight bytes", &[&software, &attribute(AttributeType::FINGERPRINT, &[0; 8])]),
    ];
    for (name, attributes) in cases {
        assert_eq!(Message::parse(&message(attributes)).unwrap_err(), ParseError::Fingerprint, "{name}");
    }
    let bytes = message(&[&software, &good]);
    let parsed = Message::parse(&bytes).unwrap();
    assert!(parsed.has_fingerprint());
    assert_eq!(parsed.attributes().count(), 1, "the fingerprint is checked, not listed");
}

#[test]
fn integrity_of_the_wrong_length_proves_nothing() {
    // RFC 8489 §14.6 wants all 32 bytes unless the usage allows truncation, and RFC 8656 does not.
    let sha1 = AttributeType::MESSAGE_INTEGRITY;
    let sha256 = AttributeType::MESSAGE_INTEGRITY_SHA256;
    let cases: &[(AttributeType, &[usize])] = &[
        (sha1, &[0, 1, 12, 16, 19, 21, 24, 32]),
        (sha256, &[0, 1, 4, 12, 15, 16, 17, 20, 24, 28, 31, 33, 36, 64]),
    ];
    for (kind, lengths) in cases {
        for length in *lengths {
            let bytes = message(&[&attribute(*kind, &vec![0; *length])]);
            let parsed = Message::parse(&bytes).unwrap();
            assert!(parsed.integrity().is_some());
            assert_eq!(parsed.verify(KEY), Err(IntegrityError::Length), "{kind:?} of {length} bytes");
        }
    }
}

#[test]
fn a_right_but_truncated_sha256_is_refused() {
    for length in [12, 16, 20, 24, 28] {
        let software = attribute(AttributeType::SOFTWARE, b"abcd");
        let covered = with_length(message(&[&software]), u16::try_from(8 + 4 + length).unwrap());
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(KEY).unwrap();
        hmac::Mac::update(&mut mac, &covered);
        let hmac = hmac::Mac::finalize(mac).into_bytes();
        let bytes =
            message(&[&software, &attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &hmac[..length])]);
        let parsed = Message::parse(&bytes).unwrap();
        assert_eq!(parsed.verify(KEY), Err(IntegrityError::Length), "{length} bytes");
    }
}

#[test]
fn integrity_that_is_missing_or_wrong_is_told() {
    let software = attribute(AttributeType::SOFTWARE, b"abcd");
    let zero_sha1 = attribute(AttributeType::MESSAGE_INTEGRITY, &[0; 20]);
    let zero_sha256 = attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &[0; 32]);
    let cases: &[(&str, &[&[u8]], IntegrityError)] = &[
        ("none", &[&software], IntegrityError::Missing),
        ("only a fingerprint", &[&fingerprint(&[], 0)], IntegrityError::Missing),
        ("SHA-1", &[&software, &zero_sha1], IntegrityError::Mismatch),
        ("SHA-256", &[&software, &zero_sha256], IntegrityError::Mismatch),
        ("as the first attribute", &[&zero_sha1], IntegrityError::Mismatch),
    ];
    for (name, attributes, expected) in cases {
        let bytes = message(attributes);
        assert_eq!(Message::parse(&bytes).unwrap().verify(KEY), Err(*expected), "{name}");
    }
}

#[test]
fn of_two_integrity_attributes_the_first_counts() {
    let mut buffer = [0; 256];
    let sha1_twice = Writer::new(&mut buffer, header())
        .integrity_sha1(KEY)
        .integrity_sha1(b"other")
        .attribute(AttributeType::LIFETIME, &[0; 4])
        .finish()
        .unwrap();
    let parsed = Message::parse(sha1_twice).unwrap();
    assert_eq!(parsed.verify(KEY), Ok(()));
    assert_eq!(parsed.verify(b"other"), Err(IntegrityError::Mismatch));

    let mut buffer = [0; 256];
    let sha256_twice =
        Writer::new(&mut buffer, header()).integrity_sha256(KEY).integrity_sha256(b"other").finish().unwrap();
    let parsed = Message::parse(sha256_twice).unwrap();
    assert_eq!(parsed.verify(KEY), Ok(()));
    assert_eq!(parsed.verify(b"other"), Err(IntegrityError::Mismatch));
}

#[test]
fn of_both_kinds_of_integrity_sha256_decides() {
    // Whichever comes first: behind SHA-256 a MESSAGE-INTEGRITY is one more attribute nobody vouches for.
    let mut buffer = [0; 256];
    let sha1_first = Writer::new(&mut buffer, header())
        .integrity_sha1(b"other")
        .number(AttributeType::LIFETIME, 1)
        .integrity_sha256(KEY)
        .finish()
        .unwrap();
    let mut buffer = [0; 256];
    let sha256_first = Writer::new(&mut buffer, header())
        .integrity_sha256(KEY)
        .number(AttributeType::LIFETIME, 1)
        .integrity_sha1(b"other")
        .finish()
        .unwrap();
    for bytes in [sha1_first, sha256_first] {
        let parsed = Message::parse(bytes).unwrap();
        assert_eq!(parsed.integrity(), Some(Integrity::Sha256));
        assert_eq!(parsed.verify(KEY), Ok(()));
        assert_eq!(parsed.verify(b"other"), Err(IntegrityError::Mismatch));
        assert_eq!(parsed.attributes().count(), 0, "what stands behind the first of them does not exist");
    }
}

#[test]
fn a_value_that_is_no_address_is_told() {
    let cases: &[(&str, &[u8])] = &[
        ("empty", &[]),
        ("no port", &[0, 1, 0]),
        ("IPv4 without an address", &[0, 1, 0, 80]),
        ("IPv4 of three bytes", &[0, 1, 0, 80, 1, 2, 3]),
        ("IPv4 of five bytes", &[0, 1, 0, 80, 1, 2, 3, 4, 5]),
        ("IPv4 as long as IPv6", &[0, 1, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("IPv6 as short as IPv4", &[0, 2, 0, 80, 1, 2, 3, 4]),
        ("IPv6 of fifteen bytes", &[0, 2, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("IPv6 of seventeen bytes", &[0, 2, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("family 0", &[0, 0, 0, 80, 1, 2, 3, 4]),
        ("family 3", &[0, 3, 0, 80, 1, 2, 3, 4]),
        ("family 255", &[0, 255, 0, 80, 1, 2, 3, 4]),
    ];
    for (name, value) in cases {
        assert_eq!(decode_address(value), None, "{name}");
        assert_eq!(decode_xor_address(value, &header()), None, "{name}, XORed");
    }
}

#[test]
fn the_first_byte_of_an_address_is_ignored() {
    let value = [0xFF, 1, 0, 80, 192, 0, 2, 1];
    assert_eq!(decode_address(&value), Some("192.0.2.1:80".parse().unwrap()));
    assert!(decode_xor_address(&value, &header()).is_some());
}

#[test]
fn a_message_may_start_at_any_address_in_memory() {
    let mut buffer = [0; 256];
    let bytes = Writer::new(&mut buffer, header())
        .attribute(AttributeType::USERNAME, b"name")
        .integrity_sha1(KEY)
        .fingerprint()
        .finish()
        .unwrap()
        .to_vec();
    for offset in 0..8 {
        let mut shifted = vec![0xEE; offset];
        shifted.extend(&bytes);
        let parsed = Message::parse(&shifted[offset..]).unwrap();
        assert_eq!(parsed.verify(KEY), Ok(()), "offset {offset}");

        let mut room = vec![0; offset + bytes.len()];
        let written = Writer::new(&mut room[offset..], header())
            .attribute(AttributeType::USERNAME, b"name")
            .integrity_sha1(KEY)
            .fingerprint()
            .finish();
        assert_eq!(written, Ok(&bytes[..]), "offset {offset}");
    }
}

#[test]
fn a_message_without_the_cookie_is_an_rfc_3489_client() {
    let mut bytes = message(&[]);
    assert!(!Message::parse(&bytes).unwrap().header().is_classic());
    bytes[4..8].copy_from_slice(&[9, 8, 7, 6]);
    let parsed = Message::parse(&bytes).unwrap();
    assert!(parsed.header().is_classic());

    let mut buffer = [0; 64];
    let answer = Writer::new(&mut buffer, parsed.header().answer(Class::Success))
        .address(AttributeType::MAPPED_ADDRESS, "192.0.2.1:80".parse().unwrap())
        .finish()
        .unwrap();
    assert_eq!(answer[4..20], bytes[4..20], "all 16 bytes of the old transaction id are repeated");
    assert_eq!(answer[20..], [0, 1, 0, 8, 0, 1, 0, 80, 192, 0, 2, 1]);
}
