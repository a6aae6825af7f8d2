//! Nothing is allocated to read or write a message, a frame or an address. One test in a process of its
//! own, because the counting allocator sees all threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

mod counting;

use std::hint::black_box;

use turnbridge::wire::*;

/// How many allocations `work` makes. The harness's own thread may allocate meanwhile, so the least of
/// many tries counts: what the work itself allocates, it allocates every time.
fn allocations(mut work: impl FnMut()) -> u64 {
    (0..100)
        .map(|_| {
            let before = counting::made();
            work();
            counting::made() - before
        })
        .min()
        .unwrap()
}

fn header() -> Header {
    Header::new(Class::Request, Method::ALLOCATE, TransactionId([7; 12]))
}

fn write(buffer: &mut [u8]) -> &[u8] {
    Writer::new(buffer, header())
        .attribute(AttributeType::USERNAME, b"1266890800:mbzrxpgjys")
        .attribute(AttributeType::REALM, b"example.org")
        .attribute(AttributeType::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .number(AttributeType::LIFETIME, 600)
        .flag(AttributeType::DONT_FRAGMENT)
        .xor_address(AttributeType::XOR_PEER_ADDRESS, "[2001:db8::1]:9".parse().unwrap())
        .address(AttributeType::MAPPED_ADDRESS, "192.0.2.1:9".parse().unwrap())
        .error_code(420, "Unknown Attribute")
        .unknown_attributes(&[AttributeType(0x7ABC)])
        .integrity_sha1(b"a key of 16 byte")
        .integrity_sha256(b"a key of 16 byte")
        .fingerprint()
        .finish()
        .unwrap()
}

fn read(bytes: &[u8]) {
    let message = Message::parse(bytes).unwrap();
    assert_eq!(message.verify(b"a key of 16 byte"), Ok(()));
    assert_eq!(message.verify(b"another key"), Err(IntegrityError::Mismatch));
    assert_eq!(message.attributes().count(), 9);
    for attribute in message.attributes() {
        black_box(message.get(attribute.kind));
        black_box(decode_xor_address(attribute.value, message.header()));
        black_box(decode_address(attribute.value));
    }
}

#[test]
fn reading_and_writing_allocate_nothing() {
    let counted = allocations(|| drop(black_box(Box::new(1))));
    assert_eq!(counted, 1, "the allocator counts");

    let mut buffer = [0; 1024];
    assert_eq!(allocations(|| _ = black_box(write(&mut buffer))), 0, "writing a message");

    let bytes = write(&mut buffer);
    assert_eq!(allocations(|| read(black_box(bytes))), 0, "reading a message");

    let broken = &bytes[..bytes.len() - 4];
    assert_eq!(allocations(|| _ = black_box(Message::parse(black_box(broken)))), 0, "refusing a message");

    let frame = [0x40, 0, 0, 4, 1, 2, 3, 4];
    let channel = || {
        let frame = ChannelData::parse(black_box(&frame)).unwrap();
        black_box(channel_head(frame.channel, 4));
    };
    assert_eq!(allocations(channel), 0, "ChannelData");

    let mut head = [0; DATA_HEAD_MAX];
    let peer = "192.0.2.1:9".parse().unwrap();
    let indication = || _ = black_box(data_indication_head(&mut head, TransactionId([7; 12]), peer, 4));
    assert_eq!(allocations(indication), 0, "a Data indication's head");
}
