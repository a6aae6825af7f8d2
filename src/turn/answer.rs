//! Writing answers.

use super::five_tuple::FiveTuple;
use super::output::Output;
use super::refusal::Refusal;
use crate::auth::Key;
use crate::wire::{AttributeType, Class, Header, Message, Method, Writer};

/// No answer is longer: the longest has a realm of 763 bytes, a nonce and a handful of short attributes.
const ANSWER_MAX: usize = 1024;

/// Padding makes the answer two fragments where the MTU is 1500, as it is nearly everywhere (RFC 5780 §6.1).
pub(super) const PADDING_MAX: usize = 1500;

/// The name in SOFTWARE. No version: it would tell strangers which holes to try.
const SOFTWARE: &[u8] = b"Turnbridge";

/// Takes the outputs of the slow road; what it costs to call is nothing beside a HMAC.
pub(super) type Sink<'o, 'a> = &'o mut dyn FnMut(Output<'a, '_>);

/// Where an answer goes, and what of the request it repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressee {
    pub(super) client: FiveTuple,
    pub(super) header: Header,
    /// Whether to end the answer with FINGERPRINT: as the request did (RFC 8489 §7).
    pub(super) fingerprint: bool,
}

/// How an answer proves to be the server's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'k> {
    /// Not at all: the client is not authenticated.
    None,
    /// With the key that the request was made with.
    Key(&'k Key, Seal),
}

/// Which integrity attributes an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// MESSAGE-INTEGRITY, for clients from before RFC 8489.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
    /// The one behind the other.
    Both,
}

impl Addressee {
    pub(super) fn of(client: FiveTuple, message: &Message<'_>) -> Self {
        Self { client, header: *message.header(), fingerprint: message.has_fingerprint() }
    }

    /// Sends a success answer with these attributes.
    pub(super) fn succeed(
        &self,
        proof: Proof<'_>,
        out: Sink<'_, '_>,
        attributes: impl for<'b> FnOnce(Writer<'b>) -> Writer<'b>,
    ) {
        self.send(Class::Success, proof, out, attributes);
    }

    /// Sends a success answer that may be longer than others are: padding is in it.
    pub(super) fn succeed_at_length(
        &self,
        out: Sink<'_, '_>,
        attributes: impl for<'b> FnOnce(Writer<'b>) -> Writer<'b>,
    ) {
        let mut buffer = [0; ANSWER_MAX + PADDING_MAX];
        self.send_in(&mut buffer, Class::Success, Proof::None, out, attributes);
    }

    /// Sends an error answer. Its reason phrase and further attributes go to authenticated clients only, so that
    /// nobody else can draw long answers.
    pub(super) fn refuse(
        &self,
        refusal: Refusal,
        proof: Proof<'_>,
        out: Sink<'_, '_>,
        attributes: impl for<'b> FnOnce(Writer<'b>) -> Writer<'b>,
    ) {
        let phrase = match proof {
            Proof::None => "",
            Proof::Key(..) => refusal.phrase(),
        };
        self.send(Class::Error, proof, out, |writer| attributes(writer.error_code(refusal.code(), phrase)));
    }

    fn send(
        &self,
        class: Class,
        proof: Proof<'_>,
        out: Sink<'_, '_>,
        attributes: impl for<'b> FnOnce(Writer<'b>) -> Writer<'b>,
    ) {
        self.send_in(&mut [0; ANSWER_MAX], class, proof, out, attributes);
    }

    fn send_in(
        &self,
        buffer: &mut [u8],
        class: Class,
        proof: Proof<'_>,
        out: Sink<'_, '_>,
        attributes: impl for<'b> FnOnce(Writer<'b>) -> Writer<'b>,
    ) {
        let mut writer = attributes(Writer::new(buffer, self.header.answer(class)));
        if let Proof::Key(key, seal) = proof {
            // RFC 8656 §5: SHOULD in answers to Allocate and Refresh.
            if matches!(self.header.method, Method::ALLOCATE | Method::REFRESH) {
                writer = writer.attribute(AttributeType::SOFTWARE, SOFTWARE);
            }
            let key = key.as_bytes();
            writer = match seal {
                Seal::Sha1 => writer.integrity_sha1(key),
                Seal::Sha256 => writer.integrity_sha256(key),
                Seal::Both => writer.integrity_sha1(key).integrity_sha256(key),
            };
        }
        if self.fingerprint {
            writer = writer.fingerprint();
        }
        // An answer that overflowed would be a fault of ours; none is better than half of one.
        if let Ok(bytes) = writer.finish() {
            out(Output::ToClient { client: self.client, head: bytes, payload: &[], padding: 0 });
        }
    }
}
