//! Binding: tells a client its own address (RFC 8489 §3, §11).

use super::answer::{Proof, Sink};
use super::counters::DropReason;
use super::nat_discovery::{self, Here};
use super::refusal::Refusal;
use super::relay::Relay;
use super::request::{Malformed, Request, UnknownAttributes};
use super::time::Now;
use crate::wire::{AttributeType, Method};

impl Relay {
    /// Answers a Binding request, authenticated or not: nothing is kept and nothing is given away.
    pub(super) fn binding(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let here = self.settings.nat_discovery.at(request);
        let cost = here.map_or(1, |_| nat_discovery::cost(request));
        if !self.may_bind(request.addressee.client, cost, now) {
            return;
        }
        let mut unknown = unknown_attributes(request, here);
        if !unknown.list().is_empty() {
            // A client of RFC 3489 knows no padding: an odd list repeats one (RFC 3489 §11.2.10).
            if request.addressee.header.is_classic() {
                unknown.make_even();
            }
            self.counters.refuse(Method::BINDING, Refusal::UnknownAttribute);
            return request.addressee.refuse(Refusal::UnknownAttribute, Proof::None, out, |writer| {
                writer.unknown_attributes(unknown.list())
            });
        }
        match here {
            Some(here) => self.discover(request, here, out),
            None => self.tell_address(request, out),
        }
    }

    fn tell_address(&mut self, request: &Request<'_>, out: Sink<'_, '_>) {
        self.counters.succeed(Method::BINDING);
        let address = request.addressee.client.client();
        request.addressee.succeed(Proof::None, out, |writer| match request.addressee.header.is_classic() {
            // A client of RFC 3489 does not know the XORed form.
            true => writer.address(AttributeType::MAPPED_ADDRESS, address),
            false => writer.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address),
        });
    }

    /// The answer of RFC 5780 §6.1, from where and to where the client wants it.
    fn discover(&mut self, request: &Request<'_>, here: Here, out: Sink<'_, '_>) {
        match here.reply(request) {
            Ok(reply) if self.settings.peers.is_datagram_service(reply.to()) => {
                self.counters.drop_one(DropReason::ForgedSource);
            }
            Ok(reply) => {
                self.counters.succeed(Method::BINDING);
                reply.send(&request.addressee, out);
            }
            Err(Malformed) => {
                self.counters.refuse(Method::BINDING, Refusal::BadRequest);
                request.addressee.refuse(Refusal::BadRequest, Proof::None, out, |writer| writer);
            }
        }
    }
}

/// What must be understood in a Binding request and is not, which depends on where it arrived.
fn unknown_attributes(request: &Request<'_>, here: Option<Here>) -> UnknownAttributes {
    let message = &request.message;
    // Flags of 0 ask for nothing; a flag asks for an answer from elsewhere, and there may be no elsewhere.
    let change = message.get(AttributeType::CHANGE_REQUEST);
    let may_change = here.is_some() || change.is_none_or(|flags| flags.iter().all(|byte| *byte == 0));
    // RFC 3489 does not have them.
    let may_tune = here.is_some() && !request.addressee.header.is_classic();
    UnknownAttributes::of(message, |kind| match kind {
        AttributeType::CHANGE_REQUEST => may_change,
        AttributeType::RESPONSE_PORT | AttributeType::PADDING => may_tune,
        _ => true,
    })
}
