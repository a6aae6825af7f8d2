//! The published test vectors: RFC 5769 and RFC 8489 appendix B.1, read, verified and written again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use turnbridge::wire::*;

/// RFC 5769 §2.1.
const REQUEST: &str = "
    00010058 2112a442 b7e7a701bc34d686fa87dfae
    80220010 5354554e207465737420636c69656e74
    00240004 6e0001ff
    80290008 932ff9b151263b36
    00060009 6576746a3a68367659202020
    00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
    80280004 e57a3bcf";

/// RFC 5769 §2.2.
const IPV4_RESPONSE: &str = "
    0101003c 2112a442 b7e7a701bc34d686fa87dfae
    8022000b 7465737420766563746f7220
    00200008 0001a147e112a643
    00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
    80280004 c07d4c96";

/// RFC 5769 §2.3.
const IPV6_RESPONSE: &str = "
    01010048 2112a442 b7e7a701bc34d686fa87dfae
    8022000b 7465737420766563746f7220
    00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014 a382954e4be67bf11784c97c8292c275bfe3ed41
    80280004 c8fb0b4c";

/// RFC 5769 §2.4.
const LONG_TERM_REQUEST: &str = "
    00010060 2112a442 78ad3433c6ad72c029da412e
    00060012 e3839ee38388e383aae38383e382afe382b90000
    0015001c 662f2f3439396b39353464364f4c33346f4c394653547679363473 41
    0014000b 6578616d706c652e6f726700
    00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666";

/// RFC 8489 appendix B.1 with the corrections of erratum 6268: PASSWORD-ALGORITHM was missing, the length
/// was wrong, and with them the HMAC.
const SHA256_REQUEST: &str = "
    00010090 2112a442 78ad3433c6ad72c029da412e
    001e0020 4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704
    00150029 6f62 4d61744a6f7332414141 43662f2f3439396b39353464364f4c33346f4c39465354767936347341000000
    0014000b 6578616d706c652e6f726700
    001d0004 00020000
    001c0020 b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65";

/// RFC 8489 appendix B.1 as it was printed.
const SHA256_REQUEST_AS_PRINTED: &str = "
    0001009c 2112a442 78ad3433c6ad72c029da412e
    001e0020 4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704
    00150029 6f624d61744a6f7332414141 43662f2f3439396b39353464364f4c33346f4c39465354767936347341000000
    0014000b 6578616d706c652e6f726700
    001c0020 e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01";

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const LONG_TERM: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}:example.org:TheMatrIX";

const PRIORITY: AttributeType = AttributeType(0x0024);
const ICE_CONTROLLED: AttributeType = AttributeType(0x8029);

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn ice_header(class: Class) -> Header {
    Header::new(class, Method::BINDING, TransactionId(hex("b7e7a701bc34d686fa87dfae").try_into().unwrap()))
}

fn long_term_header() -> Header {
    let transaction = TransactionId(hex("78ad3433c6ad72c029da412e").try_into().unwrap());
    Header::new(Class::Request, Method::BINDING, transaction)
}

/// The vector with the spaces that pad its one odd attribute set to zero: what a writer has to produce up
/// to MESSAGE-INTEGRITY, since RFC 8489 §14 wants zeroes where RFC 5389 left the choice.
fn with_zero_padding(mut vector: Vec<u8>, padding: std::ops::Range<usize>) -> Vec<u8> {
    assert!(vector[padding.clone()].iter().all(|byte| *byte == b' '), "the padding is where we think");
    vector[padding].fill(0);
    vector
}

