//! Requests and answers, read as both RFCs define their attributes.

use std::net::SocketAddr;

use turnbridge::turn::FiveTuple;
use turnbridge::wire::{AttributeType, Class, Message};

use super::super::outputs::Outputs;
use super::credentials::{Proven, error_code};
use AttributeType as A;

/// What can be wrong with an attribute: the code that says so.
pub(super) type Read<T> = Result<T, u16>;

/// Whether an attribute says IPv6; `unknown` is the code for a family nobody has heard of.
pub(super) fn family(request: &Message<'_>, kind: A, unknown: u16) -> Read<Option<bool>> {
    match request.get(kind) {
        None => Ok(None),
        Some([1, _, _, _]) => Ok(Some(false)),
        Some([2, _, _, _]) => Ok(Some(true)),
        Some([_, _, _, _]) => Err(unknown),
        Some(_) => Err(400),
    }
}

pub(super) fn lifetime(request: &Message<'_>) -> Read<Option<u32>> {
    let Some(value) = request.get(A::LIFETIME) else { return Ok(None) };
    value.try_into().map(|value| Some(u32::from_be_bytes(value))).map_err(|_| 400)
}

/// The comprehension-required attributes of all our RFCs.
const UNDERSTOOD: [u16; 27] = [
    0x0001, 0x0003, 0x0004, 0x0005, 0x0006, 0x0008, 0x0009, 0x000A, 0x000C, 0x000D, 0x0012, 0x0013, 0x0014,
    0x0015, 0x0016, 0x0017, 0x0018, 0x0019, 0x001A, 0x001C, 0x001D, 0x001E, 0x0020, 0x0022, 0x0026, 0x0027,
    0x002A,
];

/// What must be understood and is not, or cannot be done here.
pub(super) fn unknown_attributes(message: &Message<'_>, can_be_done: impl Fn(A) -> bool) -> Vec<u16> {
    let mut unknown = Vec::new();
    for number in message.attributes().map(|attribute| attribute.kind.0).filter(|number| *number < 0x8000) {
        let is_understood = UNDERSTOOD.contains(&number) && can_be_done(A(number));
        // An answer that lists more than 16 would be too long.
        if !is_understood && !unknown.contains(&number) && unknown.len() < 16 {
            unknown.push(number);
        }
    }
    unknown
}

pub(super) fn told_unknown(answer: &Message<'_>) -> Vec<u16> {
    let value = answer.get(A::UNKNOWN_ATTRIBUTES).expect("a 420 lists what is unknown");
    value.chunks(2).map(|number| u16::from_be_bytes(number.try_into().unwrap())).collect()
}

pub(super) fn number(answer: &Message<'_>, kind: A) -> Option<u64> {
    answer.get(kind).map(|value| u32::from_be_bytes(value.try_into().unwrap()).into())
}

/// An error answer to somebody who has proved to know a password.
#[track_caller]
pub(super) fn refused(
    client: FiveTuple,
    request: &Message<'_>,
    proven: &Proven,
    codes: &[u16],
    out: &mut Outputs,
) -> Vec<u8> {
    let bytes = answered(client, request, proven, out, Class::Error, codes);
    let code = error_code(&Message::parse(&bytes).unwrap());
    assert!(codes.contains(&code), "expected one of {codes:?}, got {code}");
    bytes
}

#[track_caller]
pub(super) fn succeeded(
    client: FiveTuple,
    request: &Message<'_>,
    proven: &Proven,
    out: &mut Outputs,
) -> Vec<u8> {
    answered(client, request, proven, out, Class::Success, &[])
}

#[track_caller]
pub(super) fn answered(
    client: FiveTuple,
    request: &Message<'_>,
    proven: &Proven,
    out: &mut Outputs,
    class: Class,
    codes: &[u16],
) -> Vec<u8> {
    let Some(bytes) = out.take_answer(client, request) else {
        panic!("{class:?} {codes:?} is missing, got {:?}", out.list);
    };
    let answer = Message::parse(&bytes).unwrap();
    let code = (answer.header().class == Class::Error).then(|| error_code(&answer));
    assert_eq!(answer.header().class, class, "expected {codes:?}, got {code:?}");
    assert_eq!(answer.integrity(), Some(proven.integrity), "{code:?}");
    assert_eq!(answer.verify(proven.key.as_bytes()), Ok(()), "{code:?} is signed with another key");
    assert_eq!(answer.has_fingerprint(), request.has_fingerprint());
    bytes
}

/// A scope means something on one host only, and is not in the attribute.
pub(super) fn unscoped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
