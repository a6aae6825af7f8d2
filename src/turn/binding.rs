//! Binding: tells a client its own address (RFC 8489 §3, §11).

use super::answer::{Proof, Sink};
use super::refusal::Refusal;
use super::relay::Relay;
use super::request::{Request, UnknownAttributes};
use super::time::Now;
use crate::wire::AttributeType;

impl Relay {
    /// Answers a Binding request, authenticated or not: nothing is kept and nothing is given away.
    pub(super) fn binding(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        if !self.may_bind(client, now) {
            return;
        }
        let message = &request.message;
        let mut unknown = UnknownAttributes::of(message, true);
        // Flags of 0 ask for nothing; a flag asks for an answer from elsewhere, and there is no elsewhere.
        let change = message.get(AttributeType::CHANGE_REQUEST);
        if unknown.list().is_empty() && change.is_some_and(|flags| flags.iter().any(|byte| *byte != 0)) {
            unknown.push(AttributeType::CHANGE_REQUEST);
        }
        if !unknown.list().is_empty() {
            // A client of RFC 3489 knows no padding: an odd list repeats one (RFC 3489 §11.2.10).
            if request.addressee.header.is_classic() {
                unknown.make_even();
            }
            self.counters.refusals += 1;
            return request.addressee.refuse(Refusal::UnknownAttribute, Proof::None, out, |writer| {
                writer.unknown_attributes(unknown.list())
            });
        }
        self.counters.bindings += 1;
        let address = client.client();
        request.addressee.succeed(Proof::None, out, |writer| match request.addressee.header.is_classic() {
            // A client of RFC 3489 does not know the XORed form.
            true => writer.address(AttributeType::MAPPED_ADDRESS, address),
            false => writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address),
        });
    }
}