#[test]
fn rfc5769_request_is_read_and_verified() {
    let bytes = hex(REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(*message.header(), ice_header(Class::Request));
    assert_eq!(message.get(AttributeType::SOFTWARE), Some(&b"STUN test client"[..]));
    assert_eq!(message.get(PRIORITY), Some(&[0x6e, 0, 1, 0xff][..]));
    assert_eq!(message.get(ICE_CONTROLLED), Some(&hex("932ff9b151263b36")[..]));
    assert_eq!(message.get(AttributeType::USERNAME), Some(&b"evtj:h6vY"[..]));
    assert!(message.has_fingerprint());
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert_eq!(message.verify(PASSWORD), Ok(()));
    assert_eq!(message.verify(b"VOkJxbRl1RmTxUk/WvJxBT"), Err(IntegrityError::Mismatch));
}

#[test]
fn rfc5769_request_is_written_alike_up_to_its_padding() {
    let expected = with_zero_padding(hex(REQUEST), 73..76);
    let mut buffer = [0; 256];
    let written = Writer::new(&mut buffer, ice_header(Class::Request))
        .attribute(AttributeType::SOFTWARE, b"STUN test client")
        .attribute(PRIORITY, &[0x6e, 0, 1, 0xff])
        .attribute(ICE_CONTROLLED, &hex("932ff9b151263b36"))
        .attribute(AttributeType::USERNAME, b"evtj:h6vY")
        .integrity_sha1(PASSWORD)
        .fingerprint()
        .finish()
        .unwrap();
    assert_eq!(written.len(), expected.len());
    assert_eq!(written[..80], expected[..80]);
    assert_eq!(Message::parse(written).unwrap().verify(PASSWORD), Ok(()));
}

#[test]
fn rfc5769_responses_are_read_verified_and_written_alike_up_to_their_padding() {
    let cases =
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")];
    for (vector, address) in cases {
        let address = address.parse().unwrap();
        let bytes = hex(vector);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(*message.header(), ice_header(Class::Success));
        assert_eq!(message.get(AttributeType::SOFTWARE), Some(&b"test vector"[..]));
        let value = message.get(AttributeType::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(decode_xor_address(value, message.header()), Some(address));
        assert!(message.has_fingerprint());
        assert_eq!(message.verify(PASSWORD), Ok(()));
        assert_eq!(message.verify(b""), Err(IntegrityError::Mismatch));

        let expected = with_zero_padding(bytes.clone(), 35..36);
        let mut buffer = [0; 256];
        let written = Writer::new(&mut buffer, *message.header())
            .attribute(AttributeType::SOFTWARE, b"test vector")
            .xor_address(AttributeType::XOR_MAPPED_ADDRESS, address)
            .integrity_sha1(PASSWORD)
            .fingerprint()
            .finish()
            .unwrap();
        let before_hmac = expected.len() - 8 - 20;
        assert_eq!(written.len(), expected.len());
        assert_eq!(written[..before_hmac], expected[..before_hmac]);
        assert_eq!(Message::parse(written).unwrap().verify(PASSWORD), Ok(()));
    }
}

#[test]
fn rfc5769_long_term_request_is_read_verified_and_written_byte_for_byte() {
    let key: [u8; 16] = Md5::digest(LONG_TERM).into();
    let bytes = hex(LONG_TERM_REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(*message.header(), long_term_header());
    assert_eq!(message.get(AttributeType::USERNAME), Some(USERNAME.as_bytes()));
    assert_eq!(message.get(AttributeType::NONCE), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert_eq!(message.get(AttributeType::REALM), Some(&b"example.org"[..]));
    assert!(!message.has_fingerprint());
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert_eq!(message.verify(&key), Ok(()));
    assert_eq!(message.verify(&key[1..]), Err(IntegrityError::Mismatch));

    let mut buffer = [0xFF; 256];
    let written = Writer::new(&mut buffer, long_term_header())
        .attribute(AttributeType::USERNAME, USERNAME.as_bytes())
        .attribute(AttributeType::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .attribute(AttributeType::REALM, b"example.org")
        .integrity_sha1(&key)
        .finish();
    assert_eq!(written, Ok(&bytes[..]));
}

#[test]
fn rfc8489_sha256_request_is_read_verified_and_written_byte_for_byte() {
    let key: [u8; 32] = Sha256::digest(LONG_TERM).into();
    let userhash: [u8; 32] = Sha256::digest(format!("{USERNAME}:example.org")).into();
    let bytes = hex(SHA256_REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(*message.header(), long_term_header());
    assert_eq!(message.get(AttributeType::USERHASH), Some(&userhash[..]));
    assert_eq!(message.get(AttributeType::NONCE), Some(&b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"[..]));
    assert_eq!(message.get(AttributeType::PASSWORD_ALGORITHM), Some(&[0, 2, 0, 0][..]));
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert_eq!(message.verify(&key), Ok(()));
    let md5_key: [u8; 16] = Md5::digest(LONG_TERM).into();
    assert_eq!(message.verify(&md5_key), Err(IntegrityError::Mismatch));

    let mut buffer = [0xFF; 256];
    let written = Writer::new(&mut buffer, long_term_header())
        .attribute(AttributeType::USERHASH, &userhash)
        .attribute(AttributeType::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .attribute(AttributeType::REALM, b"example.org")
        .attribute(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
        .integrity_sha256(&key)
        .finish();
    assert_eq!(written, Ok(&bytes[..]));
}

#[test]
fn rfc8489_sha256_request_as_printed_has_a_wrong_length_that_its_hmac_covers() {
    let key: [u8; 32] = Sha256::digest(LONG_TERM).into();
    let mut bytes = hex(SHA256_REQUEST_AS_PRINTED);
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Length);

    let covered = bytes.len() - 36;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(&bytes[..covered]);
    assert!(mac.verify_slice(&bytes[covered + 4..]).is_ok(), "made over the length as printed");

    bytes[3] = 0x88;
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert_eq!(message.verify(&key), Err(IntegrityError::Mismatch));
}
