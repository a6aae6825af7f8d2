//! Our parser next to an independent one.

use stun_types::attribute::AttributeType as TheirKind;
use stun_types::message::Message as TheirMessage;
use turnbridge::wire::*;

/// What we take for a message of a client that knows the cookie, `stun-types` takes for the same message:
/// type, transaction id and visible attributes. (The reverse does not hold: it is more lenient.)
pub fn message(bytes: &[u8]) {
    compare(bytes);
    let mut fitted = bytes.to_vec();
    fitted.truncate(bytes.len() / 4 * 4);
    if let Some(body) = fitted.len().checked_sub(20).and_then(|body| u16::try_from(body).ok()) {
        fitted[0] &= 0x3F;
        fitted[2..4].copy_from_slice(&body.to_be_bytes());
        fitted[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        compare(&fitted);
    }
}

fn compare(bytes: &[u8]) {
    let Ok(ours) = Message::parse(bytes) else { return };
    if ours.header().is_classic() {
        return;
    }
    let theirs = TheirMessage::from_bytes(bytes).expect("we are the stricter ones");
    assert_eq!(theirs.method().value(), ours.header().method.number());
    let id = ours.header().transaction.0.iter().fold(0_u128, |id, byte| id << 8 | u128::from(*byte));
    assert_eq!(u128::from(theirs.transaction_id()), id);

    let ends = [
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
        AttributeType::FINGERPRINT,
    ]
    .map(|kind| TheirKind::new(kind.0));
    let theirs: Vec<_> = theirs
        .iter_attributes()
        .map(|(_, attribute)| attribute)
        .take_while(|attribute| !ends.contains(&attribute.header.get_type()))
        .map(|attribute| (attribute.header.get_type().value(), attribute.value.to_vec()))
        .collect();
    let ours: Vec<_> = ours.attributes().map(|a| (a.kind.0, a.value.to_vec())).collect();
    assert_eq!(ours, theirs);
}
