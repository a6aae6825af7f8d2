//! What reading and writing one message costs, without a socket.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use turnbridge::wire::{
    AttributeType, ChannelData, ChannelNumber, Class, Header, Message, Method, TransactionId, Writer,
    channel_head,
};

const KEY: [u8; 16] = [7; 16];

/// An Allocate as a browser sends it.
fn allocate(buffer: &mut [u8]) -> &[u8] {
    Writer::new(buffer, Header::new(Class::Request, Method::ALLOCATE, TransactionId([7; 12])))
        .attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .attribute(AttributeType::USERNAME, b"1266890800:mbzrxpgjys")
        .attribute(AttributeType::REALM, b"turn")
        .attribute(AttributeType::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .integrity_sha1(&KEY)
        .fingerprint()
        .finish()
        .expect("the buffer is large enough")
}

fn answer<'b>(buffer: &'b mut [u8], request: &Header, client: SocketAddr, relayed: SocketAddr) -> &'b [u8] {
    Writer::new(buffer, request.answer(Class::Success))
        .xor_address(AttributeType::XOR_RELAYED_ADDRESS, relayed)
        .number(AttributeType::LIFETIME, 600)
        .xor_address(AttributeType::XOR_MAPPED_ADDRESS, client)
        .integrity_sha1(&KEY)
        .fingerprint()
        .finish()
        .expect("the buffer is large enough")
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let mut buffer = [0; 512];
    let request = allocate(&mut buffer).to_vec();
    group.bench_function("parse an Allocate", |bench| {
        bench.iter(|| {
            Message::parse(black_box(&request)).expect("it is well-formed").get(AttributeType::NONCE)
        });
    });
    group.bench_function("parse and verify an Allocate", |bench| {
        bench.iter(|| Message::parse(black_box(&request)).expect("it is well-formed").verify(&KEY));
    });
    let header = *Message::parse(&request).expect("it is well-formed").header();
    let (client, relayed) =
        (SocketAddr::from(([192, 0, 2, 1], 4000)), SocketAddr::from(([192, 0, 2, 2], 50_000)));
    group.bench_function("write the answer to an Allocate", |bench| {
        bench.iter(|| answer(black_box(&mut buffer), &header, client, relayed).len());
    });
    let mut frame = channel_head(ChannelNumber::FIRST, 160).to_vec();
    frame.resize(164, 0);
    group.bench_function("parse ChannelData", |bench| {
        bench.iter(|| ChannelData::parse(black_box(&frame)));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
