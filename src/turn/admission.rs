//! Whether new allocations are taken: not while the server drains, and then another one may be named (RFC 8489 §10).

use std::net::SocketAddr;

use super::answer::{Proof, Sink};
use super::auth::Authenticated;
use super::five_tuple::{FiveTuple, Transport};
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use crate::wire::AttributeType;

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
        let Admission::Draining(alternates) = &self.admission else { return false };
        let client = request.addressee.client;
        let fitting = || alternates.iter().filter(|alternate| alternate.fits(client));
        // Each in turn, so that all get their share.
        self.redirected = self.redirected.wrapping_add(1);
        let turn = self.redirected.checked_rem(fitting().count()).unwrap_or(0);
        let Some(alternate) = fitting().nth(turn).cloned() else {
            self.refuse_for(request, authenticated, Refusal::InsufficientCapacity, Denial::Draining, out);
            return true;
        };
        let denial = Denial::Request(Refusal::TryAlternate);
        self.note_refusal(request, authenticated, Refusal::TryAlternate, denial, None, out);
        let proof: Proof<'_> = authenticated.proof();
        request.addressee.refuse(Refusal::TryAlternate, proof, out, |writer| {
            let writer = writer.address(AttributeType::ALTERNATE_SERVER, alternate.address);
            match &alternate.domain {
                Some(domain) => writer.attribute(AttributeType::ALTERNATE_DOMAIN, domain.as_bytes()),
                None => writer,
            }
        });
        true
    }
}

impl Alternate {
    /// RFC 8489 §14.15: of the same family as the client's address.
    fn fits(&self, client: FiveTuple) -> bool {
        let transport = client.listener().transport();
        self.address.is_ipv4() == client.client().is_ipv4()
            && self.transport.is_none_or(|its| its == transport)
    }
}
