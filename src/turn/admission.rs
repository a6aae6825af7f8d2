//! Whether new allocations are taken: not while the server drains, and then another one may be named (RFC 8489 §10).

use std::net::SocketAddr;

use super::answer::{Proof, Sink};
use super::auth::Authenticated;
use super::five_tuple::{FiveTuple, Transport};
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use crate::wire::{AttributeType, Method, Writer};

/// Whether new allocations are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// They are.
    #[default]
    Open,
    /// They are not; those there are live on. Clients are told of these servers.
    Draining(Box<[Alternate]>),
}

/// A server that clients can go to instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Where it is.
    pub address: SocketAddr,
    /// Over which transport; over any when it is not said.
    pub transport: Option<Transport>,
    /// The name in its certificate, for clients over TLS (RFC 8489 §14.16).
    pub domain: Option<Box<str>>,
}

impl Relay {
    /// Takes new allocations, or none any more.
    pub fn set_admission(&mut self, admission: Admission) {
        self.admission = admission;
    }

    /// Refuses an Allocate request when no new ones are taken; says whether it did.
    pub(super) fn refuse_admission(
        &mut self,
        request: &Request<'_>,
        authenticated: &Authenticated,
        out: Sink<'_, '_>,
    ) -> bool {
        if self.admission == Admission::Open {
            return false;
        }
        let client = request.addressee.client;
        let Some(alternate) = self.next_alternate(client) else {
            self.refuse_for(request, authenticated, Refusal::InsufficientCapacity, Denial::Draining, out);
            return true;
        };
        let other_family = self.alternate_of_other_family(client, &alternate);
        let denial = Denial::Request(Refusal::TryAlternate);
        self.note_refusal(request, authenticated, Refusal::TryAlternate, denial, None, out);
        let addresses = [Some(alternate.address), other_family];
        request.addressee.refuse(Refusal::TryAlternate, authenticated.proof(), out, |writer| {
            name_alternate(writer, addresses, alternate.domain.as_deref())
        });
        true
    }

    /// Sends whoever asks for an allocation without credentials to another server; says whether it did.
    ///
    /// A client that has been challenged here takes our nonce there, where it is stale, and Chromium then gives up. One
    /// that has not is challenged there.
    pub(super) fn redirect_unchallenged(&mut self, request: &Request<'_>, out: Sink<'_, '_>) -> bool {
        // What is too short for a client is challenged with still less.
        if request.method() != Method::ALLOCATE || request.is_bare() {
            return false;
        }
        let client = request.addressee.client;
        let Some(alternate) = self.next_alternate(client) else { return false };
        self.counters.refuse(request.method(), Refusal::TryAlternate);
        self.note_unproven(request, Denial::Request(Refusal::TryAlternate), out);
        // A forged source must not draw more than the challenge would have been.
        let domain = alternate.domain.as_deref().filter(|_| client.is_stream());
        request.addressee.refuse(Refusal::TryAlternate, Proof::None, out, |writer| {
            name_alternate(writer, [Some(alternate.address), None], domain)
        });
        true
    }

    /// Each that fits in turn, so that all get their share. There is none while the server does not drain.
    fn next_alternate(&mut self, client: FiveTuple) -> Option<Alternate> {
        let Admission::Draining(alternates) = &self.admission else { return None };
        let fitting = || alternates.iter().filter(|alternate| alternate.fits(client));
        self.redirected = self.redirected.wrapping_add(1);
        let turn = self.redirected.checked_rem(fitting().count())?;
        fitting().nth(turn).cloned()
    }

    /// RFC 8489 §10: the client should be told of one of the other family as well. The domain holds for both.
    fn alternate_of_other_family(&self, client: FiveTuple, first: &Alternate) -> Option<SocketAddr> {
        let Admission::Draining(alternates) = &self.admission else { return None };
        let other = |alternate: &&Alternate| {
            alternate.address.is_ipv4() != first.address.is_ipv4()
                && alternate.domain == first.domain
                && alternate.carries(client)
        };
        alternates.iter().find(other).map(|alternate| alternate.address)
    }
}

fn name_alternate<'b>(
    writer: Writer<'b>,
    addresses: [Option<SocketAddr>; 2],
    domain: Option<&str>,
) -> Writer<'b> {
    let writer = addresses
        .into_iter()
        .flatten()
        .fold(writer, |writer, address| writer.address(AttributeType::ALTERNATE_SERVER, address));
    match domain {
        Some(domain) => writer.attribute(AttributeType::ALTERNATE_DOMAIN, domain.as_bytes()),
        None => writer,
    }
}

impl Alternate {
    /// RFC 8489 §14.15: of the same family as the client's address.
    fn fits(&self, client: FiveTuple) -> bool {
        self.address.is_ipv4() == client.client().is_ipv4() && self.carries(client)
    }

    /// A client stays with its transport.
    fn carries(&self, client: FiveTuple) -> bool {
        self.transport.is_none_or(|its| its == client.listener().transport())
    }
}
